package control

import "github.com/nitrod/nitrod/pipeline"

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
	out.BWInExceeded = counts[pipeline.LimitInstanceIn].Exceeded()
	out.BWOutExceeded = counts[pipeline.LimitInstanceOut].Exceeded()
	out.PPSExceeded += counts[pipeline.LimitPackets].Exceeded()
}
