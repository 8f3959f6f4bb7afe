package shaper

import (
	"math"
	"math/bits"
)

// bitNanoseconds is how many bits and nanoseconds, multiplied, make a byte each
// second: 8 bits in 1,000,000,000 ns.
const bitNanoseconds = 8 * 1_000_000_000

// CreditLimit is how credits come and how many are kept: what lets an instance
// burst beyond its baseline for minutes (docs/semantics.md S6.3). It counts in
// whole bytes where a Limit counts in time, so that buckets of days lose nothing
// to rounding.
//
// Thread-safety: it does not change after NewCreditLimit.
type CreditLimit struct {
	baseline uint64 // bits a second
	size     uint64 // bytes
}

// NewCreditLimit returns the limit of credits that come at baseline bits a
// second, up to size bytes, which is at most 2^62. A baseline of 0 limits
// nothing.
func NewCreditLimit(baseline, size uint64) CreditLimit {
	return CreditLimit{baseline, min(size, 1<<62)}
}

// Limits reports whether there is a limit at all.
func (l CreditLimit) Limits() bool { return l.baseline != 0 }

// Credits is a bucket of credits. Below the baseline it fills, above it it
// empties, and at the baseline it stays as it is. The zero value is full.
//
// Packets may be charged before they leave; their credits are owed then, and the
// next packets wait for theirs after them. So what Due says only grows from one
// charged packet to the next, and the order of packets is kept.
//
// Thread-safety: one owner.
type Credits struct {
	at      int64  // ns: until when credits have come
	missing uint64 // bytes that a full bucket has more than this one; above the size of the limit it is owed
	part    uint64 // of the next byte to come, in bits times ns
}

// Left returns how many bytes of credits there are at time now, in ns. Time
// that goes back stands still.
func (c *Credits) Left(l CreditLimit, now int64) uint64 {
	c.earn(l, now)
	return l.size - min(c.missing, l.size)
}

// Due returns when a packet of n bytes may leave, at time now or later, both in
// ns; the last of all times for one that would have to wait for centuries. It
// charges nothing: who sends the packet calls Spend.
func (c *Credits) Due(l CreditLimit, now int64, n uint32) int64 {
	if !l.Limits() {
		return now
	}
	c.earn(l, now)
	after := c.missing + uint64(n)
	if after <= l.size {
		return now
	}
	hi, lo := bits.Mul64(after-l.size, bitNanoseconds)
	lo, borrow := bits.Sub64(lo, c.part, 0)
	lo, carry := bits.Add64(lo, l.baseline-1, 0) // a packet does not leave too early for rounding
	hi += carry - borrow
	if hi >= l.baseline {
		return math.MaxInt64
	}
	wait, _ := bits.Div64(hi, lo, l.baseline)
	if wait > uint64(math.MaxInt64-max(c.at, 0)) {
		return math.MaxInt64
	}
	return max(now, c.at+int64(wait))
}

// Spend charges a packet of n bytes.
func (c *Credits) Spend(n uint32) { c.missing = min(c.missing+uint64(n), 1<<63) }

// Resize goes from one limit to another at time now: what is left is kept, as
// far as the new bucket holds it, and so is what is owed.
func (c *Credits) Resize(from, to CreditLimit, now int64) {
	c.earn(from, now)
	if c.missing > from.size {
		c.missing = c.missing - from.size + to.size
		return
	}
	left := from.size - c.missing
	c.missing = to.size - min(left, to.size)
}

// earn lets the credits come that are due until now.
func (c *Credits) earn(l CreditLimit, now int64) {
	if now <= c.at {
		return
	}
	hi, lo := bits.Mul64(l.baseline, uint64(now-c.at))
	c.at = now
	lo, carry := bits.Add64(lo, c.part, 0)
	hi += carry
	if hi >= bitNanoseconds {
		c.missing, c.part = 0, 0
		return
	}
	bytes, part := bits.Div64(hi, lo, bitNanoseconds)
	if bytes >= c.missing {
		c.missing, c.part = 0, 0
		return
	}
	c.missing, c.part = c.missing-bytes, part
}
