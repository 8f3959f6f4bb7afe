package conntrack

import (
	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/sigindex"
)

// Between is the sessions that speak for a packet from one ENI to another, each
// by its index, NoSession for none, and the packet's direction in it.
type Between struct {
	Main, Out, In          uint32
	MainDir, OutDir, InDir int
	// Main is the session between just the two, Out one that is tracked at the
	// sender, In one that is tracked at the receiver; the latter two are Main
	// where that is tracked there.
}

// NoBetween is that of a packet of no session.
var NoBetween = Between{Main: NoSession, Out: NoSession, In: NoSession}

// Part is one session of a Between.
type Part struct {
	ID  uint32
	Dir int
}

// Parts returns the sessions in it, each once. It does not allocate.
func (b *Between) Parts() []Part {
	all := [3]Part{{b.Main, b.MainDir}, {b.Out, b.OutDir}, {b.In, b.InDir}}
	n := 0
	for i, p := range all {
		if p.ID != NoSession && (i < 1 || p.ID != b.Main) && (i < 2 || p.ID != b.Out) {
			all[n] = p
			n++
		}
	}
	return all[:n]
}

// consider adds session id if it has a say.
func (b *Between) consider(id uint32, s *Session, k *hash.FlowKey, vpc, to uint16, now int64) {
	if s.Over(now) {
		return
	}
	for dir, is := range s.ways(k, vpc) {
		if !is {
			continue
		}
		from, at := s.End(dir) == k.ENI(), s.End(1-dir) == to
		if from && at && b.Main == NoSession {
			b.Main, b.MainDir = id, dir
		}
		if from && s.Tracked(dir) && (b.Out == NoSession || at) {
			b.Out, b.OutDir = id, dir
		}
		if at && s.Tracked(1-dir) && (b.In == NoSession || from) {
			b.In, b.InDir = id, dir
		}
	}
}

// Between returns the sessions that speak for a packet with the given key to ENI
// to. It is for packets whose own session, if there is one, does not say all:
// those that come back another way than they went, and flows that are tracked
// at one end only. It does not allocate.
func (t *Table) Between(h uint64, k *hash.FlowKey, vpc, to uint16, now int64) Between {
	b := NoBetween
	cur := t.index.Each(h)
	for id := cur.Next(); id != sigindex.None; id = cur.Next() {
		b.consider(id, &t.sessions[id], k, vpc, to, now)
	}
	return b
}

// LookupBetween is Between for another goroutine than the owner's. The sessions
// may have ended when it returns.
func (t *Table) LookupBetween(h uint64, k *hash.FlowKey, vpc, to uint16, now int64) Between {
	b := NoBetween
	var s Session
	cur := t.index.Each(h)
	for id := cur.Next(); id != sigindex.None; id = cur.Next() {
		if int(id) < len(t.sessions) && t.Read(id, &s) {
			b.consider(id, &s, k, vpc, to, now)
		}
	}
	return b
}
