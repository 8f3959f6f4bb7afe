// Package conntrack keeps the sessions of the data plane: which connections
// exist, in what state, since when, and how much went each way.
//
// Every lcore owns one Table with the sessions of the shards it owns. The
// pipeline decides what a packet means; this package knows records, the TCP
// state table, timeouts and allowances, and nothing of ports or policy.
package conntrack

import (
	"errors"
	"strconv"
	"sync/atomic"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/hugemem"
	"github.com/nitrod/nitrod/internal/prefetch"
	"github.com/nitrod/nitrod/internal/sigindex"
)

// NoSession is the index of no session.
const NoSession = sigindex.None

// Table holds one lcore's sessions.
//
// Thread-safety: one writer, the owning lcore. Other goroutines may call Read,
// Lookup, High and Len at any time.
//
// Limits: the capacity is fixed, at most 134,217,727. Create refuses beyond it,
// or ends a session early (evict.go), but never an established connection.
// Expire removes idle sessions a few at a time; Find gives none that is expired,
// so that the rate of Expire never changes a verdict.
//
// A session takes 128 bytes of record, 14 of links and 16 of index where the
// capacity is a power of two, and at most 32 of index where it is not.
type Table struct {
	sessions   []Session
	freed      uint32 // the last record to become free, plus 1; each leads to the one before it
	index      *sigindex.Table
	allowances *Allowances
	candidates candidates
	early      bool      // EvictEarly
	kept       [3]uint32 // Keep
	high       atomic.Uint32
	live       atomic.Uint32
	ended      [NumKinds]uint64 // early, by kind
	hand       uint32
	lines      prefetch.Lines // of Expire, as is due
	due        [prefetch.Max]uint32

	sessionBlock *hugemem.Block[Session]
}

// NewTable returns an empty table for capacity sessions, whose connections
// count against allowances.
func NewTable(capacity int, allowances *Allowances) (*Table, error) {
	if capacity >= maxSessions {
		return nil, errors.New("conntrack: " + strconv.Itoa(capacity) + " sessions are too many for a table")
	}
	t := &Table{allowances: allowances}
	var err error
	if t.sessionBlock, err = hugemem.Alloc[Session](capacity); err != nil {
		return nil, err
	}
	if err = t.candidates.alloc(capacity); err == nil {
		t.index, err = sigindex.New(capacity)
	}
	if err != nil {
		_ = t.Free()
		return nil, err
	}
	t.sessions = t.sessionBlock.Items
	t.Keep(NoSession, NoSession, NoSession)
	allowances.join(t)
	return t, nil
}

// Free returns the memory. Nobody may use the table afterwards.
func (t *Table) Free() error {
	t.allowances.leave(t)
	t.sessions = nil
	err := t.sessionBlock.Free()
	if e := t.candidates.free(); err == nil {
		err = e
	}
	if t.index != nil {
		if e := t.index.Free(); err == nil {
			err = e
		}
	}
	return err
}

// Cap returns the capacity in sessions.
func (t *Table) Cap() int { return len(t.sessions) }

// Len returns the number of sessions, expired ones that Expire has not met
// included.
func (t *Table) Len() int { return int(t.live.Load()) }

// Memory says what kind of memory the sessions lie in.
func (t *Table) Memory() hugemem.Kind { return t.sessionBlock.Kind }

// At returns the record with a given index, whatever its incarnation.
func (t *Table) At(id uint32) *Session { return &t.sessions[id] }

// Find returns the session to which a packet with the given key belongs, and
// the packet's direction in it, or NoSession. A session found over by time is
// removed.
func (t *Table) Find(h uint64, k *hash.FlowKey, vpc uint16, now int64) (id uint32, dir int) {
	id, dir, _ = t.FindAlone(h, k, vpc, now)
	return id, dir
}

// FindAlone is Find; where there is no session it also says whether there is for
// certain none that Between would give.
func (t *Table) FindAlone(h uint64, k *hash.FlowKey, vpc uint16, now int64) (id uint32, dir int, alone bool) {
	alone = true
	cur := t.index.Each(h)
	for id = cur.Next(); id != sigindex.None; id = cur.Next() {
		s := &t.sessions[id]
		if dir = s.dirOf(k, vpc); dir < 0 {
			alone = false
			continue
		}
		if s.Over(now) {
			t.Remove(id)
			return NoSession, 0, false
		}
		return id, dir, false
	}
	return NoSession, 0, alone
}

// Result says how Create went.
type Result uint8

// The results of Create.
const (
	Created                    Result = iota
	TableFull                         // the table or the key's buckets are full
	AllowanceExceeded                 // the originator's instance has used up its allowance
	ResponderAllowanceExceeded        // the responder's instance has
	HalfOpenExceeded                  // the originator has begun too many connections
)

// New describes a session to create.
type New struct {
	Key                 hash.FlowKey // of the first packet
	Hash                uint64
	Responder           uint16 // ENI
	VPC                 uint16
	Instances           [2]uint16 // of originator and responder
	Tracked             [2]bool   // at the originator's and the responder's ENI; one of them at least
	Groups              [2]uint16 // that admitted the packet there, where tracked
	State               State
	Now, TimeoutNanosec int64
	HalfOpen            uint32 // connections that the originator may have half open; 0 is no limit
}

// halves returns the tracked halves, in a.
func (n *New) halves(a *[2]tracked) []tracked {
	all := a[:0]
	for end, eni := range [2]uint16{n.Key.ENI(), n.Responder} {
		if n.Tracked[end] {
			all = append(all, tracked{half{eni, n.Instances[end]}, end})
		}
	}
	return all
}

// Create makes a session, if need be in the place of one that ends early. There
// must be none with this key.
func (t *Table) Create(n *New) (uint32, Result) {
	if r := t.makeRoom(n); r != Created {
		return NoSession, r
	}
	var array [2]tracked
	halves := n.halves(&array)
	for i, h := range halves {
		if !t.take(h) {
			t.giveBack(halves[:i])
			return NoSession, AllowanceExceeded + Result(h.end)
		}
	}
	id := t.freed - 1
	if t.freed == 0 {
		id = t.high.Load()
	}
	if !t.index.Insert(n.Hash, id) {
		t.giveBack(halves)
		return NoSession, TableFull
	}
	if t.freed == 0 {
		t.high.Store(id + 1)
	} else {
		t.freed = t.candidates.links[id].at(0, before)
	}
	s := &t.sessions[id]
	s.put(n)
	s.publish(n)
	t.candidates.enlist(id, s, kindOf(n.State, false))
	t.live.Add(1)
	return id, Created
}

func (t *Table) giveBack(halves []tracked) {
	for _, h := range halves {
		t.allowances.giveBack(h.half)
	}
}

// Enter changes a session's state and the idle time, in nanoseconds, that goes
// with it. answered says whether the responder has sent anything.
func (t *Table) Enter(id uint32, state State, timeout int64, answered bool) {
	s, c := &t.sessions[id], &t.candidates
	s.enter(state, timeout)
	if k := kindOf(state, answered); k != c.links[id].kind() {
		c.strike(id, s)
		c.enlist(id, s, k)
	}
}

// Answered says that the responder has sent its first packet, where that does
// not change the state.
func (t *Table) Answered(id uint32) {
	s := &t.sessions[id]
	if k := kindOf(s.State(), true); k != t.candidates.links[id].kind() {
		t.candidates.strike(id, s)
		t.candidates.enlist(id, s, k)
	}
}

// Track begins to track a session at an end, 0 the originator's or 1 the
// responder's, where it was not; group is the security group that admits it
// there. The session must be one that Keep names.
func (t *Table) Track(id uint32, end int, group uint16) Result {
	s := &t.sessions[id]
	if s.Tracked(end) {
		return Created
	}
	originator, responder := s.Instances()
	h := tracked{half{s.End(end), [2]uint16{originator, responder}[end]}, end}
	if !t.take(h) {
		return AllowanceExceeded + Result(end)
	}
	s.SetGroup(end, group)
	s.track(end)
	t.candidates.extend(id, s)
	return Created
}

// Remove ends a live session.
func (t *Table) Remove(id uint32) {
	s := &t.sessions[id]
	t.candidates.strike(id, s)
	var array [2]tracked
	t.giveBack(s.halves(&array))
	atomic.StoreUint64(&s.head, uint64(s.Incarnation()+1)<<32)
	t.index.Remove(s.place&hashMask, id)
	t.candidates.links[id].set(0, before, t.freed)
	t.freed = id + 1
	t.live.Add(^uint32(0))
}

// Expire looks at the next n records and ends those idle for too long at time
// now. It returns how many it ended. Where there are many it stops early, at
// maxExpired or a little above, and goes on from there the next time.
func (t *Table) Expire(now int64, n int) int {
	high, ended := t.high.Load(), 0
	for left := min(n, int(high)); left > 0 && ended < maxExpired; {
		// In groups: where a session stands in the index is anywhere in memory, and
		// the misses of a group overlap.
		group, found := min(left, len(t.due)), 0
		left -= group
		for range group {
			if t.hand >= high {
				t.hand = 0
			}
			if s := &t.sessions[t.hand]; s.Live() && s.Over(now) {
				t.lines[found], t.due[found] = t.index.Address(s.place&hashMask), t.hand
				found++
			}
			t.hand++
		}
		prefetch.First(&t.lines, found)
		for _, id := range t.due[:found] {
			t.Remove(id)
		}
		ended += found
	}
	return ended
}

// maxExpired bounds what one call of Expire costs. Called every 100 us it allows
// 2.5 million ends a second.
const maxExpired = 256

// High returns a bound for Read: records at and above were never used.
func (t *Table) High() uint32 { return t.high.Load() }

// Read copies record id for another goroutine than the owner's and reports
// whether it is a live session.
func (t *Table) Read(id uint32, s *Session) bool {
	for range 64 {
		if s.copyFrom(&t.sessions[id]) {
			return true
		}
		if !s.Live() {
			return false
		}
	}
	return false // ended and begun anew all the time: as good as gone
}

// Lookup is Find for another goroutine than the owner's: it copies the session
// and returns the packet's direction in it, or -1. It gives an expired session
// too, as long as the owner has not met it.
func (t *Table) Lookup(h uint64, k *hash.FlowKey, vpc uint16, s *Session) (id uint32, dir int) {
	cur := t.index.Each(h)
	for id = cur.Next(); id != sigindex.None; id = cur.Next() {
		if int(id) >= len(t.sessions) || !t.Read(id, s) {
			continue
		}
		if dir = s.dirOf(k, vpc); dir >= 0 {
			return id, dir
		}
	}
	return NoSession, -1
}
