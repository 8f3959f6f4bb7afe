package peers

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/nitrod/nitrod/bench/traffic"
	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/policy"
	"github.com/nitrod/nitrod/policy/secgroup"
)

func TestEndpoints(t *testing.T) {
	a, b, err := Endpoints()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []traffic.Endpoint{a, b} {
		if len(e.MAC) != 6 || len(e.Router) != 6 || e.Router[0]&1 != 0 || bytes.Equal(e.MAC, e.Router) || bytes.Equal(e.Router, make([]byte, 6)) {
			t.Errorf("MAC %s, router %s", e.MAC, e.Router)
		}
	}
	if bytes.Equal(a.Router, b.Router) {
		t.Error("both subnets have one router MAC: no frame would cross it")
	}
}

// The generated configuration is one that nitrod accepts, with what the
// benchmark relies on.
func TestNitrodConfig(t *testing.T) {
	for _, tc := range []struct {
		setup    Setup
		sessions int
	}{
		{Setup{Spec: traffic.Spec{Kind: traffic.UDP4, Flows: 1}, Files: []string{"/f/ab"}, CPU: 1}, 1 << 19},
		{Setup{Spec: traffic.Spec{Kind: traffic.TCP4, Flows: 1_000_000}, Files: []string{"/f/ab", "/f/ba"}, CPU: 1, NoHuge: true}, 1 << 21},
		{Setup{Spec: traffic.Spec{Kind: traffic.UDP4, Flows: 1}, Files: []string{"/f/ab"}, CPU: 1, Rules: RuleSet{N: 1000}}, 1 << 19},
		{Setup{Spec: traffic.Spec{Kind: traffic.NewTCP4, Flows: 1}, Files: []string{"/f/ab"}, CPU: 1, Rules: RuleSet{N: 1000, Last: true}, Source: &traffic.Source{Library: "/f/source.so"}}, firstSessions},
		{Setup{Spec: traffic.Spec{Kind: traffic.NewTCP4, Flows: 1}, Files: []string{"/f/ab"}, CPU: 1, Rules: RuleSet{N: 1}, Sessions: 5000, Source: &traffic.Source{Library: "/f/source.so"}}, 5000},
	} {
		cfg, err := config.Parse("bench", []byte(NitrodConfig(tc.setup, "/run/bench.sock")), []int{0, 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := policy.Compile(&cfg.Objects, nil); err != nil {
			t.Fatal(err)
		}
		if cfg.Host.ControlSocket != "/run/bench.sock" || cfg.Host.Polling != config.PollingBusy || cfg.Host.Mbufs != tc.setup.Mbufs() {
			t.Errorf("host %+v", cfg.Host)
		}
		if want := map[bool]config.Hugepages{false: config.HugepagesOn, true: config.HugepagesOff}[tc.setup.NoHuge]; cfg.Host.Hugepages != want {
			t.Errorf("hugepages %s, want %s", cfg.Host.Hugepages, want)
		}
		if cfg.Tables.Sessions != tc.sessions || cfg.Tables.Flows != 2*tc.sessions {
			t.Errorf("tables %+v, want %d sessions", cfg.Tables, tc.sessions)
		}
		if tc.setup.Source != nil {
			if cfg.Conntrack.TCPSynSent != newFlowTimeout || cfg.Tables.FlowIdle != newFlowTimeout || cfg.SlowPath.Budget < cfg.Host.Burst ||
				!slices.Equal(cfg.Host.EAL, []string{"-d", "/f/source.so"}) {
				t.Errorf("new flows: %+v, %+v, %+v, EAL %q", cfg.Conntrack, cfg.Tables, cfg.SlowPath, cfg.Host.EAL)
			}
		}
		if cfg.Conntrack.TCPMidstream != config.MidstreamPickup {
			t.Error("a replayed TCP segment without a SYN would be refused")
		}
		dev := tc.setup.Devices()
		if len(cfg.Ports) != 2 || cfg.Ports[0].Device != dev[0] || cfg.Ports[1].Device != dev[1] {
			t.Errorf("ports %+v, want %v", cfg.Ports, dev)
		}
	}
}

// With all features every kind of limit is in force for the frames, and none of
// them can hold anything back at a rate that one core reaches.
func TestFeaturesAreInForce(t *testing.T) {
	for _, on := range []bool{false, true} {
		setup := Setup{Spec: traffic.Spec{Kind: traffic.UDP4, Flows: 1}, Files: []string{"/f/ab"}, CPU: 1, Features: &Features{Limits: on, Bursts: on, HeavyFlows: on}}
		cfg, err := config.Parse("bench", []byte(NitrodConfig(setup, "/run/bench.sock")), []int{0, 1})
		if err != nil {
			t.Fatal(err)
		}
		snap, err := policy.Compile(&cfg.Objects, nil)
		if err != nil {
			t.Fatal(err)
		}
		sends, receives := snap.ENIs[0].Instance, snap.ENIs[1].Instance
		rates := map[string]uint64{
			"flow": snap.FlowLimit(0, 1, policy.ProtoUDP).Rate, "queue": snap.Limits[1].Queue.Rate,
			"ENI in": snap.Limits[1].In.Rate, "ENI out": snap.Limits[0].Out.Rate,
			"instance in": snap.Instances[receives].In.Rate, "instance out": snap.Instances[sends].Out.Rate,
			"packets": 1000 * snap.Instances[sends].Packets.Rate,
		}
		for name, rate := range rates {
			if (rate != 0) != on || on && rate < 100e9 {
				t.Errorf("features %v: %s is limited to %d", on, name, rate)
			}
		}
		if want := map[bool]config.Switch{false: config.SwitchOff, true: config.SwitchOn}[on]; cfg.Bursts.Measure != want || cfg.HeavyFlows.Measure != want {
			t.Errorf("features %v: bursts %v, heavy flows %v", on, cfg.Bursts.Measure, cfg.HeavyFlows.Measure)
		}
	}
}

// Every frame of the benchmark must be one that policy admits, or the rates
// would be those of drops; and where there are many rules, by the rule that it
// is meant for.
func TestPolicyAdmitsTheFrames(t *testing.T) {
	for _, rules := range []RuleSet{{}, {N: 1}, {N: 50}, {N: 1000}, {N: 50, Last: true}, {N: 1000, Last: true}} {
		kinds := []traffic.Kind{traffic.UDP4, traffic.TCP4, traffic.UDP6}
		if rules.N != 0 {
			kinds = []traffic.Kind{traffic.UDP4, traffic.NewTCP4}
		}
		for _, kind := range kinds {
			policyAdmits(t, Setup{Spec: traffic.Spec{Kind: kind, Flows: 500}, Rules: rules})
		}
	}
}

func policyAdmits(t *testing.T, setup Setup) {
	kind := setup.Spec.Kind
	cfg, err := config.Parse("bench", []byte(NitrodConfig(setup, "/run/bench.sock")), []int{0, 1})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := policy.Compile(&cfg.Objects, nil)
	if err != nil {
		t.Fatal(err)
	}
	addr := func(a netip.Addr) hash.Addr {
		b := a.As16()
		if a.Is4() {
			return hash.Addr{Lo: uint64(binary.BigEndian.Uint32(b[12:]))}
		}
		return hash.Addr{Hi: binary.BigEndian.Uint64(b[:8]), Lo: binary.BigEndian.Uint64(b[8:])}
	}
	a, b, err := Endpoints()
	if err != nil {
		t.Fatal(err)
	}
	index := map[string]uint16{}
	for _, id := range []string{"eni-a", "eni-b"} {
		i, ok := snap.ENIByID(id)
		if !ok {
			t.Fatalf("no ENI %s", id)
		}
		index[id] = i
	}
	spec := traffic.Spec{Kind: kind, Flows: setup.Spec.Flows, A: a, B: b}
	asked := map[secgroup.Ref]bool{}
	for i := range spec.Flows {
		for _, reply := range []bool{false, true}[:1+map[bool]int{true: 1}[kind.Bidirectional()]] {
			f := spec.Flow(i)
			from, to, sport, dport, eni, egress := a, b, f.PortA, f.PortB, index["eni-a"], index["eni-b"]
			if reply {
				from, to, sport, dport, eni, egress = to, from, dport, sport, egress, eni
			}
			flags, proto := hash.KeyIPv4, uint8(policy.ProtoUDP)
			src, dst := from.IPv4, to.IPv4
			if kind == traffic.TCP4 || kind == traffic.NewTCP4 {
				proto = policy.ProtoTCP
			}
			if kind == traffic.UDP6 {
				flags, src, dst = hash.KeyIPv6, from.IPv6, to.IPv6
			}
			d := snap.Decide(&policy.Query{Key: hash.FlowKey{
				Src: addr(src), Dst: addr(dst),
				Tail: hash.Tail(sport, dport, eni, proto, flags|hash.KeyRouted),
			}}, nil)
			if d.Verdict != policy.Forward || d.Egress != egress {
				t.Fatalf("%s flow %d (reply %v): %v to ENI %d, reason %v", kind, i, reply, d.Verdict, d.Egress, d.Reason)
			}
			asked[d.SGIn] = true
			if last := setup.Rules.N - 1; setup.Rules.Last && (d.SGIn.Index() != last || d.SGOut.Index() != last) {
				t.Fatalf("%s: rules %d and %d matched, not the last", setup.Rules, d.SGOut.Index(), d.SGIn.Index())
			}
		}
	}
	if n := setup.Rules.N; n > 1 && !setup.Rules.Last && len(asked) < min(n, spec.Flows)/3 {
		t.Errorf("%s: only %d rules matched", setup.Rules, len(asked))
	}
}
