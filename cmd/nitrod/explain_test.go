package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/simport"
)

const example = "../../examples/two-enis.yaml"

// A file alone is explained without a daemon.
func TestExplainFile(t *testing.T) {
	for args, want := range map[string][]string{
		"--src 10.0.1.10 --dst 10.0.2.10 --both": {
			"verdict", "forward to ENI app, its receive queue 0", "Rule http of security group app at ENI app admits tcp/80 from 10.0.1.10.",
			"Toeplitz of addresses and ports", "new, syn_sent", "at ENI web and at ENI app", "THE ANSWER", "forward to ENI web",
			"ENI web may begin 100000 more tracked connections.",
		},
		"--src 10.0.1.10 --dst 10.0.2.10 --dport 23":   {"drop: nacl_out (SUBNET_ACL_RESTRICTION)", "rule 10 denies tcp/23 out of subnet web"},
		"--src 10.0.1.10 --dst 10.0.2.10 --dport 8080": {"drop: security_group_in (ENI_SG_RULES_MISMATCH)"},
		"--src 10.0.1.10 --dst 192.0.2.7":              {"drop: route_blackhole (BAD_STATE_ROUTE)", "192.0.2.0/24, a blackhole"},
	} {
		code, out, errs := run(append([]string{"explain", "-c", example}, strings.Fields(args)...)...)
		if code != 0 || errs != "" {
			t.Errorf("explain %s: exit code %d, says %q", args, code, errs)
		}
		for _, text := range want {
			if !strings.Contains(out, text) {
				t.Errorf("explain %s does not print %q:\n%s", args, text, out)
			}
		}
	}
}

func TestExplainPcap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.pcap")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := simport.NewPcapWriter(f, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	w.Sink(packet.Pad(nil, 60))
	w.Sink(packet.Build(packet.Ether{Dst: [6]byte{2}, Src: [6]byte{2, 0, 0, 0, 1, 0x0a}},
		packet.IPv4{Src: packet.MustIP("10.0.1.10"), Dst: packet.MustIP("10.0.2.10")}, packet.UDP{SrcPort: 1, DstPort: 5201}))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	code, out, errs := run("explain", "-c", example, "--pcap", path, "--number", "2", "--from", "web")
	if code != 0 || !strings.Contains(out, "10.0.1.10:1 > 10.0.2.10:5201") || !strings.Contains(out, "destination_mac_unknown") {
		t.Errorf("exit code %d, prints %q, says %q", code, out, errs)
	}
	for number, want := range map[string]string{"3": "has no frame 3; it has 2", "0": "has no frame 0"} {
		if code, _, errs := run("explain", "-c", example, "--pcap", path, "--number", number); code != exitBadConfig || !strings.Contains(errs, want) {
			t.Errorf("frame %s: exit code %d, says %q", number, code, errs)
		}
	}
	if code, _, errs := run("explain", "-c", example, "--pcap", path+"x"); code != exitBadConfig || !strings.Contains(errs, "c.pcapx") {
		t.Errorf("no capture: exit code %d, says %q", code, errs)
	}
	if code, _, errs := run("explain", "-c", path, "--src", "10.0.0.1", "--dst", "10.0.0.2"); code != exitBadConfig || errs == "" {
		t.Errorf("a bad file: exit code %d, says %q", code, errs)
	}
}
