package dpdk

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestGapBuckets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ns := rapid.Uint64Range(0, math.MaxInt64).Draw(t, "ns")
		i := gapBucket(ns)
		if i < 0 || i >= gapBuckets {
			t.Fatalf("%d ns are in bucket %d of %d", ns, i, gapBuckets)
		}
		bound := uint64(GapBound(i))
		if ns > bound || i > 0 && ns <= uint64(GapBound(i-1)) {
			t.Fatalf("%d ns are in bucket %d, which ends at %d", ns, i, bound)
		}
		if bound-ns > ns/8 {
			t.Fatalf("%d ns have the bound %d, which is more than 12.5 %% off", ns, bound)
		}
	})
}

func TestGapQuantiles(t *testing.T) {
	var h GapHist
	if h.Quantile(0.5) != 0 || h.Count() != 0 {
		t.Error("an empty histogram is not empty")
	}
	for i := range 1000 {
		h.Record(time.Duration(i))
	}
	h.Record(-1)
	h.Record(time.Second)
	if h.Count() != 1002 || h.Max != time.Second || h.Quantile(1) != time.Second {
		t.Errorf("%d gaps, the longest %v, p100 %v", h.Count(), h.Max, h.Quantile(1))
	}
	if q := h.Quantile(0.5); q < 500 || q > 564 {
		t.Errorf("the median is %v, want 500ns and at most 12.5 %% more", q)
	}
}

func TestGapHistogramOfACLoop(t *testing.T) {
	needEAL(t)
	cpus := processCPUs(t)
	h, err := GapHistogram(cpus[len(cpus)-1], 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	var sum time.Duration
	for i, c := range h.Counts {
		sum += GapBound(i) * time.Duration(c)
	}
	// The gaps fill the whole time, whatever the machine did meanwhile; each
	// lost less than a ns in rounding.
	if h.Max == 0 || sum+time.Duration(h.Count()) < 19900*time.Microsecond {
		t.Errorf("%d gaps, the longest %v, %v in sum", h.Count(), h.Max, sum)
	}
	t.Logf("%d readings, p50 %v, p99.99 %v, longest %v", h.Count(), h.Quantile(0.5), h.Quantile(0.9999), h.Max)
	_, err = GapHistogram(1000, time.Millisecond)
	wantError(t, err, "CPU 1000")
}
