package main

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/internal/control"
	"github.com/nitrod/nitrod/internal/plan"
	"github.com/nitrod/nitrod/policy"
)

// inDir changes to a directory with two files, so that what is printed names no
// path of this machine.
func inDir(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	old := validConfig + `host: {burst: 32}
network_acls:
  - {id: edge, vpc: main, inbound: [{rule: 100, action: allow, protocol: all, cidr: 0.0.0.0/0}]}
`
	new := strings.NewReplacer("burst: 32", "burst: 64", "inbound: [", "inbound: [{rule: 200, action: deny, protocol: tcp, ports: 23, cidr: 0.0.0.0/0}, ",
		"10.0.1.0/24", "10.0.2.0/24").Replace(old)
	for name, text := range map[string]string{"old.yaml": old, "new.yaml": new} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func checkGolden(t *testing.T, dir, name, got string) {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	golden(t, name, got)
	t.Chdir(here)
}

func TestPlanAgainstFile(t *testing.T) {
	dir, _ := os.Getwd()
	inDir(t)
	for _, format := range []string{"txt", "json"} {
		args := []string{"plan", "new.yaml", "--against", "old.yaml"}
		if format == "json" {
			args = append(args, "--json")
		}
		code, out, errs := run(args...)
		if code != 0 || errs != "" {
			t.Fatalf("exit code %d, says %q", code, errs)
		}
		checkGolden(t, dir, "plan_against."+format, out)
	}
	if code, out, _ := run("plan", "old.yaml", "--against", "old.yaml"); code != 0 || !strings.Contains(out, "Nothing differs.") {
		t.Errorf("a file against itself: exit code %d, prints %q", code, out)
	}
}

// somePlan has a little of everything that a daemon may answer.
func somePlan() *plan.Plan {
	return &plan.Plan{
		Old: "/etc/nitrod/nitrod.yaml", New: "new.yaml", Restart: true,
		Changes: []plan.Change{
			{Change: config.Change{What: config.Changed, Object: "host", Key: "burst", From: "32", To: "64", Restart: true}, Where: "new.yaml"},
			{Change: config.Change{What: config.Removed, Object: `security group "app"`, Key: "inbound rule", From: "{id: http}"}, Where: "nitrod.yaml:40:9"},
			{Change: config.Change{What: config.Added, Object: `VPC "more"`}, Where: "new.yaml:3:5"},
		},
		ChangesLeft: 2,
		ENIs:        []plan.ENI{{ENI: "app", What: config.Changed, Why: []string{`security group "app"`, `the members of security group "web"`}}, {ENI: "gone", What: config.Removed}},
		Findings: []plan.Finding{
			{Kind: policy.RuleShadowed, Object: "o", Where: "new.yaml:9:5", Text: "rule 2 is never reached: rule 1 decides all that it matches", New: true},
			{Kind: policy.Unused, Object: "p", Text: `prefix list "p" is not used: no rule names it`},
		},
		Live: &plan.Live{
			Sessions: 1000, Touched: 120, Stay: 5, Lost: 101, Drains: 2, Tracked: 1, OtherWay: 9, ByRules: 1, Admitted: 1, GroupsLeft: 1,
			Groups: []plan.FlowGroup{
				{Fate: plan.Lost, Reason: "nacl_in", Code: "SUBNET_ACL_RESTRICTION", Object: "edge", Rule: "90", Text: "Rule 90 denies tcp/80.", Flows: 100,
					List: []plan.Flow{{Tuple: "tcp 10.0.1.10:40000 > 10.0.2.10:80", From: "web", To: "app", State: "established"}}},
				{Fate: plan.Lost, Reply: true, Reason: "nacl_out", Text: "Rule 90 denies the answers.", Flows: 1},
				{Fate: plan.Drains, Text: "They go on for 30s.", Flows: 2},
				{Fate: plan.OtherWay, Object: "rt", Rule: "10.0.2.0/24", Text: "By ENI fw.", Flows: 9,
					List: []plan.Flow{{Tuple: "udp 10.0.1.10:1 > 10.0.2.10:2", From: "web", To: "app", Then: "fw"}}},
			},
		},
	}
}

// servePlan answers as a daemon whose plan is fixed, and checks the request.
func servePlan(t *testing.T, socket string, flows int) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/plan", func(w http.ResponseWriter, r *http.Request) {
		var req control.PlanRequest
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil || req.File != "new.yaml" || req.Flows != flows || !strings.Contains(req.Text, "burst: 64") {
			t.Errorf("asked for %+v, %v", req, err)
		}
		if err := json.NewEncoder(w).Encode(somePlan()); err != nil {
			t.Error(err)
		}
	})
	s := http.Server{Handler: mux}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
}

func TestPlanOfDaemon(t *testing.T) {
	dir, _ := os.Getwd()
	socket := filepath.Join(t.TempDir(), "n.sock")
	inDir(t)
	servePlan(t, socket, 7)
	for _, format := range []string{"txt", "json"} {
		args := []string{"plan", "new.yaml", "--flows", "7", "--socket", socket}
		if format == "json" {
			args = append(args, "--json")
		}
		code, out, errs := run(args...)
		if code != 0 || errs != "" {
			t.Fatalf("exit code %d, says %q", code, errs)
		}
		checkGolden(t, dir, "plan."+format, out)
	}
	code, out, errs := run("plan", "new.yaml", "--flows", "7", "--socket", socket, "--fail-on-loss")
	if code != exitLoss || out == "" || errs != "nitrod: 103 live flows would end\n" {
		t.Errorf("with --fail-on-loss: exit code %d, says %q", code, errs)
	}
}

func TestPlanRefuses(t *testing.T) {
	inDir(t)
	if err := os.WriteFile("bad.yaml", []byte("vpcs: 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"plan", exitBadConfig, "accepts 1 arg(s)"},
		{"plan new.yaml --flows -1", exitBadConfig, "--flows is not between 0 and 1000"},
		{"plan new.yaml --against old.yaml --fail-on-loss", exitBadConfig, "--against asks none"},
		{"plan bad.yaml", exitBadConfig, "bad.yaml:1:7: "},
		{"plan new.yaml --against bad.yaml", exitBadConfig, "bad.yaml:1:7: "},
		{"plan none.yaml", exitBadConfig, "none.yaml"},
		{"plan new.yaml --socket none.sock", exitFailed, "no nitrod answers"},
	} {
		code, out, errs := run(strings.Fields(c.args)...)
		if code != c.code || out != "" || !strings.Contains(errs, c.want) {
			t.Errorf("nitrod %s: exit code %d, prints %q, says %q; want %d and %q", c.args, code, out, errs, c.code, c.want)
		}
	}
}
