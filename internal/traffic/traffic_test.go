package traffic

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func between(t rapid.TB, before, after *Sample) *Profile {
	t.Helper()
	p, err := Between(before, after, DefaultOptions)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestSums wants an instance's rates to be those of its ENIs, and every rate to be
// the counter's rise over the time.
func TestSums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.Uint64Range(0, 1<<40)
		seconds := rapid.IntRange(1, 100).Draw(t, "seconds")
		before := &Sample{TimeNS: 5, ENIs: map[string]ENICounters{}}
		after := &Sample{TimeNS: 5 + int64(seconds)*1e9, ENIs: map[string]ENICounters{}, Instances: map[string]InstanceCounters{"i": {Tracked: 7}}}
		total := uint64(0)
		for _, id := range rapid.SliceOfNDistinct(rapid.StringMatching("[a-z]{3}"), 1, 5, rapid.ID).Draw(t, "enis") {
			was, rise := count.Draw(t, "was"), count.Draw(t, "rise")
			before.ENIs[id] = ENICounters{Instance: "i", RxPackets: was, RxBytes: was, Opened: was}
			after.ENIs[id] = ENICounters{Instance: "i", RxPackets: was + rise, RxBytes: was + rise, Opened: was + rise}
			total += rise
		}
		p := between(t, before, after)
		want := float64(total) / float64(seconds)
		near := func(got, want float64) bool { return math.Abs(got-want) <= 1e-9*want }
		if len(p.Instances) != 1 || p.Instances[0].Tracked != 7 || !near(p.Instances[0].RxPackets, want) || !near(p.Instances[0].RxBits, 8*want) || !near(p.Instances[0].Opened, want) {
			t.Fatalf("instances are %+v, want %v a second", p.Instances, want)
		}
		if !slices.IsSortedFunc(p.ENIs, func(a, b ENI) int { return strings.Compare(a.ID, b.ID) }) || len(p.ENIs) != len(after.ENIs) {
			t.Fatalf("ENIs are %+v", p.ENIs)
		}
	})
}

// TestNewENI wants an ENI that was not there before, or whose counters began anew, to
// have no rate below zero.
func TestNewENI(t *testing.T) {
	p := between(t, &Sample{ENIs: map[string]ENICounters{"a": {TxPackets: 1000}}},
		&Sample{TimeNS: 1e9, ENIs: map[string]ENICounters{"a": {TxPackets: 10}, "b": {TxPackets: 20}}})
	if p.ENIs[0].TxPackets != 10 || p.ENIs[1].TxPackets != 20 || len(p.Instances) != 0 {
		t.Errorf("%+v", p)
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		flows             []uint64
		entropy, evenness float64
	}{
		{[]uint64{5}, 0, 1},
		{[]uint64{0, 0}, 0, 1},
		{[]uint64{8, 0}, 0, 0},
		{[]uint64{8, 8}, 1, 1},
		{[]uint64{3, 3, 3, 3}, 2, 1},
		{[]uint64{6, 6, 0, 0}, 1, 0.5},
		{[]uint64{4, 2, 1, 1}, 1.75, 0.875},
	} {
		s := spreadOf(c.flows)
		if math.Abs(s.Entropy-c.entropy) > 1e-9 || math.Abs(s.Evenness-c.evenness) > 1e-9 {
			t.Errorf("%v has entropy %v and evenness %v, want %v and %v", c.flows, s.Entropy, s.Evenness, c.entropy, c.evenness)
		}
	}
	if spreadOf(nil) != nil {
		t.Error("there is a spread where none was asked for")
	}
}

// TestFirstLimit orders limits: what is exceeded comes first, then the fullest.
func TestFirstLimit(t *testing.T) {
	left := func(n int64) *int64 { return &n }
	flow := func(bits float64) []Flow { return []Flow{{ENI: "e", Bits: bits, LimitBits: 5e9}} }
	for _, c := range []struct {
		name     string
		was, is  ENICounters
		tracked  [2]int64
		flows    []Flow
		want     []string
		share    float64
		exceeded float64
		fullIn   float64 // 0: it does not fill
	}{
		{name: "none"},
		{name: "the fullest", is: ENICounters{LinkLocal: 512, LinkLocalRate: 1024, Fragments: 100, FragmentRate: 1024},
			want: []string{"linklocal_allowance", "fragments"}, share: 0.5},
		{name: "what is exceeded, though another is fuller", is: ENICounters{LinkLocal: 1024, LinkLocalRate: 1024, Fragments: 512, FragmentRate: 1024, FragmentsExceeded: 3},
			want: []string{"fragments", "linklocal_allowance"}, share: 0.5, exceeded: 3},
		{name: "a flow", is: ENICounters{LinkLocal: 512, LinkLocalRate: 1024}, flows: flow(4e9), want: []string{"single_flow", "linklocal_allowance"}, share: 0.8},
		{name: "connections that fill", is: ENICounters{ConntrackAvailable: left(100)}, tracked: [2]int64{50, 100}, want: []string{"conntrack_allowance"}, share: 0.5, fullIn: 2},
		{name: "connections that get fewer", is: ENICounters{ConntrackAvailable: left(100)}, tracked: [2]int64{150, 100}, want: []string{"conntrack_allowance"}, share: 0.5},
		{name: "a bandwidth whose packets wait", was: ENICounters{LimitsExceeded: map[string]uint64{"queue": 7}},
			is:   ENICounters{InBits: 1000, RxBytes: 25, LinkLocal: 512, LinkLocalRate: 1024, LimitsExceeded: map[string]uint64{"eni_in": 2, "queue": 8, "instance_out": 9}},
			want: []string{"eni_in", "linklocal_allowance"}, share: 0.2, exceeded: 3},
		{name: "a flow that is held back", is: ENICounters{LimitsExceeded: map[string]uint64{"flow": 4}}, flows: flow(4e9), want: []string{"single_flow"}, share: 0.8, exceeded: 4},
		{name: "a ring that was full", is: ENICounters{RingWaiting: 256, RingDepth: 1024, RingOverruns: 5, LinkLocal: 512, LinkLocalRate: 1024},
			want: []string{"rx_ring", "linklocal_allowance"}, share: 0.25, exceeded: 5},
		{name: "an allowance used up by others", is: ENICounters{ConntrackAvailable: left(0)}, want: []string{"conntrack_allowance"}, share: 1},
	} {
		c.was.Instance, c.is.Instance = "i", "i"
		before := &Sample{ENIs: map[string]ENICounters{"e": c.was}, Instances: map[string]InstanceCounters{"i": {Tracked: c.tracked[0]}}}
		after := &Sample{TimeNS: 1e9, ENIs: map[string]ENICounters{"e": c.is}, Instances: map[string]InstanceCounters{"i": {Tracked: c.tracked[1]}}, Flows: c.flows}
		limits := between(t, before, after).ENIs[0].Limits
		var names []string
		for _, u := range limits {
			names = append(names, u.Name)
		}
		if !slices.Equal(names, c.want) {
			t.Errorf("%s: the limits are %v, want %v", c.name, names, c.want)
			continue
		}
		if len(limits) == 0 {
			continue
		}
		fullIn := 0.0
		if f := limits[0].FullIn; f != nil {
			fullIn = *f
		}
		if got, want := [3]float64{limits[0].Share, limits[0].Exceeded, fullIn}, [3]float64{c.share, c.exceeded, c.fullIn}; got != want {
			t.Errorf("%s: share, excess and time are %v, want %v", c.name, got, want)
		}
	}
}

// TestBandwidths has two ENIs of one instance: what they share is used by both, what
// is an ENI's own by it alone. Where there are credits the baseline is a limit too.
func TestBandwidths(t *testing.T) {
	before := &Sample{ENIs: map[string]ENICounters{"a": {Instance: "i"}, "b": {Instance: "i"}, "c": {Instance: "j"}}}
	after := &Sample{
		TimeNS: 1e9,
		ENIs: map[string]ENICounters{
			"a": {Instance: "i", RxBytes: 100, RxPackets: 3, TxBytes: 50, TxPackets: 1, InBits: 1000},
			"b": {Instance: "i", RxBytes: 25, RxPackets: 4, OutBits: 100},
			"c": {Instance: "j", RxBytes: 9999, RxPackets: 9999},
		},
		Instances: map[string]InstanceCounters{"i": {In: Bandwidth{2000, 800}, Out: Bandwidth{4000, 4000}, Packets: 10}, "j": {}},
	}
	p := between(t, before, after)
	for i, want := range [][]Use{
		{
			{Name: "bw_in_baseline", Unit: "bit/s", Used: 1000, Limit: 800, Share: 1.25},
			{Name: "pps_allowance", Unit: "/s", Used: 8, Limit: 10, Share: 0.8},
			{Name: "eni_in", Unit: "bit/s", Used: 800, Limit: 1000, Share: 0.8},
			{Name: "bw_in_allowance", Unit: "bit/s", Used: 1000, Limit: 2000, Share: 0.5},
			{Name: "bw_out_allowance", Unit: "bit/s", Used: 400, Limit: 4000, Share: 0.1},
		},
		{
			{Name: "bw_in_baseline", Unit: "bit/s", Used: 1000, Limit: 800, Share: 1.25},
			{Name: "pps_allowance", Unit: "/s", Used: 8, Limit: 10, Share: 0.8},
			{Name: "bw_in_allowance", Unit: "bit/s", Used: 1000, Limit: 2000, Share: 0.5},
			{Name: "bw_out_allowance", Unit: "bit/s", Used: 400, Limit: 4000, Share: 0.1},
			{Name: "eni_out", Unit: "bit/s", Used: 0, Limit: 100, Share: 0},
		},
		{},
	} {
		if diff := cmp.Diff(want, p.ENIs[i].Limits); diff != "" {
			t.Errorf("limits of %s (-want +got):\n%s", p.ENIs[i].ID, diff)
		}
	}
}

// TestWhales wants each kind of flow named, when it is large enough and not before.
func TestWhales(t *testing.T) {
	lcores := []Lcore{{Busy: 0.5}, {Busy: 1}}
	for _, c := range []struct {
		kind, remedy string
		flow         Flow
	}{
		{"GRE tunnel", "VXLAN (4789)", Flow{Number: 47}},
		{"IPsec ESP tunnel", "VXLAN (4789)", Flow{Number: 50}},
		{"IPsec AH tunnel", "VXLAN (4789)", Flow{Number: 51}},
		{"IP-in-IP tunnel", "VXLAN (4789)", Flow{Number: 4}},
		{"IPv6-in-IP tunnel", "VXLAN (4789)", Flow{Number: 41}},
		{"flow of protocol sctp", "VXLAN (4789)", Flow{Number: 132, Protocol: "sctp"}},
		{"GENEVE tunnel", "hash of the inner flow", Flow{Number: 17, SrcPort: 7, DstPort: 6081}},
		{"IPsec tunnel in UDP", "several tunnels", Flow{Number: 17, SrcPort: 4500, DstPort: 4500}},
		{"single connection", "several connections", Flow{Number: 17, SrcPort: 7, DstPort: 9}},
		{"single connection", "several connections", Flow{Number: 6, SrcPort: 7, DstPort: 6081}},
		{"refused flow", "ENI e", Flow{Number: 47, Dropped: true}},
	} {
		c.flow.ENI, c.flow.Egress, c.flow.Queue, c.flow.Lcore, c.flow.LimitBits = "e", "x", 3, 1, 5e9
		for _, size := range []struct {
			share, bits float64
			whale       bool
		}{
			{0.24, 2.4e9, false}, {0.25, 0, true}, {0, 2.5e9, !c.flow.Dropped}, {1, 5e9, true},
		} {
			c.flow.LcoreShare, c.flow.Bits = size.share, size.bits
			w, is := whaleOf(&c.flow, lcores, DefaultOptions)
			if is != size.whale {
				t.Errorf("%+v: is it a whale? %v, want %v", c.flow, is, size.whale)
			}
			if !is {
				continue
			}
			if w.Kind != c.kind || !strings.Contains(w.Remedy, c.remedy) || !strings.Contains(w.Why, "lcore 1") {
				t.Errorf("a whale of kind %q: %q, %q; want %q with %q", w.Kind, w.Why, w.Remedy, c.kind, c.remedy)
			}
			if w.OfLcore != size.share {
				t.Errorf("%q takes %v of its lcore, want %v", w.Kind, w.OfLcore, size.share)
			}
		}
		// On an lcore that is idle for half of the time the same share is half as much.
		c.flow.Lcore, c.flow.LcoreShare, c.flow.Bits = 0, 0.49, 0
		if w, is := whaleOf(&c.flow, lcores, DefaultOptions); is {
			t.Errorf("a whale that takes %v of its lcore", w.OfLcore)
		}
	}
}

// TestLargestFirst wants flows by bits, and those that are equal by packets.
func TestLargestFirst(t *testing.T) {
	flows := []Flow{{Src: "a", Bits: 1, Packets: 9}, {Src: "b", Bits: 2, Packets: 1}, {Src: "c", Bits: 2, Packets: 5}}
	p := between(t, &Sample{}, &Sample{TimeNS: 1, Flows: flows})
	var order []string
	for _, f := range p.Flows {
		order = append(order, f.Src)
	}
	if diff := cmp.Diff([]string{"c", "b", "a"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}
