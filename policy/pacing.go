package policy

import "time"

// Pacing says how each of an ENI's receive queues spaces out what it gives to the
// guest (docs/semantics.md S6.5). The zero value spaces out nothing. It decides no
// flow, and raises no generation.
type Pacing struct {
	Rate        uint64        // bits a second of a queue; 0 is no limit
	FlowRate    uint64        // bits a second of each flow; 0 is no limit
	Packets     int           // of a queue that may wait
	FlowPackets int           // of a flow that may wait
	Delay       time.Duration // for how long a packet may wait
}

// Paces reports whether anything is spaced out.
func (p *Pacing) Paces() bool { return p.Rate != 0 || p.FlowRate != 0 }

// Burst returns how many bytes may leave at once at one of the rates, for who may
// see frames of a length: what comes in 100 us, and at least two frames.
func (p *Pacing) Burst(rate uint64, frame int) uint64 {
	return max(rate/8/defaultBurstsSecond, 2*uint64(frame))
}

// Bounds of Pacing; ours (S6.5).
const (
	MinPacedPackets, MaxPacedPackets = 64, 1 << 20
	MinPaceDelay, MaxPaceDelay       = time.Millisecond, time.Second
)

// pacing checks how an ENI's queues space packets out.
func (c *checker) pacing(e *ENI, owner string) {
	p := &e.Pacing
	if !p.Paces() {
		return
	}
	rate := func(what string, rate uint64) {
		if rate != 0 && (rate < MinBandwidth || rate > MaxBandwidth) {
			c.errorf(e.Pos, "%s: the pace of %s is %d bits a second; it must be 0 for none, or from %d to %d", owner, what, rate, MinBandwidth, MaxBandwidth)
		}
	}
	rate("a queue", p.Rate)
	rate("a flow", p.FlowRate)
	switch {
	case p.Rate != 0 && p.FlowRate > p.Rate:
		c.errorf(e.Pos, "%s: the pace of a flow, %d bits a second, is above that of a queue, %d", owner, p.FlowRate, p.Rate)
	case p.Packets < MinPacedPackets || p.Packets > MaxPacedPackets:
		c.errorf(e.Pos, "%s: %d packets of a queue may wait for their pace; it must be from %d to %d", owner, p.Packets, MinPacedPackets, MaxPacedPackets)
	case p.FlowPackets < 1 || p.FlowPackets > p.Packets:
		c.errorf(e.Pos, "%s: %d packets of a flow may wait for their pace; it must be from 1 to the %d of a queue", owner, p.FlowPackets, p.Packets)
	case p.Delay < MinPaceDelay || p.Delay > MaxPaceDelay:
		c.errorf(e.Pos, "%s: packets may wait for their pace for %v; it must be from %v to %v", owner, p.Delay, MinPaceDelay, MaxPaceDelay)
	}
}
