package control

import (
	"fmt"
	"time"

	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/pipeline"
	"github.com/nitrod/nitrod/policy"
)

// limited adds what limits have held back of an ENI's packets: each kind apart,
// and under ENA's names, where queued and dropped are one (docs/semantics.md S5.1).
func (out *ENI) limited(counts pipeline.ENILimitCounts) {
	for k, c := range counts {
		if c.Exceeded() == 0 {
			continue
		}
		if out.Limits == nil {
			out.Limits = map[string]LimitCounts{}
		}
		out.Limits[pipeline.LimitKind(k).String()] = LimitCounts{c.Queued, c.Dropped}
	}
	out.BWInExceeded = counts[pipeline.LimitInstanceIn].Exceeded() + counts[pipeline.LimitInternetIn].Exceeded()
	out.BWOutExceeded = counts[pipeline.LimitInstanceOut].Exceeded() + counts[pipeline.LimitInternetOut].Exceeded()
	out.PPSExceeded += counts[pipeline.LimitPackets].Exceeded()
}

// bucketsOf tells what the buckets say that speak for a packet.
func bucketsOf(snap *policy.Snapshot, x *pipeline.Explanation) []Limit {
	var out []Limit
	for i := range x.Limits {
		s := &x.Limits[i]
		eni := snap.ENI(s.ENI)
		l := Limit{Name: s.Reason.String(), Of: eni.ID, Left: int64(s.Left), Bites: s.Drops, WaitNS: int64(s.Wait)}
		if s.Kind >= pipeline.LimitInstanceOut {
			l.Of = eni.Instance
		}
		says := "lets the packet pass at once"
		switch {
		case s.Drops:
			says = "drops the packet, which would have to wait for too long"
		case s.Wait != 0:
			says = fmt.Sprintf("lets the packet wait for %v", s.Wait.Round(time.Microsecond))
		}
		unit, rate := "bytes", config.BitRate(s.Rate).String()
		if s.Kind == pipeline.LimitPackets {
			unit, rate = "packets", config.PacketRate(s.Rate).String()
		}
		if s.Credits {
			rate += " without credits"
			unit += " of credits"
		}
		l.Text = fmt.Sprintf("%s %s: %d of %d %s are left; it %s.", limitSubject(s.Kind, l.Of), rate, s.Left, s.Depth, unit, says)
		out = append(out, l)
	}
	return out
}

// limitSubject begins the sentence that tells a rate.
func limitSubject(k pipeline.LimitKind, of string) string {
	switch k {
	case pipeline.LimitFlow:
		return "A flow of ENI " + of + " may have"
	case pipeline.LimitENIOut:
		return "ENI " + of + " may send"
	case pipeline.LimitENIIn:
		return "ENI " + of + " may receive"
	case pipeline.LimitQueue:
		return "A receive queue of ENI " + of + " may have"
	case pipeline.LimitInstanceOut:
		return "Instance " + of + " may send"
	case pipeline.LimitInstanceIn:
		return "Instance " + of + " may receive"
	case pipeline.LimitInternetOut:
		return "Instance " + of + " may send to the internet"
	case pipeline.LimitInternetIn:
		return "Instance " + of + " may receive from the internet"
	}
	return "Instance " + of + " may send and receive"
}
