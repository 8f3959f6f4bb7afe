package pacer

import (
	"sync/atomic"

	"github.com/nitrod/nitrod/internal/relaxed"
)

// Counts is what others may know of a Pacer. Counters are since it was made.
type Counts struct {
	Waiting   uint64 // packets that wait
	Flows     uint64 // that they belong to, or to which packets belonged that have just left
	HighWater uint64 // the most packets that ever waited
	Left      uint64 // packets that have left in their turn
	Delayed   uint64 // those of them that had to wait
	Delay     uint64 // ns that those have waited for, in all
	FlowFull  uint64 // packets refused since as many of their flow waited as may
	Full      uint64 // likewise of all
	Late      uint64 // packets that had waited for too long
}

// Dropped returns how many packets did not get through.
func (c *Counts) Dropped() uint64 { return c.FlowFull + c.Full + c.Late }

// count counts a packet that leaves at now.
func (p *Pacer) count(x *packet, now int64) {
	p.counts.Left++
	if now > x.came {
		p.counts.Delayed++
		p.counts.Delay += uint64(now - x.came)
	}
}

// Publish makes the counts visible to Published.
func (p *Pacer) Publish() {
	p.counts.Waiting, p.counts.Flows = uint64(p.n), uint64(p.active)
	from, to := p.counts.words(), p.published.words()
	for i := range from {
		relaxed.Store64(to[i], *from[i])
	}
}

// Published returns the counts as the lcore published them last, each for itself.
func (p *Pacer) Published() (c Counts) {
	from, to := p.published.words(), c.words()
	for i := range from {
		*to[i] = atomic.LoadUint64(from[i])
	}
	return c
}

func (c *Counts) words() [9]*uint64 {
	return [...]*uint64{&c.Waiting, &c.Flows, &c.HighWater, &c.Left, &c.Delayed, &c.Delay, &c.FlowFull, &c.Full, &c.Late}
}
