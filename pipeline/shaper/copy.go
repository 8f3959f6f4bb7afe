package shaper

import "sync/atomic"

// This file is for who asks what buckets would say while lcores use them: it asks
// copies, which may be charged and borrowed from without anyone noticing.

// Copy returns a copy of a clock that its owner may be using.
func (c *Clock) Copy() Clock { return Clock{atomic.LoadInt64(&c.full)} }

// CopyTo makes to as full as s is.
func (s *SharedClock) CopyTo(to *SharedClock) { to.full.Store(s.full.Load()) }

// Copy returns a copy of a lease that its owner may be using. Then its words may be
// of different moments: what the copy says is close to the truth and no more.
func (l *Lease) Copy() Lease {
	c := Lease{
		at: atomic.LoadInt64(&l.at), end: atomic.LoadInt64(&l.end),
		next: atomic.LoadInt64(&l.next), nextEnd: atomic.LoadInt64(&l.nextEnd),
		barred: atomic.LoadInt64(&l.barred), size: atomic.LoadInt64(&l.size),
	}
	c.end, c.nextEnd = max(c.end, c.at), max(c.nextEnd, c.next)
	return c
}

// Left returns how much could pass at once at time now, in ns: bytes of a bandwidth,
// packets of a packet rate.
func (c *Clock) Left(r *Rate, now int64) uint64 {
	t := now << paceShift
	return r.amount(r.span - min(max(c.full-t, 0), r.span))
}

// Left is Clock.Left for one lcore: what others have borrowed is not in it, nor what
// it holds itself in pieces that no packet could use together. Both are copies and
// stay as they are.
func (l *Lease) Left(s *SharedClock, r *Rate, now int64) uint64 {
	passes := func(cost int64) bool {
		lease := *l
		var shared SharedClock
		s.CopyTo(&shared)
		at, ok := lease.Departure(&shared, r, Cost(cost), now)
		return ok && at <= now
	}
	low, high := int64(-1), r.span // passes, and may not
	if passes(high) {
		return r.Depth()
	}
	for high-low > 1 {
		if mid := low + (high-low)/2; passes(mid) {
			low = mid
		} else {
			high = mid
		}
	}
	return r.amount(max(low, 0))
}

// Depth returns how much could pass at once if the bucket were full.
func (r *Rate) Depth() uint64 { return r.amount(r.span) }

// amount returns how much may pass for a time of the rate. What the costs are rounded
// up by, less than one unit each, is left out of the account: who is told of a
// bucket wants to recognise it.
func (r *Rate) amount(t int64) uint64 {
	if r.perByte != 0 {
		n := mulDiv(uint64(t), 1<<byteShift, uint64(r.perByte))
		return uint64(mulDiv(uint64(t)+uint64(n)>>byteShift+1, 1<<byteShift, uint64(r.perByte)))
	}
	return uint64((t + t/r.perPacket + 1) / r.perPacket)
}
