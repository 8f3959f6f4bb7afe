package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseFlags(t *testing.T) {
	o, err := parseFlags(nil)
	if err != nil {
		t.Fatal(err)
	}
	if o.rounds != 3 || o.duration != 3*time.Second || !o.gaps || !o.traffic || o.out != "bench/results/latest.json" || len(o.peers) != 3 {
		t.Errorf("defaults %+v", o)
	}
	if n := len(choose(allCases, o.cases)); n != len(allCases) {
		t.Errorf("the default runs %d of %d cases", n, len(allCases))
	}

	quick, err := parseFlags([]string{"-quick", "-rounds", "2"})
	if err != nil {
		t.Fatal(err)
	}
	if quick.rounds != 2 || quick.duration != time.Second || len(choose(allCases, quick.cases)) != 6 {
		t.Errorf("-quick -rounds 2: %+v with %d cases", quick, len(choose(allCases, quick.cases)))
	}
	only, err := parseFlags([]string{"-only-gaps"})
	if err != nil || only.traffic || !only.gaps {
		t.Errorf("-only-gaps: %+v, %v", only, err)
	}
	reload, err := parseFlags([]string{"-only-reload"})
	if err != nil || reload.traffic || reload.gaps || !reload.reload || only.reload || !o.reload {
		t.Errorf("-only-reload: %+v, %v", reload, err)
	}
	features, err := parseFlags([]string{"-only-features"})
	if err != nil || features.traffic || features.gaps || features.reload || !features.features || only.features || !o.features {
		t.Errorf("-only-features: %+v, %v", features, err)
	}
	idle, err := parseFlags([]string{"-only-idle"})
	if err != nil || idle.traffic || idle.gaps || idle.reload || idle.features || !idle.idle || features.idle || !o.idle {
		t.Errorf("-only-idle: %+v, %v", idle, err)
	}
	for _, bad := range []string{"-cases (", "-peers vpp", "-rounds 0", "-seconds 1ms", "what", "-nonsense"} {
		if _, err := parseFlags(strings.Fields(bad)); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

func TestChoose(t *testing.T) {
	got := choose(allCases, regexp.MustCompile("^tcp4/"))
	want := []benchCase{{kind: "tcp4", flows: 1000}, {kind: "tcp4", flows: 100_000}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(benchCase{})); diff != "" {
		t.Error(diff)
	}
}

func TestSplitCPUs(t *testing.T) {
	for _, tc := range []struct {
		allowed      []int
		want         int
		cpu, control int
		fails        bool
	}{
		{[]int{0, 1}, -1, 1, 0, false},
		{[]int{0, 1}, 0, 0, 1, false},
		{[]int{4, 6, 9}, -1, 9, 4, false},
		{[]int{4, 6, 9}, 4, 4, 6, false},
		{[]int{4, 6, 9}, 5, 0, 0, true},
		{[]int{0}, -1, 0, 0, true},
	} {
		cpu, control, err := splitCPUs(tc.allowed, tc.want)
		if cpu != tc.cpu || control != tc.control || (err != nil) != tc.fails {
			t.Errorf("splitCPUs(%v, %d) = %d, %d, %v", tc.allowed, tc.want, cpu, control, err)
		}
	}
}
