package conntrack

import (
	"sync"
	"sync/atomic"
)

// Allowances counts the tracked connections of every instance against its
// allowance (docs/semantics.md S1.6). A connection counts once for each half
// that is tracked.
//
// An ENI may be guaranteed a part of its instance's allowance, which the others
// of the instance cannot use. So an instance has committed, of its allowance,
// for each of its ENIs what that uses or what it is guaranteed, whichever is
// more; an ENI within its guarantee needs a free connection, another one needs
// a free one that is committed to nobody.
//
// Thread-safety: any lcore may take and give back; limits may be changed at any
// time, by one goroutine. These are the only counters that lcores share, and
// they are touched only when a session begins or ends.
//
// Limits: 65,536 instances and as many ENIs; see MaxGuarantee.
type Allowances struct {
	instances [1 << 16]allowance
	enis      [1 << 16]share

	joining sync.Mutex // held while tables changes
	tables  atomic.Pointer[[]*Table]
}

// allowance is an instance's.
type allowance struct {
	limit atomic.Int64  // 0 is none
	state atomic.Uint64 // used (32) | committed (32)
	first atomic.Uint32 // of its ENIs, plus 1; 0 is none
	_     [44]byte      // a cache line each
}

// share is an ENI's part in its instance's allowance.
type share struct {
	state atomic.Uint64 // instance (16) | guaranteed (20) | used (28)
	next  atomic.Uint32 // of its instance's ENIs, plus 1; 0 is none
	in    uint32        // the instance in whose list it is, plus 1; the goroutine's that sets limits
	_     [48]byte      // a cache line each
}

// MaxGuarantee is the most that an ENI can be guaranteed.
const MaxGuarantee = 1<<guaranteeBits - 1

const (
	guaranteeBits = 20
	shareBits     = 28
	shareMask     = 1<<shareBits - 1

	oneUsed       = 1 << 32
	committedMask = 1<<32 - 1
)

func usedOf(state uint64) int64       { return int64(state & shareMask) }
func guaranteedOf(state uint64) int64 { return int64(state >> shareBits & MaxGuarantee) }
func instanceOf(state uint64) uint16  { return uint16(state >> (shareBits + guaranteeBits)) }

// NewAllowances returns counters without limits.
func NewAllowances() *Allowances { return new(Allowances) }

// SetLimit sets an instance's allowance; 0 is no limit. Sessions beyond a
// lowered limit stay.
func (a *Allowances) SetLimit(instance uint16, limit int64) {
	a.instances[instance].limit.Store(limit)
}

// SetENI says to which instance an ENI belongs, and how much of its allowance
// is guaranteed to it, at most MaxGuarantee. The guarantees of an instance fit
// its allowance. What an ENI uses of an instance that it leaves stays with that.
func (a *Allowances) SetENI(eni, instance uint16, guaranteed int) {
	a.move(eni, instance)
	e := &a.enis[eni]
	for {
		old := e.state.Load()
		used, left := usedOf(old), instanceOf(old)
		if left != instance {
			used = 0
		}
		state := uint64(instance)<<(shareBits+guaranteeBits) | uint64(guaranteed)<<shareBits | uint64(used)
		if !e.state.CompareAndSwap(old, state) {
			continue
		}
		had := max(usedOf(old), guaranteedOf(old))
		if left != instance {
			a.commit(left, usedOf(old)-had)
			had = 0
		}
		a.commit(instance, max(used, int64(guaranteed))-had)
		return
	}
}

// ForgetENI takes back what an ENI is guaranteed, because it is no more. What it
// uses stays with its instance.
func (a *Allowances) ForgetENI(eni uint16) {
	if instance := a.enis[eni].in; instance != 0 {
		a.SetENI(eni, uint16(instance-1), 0)
	}
}

// move puts an ENI in the list of its instance. Lcores may be walking the lists.
func (a *Allowances) move(eni, instance uint16) {
	e := &a.enis[eni]
	if e.in == uint32(instance)+1 {
		return
	}
	if e.in != 0 {
		at := &a.instances[e.in-1].first
		for at.Load() != uint32(eni)+1 {
			at = &a.enis[at.Load()-1].next
		}
		at.Store(e.next.Load())
	}
	first := &a.instances[instance].first
	e.next.Store(first.Load())
	first.Store(uint32(eni) + 1)
	e.in = uint32(instance) + 1
}

func (a *Allowances) commit(instance uint16, n int64) {
	if n != 0 {
		a.instances[instance].state.Add(uint64(n)) // never below zero, so that it stays in its half
	}
}

// Used returns how many connections an instance has.
func (a *Allowances) Used(instance uint16) int64 {
	return int64(a.instances[instance].state.Load() >> 32)
}

// UsedByENI returns how many of its instance's connections an ENI has.
func (a *Allowances) UsedByENI(eni uint16) int64 { return usedOf(a.enis[eni].state.Load()) }

// Available returns how many more connections an instance may have, never
// below zero, and whether it has a limit at all.
func (a *Allowances) Available(instance uint16) (int64, bool) {
	limit := a.instances[instance].limit.Load()
	return max(0, limit-a.Used(instance)), limit != 0
}

// AvailableToENI is Available for one ENI: without what is guaranteed to other
// ENIs of its instance and not used by them.
func (a *Allowances) AvailableToENI(eni uint16) (int64, bool) {
	e := a.enis[eni].state.Load()
	i := &a.instances[instanceOf(e)]
	limit, state := i.limit.Load(), i.state.Load()
	own := max(0, guaranteedOf(e)-usedOf(e))
	open := max(0, limit-int64(state&committedMask))
	return max(0, min(limit-int64(state>>32), own+open)), limit != 0
}

// half is one end of a connection: an ENI and the instance against whose
// allowance it counts there.
type half struct{ eni, instance uint16 }

// needs returns what one more connection of an ENI commits of its instance's
// allowance. It is asked with the ENI's state, which tells whether the ENI has
// been given to another instance meanwhile.
func (h half) needs(eni uint64) uint64 {
	if instanceOf(eni) == h.instance && usedOf(eni) < guaranteedOf(eni) {
		return 0
	}
	return 1
}

// take counts one connection of an ENI for its instance, if the allowance has
// room.
func (a *Allowances) take(h half) bool {
	i, e := &a.instances[h.instance], &a.enis[h.eni]
	for {
		eni, state := e.state.Load(), i.state.Load()
		need := h.needs(eni)
		if limit := uint64(i.limit.Load()); limit != 0 && (state>>32 >= limit || need != 0 && state&committedMask >= limit) {
			return false
		}
		if !i.state.CompareAndSwap(state, state+oneUsed+need) {
			continue
		}
		if instanceOf(eni) != h.instance || e.state.CompareAndSwap(eni, eni+1) {
			return true
		}
		i.state.Add(-(oneUsed + need))
	}
}

// giveBack is the opposite of take.
func (a *Allowances) giveBack(h half) {
	e := &a.enis[h.eni]
	frees := uint64(1)
	for {
		eni := e.state.Load()
		if instanceOf(eni) != h.instance || usedOf(eni) == 0 {
			break // taken before the ENI was given to another instance, or came back
		}
		if e.state.CompareAndSwap(eni, eni-1) {
			frees = h.needs(eni - 1)
			break
		}
	}
	a.instances[h.instance].state.Add(-(oneUsed + frees))
}

// aboveGuarantee reports whether an ENI uses more of an instance's allowance
// than it is guaranteed.
func (a *Allowances) aboveGuarantee(h half) bool {
	eni := a.enis[h.eni].state.Load()
	return instanceOf(eni) != h.instance || usedOf(eni) > guaranteedOf(eni)
}

// eachENI calls f with the ENIs of an instance until it returns false, but with
// no more than maxENIs: an instance has a few, and who asks has no time for
// more.
func (a *Allowances) eachENI(instance uint16, f func(eni uint16) bool) {
	at := a.instances[instance].first.Load()
	for n := 0; at != 0 && n < maxENIs && f(uint16(at-1)); n++ {
		at = a.enis[at-1].next.Load()
	}
}

const maxENIs = 64

// lacks returns the first end that a connection, tracked as new says, would
// find no room for after the sessions of old have ended; -1 if there is room.
// For goroutines other than lcores: it is right if nothing changes meanwhile.
func (a *Allowances) lacks(connection, old []tracked) int {
	type counts struct{ used, committed int64 }
	instances, enis := map[uint16]counts{}, map[uint16]uint64{}
	load := func(h half) (counts, uint64) {
		i, ok := instances[h.instance]
		if !ok {
			state := a.instances[h.instance].state.Load()
			i = counts{int64(state >> 32), int64(state & committedMask)}
		}
		e, ok := enis[h.eni]
		if !ok {
			e = a.enis[h.eni].state.Load()
		}
		return i, e
	}
	for _, o := range old {
		i, e := load(o.half)
		frees := uint64(1)
		if instanceOf(e) == o.instance && usedOf(e) != 0 {
			e--
			frees = o.needs(e)
		}
		instances[o.instance], enis[o.eni] = counts{i.used - 1, i.committed - int64(frees)}, e
	}
	for _, c := range connection {
		i, e := load(c.half)
		need := int64(c.needs(e))
		if limit := a.instances[c.instance].limit.Load(); limit != 0 && (i.used >= limit || need != 0 && i.committed >= limit) {
			return c.end
		}
		if instanceOf(e) == c.instance {
			e++
		}
		instances[c.instance], enis[c.eni] = counts{i.used + 1, i.committed + need}, e
	}
	return -1
}

// tracked is a tracked half: 0 the originator's, 1 the responder's.
type tracked struct {
	half
	end int
}

// join makes a table one of those that share the allowances; leave ends that.
func (a *Allowances) join(t *Table) {
	a.joining.Lock()
	defer a.joining.Unlock()
	tables := append([]*Table{t}, a.all()...)
	a.tables.Store(&tables)
}

func (a *Allowances) leave(t *Table) {
	a.joining.Lock()
	defer a.joining.Unlock()
	var rest []*Table
	for _, other := range a.all() {
		if other != t {
			rest = append(rest, other)
		}
	}
	a.tables.Store(&rest)
}

func (a *Allowances) all() []*Table {
	if p := a.tables.Load(); p != nil {
		return *p
	}
	return nil
}
