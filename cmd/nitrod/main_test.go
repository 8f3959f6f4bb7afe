package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nitrod/nitrod/internal/control"
	"github.com/nitrod/nitrod/policy"
)

var update = flag.Bool("update", false, "write the golden files")

// run executes a command line.
func run(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = execute(args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestUsageErrors(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"frobnicate", `nitrod: unknown command "frobnicate" for "nitrod"`},
		{"stat", `unknown command "stat" for "nitrod"`},
		{"--frobnicate", "nitrod: unknown flag: --frobnicate"},
		{"stats --frobnicate", "nitrod: unknown flag: --frobnicate"},
		{"stats more", `nitrod: unknown command "more" for "nitrod stats"`},
		{"run -c", "nitrod: flag needs an argument: 'c' in -c"},
		{"run more", `nitrod: unknown command "more" for "nitrod run"`},
		{"flows --limit 0", "nitrod: --limit is not above zero"},
		{"bursts --limit 0", "nitrod: --limit is not above zero"},
		{"conntrack --limit -5", "nitrod: --limit is not above zero"},
		{"top --interval 0s", "nitrod: --interval is not above zero"},
		{"profile --interval -1s", "nitrod: --interval is not above zero"},
		{"profile --flows -1", "nitrod: --flows is below zero"},
		{"top --whale-lcore 0", "nitrod: --whale-lcore is not from 1 to 100"},
		{"profile --whale-limit 101", "nitrod: --whale-limit is not from 1 to 100"},
		{"flows --limit many", `nitrod: invalid argument "many" for "--limit" flag`},
		{"explain", "nitrod: explain needs --src and --dst, or --frame, or --pcap"},
		{"explain --src 10.0.0.1", "nitrod: explain needs --src and --dst, or --frame, or --pcap"},
		{"explain --dport 70000", `nitrod: invalid argument "70000" for "--dport" flag`},
	} {
		code, out, errs := run(strings.Fields(c.args)...)
		if code != exitBadConfig || out != "" || !strings.Contains(errs, c.want) {
			t.Errorf("nitrod %s: exit code %d, prints %q, says %q; want %d and %q", c.args, code, out, errs, exitBadConfig, c.want)
		}
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}, {"stats", "--help"}, {"help", "run"}} {
		code, out, errs := run(args...)
		if code != 0 || !strings.Contains(out, "Usage:") || errs != "" {
			t.Errorf("nitrod %v: exit code %d, prints %q, says %q", args, code, out, errs)
		}
	}
}

func TestWithoutDaemon(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "n.sock")
	for _, args := range []string{"stats", "flows", "conntrack", "explain --src 10.0.0.1 --dst 10.0.0.2", "stats --json", "top", "profile"} {
		code, out, errs := run(append(strings.Fields(args), "--socket", socket)...)
		want := "nitrod: no nitrod answers on " + socket + ": connect: no such file or directory\n"
		if code != exitFailed || out != "" || errs != want {
			t.Errorf("nitrod %s: exit code %d, prints %q, says %q; want %d and %q", args, code, out, errs, exitFailed, want)
		}
	}
	if code, out, errs := run("version", "--socket", socket); code != 0 || out != "nitrod  unknown\ndaemon  not running\n" || errs != "" {
		t.Errorf("version: exit code %d, prints %q, says %q", code, out, errs)
	}
	if code, out, errs := run("version", "--json", "--socket", socket); code != 0 || out != "{\n  \"program\": \"unknown\"\n}\n" || errs != "" {
		t.Errorf("version --json: exit code %d, prints %q, says %q", code, out, errs)
	}
}

// TestOutput compares what the commands print about a daemon with golden files.
func TestOutput(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "n.sock")
	serve(t, socket)
	for name, args := range map[string]string{
		"stats":            "stats",
		"flows":            "flows --eni web --limit 7",
		"conntrack":        "conntrack",
		"bursts":           "bursts --eni app --limit 7",
		"bursts_off":       "bursts --eni web",
		"explain_drop":     "explain --src 10.0.1.10 --dst 10.0.2.10 --dport 8080",
		"explain_forward":  "explain --src 10.0.1.10 --dst 10.0.2.10 --protocol icmp --icmp-type 0",
		"explain_frame":    "explain --frame 0200",
		"explain_fragment": "explain --frame 0300",
		"version":          "version",
		"queues":           "queues",
		"rebalance":        "queues rebalance --eni app",
		"coalesce":         "coalesce --rx-usecs 20 --tx-usecs 7",
		"coalesce_shown":   "coalesce",
		"queues_ena":       "queues --ena --eni web",
	} {
		for _, format := range []string{"txt", "json"} {
			t.Run(name+"."+format, func(t *testing.T) {
				all := append(strings.Fields(args), "--socket", socket)
				if format == "json" {
					all = append(all, "--json")
				}
				code, out, errs := run(all...)
				if code != 0 || errs != "" {
					t.Fatalf("nitrod %s: exit code %d, says %q", args, code, errs)
				}
				golden(t, name+"."+format, out)
				if format == "json" && !json.Valid([]byte(out)) {
					t.Error("this is not JSON")
				}
			})
		}
	}
}

func TestDaemonRefuses(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "n.sock")
	serve(t, socket)
	code, out, errs := run("explain", "--frame", "zz", "--socket", socket)
	if code != exitFailed || out != "" || errs != "nitrod: the frame is not hexadecimal\n" {
		t.Errorf("exit code %d, prints %q, says %q", code, out, errs)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; go test -update writes it):\n%s", path, diff)
	}
}

// serve answers as a daemon with a little of everything.
func serve(t *testing.T, socket string) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(w http.ResponseWriter, v any) {
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/version", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, control.Version{Nitrod: "v1.2", DPDK: "DPDK 22.11.7", Go: "go1.26"})
	})
	mux.HandleFunc("GET /v1/stats", func(w http.ResponseWriter, _ *http.Request) { answer(w, someStats()) })
	mux.HandleFunc("GET /v1/flows", func(w http.ResponseWriter, r *http.Request) {
		if got := r.URL.RawQuery; got != "eni=web&limit=7" {
			t.Errorf("flows are asked for with %q", got)
		}
		answer(w, someFlows())
	})
	mux.HandleFunc("GET /v1/queues", func(w http.ResponseWriter, r *http.Request) {
		n := map[string]int{"": 2, "eni=web": 1}[r.URL.RawQuery]
		if n == 0 {
			t.Errorf("queues are asked for with %q", r.URL.RawQuery)
		}
		answer(w, someQueues()[:n])
	})
	mux.HandleFunc("GET /v1/queues/rebalance", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "eni=app" {
			t.Errorf("balancing is asked for with %q", r.URL.RawQuery)
		}
		answer(w, []control.Rebalance{
			{ENI: "app", Mode: "propose", State: "uneven, and a change is proposed", Threshold: 25, IntervalNS: 1e9, Intervals: 3,
				Queues: []uint64{90_000, 30_000}, Excess: 50, Proposal: []control.EntryMove{{Entry: 7, From: 0, To: 1, Packets: 90_000}}, ExcessAfter: 2,
				Changes: 1, LastChange: []control.EntryMove{{Entry: 3, From: 1, To: 0, Packets: 12}}, LastChangedNS: 1_700_000_000e9, Error: "an earlier change is under way"},
			{ENI: "web", Mode: "off", State: "off", Threshold: 25},
		})
	})
	mux.HandleFunc("GET /v1/coalesce", func(w http.ResponseWriter, r *http.Request) { answer(w, control.Coalesce{AdaptiveRx: true}) })
	mux.HandleFunc("POST /v1/coalesce", func(w http.ResponseWriter, r *http.Request) {
		var c control.CoalesceChange
		if err := json.NewDecoder(r.Body).Decode(&c); err != nil || c.AdaptiveRx != nil || c.RxUsecs == nil || c.TxUsecs == nil {
			t.Errorf("a change is asked for with %+v, %v", c, err)
			return
		}
		answer(w, control.Coalesce{RxUsecs: *c.RxUsecs, TxUsecs: *c.TxUsecs})
	})
	mux.HandleFunc("GET /v1/conntrack", func(w http.ResponseWriter, r *http.Request) {
		if got := r.URL.RawQuery; got != "limit=1000" {
			t.Errorf("sessions are asked for with %q", got)
		}
		answer(w, someSessions())
	})
	mux.HandleFunc("GET /v1/bursts", func(w http.ResponseWriter, r *http.Request) {
		switch got := r.URL.RawQuery; got {
		case "eni=app&limit=7":
			answer(w, someBursts())
		case "eni=web&limit=20":
			answer(w, control.Bursts{Queues: []control.BurstQueue{}, Events: []control.Burst{}})
		default:
			t.Errorf("bursts are asked for with %q", got)
		}
	})
	mux.HandleFunc("POST /v1/explain", func(w http.ResponseWriter, r *http.Request) {
		var req control.ExplainRequest
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			t.Error(err)
		}
		explain(t, w, &req, answer)
	})
	s := http.Server{Handler: mux}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
}

func someStats() control.Stats {
	left := int64(96)
	return control.Stats{
		TimeNS: 1_700_000_000_000_000_000, UptimeNS: 3_723_400_000_000,
		Rx: 1000, Originated: 10, Tx: 900, Consumed: 8, Held: 2, Dropped: 100,
		Drops:    map[string]uint64{"security_group_in": 90, "arp_not_answered": 10},
		FlowHits: 880, SlowPath: 20, Waited: 3, Redecided: 9, Flows: 12, Evicted: 1, Sessions: 6, Begun: 7, Expired: 1, Early: map[string]uint64{"half_open": 3, "closing": 2, "one_way": 1}, Fragmented: 2, FragmentsWaited: 6, ICMPErrors: 4, TableMem: "hugepages",
		ENIs: map[string]control.ENI{
			"web": {Port: "tap web0 in web", Link: "up", RxPackets: 400, RxBytes: 40000, TxPackets: 600, TxBytes: 60000, Drops: 90, PPSExceeded: 7,
				ConntrackUsed: 4, ConntrackAvailable: &left, HalfOpen: 1, ConntrackExceeded: 5},
			"app": {Port: "net_null0", Link: "down", RxPackets: 500, RxBytes: 50000, TxPackets: 400, TxBytes: 40000, Drops: 10},
		},
		Instances: map[string]control.Instance{"web": {Used: 4, Available: &left, Exceeded: 5}, "app": {Used: 4}},
		Lcores: []control.Lcore{
			{CPU: 2, Rounds: 5000, Rx: 600, Tx: 500, FlowHits: 480, SlowPath: 15, HandOver: 40, Shards: 512, Gaps: control.Gaps{Count: 4999, P50: 96, P99: 900, P9999: 130_000, Max: 2_000_000},
				Polling: control.Polling{
					Mode: "adaptive", Interrupts: true, Rest: "interrupt", RxUsecs: 64, AdaptiveRx: true,
					Sleeps: 900, AsleepNS: 90_000_000_000, Woken: 400, PausedNS: 1_500_000_000, Pauses: 12,
				}},
			{CPU: 3, Rounds: 4000, Rx: 400, Tx: 400, FlowHits: 400, SlowPath: 5, Polling: control.Polling{Mode: "spin", Rest: "poll", TxUsecs: 20}},
		},
		Mbufs:  control.Mbufs{Total: 65535, Available: 65000},
		Driver: control.Driver{RxMissed: 5, RxBadCsum: 1, TxUnchained: 2, RxCompleted: 77},
	}
}

func someBursts() control.Bursts {
	flow := control.BurstFlow{Tuple: control.Tuple{Protocol: "tcp", Src: "10.0.1.10", Dst: "10.0.2.10", SrcPort: 40000, DstPort: 80}, ENI: "web", Bytes: 80_000}
	const at = 1_700_000_000_123_456_789
	return control.Bursts{
		Queues: []control.BurstQueue{
			{ENI: "app", Lcore: 1, Ring: 256, HighWater: 250, Packets: 1000, Bytes: 1_000_000, Drops: 3, Bursts: 2, Short: 4, SecondRate: 8_000_000,
				Windows: []control.Window{
					{LengthNS: 10_000, PeakBytes: 12_500, PeakRate: 10_000_000_000, PeakPackets: 12, TimeNS: at},
					{LengthNS: 100_000, PeakBytes: 62_500, PeakRate: 5_000_000_000, PeakPackets: 60, TimeNS: at},
					{LengthNS: 1_000_000, PeakBytes: 125_000, PeakRate: 1_000_000_000, PeakPackets: 120, TimeNS: at},
				},
				Fill: []uint64{0, 10, 0, 30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, Depth: []uint64{1, 0, 0, 0, 0, 0, 0, 0, 39, 0, 0, 0, 0, 0, 0, 1}},
			{ENI: "app", Queue: 1, Ring: 256, Windows: []control.Window{{LengthNS: 10_000}}, Fill: make([]uint64, 16), Depth: make([]uint64, 16)},
		},
		Events: []control.Burst{
			{TimeNS: at, ENI: "app", Lcore: 1, LengthNS: 90_500, Bytes: 100_000, Packets: 90, Drops: 3, MeanRate: 8_839_000_000, PeakRate: 10_000_000_000,
				SecondRate: 8_000_000, Depth: 256, Ring: 256, StepNS: 10_000, Shape: []uint32{1000, 12_500, 0, 6_000, 12_400}, Flows: []control.BurstFlow{flow}},
			{TimeNS: at - 5_000_000, ENI: "app", Lcore: 1, LengthNS: 10_000, Bytes: 100, Packets: 1, Ring: 256, StepNS: 10_000, Shape: []uint32{}, Flows: []control.BurstFlow{}},
		},
	}
}

func someFlows() []control.Flow {
	out := control.Tuple{Protocol: "tcp", Src: "10.0.1.10", Dst: "10.0.2.10", SrcPort: 40000, DstPort: 80}
	six := control.Tuple{Protocol: "udp", Src: "2001:db8::1", Dst: "2001:db8::2", SrcPort: 5, DstPort: 6}
	return []control.Flow{
		{Tuple: out, ENI: "web", Path: "routed", Verdict: "forward", Egress: "app", Queue: 1, Dir: "original", Current: true, IdleNS: 1_600_000_000},
		{Tuple: six, ENI: "web", Path: "link", Verdict: "drop", Reason: "security_group_in", Egress: "web2", Lcore: 1},
	}
}

func someQueues() []control.ENIQueues {
	return []control.ENIQueues{
		{
			ENI: "web", Port: "tap web0 in web", RxOverruns: 90, RxDrops: 4, TxDrops: 3,
			Rx: []control.RxQueue{
				{Packets: 300, Bytes: 30000, Depth: 1024, Waiting: 7, HighWater: 1024, Overruns: 90},
				{Packets: 100, Bytes: 10000, Depth: 1024, HighWater: 32, Lcore: 1, Pace: &control.Pace{
					Rate: 10_000_000_000, FlowRate: 1_000_000_000, Flows: 12, Waiting: 345, High: 678, Left: 445, Delayed: 444, DelayNS: 444_000_000,
					FlowFull: 5, Full: 6, Late: 7,
				}},
			},
			Tx: []control.TxQueue{{Packets: 500, Bytes: 50000, Depth: 512}, {Packets: 100, Bytes: 10000, Depth: 512, Lcore: 1}},
		},
		{
			ENI: "app", Port: "net_null0",
			Rx: []control.RxQueue{{Depth: 256}}, Tx: []control.TxQueue{{Lcore: -1}},
		},
	}
}

func someSessions() []control.Session {
	return []control.Session{{
		Tuple: control.Tuple{Protocol: "tcp", Src: "10.0.1.10", Dst: "10.0.2.10", SrcPort: 40000, DstPort: 80},
		VPC:   "main", Originator: "web", Responder: "app", State: "established", AgeNS: 5_000_000_000, IdleNS: 12_345_678,
		TimeoutNS: 432_000_000_000_000, OutPackets: 10, OutBytes: 1000, BackPackets: 9, BackBytes: 90_000, OriginatorTracked: true, ResponderTracked: true,
	}}
}

// explain checks how the flags became a request, and answers by kind.
func explain(t *testing.T, w http.ResponseWriter, req *control.ExplainRequest, answer func(http.ResponseWriter, any)) {
	switch {
	case req.Frame == "zz":
		w.WriteHeader(http.StatusBadRequest)
		answer(w, control.Problem{Error: "the frame is not hexadecimal"})
	case req.Frame == "0300":
		answer(w, control.Explanation{Packet: "a later fragment", Verdict: "hold", ENI: "web", Class: "flow",
			Datagram: "a later fragment, whose first one was not seen: it would wait for that"})
	case req.Frame != "":
		answer(w, control.Explanation{Packet: "short", Verdict: "consume", ENI: "web", Cache: "stale"})
	case req.Protocol == "icmp":
		if req.ICMPType == nil || *req.ICMPType != 0 {
			t.Errorf("--icmp-type 0 is asked for as %v", req.ICMPType)
		}
		answer(w, control.Explanation{
			Packet: "IPv4 10.0.1.10 > 10.0.2.10 ICMP", Verdict: "forward", ENI: "web", Class: "flow", Shard: 7, Lcore: 1, Cache: "hit",
			Session: "icmp, reply direction", LeftNS: 29_500_400_000, Egress: "app", Queue: 3, WaitNS: 1_200_000,
			Limits: []control.Limit{{Name: "bw_out_allowance_exceeded", Of: "web", WaitNS: 1_200_000, Text: "Instance web lets it wait."}},
		})
	default:
		want := control.ExplainRequest{Protocol: "tcp", Src: "10.0.1.10", Dst: "10.0.2.10", SrcPort: 40000, DstPort: 8080, TCPFlags: "S"}
		if diff := cmp.Diff(&want, req); diff != "" {
			t.Errorf("the request (-want +got):\n%s", diff)
		}
		answer(w, control.Explanation{
			Packet: "IPv4 10.0.1.10:40000 > 10.0.2.10:8080 TCP S", Verdict: "drop", Reason: "security_group_in",
			Code: "ENI_SG_RULES_MISMATCH", Help: "No inbound rule admits the flow.", ENI: "web", Class: "flow", Shard: 7, Cache: "miss", Egress: "app",
			Steps: []policy.Step{
				{Stage: "route", Outcome: "local", Object: "main", Rule: "10.0.0.0/16", Text: "local to the VPC"},
				{Stage: "security group in", Outcome: "drop", Object: "app", Text: "no rule admits it"},
			},
		})
	}
}

const validConfig = `vpcs:
  - {id: main, cidrs: [10.0.0.0/16]}
subnets:
  - {id: front, vpc: main, cidrs: [10.0.1.0/24]}
`

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	valid := write("valid.yaml", validConfig)
	bad := write("bad.yaml", strings.Replace(validConfig, "vpc: main", "vcp: main", 1)+"nonsense: 1\n")
	none := filepath.Join(dir, "none.yaml")

	if code, out, errs := run("check", "-c", valid); code != 0 || errs != "" ||
		out != valid+" is valid: 1 VPC, 1 subnet, 0 security groups, 0 network ACLs, 0 ENIs\n" {
		t.Errorf("a valid file: exit code %d, prints %q, says %q", code, out, errs)
	}
	typed := write("typed.yaml", validConfig+"instances: [{id: a}, {id: b, type: c7i.large}, {id: c, limits: {bandwidth_out: {rate: 1gbps}}}]\n")
	if code, out, errs := run("check", "-c", typed); code != 0 || errs != "" || !strings.HasSuffix(out, " ENIs\n"+
		`instance "b" is limited: in 12.5gbps on 781mbps, out 12.5gbps on 781mbps, from the internet 5gbps, to it 5gbps, packets 1.1mpps, a flow 5gbps, in a cluster 10gbps, UDP there 8gbps, by ENA Express 25gbps
instance "c" is limited: out 1gbps
`) {
		t.Errorf("a file with limits: exit code %d, prints %q, says %q", code, out, errs)
	}
	if code, out, errs := run("check", "-c", valid, "--json"); code != 0 || errs != "" || out != "[]\n" {
		t.Errorf("a valid file, in JSON: exit code %d, prints %q, says %q", code, out, errs)
	}

	code, out, errs := run("check", "-c", bad)
	lines := strings.Split(strings.TrimSuffix(errs, "\n"), "\n")
	if code != exitBadConfig || out != "" || len(lines) < 2 || !strings.HasPrefix(lines[0], bad+":4:") || !strings.HasPrefix(lines[len(lines)-1], bad+":5:") {
		t.Errorf("a bad file: exit code %d, prints %q, says %q", code, out, errs)
	}
	jsonCode, jsonOut, jsonErrs := run("check", "-c", bad, "--json")
	var problems []problem
	if err := json.Unmarshal([]byte(jsonOut), &problems); err != nil || jsonCode != exitBadConfig || len(problems) != len(lines) {
		t.Fatalf("a bad file, in JSON: exit code %d, prints %q, says %q", jsonCode, jsonOut, jsonErrs)
	}
	for i, p := range problems {
		if text := fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Text); text != lines[i] {
			t.Errorf("JSON says %q, the text %q", text, lines[i])
		}
	}

	code, out, errs = run("check", "-c", none)
	if code != exitBadConfig || out != "" || !strings.Contains(errs, none) {
		t.Errorf("a missing file: exit code %d, prints %q, says %q", code, out, errs)
	}
	code, out, _ = run("check", "-c", none, "--json")
	if err := json.Unmarshal([]byte(out), &problems); err != nil || code != exitBadConfig || len(problems) != 1 || !strings.Contains(problems[0].Text, none) {
		t.Errorf("a missing file, in JSON: exit code %d, prints %q", code, out)
	}
	// run refuses what check refuses.
	if code, out, errs := run("run", "-c", bad); code != exitBadConfig || out != "" || !strings.HasPrefix(errs, bad+":4:") {
		t.Errorf("run of a bad file: exit code %d, prints %q, says %q", code, out, errs)
	}
}
