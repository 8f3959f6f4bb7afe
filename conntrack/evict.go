package conntrack

import (
	"sync/atomic"

	"github.com/nitrod/nitrod/internal/relaxed"
)

// A new session may end another one early (docs/semantics.md S1.8): where the
// table is full, where an allowance is used up, and where its originator has
// too many connections half open. What that costs is bounded: lists say who
// began the most sessions that can be spared and which of them is the oldest.
//
// A flood pays for itself: it is the ENI with the most candidates that loses
// one, whoever asks.

const (
	// A kind is passed over while the ENI's candidates are to more than seven
	// eighths of others: a handful of handshakes beside a flood of datagrams.
	kindShare = 8
	// At the responder's end candidates come from several originators. Of so
	// many of the oldest, the one goes whose originator has the most.
	lookAhead = 16
	// ENIs that makeRoom looks at, besides the worst one it knows of.
	lookAround = 8
	// Sessions that one new session may end for a budget that was lowered.
	halfOpenEnds = 2
)

// EvictEarly says whether sessions may be ended early where the table is full or
// an allowance is used up. It is called before the first Create.
func (t *Table) EvictEarly(on bool) { t.early = on }

// Keep says which sessions must not end early until it is called again:
// those that speak for the packet for which room is made. NoSession is none.
func (t *Table) Keep(a, b, c uint32) { t.kept = [3]uint32{a, b, c} }

func (t *Table) keeps(id uint32) bool {
	return id == t.kept[0] || id == t.kept[1] || id == t.kept[2]
}

// EndedEarly returns how many sessions of a kind were ended early. For all
// goroutines.
func (t *Table) EndedEarly(k Kind) uint64 { return atomic.LoadUint64(&t.ended[k]) }

// makeRoom sees to a record for a new session, and to its originator's budget of
// half-open connections.
func (t *Table) makeRoom(n *New) Result {
	if n.HalfOpen != 0 && kindOf(n.State, false) == HalfOpen && !t.halfOpenRoom(n) {
		return HalfOpenExceeded
	}
	if t.freed != 0 || int(t.high.Load()) < len(t.sessions) {
		return Created
	}
	if !t.early || t.candidates.n == 0 {
		return TableFull
	}
	id := t.victim(&t.candidates.enis[t.candidates.findWorst()], 0, nil)
	if id == NoSession {
		return TableFull
	}
	t.end(id)
	return Created
}

// halfOpenRoom brings the originator's half-open connections below its budget,
// and reports whether it could. Those of other lcores it cannot end.
func (t *Table) halfOpenRoom(n *New) bool {
	eni := n.Key.ENI()
	for range halfOpenEnds {
		if t.allowances.HalfOpen(eni) < uint64(n.HalfOpen) {
			return true
		}
		id := t.pick(&t.candidates.enis[eni].lists[0][HalfOpen-1], 0, nil)
		if id == NoSession {
			return false
		}
		t.end(id)
	}
	return t.allowances.HalfOpen(eni) < uint64(n.HalfOpen)
}

// HalfOpen returns how many connections that an ENI began are half open, in all
// tables.
func (a *Allowances) HalfOpen(eni uint16) (n uint64) {
	for _, t := range a.all() {
		n += uint64(atomic.LoadUint32(&t.candidates.enis[eni].lists[0][HalfOpen-1].n))
	}
	return n
}

// end ends a session early.
func (t *Table) end(id uint32) {
	k := t.candidates.links[id].kind()
	relaxed.Store64(&t.ended[k], t.ended[k]+1)
	t.Remove(id)
}

// findWorst returns the ENI that began the most candidates. An ENI that begins
// one is compared with the worst one known; those that have become the worst
// because that lost some are met by and by.
func (c *candidates) findWorst() uint16 {
	look := uint32(lookAround)
	if c.enis[c.worst].total(0) == 0 {
		look = c.high
	}
	most := c.enis[c.worst].total(0)
	for range min(look, c.high) {
		if c.hand++; c.hand >= c.high {
			c.hand = 0
		}
		if n := c.enis[c.hand].total(0); n > most {
			c.worst, most = uint16(c.hand), n
		}
	}
	return c.worst
}

// take counts a half of a new session against its allowance, where that is used
// up in the place of a session that ends early.
func (t *Table) take(h tracked) bool {
	if t.allowances.take(h.half) {
		return true
	}
	if !t.early {
		return false
	}
	lists, end := t.mostAt(h.half)
	if lists == nil {
		return false
	}
	id := t.victim(lists, end, &h.instance)
	if id == NoSession {
		return false
	}
	t.end(id)
	return t.allowances.take(h.half)
}

// mostAt returns the longest of the lists of an instance's ENIs whose sessions
// may end for the sake of h, and the end that they have in common. What an ENI
// is guaranteed it loses to nobody but itself.
func (t *Table) mostAt(h half) (lists *suspect, end int) {
	most := uint32(0)
	look := func(eni uint16) bool {
		if eni != h.eni && !t.allowances.aboveGuarantee(half{eni, h.instance}) {
			return true
		}
		e := &t.candidates.enis[eni]
		for side := range e.lists {
			if n := e.total(side); n > most {
				lists, end, most = e, side, n
			}
		}
		return true
	}
	look(h.eni)
	t.allowances.eachENI(h.instance, look)
	return lists, end
}

// victim chooses the session to end from an ENI's lists at an end: the kinds in
// their order, the oldest first. With an instance, only sessions that count
// against that one there.
func (t *Table) victim(e *suspect, end int, instance *uint16) uint32 {
	total := e.total(end)
	for _, least := range [2]uint32{(total + kindShare - 1) / kindShare, 1} {
		for k := range e.lists[end] {
			if l := &e.lists[end][k]; l.n >= least {
				if id := t.pick(l, end, instance); id != NoSession {
					return id
				}
			}
		}
	}
	return NoSession
}

// pick chooses from one list.
func (t *Table) pick(l *list, end int, instance *uint16) uint32 {
	best, most := NoSession, uint32(0)
	id := l.oldest
	for range min(l.n, lookAhead) {
		s := &t.sessions[id]
		if !t.keeps(id) && (instance == nil || s.countsAt(end, *instance)) {
			if end == 0 {
				return id // all have the same originator
			}
			if n := t.candidates.enis[s.Originator()].total(0); n > most {
				best, most = id, n
			}
		}
		id = t.candidates.links[id].at(end, after)
	}
	return best
}

// countsAt reports whether the session counts against an instance's allowance at
// an end.
func (s *Session) countsAt(end int, instance uint16) bool {
	return s.Tracked(end) && uint16(s.owners>>(48-16*end)) == instance
}

// Foresee says how Create would go now, after session old, if it is not nil, has
// ended. It does not see which of the candidates of an instance count against
// its allowance, and takes all for such; nor whether those that the budget of
// half-open connections costs make room in an allowance.
//
// Thread-safety: any goroutine.
func (t *Table) Foresee(n *New, old *Session) Result {
	c, room := &t.candidates, t.Len() < t.Cap() || old != nil
	if open := t.allowances.HalfOpen(n.Key.ENI()); n.HalfOpen != 0 && kindOf(n.State, false) == HalfOpen {
		own := atomic.LoadUint32(&c.enis[n.Key.ENI()].lists[0][HalfOpen-1].n)
		if old != nil && old.Originator() == n.Key.ENI() && kindOf(old.State(), old.Packets(1) != 0) == HalfOpen {
			open, own = open-1, own-1
		}
		if open >= uint64(n.HalfOpen)+uint64(min(own, halfOpenEnds)) {
			return HalfOpenExceeded
		}
		room = room || open >= uint64(n.HalfOpen)
	}
	if !room && (!t.early || atomic.LoadUint32(&c.n) == 0) {
		return TableFull
	}
	var gone [2]tracked
	var ended []tracked
	if old != nil {
		ended = old.halves(&gone)
	}
	return t.foreseeHalves(n, ended)
}

// ForeseeTrack says how Track would go now at the tracked halves of n.
//
// Thread-safety: any goroutine.
func (t *Table) ForeseeTrack(n *New) Result { return t.foreseeHalves(n, nil) }

func (t *Table) foreseeHalves(n *New, ended []tracked) Result {
	var fresh [2]tracked
	halves := n.halves(&fresh)
	end := t.allowances.lacks(halves, ended)
	if end < 0 {
		return Created
	}
	if t.early {
		for _, h := range halves {
			if h.end == end {
				if lists, _ := t.mostAt(h.half); lists != nil {
					return Created
				}
			}
		}
	}
	return AllowanceExceeded + Result(end)
}
