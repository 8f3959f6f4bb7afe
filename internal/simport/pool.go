package simport

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// DefaultSlotSize is the room for one packet that NewPool takes for a size of
// 0, in bytes. JumboSlotSize is enough for a packet of AWS's MTU, 9001.
const (
	DefaultSlotSize = 2048
	JumboSlotSize   = 9728
)

// What a slot's packet is doing. Every change is made by whoever owns it, and
// checked, so a packet that is used after it was given away is found at once.
const (
	slotFree   uint32 = iota
	slotOwned         // by the lcore that received or allocated it
	slotQueued        // by a queue of a port
)

var slotStates = [...]string{slotFree: "free", slotOwned: "owned by an lcore", slotQueued: "in a queue of a port"}

// slot is what is known of a packet beside its bytes. The owner alone reads and
// writes all but state.
type slot struct {
	state atomic.Uint32
	len   uint32 // of the packet
	first uint32 // bytes that are said to be contiguous; len unless it was split
}

// Pool is memory for a number of packets of limited size.
//
// Thread-safety: safe for several goroutines. Those that allocate and free all
// the time do so through a cache of their own and meet at the pool's lock once
// per batch.
//
// Limits: packets that lie in the cache of one user are not there for another:
// at most a sixteenth of the pool, and at most 64, in each. A pool of fewer than 32
// keeps none back.
type Pool struct {
	arena    arena
	slots    []slot
	slotSize int
	cacheMax int

	mu   sync.Mutex
	free []uint32 // indices, guarded by mu

	ports []*Port // grows with NewPort only, before there is an IO
}

// NewPool maps memory for slots packets of at most size bytes; 0 means
// DefaultSlotSize. It panics on a number that makes no sense and where the
// memory cannot be had.
func NewPool(slots, size int) *Pool {
	if size == 0 {
		size = DefaultSlotSize
	}
	if slots <= 0 || size < 64 || size > 1<<16 {
		panic(fmt.Sprintf("simport: pool of %d slots of %d bytes", slots, size))
	}
	size = (size + 63) &^ 63 // packets begin at cache lines, as in DPDK
	p := &Pool{
		arena:    newArena(slots * size),
		slots:    make([]slot, slots),
		slotSize: size,
		cacheMax: min(slots/32, 32) * 2,
		free:     make([]uint32, slots),
	}
	for i := range p.free {
		p.free[i] = uint32(slots - 1 - i) // the first is taken first
	}
	return p
}

// Close unmaps the memory. No port or IO of the pool may be used afterwards.
func (p *Pool) Close() { p.arena.close() }

// Slots returns the number of packets that the pool has room for.
func (p *Pool) Slots() int { return len(p.slots) }

// SlotSize returns the room for one packet, in bytes.
func (p *Pool) SlotSize() int { return p.slotSize }

// InUse returns the number of packets that are somewhere: with an lcore or in
// a queue. It counts slot by slot, so it is exact when nothing moves.
func (p *Pool) InUse() int {
	n := 0
	for i := range p.slots {
		if p.slots[i].state.Load() != slotFree {
			n++
		}
	}
	return n
}

// Leaks returns the handles of the packets that an lcore holds, at most max of
// them. At the end of a test, with the pipeline drained, there are none.
func (p *Pool) Leaks(max int) []uint64 {
	var out []uint64
	for i := range p.slots {
		if len(out) < max && p.slots[i].state.Load() == slotOwned {
			out = append(out, handle(uint32(i)))
		}
	}
	return out
}

// Frame returns the bytes of the packet that a handle stands for. It belongs to
// the packet's owner.
func (p *Pool) Frame(handle uint64) []byte {
	i := p.index(handle)
	return p.bytes(i)[:p.slots[i].len]
}

// A handle is never 0, so that a field that nobody set is found.
func handle(i uint32) uint64 { return uint64(i) + 1 }

func (p *Pool) index(handle uint64) uint32 {
	if handle == 0 || handle > uint64(len(p.slots)) {
		panic(fmt.Sprintf("simport: %#x is no handle of this pool", handle))
	}
	return uint32(handle - 1)
}

// bytes returns the whole room of a slot.
func (p *Pool) bytes(i uint32) []byte {
	at := int(i) * p.slotSize
	return p.arena.mem[at : at+p.slotSize : at+p.slotSize]
}

func (p *Pool) address(i uint32) uint64 { return p.arena.base + uint64(i)*uint64(p.slotSize) }

// move changes what a slot is doing, and panics if that was not from.
func (p *Pool) move(i, from, to uint32, doing string) {
	if was := p.slots[i].state.Swap(to); was != from {
		panic(fmt.Sprintf("simport: %s packet %#x, which is %s", doing, handle(i), slotStates[was]))
	}
}

// setLen sets the length of a packet in one segment.
func (p *Pool) setLen(i, n uint32) { p.slots[i].len, p.slots[i].first = n, n }

// cache is one goroutine's own stock of free slots.
type cache struct {
	pool *Pool
	idx  []uint32
	max  int // 0: every packet comes from the pool itself
}

func newCache(p *Pool) cache {
	return cache{pool: p, idx: make([]uint32, 0, p.cacheMax), max: p.cacheMax}
}

// get takes a free slot, which is then in state to.
func (c *cache) get(to uint32) (uint32, bool) {
	if len(c.idx) == 0 && !c.refill() {
		return 0, false
	}
	i := c.idx[len(c.idx)-1]
	c.idx = c.idx[:len(c.idx)-1]
	c.pool.move(i, slotFree, to, "allocate")
	return i, true
}

// put frees a slot that is in state from.
func (c *cache) put(i, from uint32, doing string) {
	c.pool.move(i, from, slotFree, doing)
	if len(c.idx) == c.max && c.max > 0 {
		c.flush()
	}
	c.idx = append(c.idx, i)
	if c.max == 0 {
		c.flush()
	}
}

func (c *cache) refill() bool {
	p := c.pool
	want := max(c.max/2, 1)
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(want, len(p.free))
	rest := len(p.free) - n
	c.idx = append(c.idx, p.free[rest:]...)
	p.free = p.free[:rest]
	return n > 0
}

// flush gives the older half back, and all where nothing may be kept.
func (c *cache) flush() {
	n := len(c.idx) - c.max/2
	p := c.pool
	p.mu.Lock()
	p.free = append(p.free, c.idx[:n]...)
	p.mu.Unlock()
	c.idx = c.idx[:copy(c.idx, c.idx[n:])]
}
