// Package flowcache is the exact-match table in front of the slow path: the key
// of a packet gives the verdict on its flow, where the packet goes, and the
// session that it belongs to.
//
// It is a cache. An entry refers to its session by index and incarnation and
// carries the generations of the policy that judged it; when either no longer
// agrees the entry counts as a miss and the slow path judges anew, so nothing
// dangles and nothing has to be flushed.
//
// Thread-safety: a Cache has one writer, the lcore that owns its flows. Other
// goroutines may call Read, High and Len at any time; Read checks the entry's
// sequence number and loads it by whole words.
//
// Limits: the capacity is fixed. When the table, or the 16 slots where a flow
// may stand, are full, the flow there that was unused for the longest time makes
// room: it loses its acceleration for one packet, never its session. Entries
// unused for longer than the idle time are removed a few at a time by Expire.
package flowcache

import (
	"sync/atomic"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/hugemem"
	"github.com/nitrod/nitrod/internal/prefetch"
	"github.com/nitrod/nitrod/internal/relaxed"
	"github.com/nitrod/nitrod/internal/sigindex"
)

// None is the index of no entry.
const None = sigindex.None

// Cache is the table. See New.
type Cache struct {
	entries []Entry
	hashes  []uint64 // of each entry: its place in the index
	free    []uint32 // identifiers below high that are free
	index   *sigindex.Table
	high    atomic.Uint32 // entries at and above were never used
	live    atomic.Uint32
	hand    uint32 // where Expire goes on
	loose   int    // see Loose
	lines   prefetch.Lines
	due     [prefetch.Max]uint32 // of Expire

	entryBlock *hugemem.Block[Entry]
	hashBlock  *hugemem.Block[uint64]
	freeBlock  *hugemem.Block[uint32]
	near       []uint32
}

// New returns an empty cache for capacity entries.
func New(capacity int) (*Cache, error) {
	c := &Cache{near: make([]uint32, 0, 16)}
	var err error
	if c.entryBlock, err = hugemem.Alloc[Entry](capacity); err != nil {
		return nil, err
	}
	if c.hashBlock, err = hugemem.Alloc[uint64](capacity); err == nil {
		if c.freeBlock, err = hugemem.Alloc[uint32](capacity); err == nil {
			c.index, err = sigindex.New(capacity)
		}
	}
	if err != nil {
		_ = c.Free()
		return nil, err
	}
	c.entries, c.hashes, c.free = c.entryBlock.Items, c.hashBlock.Items, c.freeBlock.Items[:0]
	return c, nil
}

// Free returns the memory. Nobody may use the cache afterwards.
func (c *Cache) Free() error {
	c.entries, c.hashes, c.free = nil, nil, nil
	var first error
	note := func(err error) {
		if first == nil {
			first = err
		}
	}
	if c.entryBlock != nil {
		note(c.entryBlock.Free())
	}
	if c.hashBlock != nil {
		note(c.hashBlock.Free())
	}
	if c.freeBlock != nil {
		note(c.freeBlock.Free())
	}
	if c.index != nil {
		note(c.index.Free())
	}
	return first
}

// Cap returns the capacity in entries.
func (c *Cache) Cap() int { return len(c.entries) }

// Len returns the number of entries.
func (c *Cache) Len() int { return int(c.live.Load()) }

// Memory says what kind of memory the entries lie in.
func (c *Cache) Memory() hugemem.Kind { return c.entryBlock.Kind }

// MaxBurst is the most keys that LookupBurst takes.
const MaxBurst = prefetch.Max

// Place is where the index keeps a key with flow hash h. Both directions of a
// flow have one hash, and so one bucket; the sending ENI, in the bits of which
// the index makes its signature, tells them apart.
func Place(h uint64, k *hash.FlowKey) uint64 { return h ^ uint64(k.ENI()+1)*0x9e37<<48 }

// Prefetch makes places of flow hashes, for LookupBurst, and asks for the
// buckets where that will look. The slices are equally long, at most MaxBurst.
func (c *Cache) Prefetch(hashes []uint64, keys []hash.FlowKey) {
	keys = keys[:len(hashes)]
	for i, h := range hashes {
		p := Place(h, &keys[i])
		hashes[i] = p
		c.lines[i&(MaxBurst-1)] = c.index.Address(p)
	}
	prefetch.First(&c.lines, len(hashes))
}

// HashOf returns the flow hash from which Place made p.
func HashOf(p uint64, k *hash.FlowKey) uint64 { return Place(p, k) }

// LookupBurst sets out[i] to the entry with keys[i], or None, for every i.
// places are Prefetch's. The three slices are equally long, at most MaxBurst. It
// goes over the burst in passes, and asks for all that the next pass needs
// before it goes on, so that the cache misses of a burst overlap with each other
// and with work.
func (c *Cache) LookupBurst(places []uint64, keys []hash.FlowKey, out []uint32) {
	keys, out = keys[:len(places)], out[:len(places)]
	c.index.Candidates(places, out)
	entries := c.entries
	for i, id := range out {
		c.lines[i&(MaxBurst-1)] = addressOf(entries, id) // of None, nowhere: no harm
	}
	prefetch.First(&c.lines, len(out))
	for i, id := range out {
		if id < uint32(len(entries)) && !entries[id].Key.Equal(&keys[i]) {
			out[i] = c.Find(HashOf(places[i], &keys[i]), &keys[i])
		}
	}
}

// Find returns the entry with the given key, or None.
func (c *Cache) Find(h uint64, k *hash.FlowKey) uint32 {
	cur := c.index.Each(Place(h, k))
	for id := cur.Next(); id != None; id = cur.Next() {
		if c.entries[id].Key.Equal(k) {
			return id
		}
	}
	return None
}

// At returns an entry that LookupBurst or Find gave.
func (c *Cache) At(id uint32) *Entry { return &c.entries[id] }

// Use notes that an entry was used at the given tick.
func (c *Cache) Use(e *Entry, tick uint16) {
	if e.Used() != tick {
		relaxed.Store64(&e.info, e.info&^(0xffff<<16)|uint64(tick)<<16)
	}
}

// SetQueued marks an entry, or takes the mark away; see Entry.Queued.
func (c *Cache) SetQueued(e *Entry, queued bool) {
	info := e.info &^ (flagQueued << 32)
	if queued {
		info |= flagQueued << 32
	}
	relaxed.Store64(&e.info, info)
}

// SetQueue gives a forwarding entry another receive queue.
func (c *Cache) SetQueue(e *Entry, queue uint8) {
	relaxed.Store64(&e.info, e.info&^(0xff<<40)|uint64(queue)<<40)
}

// Set installs the action for a key, in place where the key is known. It
// returns the entry, and whether another flow's entry had to make room.
func (c *Cache) Set(h uint64, k *hash.FlowKey, a *Action, tick uint16) (id uint32, evicted bool) {
	id = c.Find(h, k)
	if id == None {
		id, evicted = c.allot(Place(h, k))
	}
	e := &c.entries[id]
	c.loose -= e.loose()
	ref, gens, info := a.words()
	seq := e.sequence()
	// An odd sequence tells readers to keep off. The atomic stores also keep
	// the compiler from moving or dropping the first one.
	atomic.StoreUint64(&e.info, info|uint64(seq+1))
	relaxed.Store64(&e.Key.Src.Hi, k.Src.Hi)
	relaxed.Store64(&e.Key.Src.Lo, k.Src.Lo)
	relaxed.Store64(&e.Key.Dst.Hi, k.Dst.Hi)
	relaxed.Store64(&e.Key.Dst.Lo, k.Dst.Lo)
	relaxed.Store64(&e.Key.Tail, k.Tail)
	relaxed.Store64(&e.ref, ref)
	relaxed.Store64(&e.gens, gens)
	atomic.StoreUint64(&e.info, info|uint64(tick)<<16|uint64(seq+2))
	c.loose += e.loose()
	return id, evicted
}

// Loose returns how many entries are refusals or refer to no session: those that
// a session of their flow, once it begins, makes out of date.
func (c *Cache) Loose() int { return c.loose }

// allot finds a free entry and puts it into the index at place h.
func (c *Cache) allot(h uint64) (id uint32, evicted bool) {
	if len(c.free) == 0 && int(c.high.Load()) == len(c.entries) {
		evicted = true
		if c.near = c.index.Neighbours(c.near[:0], h); len(c.near) > 0 {
			c.remove(c.longestUnused(c.near))
		} else {
			c.remove(c.hand % uint32(len(c.entries)))
			c.hand++
		}
	}
	if n := len(c.free); n > 0 {
		id, c.free = c.free[n-1], c.free[:n-1]
	} else {
		id = c.high.Load()
		c.high.Store(id + 1)
	}
	for !c.index.Insert(h, id) {
		evicted = true
		c.near = c.index.Neighbours(c.near[:0], h)
		c.remove(c.longestUnused(c.near))
	}
	c.hashes[id] = h
	c.live.Add(1)
	return id, evicted
}

// longestUnused returns the identifier with the oldest tick. Ticks wrap: the
// youngest among them tells what is old.
func (c *Cache) longestUnused(ids []uint32) uint32 {
	newest := c.entries[ids[0]].Used()
	for _, id := range ids {
		if u := c.entries[id].Used(); int16(u-newest) > 0 {
			newest = u
		}
	}
	oldest, age := ids[0], uint16(0)
	for _, id := range ids {
		if a := newest - c.entries[id].Used(); a > age {
			oldest, age = id, a
		}
	}
	return oldest
}

// Remove takes the entry of a key out and reports whether there was one.
func (c *Cache) Remove(h uint64, k *hash.FlowKey) bool {
	id := c.Find(h, k)
	if id == None {
		return false
	}
	c.remove(id)
	return true
}

func (c *Cache) remove(id uint32) {
	e := &c.entries[id]
	c.index.Remove(c.hashes[id], id)
	c.loose -= e.loose()
	seq := e.sequence()
	atomic.StoreUint64(&e.info, uint64(seq+1))
	relaxed.Store64(&e.Key.Tail, 0)
	atomic.StoreUint64(&e.info, uint64(seq+2))
	c.free = append(c.free, id) // within its capacity: one slot per entry
	c.live.Add(^uint32(0))
}

// Clear removes every entry.
func (c *Cache) Clear() {
	for id := range c.high.Load() {
		if c.entries[id].Key.Tail != 0 {
			c.remove(id)
		}
	}
}

// Expire looks at the next n entries and removes those unused for more than
// idle ticks. It returns how many it removed. Called regularly with a small n it
// goes round the whole table.
func (c *Cache) Expire(tick, idle uint16, n int) int {
	high, removed := c.high.Load(), 0
	if high == 0 {
		return 0
	}
	for left := min(n, int(high)); left > 0; {
		// In groups, so that the index's cache misses overlap.
		group, found := min(left, len(c.due)), 0
		left -= group
		for range group {
			if c.hand >= high {
				c.hand = 0
			}
			if e := &c.entries[c.hand]; e.Key.Tail != 0 && tick-e.Used() > idle {
				c.lines[found], c.due[found] = c.index.Address(c.hashes[c.hand]), c.hand
				found++
			}
			c.hand++
		}
		prefetch.First(&c.lines, found)
		for _, id := range c.due[:found] {
			c.remove(id)
		}
		removed += found
	}
	return removed
}

// High returns a bound for Read: entries at and above were never used.
func (c *Cache) High() uint32 { return c.high.Load() }

// Read copies entry id for another goroutine than the writer and reports
// whether there is one.
func (c *Cache) Read(id uint32, e *Entry) bool {
	p := &c.entries[id]
	for range 64 {
		before := atomic.LoadUint64(&p.info)
		if before&1 != 0 {
			continue
		}
		e.Key.Src.Hi = atomic.LoadUint64(&p.Key.Src.Hi)
		e.Key.Src.Lo = atomic.LoadUint64(&p.Key.Src.Lo)
		e.Key.Dst.Hi = atomic.LoadUint64(&p.Key.Dst.Hi)
		e.Key.Dst.Lo = atomic.LoadUint64(&p.Key.Dst.Lo)
		e.Key.Tail = atomic.LoadUint64(&p.Key.Tail)
		e.ref = atomic.LoadUint64(&p.ref)
		e.gens = atomic.LoadUint64(&p.gens)
		e.info = atomic.LoadUint64(&p.info)
		if uint16(e.info) == uint16(before) {
			return e.Key.Tail != 0
		}
	}
	return false // written all the time: as good as gone
}

// Lookup is Find for another goroutine than the writer: it copies the entry of
// a key and reports whether there is one.
func (c *Cache) Lookup(h uint64, k *hash.FlowKey, e *Entry) bool {
	return c.Locate(h, k, e) != None
}

// Locate is Lookup for who needs to know which entry it is; None if there is none.
func (c *Cache) Locate(h uint64, k *hash.FlowKey, e *Entry) uint32 {
	cur := c.index.Each(Place(h, k))
	for id := cur.Next(); id != None; id = cur.Next() {
		if int(id) < len(c.entries) && c.Read(id, e) && e.Key.Equal(k) {
			return id
		}
	}
	return None
}
