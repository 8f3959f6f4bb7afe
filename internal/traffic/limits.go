package traffic

import (
	"cmp"
	"slices"
)

// Use is how much of a limit an ENI uses.
type Use struct {
	Name     string  `json:"name"` // of the limit
	Unit     string  `json:"unit"` // of what is used: "/s" for packets, "bit/s", or "" for a number of things
	Used     float64 `json:"used"`
	Limit    float64 `json:"limit"`
	Share    float64 `json:"share"`               // Used by Limit: 0.5 says that twice the traffic of the same mix would hit it
	Exceeded float64 `json:"exceeded_per_second"` // packets that were beyond it

	// FullIn is when a limit of a number of things would be reached if it went on to
	// fill as it did, in seconds. Absent where it does not fill.
	FullIn *float64 `json:"full_in_seconds,omitempty"`
}

// usesOf lists the limits of an ENI, the one that it will hit first at the front:
// those that were exceeded, then by share. If all traffic of an ENI grows alike, and
// with it the connections that it holds, the one with the largest share is hit
// first.
func usesOf(id string, before, after *Sample, elapsed float64, flows []Flow) []Use {
	was, is := before.ENIs[id], after.ENIs[id]
	uses := []Use{}
	uses = addBandwidths(uses, id, before, after, elapsed)
	if is.ConntrackAvailable != nil {
		uses = append(uses, conntrackUse(&was, &is, before, after, elapsed))
	}
	if is.FragmentRate != 0 {
		uses = append(uses, Use{
			Name: "fragments", Unit: "/s", Used: rate(was.Fragments, is.Fragments, elapsed), Limit: float64(is.FragmentRate),
			Exceeded: rate(was.FragmentsExceeded, is.FragmentsExceeded, elapsed),
		})
	}
	if is.LinkLocalRate != 0 {
		uses = append(uses, Use{
			Name: "linklocal_allowance", Unit: "/s", Used: rate(was.LinkLocal, is.LinkLocal, elapsed), Limit: float64(is.LinkLocalRate),
			Exceeded: rate(was.LinkLocalExceeded, is.LinkLocalExceeded, elapsed),
		})
	}
	if f := largestOf(id, flows); f != nil {
		uses = append(uses, Use{Name: "single_flow", Unit: "bit/s", Used: f.Bits, Limit: f.LimitBits, Exceeded: exceeded(&was, &is, elapsed, "flow")})
	}
	if is.RingDepth != 0 {
		uses = append(uses, Use{
			Name: "rx_ring", Used: float64(is.RingWaiting), Limit: float64(is.RingDepth),
			Exceeded: rate(was.RingOverruns, is.RingOverruns, elapsed),
		})
	}
	for i := range uses {
		if u := &uses[i]; u.Limit > 0 {
			u.Share = u.Used / u.Limit
		} else {
			u.Share = 1 // nothing more may come
		}
	}
	slices.SortStableFunc(uses, func(a, b Use) int {
		exceeds := func(u Use) int { return cmp.Compare(u.Exceeded, 0) }
		return cmp.Or(cmp.Compare(exceeds(b), exceeds(a)), cmp.Compare(b.Share, a.Share))
	})
	return uses
}

// addBandwidths adds the limits of the ENI's own traffic and of all that its instance
// has.
func addBandwidths(uses []Use, id string, before, after *Sample, elapsed float64) []Use {
	was, is := before.ENIs[id], after.ENIs[id]
	own, all := ratesOf(&was, &is, elapsed), Rates{}
	for other, e := range after.ENIs {
		if e.Instance == is.Instance {
			had := before.ENIs[other]
			r := ratesOf(&had, &e, elapsed)
			all.add(&r)
		}
	}
	i := after.Instances[is.Instance]
	for _, u := range []Use{
		{Name: "bw_in_allowance", Unit: "bit/s", Used: all.RxBits, Limit: float64(i.In.Bits)},
		{Name: "bw_in_baseline", Unit: "bit/s", Used: all.RxBits, Limit: float64(i.In.below())},
		{Name: "bw_out_allowance", Unit: "bit/s", Used: all.TxBits, Limit: float64(i.Out.Bits)},
		{Name: "bw_out_baseline", Unit: "bit/s", Used: all.TxBits, Limit: float64(i.Out.below())},
		{Name: "pps_allowance", Unit: "/s", Used: all.RxPackets + all.TxPackets, Limit: float64(i.Packets)},
		{Name: "eni_in", Unit: "bit/s", Used: own.RxBits, Limit: float64(is.InBits)},
		{Name: "eni_out", Unit: "bit/s", Used: own.TxBits, Limit: float64(is.OutBits)},
	} {
		if u.Limit != 0 {
			u.Exceeded = exceeded(&was, &is, elapsed, countedAs[u.Name]...)
			uses = append(uses, u)
		}
	}
	return uses
}

// countedAs says by which counters of nitrod stats packets beyond a limit count. Those
// that find no credits count for the allowance.
var countedAs = map[string][]string{
	"bw_in_allowance": {"instance_in"}, "bw_out_allowance": {"instance_out"}, "pps_allowance": {"instance_packets"},
	"eni_in": {"eni_in", "queue"}, "eni_out": {"eni_out"},
}

// exceeded returns how many packets a second were beyond limits.
func exceeded(was, is *ENICounters, elapsed float64, limits ...string) (sum float64) {
	for _, l := range limits {
		sum += rate(was.LimitsExceeded[l], is.LimitsExceeded[l], elapsed)
	}
	return sum
}

// below returns the baseline where it is less than what bursts may have, else 0.
func (b Bandwidth) below() uint64 {
	if b.Baseline < b.Bits {
		return b.Baseline
	}
	return 0
}

// conntrackUse is that of the tracked connections of an ENI's instance: of those
// that there are and those that the ENI may still begin.
func conntrackUse(was, is *ENICounters, before, after *Sample, elapsed float64) Use {
	used := float64(after.Instances[is.Instance].Tracked)
	u := Use{
		Name: "conntrack_allowance", Used: used, Limit: used + float64(*is.ConntrackAvailable),
		Exceeded: rate(was.ConntrackExceeded, is.ConntrackExceeded, elapsed),
	}
	if growth := (used - float64(before.Instances[is.Instance].Tracked)) / elapsed; growth > 0 {
		left := float64(*is.ConntrackAvailable) / growth
		u.FullIn = &left
	}
	return u
}

// largestOf returns the flow, of those sorted by size, to which the limit of a
// single flow is nearest among those that an ENI sends.
func largestOf(id string, flows []Flow) *Flow {
	var largest *Flow
	for i := range flows {
		f := &flows[i]
		if f.ENI != id || f.Dropped || f.LimitBits == 0 {
			continue
		}
		if largest == nil || f.Bits/f.LimitBits > largest.Bits/largest.LimitBits {
			largest = f
		}
	}
	return largest
}
