package shaper

import (
	"math/bits"
	"time"

	"github.com/nitrod/nitrod/internal/relaxed"
)

// paceShift makes the unit of time of a Rate: a 64th of a nanosecond. It is finer
// than a Limit's, so that even the smallest frame's cost at 100 Gbps, 307 of them,
// is right to a third of a percent, and 64 bits last 4 years from when the clock
// started.
const (
	paceShift  = 6
	paceSecond = 1_000_000_000 << paceShift
	byteShift  = 16
	// clockSlack is by how much the clocks of two lcores may differ. Nothing is
	// ever ahead by more than a bucket's span and delay and this, unless by a
	// former rate.
	clockSlack = paceSecond / 10
)

// Rate is a limit that lets wait what it cannot let pass: bits or packets a
// second, how far a burst may be ahead of that, and for how long a packet may
// wait. The zero value limits nothing.
//
// Thread-safety: it does not change after it is made.
type Rate struct {
	perByte   int64 // 1/65536 units, rounded up: the rate is never exceeded
	perPacket int64 // units, likewise
	span      int64 // that an empty bucket takes to fill
	delay     int64
	quantum   int64 // that an lcore borrows at most
}

// NewBandwidth returns the limit of rate bits a second in bursts of burst bytes,
// where nothing waits for longer than delay, for a number of lcores together.
func NewBandwidth(rate, burst uint64, delay time.Duration, lcores int) Rate {
	if rate == 0 {
		return Rate{}
	}
	r := Rate{perByte: int64((8*paceSecond<<byteShift + (rate - 1)) / rate)}
	return r.within(mulDiv(burst, 8*paceSecond, rate), delay, lcores)
}

// NewPacketRate returns the limit of rate packets a second in bursts of burst
// packets, else as NewBandwidth.
func NewPacketRate(rate, burst uint64, delay time.Duration, lcores int) Rate {
	if rate == 0 {
		return Rate{}
	}
	r := Rate{perPacket: int64((paceSecond + (rate - 1)) / rate)}
	return r.within(mulDiv(burst, paceSecond, rate), delay, lcores)
}

// within completes a rate. What the lcores borrow at a time is, by all of them
// together, an eighth of what may be borrowed ahead and half of the burst, so that
// what one lcore borrows lies close to what it has, and by each of them no more
// than what comes in 122 us.
func (r Rate) within(span int64, delay time.Duration, lcores int) Rate {
	r.span = span
	// The costs are rounded up and the span is rounded down: a packet as large as
	// the burst is late by less than a nanosecond.
	r.delay = int64(delay)<<paceShift + 1<<paceShift - 1
	r.quantum = min(paceSecond/borrowings, min((r.span+r.delay)/8, r.span/2)/int64(max(lcores, 1)))
	return r
}

// mulDiv returns a * b / c, at most maxSpan.
func mulDiv(a, b, c uint64) int64 {
	hi, lo := bits.Mul64(a, b)
	if hi >= c {
		return maxSpan
	}
	q, _ := bits.Div64(hi, lo, c)
	return int64(min(q, maxSpan))
}

// Limits reports whether there is a limit at all.
func (r *Rate) Limits() bool { return r.perByte|r.perPacket != 0 }

// Cost returns what a packet of n bytes takes of the rate.
func (r *Rate) Cost(n uint32) Cost {
	return Cost(r.perPacket + (int64(n)*r.perByte+(1<<byteShift-1))>>byteShift)
}

// CostOfAll returns what a number of packets of bytes in total take of the rate,
// which is at most what they take one by one.
func (r *Rate) CostOfAll(packets, bytes uint32) Cost {
	return Cost(int64(packets)*r.perPacket + (int64(bytes)*r.perByte+(1<<byteShift-1))>>byteShift)
}

// Cost is the time that a packet takes of a Rate.
type Cost int64

// nanos rounds a time up.
func nanos(t int64) int64 { return (t + 1<<paceShift - 1) >> paceShift }

// Clock is the bucket of a Rate: it gives each packet the time at which it may
// leave. The zero value is full.
//
// The times that it gives only grow, so that what leaves by them keeps its order.
//
// Thread-safety: one owner, but for Copy. Several lcores use SharedClock.
type Clock struct {
	full int64 // when it is full again
}

// Departure returns when a packet that comes at now may leave, both in ns, or
// false if it would have to wait for too long. It charges nothing: see Charge.
// The rate may be another one than the last time: what has passed counts as
// time, and as no more than empties the bucket.
func (c *Clock) Departure(r *Rate, cost Cost, now int64) (int64, bool) {
	t := now << paceShift
	relaxed.StoreInt64(&c.full, min(max(c.full, t), t+r.span+r.delay))
	at := c.full + int64(cost) - r.span
	return max(now, nanos(at)), at-t <= r.delay
}

// Take is Departure and Charge for a packet that may leave at once, and reports
// whether it may. If not, nothing is charged.
func (c *Clock) Take(r *Rate, cost Cost, now int64) bool {
	t := now << paceShift
	full := max(c.full, t) + int64(cost)
	if full-r.span > t {
		return false
	}
	relaxed.StoreInt64(&c.full, full)
	return true
}

// Charge counts a packet that leaves when Departure has said.
func (c *Clock) Charge(cost Cost) { relaxed.StoreInt64(&c.full, c.full+int64(cost)) }

// Reset fills it.
func (c *Clock) Reset() { relaxed.StoreInt64(&c.full, 0) }

// Full reports whether the bucket is full at now, in ns: as if nothing had ever
// left.
func (c *Clock) Full(now int64) bool { return c.full <= now<<paceShift }
