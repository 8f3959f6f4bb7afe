package report

import "slices"

// Gaps is one distribution of the time between two polls, in nanoseconds.
type Gaps struct {
	Loop  string `json:"loop"` // what was polling
	P50   uint64 `json:"p50_ns"`
	P99   uint64 `json:"p99_ns"`
	P9999 uint64 `json:"p9999_ns"`
	Max   uint64 `json:"max_ns"`
	Count uint64 `json:"count"`
	// CSameRate is the gap that the C loop exceeds as many times a second as
	// this loop exceeds its P9999, and RatioC is P9999 to it. Both are absent
	// for the C loop itself.
	CSameRate uint64   `json:"c_same_rate_ns,omitempty"`
	RatioC    *float64 `json:"ratio_c,omitempty"`
}

// SameRate returns the quantile that a loop of perSecond rounds exceeds as
// many times a second as a loop of ownPerSecond rounds exceeds its quantile q.
func SameRate(q, ownPerSecond, perSecond float64) float64 {
	return max(0, 1-(1-q)*ownPerSecond/perSecond)
}

// MergeGaps returns the figures of several rounds of one loop: medians, for
// the maximum the largest, for the count the sum. There must be a round.
func MergeGaps(rounds []Gaps) Gaps {
	median := func(field func(Gaps) uint64) uint64 {
		v := make([]float64, len(rounds))
		for i, g := range rounds {
			v[i] = float64(field(g))
		}
		m, _ := Median(v)
		return uint64(m)
	}
	merged := Gaps{
		Loop:      rounds[0].Loop,
		P50:       median(func(g Gaps) uint64 { return g.P50 }),
		P99:       median(func(g Gaps) uint64 { return g.P99 }),
		P9999:     median(func(g Gaps) uint64 { return g.P9999 }),
		CSameRate: median(func(g Gaps) uint64 { return g.CSameRate }),
	}
	for _, g := range rounds {
		merged.Max = max(merged.Max, g.Max)
		merged.Count += g.Count
	}
	if slices.ContainsFunc(rounds, func(g Gaps) bool { return g.RatioC != nil }) {
		own, c := float64(merged.P9999), float64(merged.CSameRate)
		merged.RatioC = Ratio(&own, &c)
	}
	return merged
}
