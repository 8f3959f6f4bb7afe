package conntrack

import "sync/atomic"

// Allowances counts the tracked connections of every instance against its
// allowance (docs/semantics.md S1.6). A connection counts once for each half
// that is tracked.
//
// Thread-safety: any lcore may take and give back; limits may be changed at any
// time. These are the only counters that lcores share, and they are touched
// only when a session begins or ends.
//
// Limits: 65,536 instances.
type Allowances struct {
	instances [1 << 16]allowance
}

type allowance struct {
	limit atomic.Int64 // 0 is none
	used  atomic.Int64
	_     [48]byte // a cache line each
}

// NewAllowances returns counters without limits.
func NewAllowances() *Allowances { return new(Allowances) }

// SetLimit sets an instance's allowance; 0 is no limit. Sessions beyond a
// lowered limit stay.
func (a *Allowances) SetLimit(instance uint16, limit int64) {
	a.instances[instance].limit.Store(limit)
}

// Used returns how many connections an instance has.
func (a *Allowances) Used(instance uint16) int64 { return a.instances[instance].used.Load() }

// Available returns how many more connections an instance may have, never
// below zero, and whether it has a limit at all.
func (a *Allowances) Available(instance uint16) (int64, bool) {
	i := &a.instances[instance]
	limit := i.limit.Load()
	return max(0, limit-i.used.Load()), limit != 0
}

// Allows reports whether a connection between two instances, tracked at one of
// them or at both, would be within the allowances.
func (a *Allowances) Allows(instances [2]uint16, tracked [2]bool) bool {
	need := int64(1)
	if instances[0] == instances[1] && tracked[0] && tracked[1] {
		need = 2
	}
	for end, i := range instances {
		if left, limited := a.Available(i); tracked[end] && limited && left < need {
			return false
		}
	}
	return true
}

// takeBoth counts one connection for the instance of each tracked half, if the
// allowances have room for all.
func (a *Allowances) takeBoth(instances [2]uint16, tracked [2]bool) bool {
	if tracked[0] && !a.take(instances[0]) {
		return false
	}
	if tracked[1] && !a.take(instances[1]) {
		if tracked[0] {
			a.giveBack(instances[0])
		}
		return false
	}
	return true
}

func (a *Allowances) giveBoth(instances [2]uint16, tracked [2]bool) {
	for end, i := range instances {
		if tracked[end] {
			a.giveBack(i)
		}
	}
}

// take counts one connection for the instance, if its allowance has room.
func (a *Allowances) take(instance uint16) bool {
	i := &a.instances[instance]
	for {
		used := i.used.Load()
		if limit := i.limit.Load(); limit != 0 && used >= limit {
			return false
		}
		if i.used.CompareAndSwap(used, used+1) {
			return true
		}
	}
}

func (a *Allowances) giveBack(instance uint16) { a.instances[instance].used.Add(-1) }
