// Package sigindex is the hash index under the flow cache and the session
// table: it maps a 64-bit hash to 32-bit identifiers of records that lie
// elsewhere, and leaves comparing keys to the records' owner.
//
// A bucket is one cache line: eight signatures of 16 bits and eight
// identifiers. Every hash has two buckets (open addressing by two choices);
// the second is used only when the first is full, and a bucket remembers that
// it ever overflowed, so that a miss normally touches a single line.
//
// Thread-safety: one writer. Readers on other goroutines may call Each at any
// time: identifiers are stored and loaded whole, and a reader that meets a
// stale one finds out by comparing the record's key under the record's own
// sequence number. A reader may miss a record in the moment in which it moves
// to its other bucket.
//
// Limits: 16 records can share a pair of buckets. Insert makes room in a full
// pair by moving one of them to its other bucket, and refuses where that is
// full for each. Buckets are sized so that a full table has half of its slots
// in use; random hashes then leave room for every record
// (conntrack.TestFillsToCapacity). The hash must be keyed (hash.FlowHasher), or
// others can choose it.
package sigindex

import (
	"math/bits"
	"sync/atomic"

	"github.com/nitrod/nitrod/internal/hugemem"
	"github.com/nitrod/nitrod/internal/relaxed"
)

// None is no identifier.
const None = ^uint32(0)

const slots = 8

type bucket struct {
	sigs     [slots / 4]uint64 // four signatures a word; 0 is an empty slot
	ids      [slots]uint32
	overflow uint32 // nonzero: a record of this bucket went to its second choice
	_        [3]uint32
}

// Table is an index. Its zero value is unusable: see New.
type Table struct {
	buckets []bucket
	mask    uint64
	block   *hugemem.Block[bucket]
}

// New returns an index for at most capacity records.
func New(capacity int) (*Table, error) {
	n := 1 << bits.Len(uint(max(capacity, slots)-1)) / (slots / 2)
	b, err := hugemem.Alloc[bucket](n)
	if err != nil {
		return nil, err
	}
	return &Table{buckets: b.Items, mask: uint64(n - 1), block: b}, nil
}

// Free returns the memory.
func (t *Table) Free() error {
	t.buckets = nil
	return t.block.Free()
}

func signature(hash uint64) uint64 {
	s := hash >> 48
	if s == 0 {
		s = 1
	}
	return s
}

func (t *Table) first(hash uint64) uint64 { return hash & t.mask }

func (t *Table) second(hash uint64) uint64 { return t.other(t.first(hash), signature(hash)) }

// other returns the second bucket of a record from its first, and its first
// from its second. They differ, since an odd number is added without carry.
func (t *Table) other(i, sig uint64) uint64 { return (i ^ (sig*0x9e3779b97f4a7c15>>16 | 1)) & t.mask }

const (
	lanes = 0x0001_0001_0001_0001
	lows  = 0x7fff_7fff_7fff_7fff
)

// match returns a word whose top bit of each 16-bit lane is set exactly where
// the lane of w equals sig.
func match(w, sig uint64) uint64 {
	x := w ^ sig*lanes
	return ^(x&lows + lows | x | lows)
}

// Candidates sets ids[i] to an identifier whose signature agrees with
// hashes[i], one of those that Each would return, or None. It is for the writer's own
// lookups in bursts, some time after Address and a prefetch. ids is as long as
// hashes.
func (t *Table) Candidates(hashes []uint64, ids []uint32) {
	ids = ids[:len(hashes)]
	buckets, mask := t.buckets, t.mask
	if uint64(len(buckets)) <= mask {
		return // never: it tells the compiler that h & mask is in range
	}
	for i, h := range hashes {
		b := &buckets[h&mask]
		sig := signature(h)
		// Both words at once, the second one bit below the first: which of them
		// matches is a matter of chance, and a wrong guess is dear.
		if m := match(b.sigs[0], sig) | match(b.sigs[1], sig)>>1; m != 0 {
			at := uint(bits.TrailingZeros64(m))
			ids[i] = b.ids[(at>>4|^at&1<<2)&(slots-1)]
		} else if b.overflow == 0 {
			ids[i] = None
		} else {
			c := t.Each(h)
			ids[i] = c.Next()
		}
	}
}

// Cursor walks the identifiers whose signature agrees with a hash.
type Cursor struct {
	t      *Table
	hash   uint64
	bucket uint64
	word   int
	m      uint64
	second bool
}

// Each returns a cursor over the records that may have this hash.
func (t *Table) Each(hash uint64) Cursor {
	c := Cursor{t: t, hash: hash, bucket: t.first(hash)}
	c.m = match(atomic.LoadUint64(&t.buckets[c.bucket].sigs[0]), signature(hash))
	return c
}

// Next returns the next identifier, or None.
func (c *Cursor) Next() uint32 {
	for {
		b := &c.t.buckets[c.bucket]
		if c.m != 0 {
			slot := c.word*4 + bits.TrailingZeros64(c.m)/16
			c.m &= c.m - 1
			return atomic.LoadUint32(&b.ids[slot])
		}
		if c.word++; c.word == len(b.sigs) {
			if c.second || atomic.LoadUint32(&b.overflow) == 0 {
				c.word--
				return None
			}
			c.second, c.word, c.bucket = true, 0, c.t.second(c.hash)
			b = &c.t.buckets[c.bucket]
		}
		c.m = match(atomic.LoadUint64(&b.sigs[c.word]), signature(c.hash))
	}
}

// Insert adds an identifier and reports whether there was room. The same
// identifier must not be in the table already.
func (t *Table) Insert(hash uint64, id uint32) bool {
	sig := signature(hash)
	first := t.first(hash)
	if t.put(first, sig, id) {
		return true
	}
	second := t.second(hash)
	if t.put(second, sig, id) || t.makeRoom(second) && t.put(second, sig, id) {
		relaxed.Store32(&t.buckets[first].overflow, 1)
		return true
	}
	return t.makeRoom(first) && t.put(first, sig, id)
}

func (t *Table) put(i, sig uint64, id uint32) bool {
	b := &t.buckets[i]
	for w := range b.sigs {
		m := match(b.sigs[w], 0)
		if m == 0 {
			continue
		}
		lane := bits.TrailingZeros64(m) / 16
		relaxed.Store32(&b.ids[w*4+lane], id)
		relaxed.Store64(&b.sigs[w], b.sigs[w]|sig<<(16*lane))
		return true
	}
	return false
}

// makeRoom moves one record of a full bucket to its other bucket, which
// bucket and signature tell without the hash, and reports whether it could. A
// reader may miss the record while it moves.
func (t *Table) makeRoom(i uint64) bool {
	b := &t.buckets[i]
	for s, id := range b.ids {
		w, shift := s/4, uint(s%4)*16
		sig := b.sigs[w] >> shift & 0xffff
		if t.put(t.other(i, sig), sig, id) {
			relaxed.Store32(&b.overflow, 1) // in case that i was its first choice
			relaxed.Store64(&b.sigs[w], b.sigs[w]&^(0xffff<<shift))
			return true
		}
	}
	return false
}

// Remove takes an identifier out and reports whether it was there.
func (t *Table) Remove(hash uint64, id uint32) bool {
	for _, i := range [2]uint64{t.first(hash), t.second(hash)} {
		b := &t.buckets[i]
		for s := range b.ids {
			w, shift := s/4, uint(s%4)*16
			if b.ids[s] == id && b.sigs[w]>>shift&0xffff == signature(hash) {
				relaxed.Store64(&b.sigs[w], b.sigs[w]&^(0xffff<<shift))
				return true
			}
		}
	}
	return false
}

// Neighbours appends to dst the identifiers in both buckets of hash: those of
// which one must go before hash can be inserted into full buckets.
func (t *Table) Neighbours(dst []uint32, hash uint64) []uint32 {
	for _, i := range [2]uint64{t.first(hash), t.second(hash)} {
		b := &t.buckets[i]
		for s, id := range b.ids {
			if b.sigs[s/4]>>(uint(s%4)*16)&0xffff != 0 {
				dst = append(dst, id)
			}
		}
	}
	return dst
}
