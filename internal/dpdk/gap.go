package dpdk

/*
#include "nd.h"
*/
import "C"

import (
	"fmt"
	"math/bits"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const (
	gapSubBits = C.ND_GAP_SUB_BITS
	gapBuckets = C.ND_GAP_BUCKETS
)

// GapHist is a histogram of gaps in ns, in buckets of logarithmic width: eight
// per power of two, so that a bound is within 12.5 % of the gap. The zero value
// is empty.
//
// Thread-safety: none; it belongs to who records.
type GapHist struct {
	Counts [gapBuckets]uint64
	Max    time.Duration
}

// Record adds one gap; a negative one counts as zero.
func (h *GapHist) Record(gap time.Duration) {
	gap = max(gap, 0)
	h.Counts[gapBucket(uint64(gap))]++
	h.Max = max(h.Max, gap)
}

// Count returns how many gaps were recorded.
func (h *GapHist) Count() uint64 {
	var n uint64
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// Quantile returns the upper bound of the bucket below which the share q of
// the gaps lies (0.9999 for p99.99), and never more than Max.
func (h *GapHist) Quantile(q float64) time.Duration {
	total := h.Count()
	var seen uint64
	for i, c := range h.Counts {
		seen += c
		if seen != 0 && float64(seen) >= q*float64(total) {
			return min(GapBound(i), h.Max)
		}
	}
	return h.Max
}

// GapBound returns the largest gap that bucket i holds.
func GapBound(i int) time.Duration {
	if i < 1<<gapSubBits {
		return time.Duration(i)
	}
	octave := uint(i>>gapSubBits) - 1
	base := uint64(1<<gapSubBits | i&(1<<gapSubBits-1))
	// The last buckets lie beyond what a Duration holds.
	return time.Duration(min((base+1)<<octave-1, 1<<63-1))
}

func gapBucket(ns uint64) int {
	if ns < 1<<gapSubBits {
		return int(ns)
	}
	octave := bits.Len64(ns) - 1 - gapSubBits
	return (octave+1)<<gapSubBits + int(ns>>octave)&(1<<gapSubBits-1)
}

// GapHistogram runs a loop in C on the given CPU for d that does nothing but
// read the clock, and returns the gaps between two readings. It is what a
// perfect poller would see on that machine: the measure for nitrod's own.
func GapHistogram(cpu int, d time.Duration) (*GapHist, error) {
	type result struct {
		hist *GapHist
		err  error
	}
	if !isUp() {
		return nil, ErrNotInitialised
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // for good: the pinned thread dies with the goroutine
		set := cpuSet([]int{cpu})
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			done <- result{err: fmt.Errorf("dpdk: gap histogram on CPU %d: %w", cpu, err)}
			return
		}
		h := new(GapHist)
		var maxNS C.uint64_t
		C.nd_gap_histogram(C.uint64_t(max(d, 0)), (*C.uint64_t)(&h.Counts[0]), &maxNS)
		h.Max = time.Duration(maxNS)
		done <- result{hist: h}
	}()
	r := <-done
	return r.hist, r.err
}
