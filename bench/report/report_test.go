package report

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/bench/machine"
)

func ptr(v float64) *float64 { return &v }

func TestMedian(t *testing.T) {
	for _, tc := range []struct {
		in   []float64
		want float64
	}{
		{[]float64{5}, 5},
		{[]float64{9, 1}, 5},
		{[]float64{9, 1, 4}, 4},
		{[]float64{8, 2, 4, 100}, 6},
	} {
		before := append([]float64(nil), tc.in...)
		got, ok := Median(tc.in)
		if !ok || got != tc.want {
			t.Errorf("Median(%v) = %v, %v, want %v", before, got, ok, tc.want)
		}
		if !cmp.Equal(before, tc.in) {
			t.Errorf("Median changed %v into %v", before, tc.in)
		}
	}
	if _, ok := Median(nil); ok {
		t.Error("nothing has a median")
	}
}

// As many values lie at or below the median as at or above it.
func TestMedianHalves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SliceOfN(rapid.Float64Range(0, 100), 1, 20).Draw(t, "v")
		m, _ := Median(v)
		below, above := 0, 0
		for _, x := range v {
			if x <= m {
				below++
			}
			if x >= m {
				above++
			}
		}
		if 2*below < len(v) || 2*above < len(v) {
			t.Fatalf("%v is no median of %v", m, v)
		}
	})
}

func TestRatio(t *testing.T) {
	if r := Ratio(ptr(6), ptr(4)); r == nil || *r != 1.5 {
		t.Errorf("6 to 4 is %v", r)
	}
	for _, tc := range [][2]*float64{{nil, ptr(1)}, {ptr(1), nil}, {ptr(1), ptr(0)}, {nil, nil}} {
		if r := Ratio(tc[0], tc[1]); r != nil {
			t.Errorf("a missing figure gives %v", *r)
		}
	}
}

func TestFinish(t *testing.T) {
	better := []string{"ovs/default", "ovs/emc0"}
	c := Case{Samples: map[string][]float64{
		"nitrod": {20, 24, 22}, "floor": {60, 50, 64},
		"ovs/default": {4, 5, 6}, "ovs/emc0": {5.5, 9, 5.4}, "ovs/once": {6, 6, 7},
	}}
	c.Finish(better, "ovs/once", "ovs/first")
	if *c.Nitrod != 22 || *c.Floor != 60 || *c.OVSCommitOnce != 6 {
		t.Errorf("medians %v %v %v", *c.Nitrod, *c.Floor, *c.OVSCommitOnce)
	}
	if *c.OVS != 5.5 || c.OVSConfig != "ovs/emc0" {
		t.Errorf("the better configuration is %s with %v", c.OVSConfig, *c.OVS)
	}
	if *c.RatioOVS != 4 || math.Abs(*c.RatioFloor-22.0/60) > 1e-12 {
		t.Errorf("ratios %v %v", *c.RatioFloor, *c.RatioOVS)
	}
	if len(c.Flags) != 1 || !strings.Contains(c.Flags[0], "0.78 of its best") {
		t.Errorf("flags %q", c.Flags)
	}

	missing := Case{Samples: map[string][]float64{"nitrod": {3}, "floor": {10, 9.5}}}
	missing.Finish(better, "ovs/once", "ovs/first")
	if missing.OVS != nil || missing.RatioOVS != nil || missing.OVSConfig != "" || missing.OVSCommitOnce != nil {
		t.Errorf("a peer without samples has figures: %+v", missing)
	}
	if *missing.RatioFloor != 3/9.75 || len(missing.Flags) != 0 {
		t.Errorf("%+v", missing)
	}
}

func TestFlagOnce(t *testing.T) {
	var c Case
	c.Flag("a")
	c.Flag("b")
	c.Flag("a")
	if !cmp.Equal(c.Flags, []string{"a", "b"}) {
		t.Errorf("flags %q", c.Flags)
	}
}

func TestSameRate(t *testing.T) {
	// 500,000 rounds a second exceed their p99.99 50 times a second; 50 in 50
	// million is one in a million.
	if q := SameRate(0.9999, 5e5, 5e7); math.Abs(q-0.999999) > 1e-12 {
		t.Errorf("q = %v", q)
	}
	if q := SameRate(0.9999, 1000, 1000); math.Abs(q-0.9999) > 1e-12 {
		t.Errorf("equal loops compare at %v", q)
	}
	if q := SameRate(0.5, 1000, 1); q != 0 {
		t.Errorf("a loop that cannot exceed so often gives %v", q)
	}
}

func TestMergeGaps(t *testing.T) {
	got := MergeGaps([]Gaps{
		{Loop: "x", P50: 1, P99: 10, P9999: 300, Max: 900, Count: 5, CSameRate: 100, RatioC: ptr(3)},
		{Loop: "x", P50: 3, P99: 30, P9999: 100, Max: 9000, Count: 6, CSameRate: 80, RatioC: ptr(1.25)},
		{Loop: "x", P50: 2, P99: 20, P9999: 200, Max: 90, Count: 7, CSameRate: 90, RatioC: ptr(2)},
	})
	want := Gaps{Loop: "x", P50: 2, P99: 20, P9999: 200, Max: 9000, Count: 18, CSameRate: 90, RatioC: ptr(200.0 / 90)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if c := MergeGaps([]Gaps{{Loop: "C loop", P9999: 10}}); c.RatioC != nil {
		t.Error("the C loop is compared with itself")
	}
}

func sample() *Report {
	r := &Report{
		Machine: machine.Facts{CPU: "Some CPU", CPUs: 2, Kernel: "6.1", DPDK: "22.11.3", OVS: "3.1.0", Go: "go1.26", Date: "2026-01-02T03:04:05Z", Commit: "abc"},
		Rounds:  3, Seconds: 3,
		Cases: []Case{
			{Case: "udp4", Flows: 1000, Samples: map[string][]float64{"nitrod": {22.5}, "floor": {60}, "ovs/default": {4.5}}},
			{Case: "udp4", Flows: 1000000, Samples: map[string][]float64{"nitrod": {9}}, Missing: map[string]string{"ovs_ct": "too many", "floor": "absent"}, Flags: []string{"nitrod dropped 3 of 9 packets"}},
			{Case: "udp4", Flows: 1000, Rules: 50, Samples: map[string][]float64{"nitrod": {22}}},
			{Case: "new4", Rules: 1000, RuleLast: true, Samples: map[string][]float64{"nitrod": {2}, "ovs/default": {0.5}, "ovs/first": {0.75}}, Flags: []string{"a flag"}},
		},
		Gaps: []Gaps{{Loop: "C loop", P50: 20, P99: 30, P9999: 40, Max: 9000}, {Loop: "nitrod", P50: 1500, P99: 2000, P9999: 9000, Max: 31000, CSameRate: 8000, RatioC: ptr(1.125)}},
	}
	r.Reload = &Reload{
		ENIs: 1000, Rules: 50000, Flows: 10000, First: 0.06, Compile: 0.02, CompileMax: 0.025, Swap: 0.004, SwapMax: 0.005, CapacityMpps: 9.5,
		Runs: []ReloadRun{{Load: 0.5, Reloads: 7, Packets: 1000000, Mpps: 4.75, Missed: 1, Excused: 2, Dropped: 3, Stalls: 5, StallNS: 9, Waiting: 400, WorstGapNS: 300000}},
	}
	for i := range r.Cases {
		r.Cases[i].Finish([]string{"ovs/default"}, "ovs/once", "ovs/first")
	}
	r.Cases[3].Note("nitrod", 500, 1000)
	r.Cases[3].Note("ovs_ct", 300, 0)
	r.Cases[3].Note("floor", 0, 0)
	return r
}

func TestTable(t *testing.T) {
	var b strings.Builder
	if err := sample().WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	want := `Some CPU, 2 CPUs, kernel 6.1, DPDK 22.11.3, OVS 3.1.0, go1.26
commit abc, 2026-01-02T03:04:05Z, one polling core, 3 rounds of 3s, medians in Mpps

  case    flows  nitrod  floor  OVS ct  OVS once  of floor  x OVS ct
  udp4     1000   22.50  60.00    4.50         -      0.38      5.00
  udp4  1000000    9.00      -       -         -         -         -

established flows by the number of rules in each half
  case  flows  rules  nitrod
  udp4   1000     50   22.00

new connections, million a second, by the number of rules in each half
  case                   rules  nitrod  floor  OVS ct  OVS rules first  x OVS ct  nitrod's table in use
  new4  1000, the last matches    2.00      -    0.50             0.75      4.00                   0.50
udp4 1000000: no floor: absent
udp4 1000000: no ovs_ct: too many
udp4 1000000: nitrod dropped 3 of 9 packets
new4 (rules: 1000, the last matches): a flag

gaps between polls, on the same core
    loop    p50   p99  p99.99   max  C loop as often  ratio
  C loop   20ns  30ns    40ns   9µs                -      -
  nitrod  1.5µs   2µs     9µs  31µs              8µs   1.12

reload of 1000 ENIs with 50000 rules: compiled from nothing in 60.0 ms, after a change in 20.0 ms (at most 25.0 ms),
put in force in 4.0 ms (at most 5.0 ms); 10000 flows, 9.50 Mpps at most
  load  reloads  packets  Mpps  dropped  missed  excused  stalls  most waiting  worst gap
  50 %        7  1000000  4.75        3       1        2       5           400      300µs
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

// The file's names are read by others; a figure that is missing is null, not 0.
func TestWriteFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "results", "latest.json")
	if err := sample().WriteFile(name); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Machine map[string]any
		Cases   []map[string]any
		Gaps    []map[string]any
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"case", "flows", "nitrod_mpps", "floor_mpps", "ovs_ct_mpps", "ratio_floor", "ratio_ovs_ct"} {
		for i, c := range got.Cases {
			if _, ok := c[key]; !ok {
				t.Errorf("case %d has no %s", i, key)
			}
		}
	}
	if c := got.Cases[3]; c["rules"] != 1000.0 || c["rule_last"] != true || c["nitrod_fill"] != 0.5 || c["ovs_ct_rules_first_mpps"] != 0.75 ||
		!cmp.Equal(c["connections"], map[string]any{"nitrod": 500.0, "ovs_ct": 300.0}) {
		t.Errorf("new connections %v", c)
	}
	if got.Cases[0]["ratio_ovs_ct"] != 5.0 || got.Cases[1]["ovs_ct_mpps"] != nil {
		t.Errorf("cases %v", got.Cases)
	}
	for _, key := range []string{"cpu", "kernel", "dpdk", "ovs", "go", "date", "commit"} {
		if v, _ := got.Machine[key].(string); v == "" {
			t.Errorf("machine has no %s", key)
		}
	}
	for _, key := range []string{"loop", "p50_ns", "p99_ns", "p9999_ns", "max_ns"} {
		if _, ok := got.Gaps[0][key]; !ok {
			t.Errorf("gaps have no %s", key)
		}
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(name), "*.new")); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
