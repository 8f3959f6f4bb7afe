package main

import (
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nitrod/nitrod/internal/traffic"
)

// serveSamples answers as a daemon would whose samples are these, one after the
// other; asked for more, it stops.
func serveSamples(t *testing.T, samples ...traffic.Sample) (socket string, queries *[]string) {
	t.Helper()
	socket, queries = filepath.Join(t.TempDir(), "n.sock"), new([]string)
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/profile", func(w http.ResponseWriter, r *http.Request) {
		*queries = append(*queries, r.URL.RawQuery)
		if len(samples) == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			_ = json.NewEncoder(w).Encode(map[string]string{"error": "nitrod is stopping"})
			return
		}
		if err := json.NewEncoder(w).Encode(samples[0]); err != nil {
			t.Error(err)
		}
		samples = samples[1:]
	})
	s := http.Server{Handler: mux}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return socket, queries
}

// someSamples are two, half a second apart, with a whale of each kind that there are
// words for.
func someSamples() (before, after traffic.Sample) {
	had, left := int64(97_000), int64(96_000)
	before = traffic.Sample{
		TimeNS: 1e9,
		ENIs: map[string]traffic.ENICounters{
			"web": {Instance: "i-web", TxPackets: 1000, TxBytes: 64_000, ConntrackAvailable: &had, FragmentRate: 1024},
			"app": {Instance: "i-app", RxPackets: 900, RxBytes: 57_600},
		},
		Instances: map[string]traffic.InstanceCounters{"i-web": {Tracked: 3000}, "i-app": {Tracked: 3000}},
		Lcores:    []traffic.LcoreCounters{{CPU: 2, Rx: 1000, Tx: 900}, {CPU: 3, BusyNS: 5e8}},
	}
	flow := func(protocol string, number uint8, sport, dport uint16, packets, bits, share float64) traffic.Flow {
		return traffic.Flow{
			Protocol: protocol, Number: number, Src: "10.0.1.10", Dst: "10.0.2.20", SrcPort: sport, DstPort: dport, ENI: "web", Egress: "app",
			Queue: 2, Packets: packets, Bits: bits, LcoreShare: share, LimitBits: 5e9,
		}
	}
	refused := flow("udp", 17, 9, 9, 200_000, 1e8, 0.5)
	refused.Dropped, refused.Lcore = true, 1
	after = traffic.Sample{
		TimeNS: 1_500_000_000,
		ENIs: map[string]traffic.ENICounters{
			"web": {Instance: "i-web", TxPackets: 501_000, TxBytes: 400_064_000, Opened: 500, Drops: 11, ConntrackAvailable: &left, FragmentRate: 1024, Fragments: 100,
				QueueFlows: []uint64{12}},
			"app": {Instance: "i-app", RxPackets: 500_900, RxBytes: 400_057_600, Accepted: 500, QueueFlows: []uint64{10, 30, 0, 24}},
		},
		Instances: map[string]traffic.InstanceCounters{"i-web": {Tracked: 4000}, "i-app": {Tracked: 4000}},
		Lcores:    []traffic.LcoreCounters{{CPU: 2, BusyNS: 400_000_000, Rx: 501_000, Tx: 500_900}, {CPU: 3, BusyNS: 9e8, Rx: 100_000}},
		Flows: []traffic.Flow{
			flow("tcp", 6, 40000, 443, 10_000, 1e6, 0.01), flow("gre", 47, 0, 0, 550_000, 4.8e9, 0.55), refused,
			flow("udp", 17, 5000, 4789, 300_000, 2.6e9, 0.3), flow("tcp", 6, 40001, 443, 320_000, 3e9, 0.32),
		},
	}
	return before, after
}

// TestTrafficOutput compares what top and profile print with golden files.
func TestTrafficOutput(t *testing.T) {
	for name, args := range map[string]string{
		"top":     "top --once --flows 3",
		"profile": "profile",
	} {
		for _, format := range []string{"txt", "json"} {
			t.Run(name+"."+format, func(t *testing.T) {
				before, after := someSamples()
				socket, queries := serveSamples(t, before, after)
				all := append(strings.Fields(args), "--interval", "1ms", "--socket", socket)
				if format == "json" {
					all = append(all, "--json")
				}
				code, out, errs := run(all...)
				if code != 0 || errs != "" {
					t.Fatalf("nitrod %s: exit code %d, says %q", args, code, errs)
				}
				golden(t, name+"."+format, out)
				if want := map[string]string{"top": "", "profile": "queues=true"}[name]; len(*queries) != 2 || (*queries)[0] != "" || (*queries)[1] != want {
					t.Errorf("it asks with %q", *queries)
				}
			})
		}
	}
}

// Where nobody looks for heavy flows, neither command says that there are none.
func TestHeavyFlowsOff(t *testing.T) {
	for _, command := range []string{"top --once", "profile"} {
		before, after := someSamples()
		after.Flows, after.FlowsOff = nil, true
		socket, _ := serveSamples(t, before, after)
		_, out, errs := run(append(strings.Fields(command), "--interval", "1ms", "--socket", socket)...)
		if errs != "" || !strings.Contains(out, "section heavy_flows") || strings.Contains(out, "No flow is so large") {
			t.Errorf("%s says %q and prints\n%s", command, errs, out)
		}
	}
}

// TestTopRefreshes lets top run until the daemon stops: it compares each sample with
// the one before.
func TestTopRefreshes(t *testing.T) {
	before, after := someSamples()
	third := after
	third.TimeNS += 1e9
	socket, _ := serveSamples(t, before, after, third)
	code, out, errs := run("top", "--interval", "1ms", "--socket", socket)
	if code != exitFailed || errs != "nitrod: nitrod is stopping\n" {
		t.Errorf("exit code %d, says %q", code, errs)
	}
	screens := strings.Split(out, clearScreen)
	if len(screens) != 3 || screens[0] != "" || !strings.Contains(screens[1], "6.40G") || strings.Contains(screens[2], "6.40G") {
		t.Errorf("it prints %q", out)
	}
}

func TestSamplesOfTwoRuns(t *testing.T) {
	before, after := someSamples()
	for _, command := range []string{"top", "profile"} {
		socket, _ := serveSamples(t, after, before)
		code, out, errs := run(command, "--interval", "1ms", "--socket", socket)
		if code != exitFailed || out != "" || errs != "nitrod: the two samples are not of one run of nitrod\n" {
			t.Errorf("%s: exit code %d, prints %q, says %q", command, code, out, errs)
		}
	}
}

func TestSI(t *testing.T) {
	for x, want := range map[float64]string{
		0: "0", 0.5: "0.50", 1: "1.00", 9.994: "9.99", 9.996: "10.0", 99.94: "99.9", 99.96: "100", 999.4: "999", 999.6: "1.00k",
		1000: "1.00k", 12_345: "12.3k", 999_600: "1.00M", 4.8e9: "4.80G", 1e12: "1.00T", 3e15: "3000T",
	} {
		if got := si(x); got != want {
			t.Errorf("%v is written %q, want %q", x, got, want)
		}
	}
}
