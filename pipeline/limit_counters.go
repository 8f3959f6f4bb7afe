package pipeline

import (
	"math/bits"
	"sync/atomic"

	"github.com/nitrod/nitrod/internal/relaxed"
)

// LimitCounts says of one kind of limit how many packets had to wait for it, and
// how many were dropped because they would have had to wait for too long. A packet
// counts for each of its limits that would not let it pass at once.
type LimitCounts struct{ Queued, Dropped uint64 }

// Exceeded is what ENA counts: queued or dropped.
func (c LimitCounts) Exceeded() uint64 { return c.Queued + c.Dropped }

// ENILimitCounts are an ENI's by kind: at the sender those of flows, of what it and
// its instance send, and at the receiver the others.
type ENILimitCounts [NumLimitKinds]LimitCounts

// limitCounters are an lcore's counts by ENI.
type limitCounters struct {
	local, published []ENILimitCounts
	isDirty          []bool
	dirty            []uint16
}

func newLimitCounters(n int) limitCounters {
	return limitCounters{make([]ENILimitCounts, n), make([]ENILimitCounts, n), make([]bool, n), make([]uint16, 0, n)}
}

func (c *limitCounters) touch(eni uint16) *ENILimitCounts {
	if !c.isDirty[eni] {
		c.isDirty[eni] = true
		c.dirty = append(c.dirty, eni)
	}
	return &c.local[eni]
}

func (c *limitCounters) publish() {
	for _, eni := range c.dirty {
		c.isDirty[eni] = false
		from, to := &c.local[eni], &c.published[eni]
		for k := range from {
			relaxed.Store64(&to[k].Queued, from[k].Queued)
			relaxed.Store64(&to[k].Dropped, from[k].Dropped)
		}
	}
	c.dirty = c.dirty[:0]
}

// countLimited counts a packet for limits, a bit each, that let it wait or for
// which it is dropped.
func (w *Worker) countLimited(m *Meta, limits uint16, dropped bool) {
	for ; limits != 0; limits &= limits - 1 {
		bit := limits & -limits
		eni, kind := m.ENI, LimitKind(bits.TrailingZeros16(bit))
		if bit&atReceiver != 0 {
			eni = m.Egress
		}
		if bit == packetsIn {
			kind = LimitPackets
		}
		c := &w.limits.counts.touch(eni)[kind]
		if dropped {
			c.Dropped++
		} else {
			c.Queued++
		}
	}
}

// Limited returns how many packets of an ENI its limits and its instance's have
// held back.
func (e *Engine) Limited(eni uint16) (sum ENILimitCounts) {
	for _, w := range e.workers {
		p := &w.limits.counts.published[eni]
		for k := range sum {
			sum[k].Queued += atomic.LoadUint64(&p[k].Queued)
			sum[k].Dropped += atomic.LoadUint64(&p[k].Dropped)
		}
	}
	return sum
}
