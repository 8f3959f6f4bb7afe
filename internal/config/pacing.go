package config

import "github.com/nitrod/nitrod/policy"

// pacing puts how an ENI's queues space packets out into policy's.
func (d *decoder) pacing(p *pacingDoc, to *policy.Pacing) {
	if p == nil {
		return
	}
	if !d.given(&p.FlowPackets) {
		p.FlowPackets = min(p.FlowPackets, p.Packets)
	}
	rate, flow := d.rate(&p.Rate, p.Pos), d.rate(&p.FlowRate, p.Pos)
	switch {
	case !rate || !flow:
		return
	case p.Rate == 0 && p.FlowRate == 0:
		d.fail(p, p.Pos, "pacing needs the key rate or flow_rate")
		return
	case p.Rate != 0 && p.FlowRate > p.Rate:
		d.fail(&p.FlowRate, p.Pos, "flow_rate must be at most rate, which is %v, not %v", p.Rate, p.FlowRate)
		return
	case p.FlowPackets > p.Packets && d.ok(&p.FlowPackets, &p.Packets):
		d.fail(&p.FlowPackets, p.Pos, "flow_packets must be at most packets, which is %d, not %d", p.Packets, p.FlowPackets)
		return
	}
	*to = policy.Pacing{Rate: uint64(p.Rate), FlowRate: uint64(p.FlowRate), Packets: p.Packets, FlowPackets: p.FlowPackets, Delay: p.Delay}
}
