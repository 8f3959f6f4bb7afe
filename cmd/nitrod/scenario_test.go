package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const network = `
config:
  vpcs: [{id: v, cidrs: [10.0.0.0/16]}]
  subnets: [{id: s, vpc: v, cidrs: [10.0.1.0/24]}]
  security_groups: [{id: g, vpc: v, inbound: [{protocol: udp, ports: 53, group: g}]}]
  instances: [{id: i}]
  enis:
    - {id: a, instance: i, subnet: s, mac: "02:00:00:00:00:01", addresses: [10.0.1.10], security_groups: [g]}
    - {id: b, instance: i, subnet: s, mac: "02:00:00:00:00:02", addresses: [10.0.1.20], security_groups: [g]}
steps:
`

// scenarioFiles writes a scenario that goes as it says, one that does not, and
// one that is at fault.
func scenarioFiles(t *testing.T) (dir, good, failing, bad string) {
	dir = t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good = write("good.yaml", "scenario: DNS is admitted"+network+"  - {send: a > b udp > 53, expect: delivered}\n")
	failing = write("failing.yaml", "scenario: HTTP is admitted\nrules: [S3]"+network+"  - name: a request\n    send: a > b tcp\n    expect: delivered\n")
	bad = write("bad.yaml", "scenario: nonsense"+network+"  - {send: a > b tpc}\n")
	write("other.yaml", "no: scenario\n")
	return dir, good, failing, bad
}

func TestScenarios(t *testing.T) {
	dir, good, failing, bad := scenarioFiles(t)
	for _, c := range []struct {
		args []string
		code int
		want []string
		not  string
	}{
		{[]string{good}, 0, []string{"ok    " + good + "\n"}, "DNS"},
		{[]string{"-v", good}, 0, []string{"DNS is admitted", "4 packets; 1 lcore, by the flow cache; 1 lcore, every packet on the slow path; 2 lcores"}, ""},
		{[]string{failing}, exitFailed, []string{"FAIL  " + failing, "HTTP is admitted", failing + ":13: a request: b does not receive", "a > b tcp, delivered",
			"security_group_in: drop by b. No rule of the security groups of ENI b admits tcp/80 from 10.0.1.10."}, "only with"},
		{[]string{bad}, exitBadConfig, []string{"BAD   " + bad, bad + `:11:18: "tpc" is no word of a packet`}, ""},
		{[]string{dir}, exitBadConfig, []string{"3 scenarios, 1 failed, 1 could not be run"}, "other.yaml"},
		{[]string{"--run", "DNS", dir}, 0, []string{"ok    " + good}, "failing"},
		{[]string{"--run", "^S3$|(?m)^S3$", good, failing}, exitFailed, []string{"FAIL"}, "ok "},
		{[]string{"--run", "(", good}, exitBadConfig, nil, "ok"},
		{[]string{filepath.Join(dir, "none.yaml")}, exitBadConfig, nil, "ok"},
		{[]string{t.TempDir()}, exitBadConfig, nil, "ok"},
	} {
		code, out, errs := run(append([]string{"test"}, c.args...)...)
		if code != c.code || (code == 0) != (errs == "") || c.not != "" && strings.Contains(out, c.not) {
			t.Errorf("test %v: exit code %d, prints %q, says %q", c.args, code, out, errs)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("test %v prints %q, want %q in it", c.args, out, want)
			}
		}
	}
}

func TestScenariosJSON(t *testing.T) {
	dir, good, failing, bad := scenarioFiles(t)
	code, out, _ := run("test", "--json", dir)
	var results []struct {
		File     string
		Failures []struct {
			Line    int
			Text    string
			Details []string
			Runs    []string
		}
		Problems []problem
	}
	if err := json.Unmarshal([]byte(out), &results); err != nil || code != exitBadConfig || len(results) != 3 {
		t.Fatalf("exit code %d, %v: %s", code, err, out)
	}
	for _, r := range results {
		switch r.File {
		case good:
			if len(r.Failures)+len(r.Problems) != 0 {
				t.Errorf("%+v", r)
			}
		case failing:
			if len(r.Failures) == 0 || r.Failures[0].Line == 0 || len(r.Failures[0].Runs) != 4 {
				t.Errorf("%+v", r)
			}
		case bad:
			if len(r.Problems) != 1 || r.Problems[0].Line != 11 || r.Problems[0].File != bad {
				t.Errorf("%+v", r)
			}
		default:
			t.Errorf("a result of %s", r.File)
		}
	}
}

// Without cgo, and so without DPDK, everything works that needs no devices, and
// run says in one sentence what is missing.
func TestWithoutDPDK(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the program")
	}
	dir, good, failing, _ := scenarioFiles(t)
	exe := filepath.Join(dir, "nitrod")
	build := exec.Command("go", "build", "-o", exe, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const example = "../../examples/two-enis.yaml"
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"test " + good, 0, "ok "},
		{"test " + failing, exitFailed, "FAIL "},
		{"check -c " + example, 0, "is valid"},
		{"plan --help", 0, "Usage:"},
		{"version --help", 0, "Usage:"},
		{"run -c " + example, exitFailed, "built without DPDK"},
	} {
		cmd := exec.Command(exe, strings.Fields(c.args)...)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(string(out), c.want) {
			t.Errorf("nitrod %s: exit code %d, prints %q; want %d and %q", c.args, code, out, c.code, c.want)
		}
	}
}
