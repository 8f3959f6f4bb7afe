package wiring

import (
	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/pipeline"
	"github.com/nitrod/nitrod/policy"
)

// receiveOf returns how the ENIs of a configuration choose receive queues. ENIs
// that give no key share one.
func receiveOf(o *policy.Objects) pipeline.Receive {
	r := pipeline.Receive{RSS: map[string]pipeline.RSS{}, Steering: map[string]int{}}
	drawn := hash.RandomKey()
	for i := range o.ENIs {
		e := &o.ENIs[i]
		if e.RSS == nil {
			continue
		}
		own := pipeline.RSS{CRC32: e.RSS.CRC32, Key: drawn, Mode: e.RSS.Mode}
		if e.RSS.Keyed {
			own.Key = e.RSS.Key
		}
		// The file's reader has made the table.
		table, _ := hash.NewIndirectionTable(len(e.RSS.Entries), e.Queues)
		own.Table, _ = table.WithEntries(e.RSS.Entries)
		r.RSS[e.ID] = own
	}
	for i := range o.Instances {
		in := &o.Instances[i]
		if in.VCPUs != 0 {
			r.Steering[in.ID] = in.VCPUs
		}
		for j := range in.Steering {
			r.Rules = append(r.Rules, pipeline.Steer{ENI: in.Steering[j].ENI, Rule: in.Steering[j].Rule})
		}
	}
	return r
}
