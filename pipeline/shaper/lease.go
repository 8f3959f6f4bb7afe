package shaper

import (
	"sync/atomic"

	"github.com/nitrod/nitrod/internal/relaxed"
)

// SharedClock is the bucket of a Rate that several lcores borrow from. The zero
// value is full.
//
// What it hands out are stretches of the rate's own time: whoever has one may let
// pass what costs as much, at the times that lie in it. No time is handed out
// twice, and time that goes by unused is gone, as a full bucket takes nothing more.
// So all lcores together pass at most rate * t + burst in any stretch of t seconds,
// without knowing of each other.
//
// Thread-safety: any number of lcores, each by a Lease of its own. It has a cache
// line to itself, if it lies at the beginning of one.
type SharedClock struct {
	full atomic.Int64 // when it is full again
	_    [56]byte
}

// Reset fills it.
func (s *SharedClock) Reset() { s.full.Store(0) }

// Lease is one lcore's part of a SharedClock: what it has borrowed. The zero value
// holds nothing.
//
// From a full bucket an lcore takes the rate's quantum. From one that others use
// as well it takes twice as much as the last time if it has used that up, and else
// what one packet needs. So a busy lcore borrows up to 8,192 times a second, and one
// that has a packet now and then keeps no time from the others that they need.
//
// Thread-safety: one owner, but for Copy.
type Lease struct {
	at, end       int64 // the stretch in use
	next, nextEnd int64 // and another one behind it
	barred        int64 // ns: before, there is nothing to borrow
	size          int64 // borrowed the last time
}

// Departure is Clock.Departure. It may borrow.
func (l *Lease) Departure(s *SharedClock, r *Rate, cost Cost, now int64) (int64, bool) {
	t := now << paceShift
	l.expire(r, t)
	for {
		if short := l.short(cost); short > 0 && (now < l.barred || !l.borrow(s, r, cost, short, t)) {
			return 0, false
		}
		at := l.after(int64(cost)) - r.span
		// What lies before the packet leaves has gone by then, for it.
		if int64(cost) <= l.end-l.at || l.at >= at {
			return max(now, nanos(at)), at-t <= r.delay
		}
		l.giveUp()
	}
}

// Covers reports whether what is held lets a packet pass at now, which is the usual
// case, in a few instructions. If not, Passes may still say so.
func (l *Lease) Covers(r *Rate, cost Cost, now int64) bool {
	t := now << paceShift
	at := max(l.at, t)
	if int64(cost) > l.end-at || at+int64(cost)-r.span > t {
		return false
	}
	relaxed.StoreInt64(&l.at, at)
	return true
}

// Passes reports whether Departure would say now, for packets together that may also
// be asked about one by one: it borrows only what lets all of them pass, since much
// of what it took for them in vain would be given up.
func (l *Lease) Passes(s *SharedClock, r *Rate, cost Cost, now int64) bool {
	if l.Covers(r, cost, now) {
		return true
	}
	t := now << paceShift
	short := int64(cost) - max(l.end-max(l.at, t), 0)
	if short <= 0 || l.next != l.nextEnd || max(s.full.Load()-t, 0)+short > r.span {
		return false
	}
	leaves, ok := l.Departure(s, r, cost, now)
	return ok && leaves <= now
}

// Charge is Clock.Charge, once at most after each Departure, with its cost.
func (l *Lease) Charge(cost Cost) {
	n := int64(cost)
	if n <= l.end-l.at {
		relaxed.StoreInt64(&l.at, l.at+n)
		return
	}
	l.set(l.after(n), l.nextEnd, 0, 0)
}

// set changes both stretches. Others may be reading them.
func (l *Lease) set(at, end, next, nextEnd int64) {
	relaxed.StoreInt64(&l.at, at)
	relaxed.StoreInt64(&l.end, end)
	relaxed.StoreInt64(&l.next, next)
	relaxed.StoreInt64(&l.nextEnd, nextEnd)
}

// short returns what a packet needs besides what is held. If that are two
// stretches already, which takes a packet that another bucket refused, it gives up
// the first one: there is no room for a third.
func (l *Lease) short(cost Cost) int64 {
	short := int64(cost) - (l.end - l.at) - (l.nextEnd - l.next)
	if short > 0 && l.next != l.nextEnd {
		l.giveUp()
		short = int64(cost) - (l.end - l.at)
	}
	return short
}

// giveUp gives up the first stretch.
func (l *Lease) giveUp() { l.set(l.next, l.nextEnd, 0, 0) }

// after returns where what is held goes on when n of it is used.
func (l *Lease) after(n int64) int64 {
	if n <= l.end-l.at {
		return l.at + n
	}
	return l.next + n - (l.end - l.at)
}

// expire gives up what can be used no more: what has gone by, and what a former
// rate has put too far ahead.
func (l *Lease) expire(r *Rate, t int64) {
	if l.at >= t && max(l.end, l.nextEnd) <= t+r.span+r.delay+clockSlack {
		return
	}
	if l.end == l.at && l.nextEnd == l.next { // nothing is held, and so nothing is lost
		relaxed.StoreInt64(&l.at, t)
		relaxed.StoreInt64(&l.end, t)
		return
	}
	relaxed.StoreInt64(&l.size, 0)
	if l.end <= t {
		l.giveUp()
	}
	if relaxed.StoreInt64(&l.at, max(l.at, t)); l.end <= t || max(l.end, l.nextEnd) > t+r.span+r.delay+clockSlack {
		l.set(t, t, 0, 0)
	}
}

// borrow takes what is short, or more, and reports false if a packet with that
// would have to wait for too long. What it takes besides is for whole packets like
// this one: of less, nothing might come any more (see giveUp).
func (l *Lease) borrow(s *SharedClock, r *Rate, cost Cost, short, t int64) bool {
	limit := t + r.span + r.delay
	for {
		old := s.full.Load()
		if old > limit+clockSlack { // by a former rate: the bucket is empty, and no more than that
			s.full.CompareAndSwap(old, t+r.span)
			continue
		}
		from := max(old, t)
		if from+short > limit {
			// A packet that costs nothing could pass from then on.
			relaxed.StoreInt64(&l.barred, (from-r.span-r.delay)>>paceShift)
			return false
		}
		size := min(2*l.size, r.quantum)
		if old <= t { // the bucket is full: nobody needs what is left
			size = r.quantum
		}
		n := short
		if more := min(size, limit-from) - short; more >= int64(cost) {
			n += more - more%int64(cost)
		}
		if s.full.CompareAndSwap(old, from+n) {
			l.add(from, n)
			relaxed.StoreInt64(&l.size, n)
			return true
		}
	}
}

// add puts a stretch behind the one that is held.
func (l *Lease) add(from, n int64) {
	switch {
	case l.end == l.at:
		l.set(from, from+n, l.next, l.nextEnd)
	case l.end == from:
		relaxed.StoreInt64(&l.end, l.end+n)
	default:
		l.set(l.at, l.end, from, from+n)
	}
}
