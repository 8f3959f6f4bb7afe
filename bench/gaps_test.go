package main

import (
	"testing"
	"time"

	"github.com/nitrod/nitrod/bench/report"
	"github.com/nitrod/nitrod/internal/dpdk"
)

// cLoop is a second of a C loop with 999,900 rounds of 10 ns, 90 gaps of 8 us
// and 10 of 100 us.
func cLoop() *dpdk.GapHist {
	var h dpdk.GapHist
	for _, g := range []struct {
		gap time.Duration
		n   int
	}{{10, 999_900}, {8 * time.Microsecond, 90}, {100 * time.Microsecond, 10}} {
		for range g.n {
			h.Record(g.gap)
		}
	}
	return &h
}

func TestGapsOfC(t *testing.T) {
	g := gapsOfC(cLoop())
	if g.Count != 1_000_000 || g.Max != 100_000 {
		t.Errorf("got %+v", g)
	}
	if g.P50 > 12 || g.P9999 > 9000 || g.P50 > g.P99 || g.P99 > g.P9999 {
		t.Errorf("percentiles %+v", g)
	}
}

// A loop of 500,000 rounds a second exceeds its p99.99 50 times a second. The
// C loop exceeds 8 us only 10 times a second and 10 ns 100 times, so 8 us
// (rounded up to its bucket) is what compares.
func TestCompare(t *testing.T) {
	g := measuredGaps{Gaps: report.Gaps{P9999: 18_000}, perSecond: 500_000}
	g.compare(cLoop(), time.Second)
	if g.CSameRate < 8000 || g.CSameRate > 9200 {
		t.Errorf("the C loop's gap is %d ns, want 8 us and at most a bucket more", g.CSameRate)
	}
	if want := 18_000 / float64(g.CSameRate); g.RatioC == nil || *g.RatioC != want {
		t.Errorf("ratio %v, want %v", g.RatioC, want)
	}

	// One that polls a thousand times less often exceeds it every twenty seconds.
	rare := measuredGaps{Gaps: report.Gaps{P9999: 18_000}, perSecond: 500}
	rare.compare(cLoop(), time.Second)
	if rare.CSameRate != 100_000 {
		t.Errorf("the C loop's gap is %d ns, want its largest", rare.CSameRate)
	}

	var empty measuredGaps
	empty.compare(&dpdk.GapHist{}, time.Second)
	if empty.RatioC != nil {
		t.Error("an empty histogram compares")
	}
}
