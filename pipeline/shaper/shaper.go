// Package shaper holds packet rates to a limit: token buckets for what an ENI
// may send a second of one kind, such as fragments or packets to link-local
// services.
//
// A bucket is one word: the time at which it will be full again. A packet moves
// that time on by what one packet costs, and passes if the time is then no
// further ahead than a full bucket is deep. So in any stretch of t seconds at
// most rate * t + depth packets pass, whatever came before.
//
// The caller passes the time in. Nothing here reads a clock, allocates or waits.
package shaper

// tick is the unit of time here: a sixteenth of a nanosecond, so that the cost of
// a packet at the usual rates is a whole number, and 64 bits last 18 years.
const (
	tickShift   = 4
	ticksSecond = 1_000_000_000 << tickShift
	maxSpan     = 1 << 60 // ticks; 2 years
)

// Limit is a rate and how far a burst may be ahead of it. The zero value limits
// nothing.
//
// Thread-safety: it does not change after NewLimit.
type Limit struct {
	cost int64 // ticks per packet, rounded up: the rate is never exceeded
	span int64 // ticks that an empty bucket takes to fill
}

// NewLimit returns the limit of rate packets a second in bursts of depth packets
// at most, at least one. A rate of 0 limits nothing.
func NewLimit(rate, depth uint32) Limit {
	if rate == 0 {
		return Limit{}
	}
	cost := (ticksSecond + int64(rate) - 1) / int64(rate)
	return Limit{cost, min(int64(max(depth, 1)), maxSpan/cost) * cost}
}

// DefaultDepth is the depth of a bucket whose owner names none: what comes in an
// eighth of a second. AWS publishes none. At its 1,024 packets a second these are
// 128, which a datagram of 64 KiB fits into at any MTU from 576.
func DefaultDepth(rate uint32) uint32 { return max(rate/8, 1) }

// Limits reports whether there is a limit at all.
func (l Limit) Limits() bool { return l.cost != 0 }

// Bucket counts what passed by a limit. The zero value is full.
//
// Thread-safety: one owner. Several lcores use Shared.
type Bucket struct {
	full int64 // ticks: when it is full again
}

// Take lets n packets pass at time now, in ns, or none of them. The limit may be
// another one than the last time: what has passed counts as time.
func (b *Bucket) Take(l Limit, now int64, n uint32) bool {
	if l.cost == 0 {
		return true
	}
	now <<= tickShift
	from := max(b.full, now)
	if int64(n) > (now+l.span-from)/l.cost {
		return false
	}
	b.full = from + int64(n)*l.cost
	return true
}
