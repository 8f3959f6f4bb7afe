package shaper

import "sync/atomic"

// SharedLimit is a limit that holds for several lcores together.
//
// An lcore borrows a quantum from the one bucket that all share, and spends it
// without touching the bucket again. What it holds unspent could pass at any
// time later; so the shared bucket is less deep by what all lcores together can
// hold, and the sum never exceeds rate * t + depth.
//
// Limits: one lcore can hold back a quantum less one packet from the others. At
// up to 8,192 packets a second a quantum is one packet, and nothing is held back.
// Above, it is as large as makes 8,192 borrowings a second at the most, and so
// small that all lcores together hold no more than half of the depth.
//
// Thread-safety: it does not change after NewSharedLimit.
type SharedLimit struct {
	limit   Limit
	quantum int64
}

// borrowings is how many times a second the shared bucket is written to at most.
const borrowings = 8192

// NewSharedLimit returns the limit of rate packets a second in bursts of depth
// packets for a number of lcores together. A rate of 0 limits nothing.
func NewSharedLimit(rate, depth uint32, lcores int) SharedLimit {
	depth = max(depth, 1)
	n := uint32(max(lcores, 1))
	held := min((rate-min(rate, 1))/borrowings, depth/2/n) // by each lcore, at most
	return SharedLimit{NewLimit(rate, depth-held*n), int64(held) + 1}
}

// Limits reports whether there is a limit at all.
func (l SharedLimit) Limits() bool { return l.limit.Limits() }

// Shared is the bucket that several lcores borrow from. The zero value is full.
//
// Thread-safety: any number of lcores, each by a Share of its own. It has a
// cache line to itself, if it lies at the beginning of one.
type Shared struct {
	full atomic.Int64 // ticks: when it is full again
	_    [56]byte
}

// Share is one lcore's part of a Shared: what it has borrowed, and until when
// there is nothing to borrow, so that what floods it costs no one else a thing.
// The zero value holds nothing.
//
// Thread-safety: one owner.
type Share struct {
	barred int64 // ticks: before, the bucket has nothing
	held   int64 // packets
}

// Take lets one packet pass at time now, in ns, or refuses it. If the limit is
// not the one of the last call, a refusal may last for the time that a packet
// cost by the old one.
func (c *Share) Take(s *Shared, l SharedLimit, now int64) bool {
	if !l.Limits() {
		return true
	}
	if c.held == 0 {
		now <<= tickShift
		if now < c.barred || !c.borrow(s, l, now) {
			return false
		}
	}
	c.held--
	return true
}

// borrow takes up to a quantum from the bucket, and reports whether it got any.
func (c *Share) borrow(s *Shared, l SharedLimit, now int64) bool {
	for {
		old := s.full.Load()
		from := max(old, now)
		n := min((now+l.limit.span-from)/l.limit.cost, l.quantum)
		if n <= 0 {
			c.barred = old + l.limit.cost - l.limit.span
			return false
		}
		if s.full.CompareAndSwap(old, from+n*l.limit.cost) {
			c.held = n
			return true
		}
	}
}
