package conntrack

import (
	"slices"
	"testing"

	"github.com/nitrod/nitrod/hash"
	"pgregory.net/rapid"
)

// tuple is a packet's identity, spelled out.
type tuple struct {
	src, dst         hash.Addr
	srcPort, dstPort uint16
	proto            uint8
	v6               bool
	vpc              uint16
	sender           uint16
}

func (p tuple) key(routed bool) hash.FlowKey {
	flags := hash.KeyIPv4
	if p.v6 {
		flags = hash.KeyIPv6
	}
	if routed {
		flags |= hash.KeyRouted
	}
	return hash.FlowKey{Src: p.src, Dst: p.dst, Tail: hash.Tail(p.srcPort, p.dstPort, p.sender, p.proto, flags)}
}

func (p tuple) replyBy(responder uint16) tuple {
	p.src, p.dst, p.srcPort, p.dstPort, p.sender = p.dst, p.src, p.dstPort, p.srcPort, responder
	return p
}

// poorHash gives both directions of a flow one of three hashes.
func (p tuple) poorHash() uint64 { return (p.src.Lo + p.dst.Lo) % 3 * 0x0001_0000_0000_0005 }

// twinSession is what a session should be.
type twinSession struct {
	id          uint32
	incarnation uint32
	first       tuple
	new         New
	state       State
	timeout     int64
	last        int64
	packets     [2]uint64
	bytes       [2]uint64
	kind        Kind
	since       int // when it became one of that kind
}

// candidate notes the kind that the session should be of by now.
func (w *twin) candidate(s *twinSession) {
	k := Kept
	switch {
	case s.state == SynSent, s.state == SynReceived, s.state == Established && s.packets[1] == 0:
		k = HalfOpen
	case s.state.IsTCP() && s.state != Established:
		k = Closing
	case !s.state.IsTCP() && s.state != UDPStream && s.packets[1] == 0:
		k = OneWay
	}
	if w.moment++; k != s.kind {
		s.kind, s.since = k, w.moment
	}
}

func (s *twinSession) expired(now int64) bool {
	return now/millisecond > (s.last+s.timeout)/millisecond
}

// twin is a Table as a list.
type twin struct {
	live   []*twinSession
	gone   []*twinSession
	now    int64
	moment int
}

func (w *twin) find(p tuple) (*twinSession, int) {
	for _, s := range w.live {
		switch {
		case p == s.first:
			return s, 0
		case p == s.first.replyBy(s.new.Responder):
			return s, 1
		}
	}
	return nil, -1
}

func (w *twin) remove(s *twinSession) {
	for i := range w.live {
		if w.live[i] == s {
			w.live = append(w.live[:i], w.live[i+1:]...)
			w.gone = append(w.gone, s)
			return
		}
	}
}

func (w *twin) used(instance uint16) (n int64) {
	for _, s := range w.live {
		for end, i := range s.new.Instances {
			if i == instance && s.new.Tracked[end] {
				n++
			}
		}
	}
	return n
}

const twinInstances = 3

func drawTimeout(t *rapid.T) int64 {
	return rapid.SampledFrom([]int64{0, 10, 100}).Draw(t, "timeout") * millisecond
}

func drawTuple(t *rapid.T) tuple {
	addr := rapid.Uint64Range(1, 3)
	port := rapid.Uint16Range(1, 2)
	return tuple{
		src: hash.Addr{Lo: addr.Draw(t, "src")}, dst: hash.Addr{Lo: addr.Draw(t, "dst")},
		srcPort: port.Draw(t, "src port"), dstPort: port.Draw(t, "dst port"),
		proto: rapid.SampledFrom([]uint8{protoTCP, protoUDP}).Draw(t, "proto"),
		v6:    rapid.Bool().Draw(t, "v6"), vpc: rapid.Uint16Range(1, 2).Draw(t, "vpc"),
		sender: rapid.Uint16Range(1, 3).Draw(t, "sender"),
	}
}

// check asks table and twin the same and returns the twin's session.
func (w *twin) check(t *rapid.T, tab *Table, p tuple) (*twinSession, int) {
	k := p.key(rapid.Bool().Draw(t, "routed"))
	var copied Session
	readID, readDir := tab.Lookup(p.poorHash(), &k, p.vpc, &copied)
	id, dir := tab.Find(p.poorHash(), &k, p.vpc, w.now)
	s, wantDir := w.find(p)
	if s != nil && s.expired(w.now) {
		if readID != s.id || !copied.Expired(w.now) {
			t.Fatalf("Lookup = %d, want the expired session %d", readID, s.id)
		}
		readID, readDir = NoSession, -1
		w.remove(s)
		s = nil
	}
	if s == nil {
		if id != NoSession || readID != NoSession || readDir != -1 {
			t.Fatalf("Find = %d and Lookup = %d, %d for a packet of no session: %+v", id, readID, readDir, p)
		}
		return nil, -1
	}
	if id != s.id || dir != wantDir {
		t.Fatalf("Find = %d, %d, want %d, %d", id, dir, s.id, wantDir)
	}
	if readID != id || readDir != dir || copied != *tab.At(id) {
		t.Fatalf("Lookup = %d, %d, %+v, Find's is %d, %d, %+v", readID, readDir, copied, id, dir, *tab.At(id))
	}
	return s, dir
}

func (w *twin) create(t *rapid.T, tab *Table) {
	first := drawTuple(t)
	responder := rapid.Uint16Range(1, 3).Draw(t, "responder")
	// No packet may belong to two sessions.
	if s, _ := w.check(t, tab, first); s != nil {
		return
	}
	if s, _ := w.check(t, tab, first.replyBy(responder)); s != nil {
		return
	}
	instance := rapid.Custom(func(t *rapid.T) uint16 { // mostly the ENI's own
		if i := rapid.Uint16Range(0, 2*twinInstances).Draw(t, "instance"); i < twinInstances {
			return i
		}
		return instanceOf(tab.allowances.enis[first.sender].state.Load())
	})
	n := New{
		Key: first.key(rapid.Bool().Draw(t, "routed")), Hash: first.poorHash(), Responder: responder, VPC: first.vpc,
		Groups:    [2]uint16{rapid.Uint16().Draw(t, "group"), rapid.Uint16().Draw(t, "responder's group")},
		Instances: [2]uint16{instance.Draw(t, "originator's"), instance.Draw(t, "responder's")},
		Tracked:   rapid.SampledFrom([][2]bool{{true, true}, {true, false}, {false, true}}).Draw(t, "tracked"),
		State:     State(rapid.Uint8Range(1, uint8(NumStates-1)).Draw(t, "state")),
		Now:       w.now, TimeoutNanosec: drawTimeout(t),
	}
	if rapid.Bool().Draw(t, "budget") {
		n.HalfOpen = rapid.Uint32Range(1, 5).Draw(t, "half open")
	}
	var array [2]tracked
	allows := tab.allowances.lacks(n.halves(&array), nil) < 0
	full, open := len(w.live) == tab.Cap(), 0
	for _, s := range w.live {
		if s.kind == HalfOpen && s.first.sender == first.sender {
			open++
		}
	}
	foreseen := tab.Foresee(&n, nil)
	id, result := tab.Create(&n)
	ended := w.endedEarly(t, tab, &n)
	tooMany := n.HalfOpen != 0 && kindOf(n.State, false) == HalfOpen && open >= int(n.HalfOpen)+halfOpenEnds
	switch {
	case (result == HalfOpenExceeded) != tooMany || (foreseen == HalfOpenExceeded) != tooMany:
		t.Fatalf("Create = %v, foreseen %v, with %d half open and a budget of %d", result, foreseen, open, n.HalfOpen)
	case tooMany:
	case result == Created && foreseen != Created && len(ended) == 0 || foreseen == Created && result > TableFull && !tab.early:
		t.Fatalf("Create = %v, foreseen was %v", result, foreseen)
	case full && len(ended) == 0 && result != TableFull:
		t.Fatalf("Create = %v in a full table", result)
	case result == TableFull && len(w.live) < min(8, tab.Cap()): // a bucket's slots
		t.Fatalf("Create refuses session %d of %d", len(w.live)+1, tab.Cap())
	case !full && len(ended) == 0 && result != TableFull && allows != (result == Created):
		t.Fatalf("Create = %v though the allowances say %v", result, allows)
	case result != Created && id != NoSession:
		t.Fatalf("Create = %v with id %d", result, id)
	case result == Created:
		s := &twinSession{id: id, incarnation: tab.At(id).Incarnation(), first: first, new: n,
			state: n.State, timeout: n.TimeoutNanosec, last: w.now}
		w.candidate(s)
		w.live = append(w.live, s)
	}
}

// endedEarly takes note of the sessions that Create ended for a new one, and
// checks that they could be spared and are the oldest of their like.
func (w *twin) endedEarly(t *rapid.T, tab *Table, n *New) (ended []*twinSession) {
	for i := len(w.live) - 1; i >= 0; i-- {
		if s := w.live[i]; tab.At(s.id).Incarnation() != s.incarnation {
			ended = append(ended, s)
			w.remove(s)
		}
	}
	for _, s := range ended {
		switch {
		case s.kind == Kept:
			t.Fatalf("session %d in state %v was ended for another", s.id, s.state)
		case !tab.early && (s.kind != HalfOpen || n.HalfOpen == 0 || s.first.sender != n.Key.ENI()):
			t.Fatalf("session %d, %v, was ended though that is not asked for", s.id, s.kind)
		}
	}
	if len(ended) == 1 && w.older(ended[0]) >= 2*lookAhead {
		t.Fatalf("session %d was ended with %d older ones of its kind", ended[0].id, w.older(ended[0]))
	}
	return ended
}

// older counts the live sessions that could be spared just as well for longer.
func (w *twin) older(of *twinSession) (n int) {
	for _, s := range w.live {
		if s.kind == of.kind && s.since < of.since && (s.first.sender == of.first.sender || s.new.Responder == of.new.Responder) {
			n++
		}
	}
	return n
}

func (w *twin) expire(t *rapid.T, tab *Table) {
	n := rapid.IntRange(0, 12).Draw(t, "records")
	ended := tab.Expire(w.now, n)
	if ended > n {
		t.Fatalf("Expire ended %d of %d records", ended, n)
	}
	for i := len(w.live) - 1; i >= 0; i-- {
		if s := w.live[i]; tab.At(s.id).Incarnation() != s.incarnation {
			if !s.expired(w.now) {
				t.Fatalf("Expire ended session %d, which has time until %d, at %d", s.id, s.last+s.timeout, w.now)
			}
			w.remove(s)
			ended--
		}
	}
	if ended != 0 {
		t.Fatalf("Expire's count is off by %d", ended)
	}
	if n >= int(tab.High()) {
		for _, s := range w.live {
			if s.expired(w.now) {
				t.Fatalf("Expire looked at all records and left %d, expired at %d, at %d", s.id, s.last+s.timeout, w.now)
			}
		}
	}
}

// candidates holds the lists of candidates against the sessions.
func (w *twin) candidates(t *rapid.T, tab *Table) {
	c, total := &tab.candidates, uint32(0)
	for eni := range uint16(4) {
		for end := range 2 {
			for k := HalfOpen; k < NumKinds; k++ {
				var want []*twinSession
				for _, s := range w.live {
					if s.kind == k && (end == 0 && s.first.sender == eni || end == 1 && s.new.Responder == eni && s.new.Tracked[1]) {
						want = append(want, s)
					}
				}
				slices.SortFunc(want, func(a, b *twinSession) int { return a.since - b.since })
				l := &c.enis[eni].lists[end][k-1]
				if int(l.n) != len(want) {
					t.Fatalf("ENI %d, end %d: %d sessions are %v, want %d", eni, end, l.n, k, len(want))
				}
				id := l.oldest
				for i, s := range want {
					if id != s.id || c.links[id].kind() != k || c.links[c.links[id].at(end, after)].at(end, before) != id {
						t.Fatalf("ENI %d, end %d, %v: session %d stands where %d should, as number %d", eni, end, k, id, s.id, i)
					}
					id = c.links[id].at(end, after)
				}
				if end == 0 {
					total += l.n
				}
			}
		}
	}
	if c.n != total {
		t.Fatalf("%d candidates in all, want %d", c.n, total)
	}
}

// compare holds every session against its twin.
func (w *twin) compare(t *rapid.T, tab *Table) {
	if tab.Len() != len(w.live) {
		t.Fatalf("Len = %d, want %d", tab.Len(), len(w.live))
	}
	for i := range uint16(twinInstances) {
		if got, want := tab.allowances.Used(i), w.used(i); got != want {
			t.Fatalf("instance %d has %d connections, want %d", i, got, want)
		}
	}
	for _, s := range w.gone {
		if at := tab.At(s.id); at.Incarnation() == s.incarnation {
			t.Fatalf("a reference to the ended session %d still holds", s.id)
		}
	}
	ids := map[uint32]bool{}
	for _, s := range w.live {
		var copied Session
		at := tab.At(s.id)
		if ids[s.id] || s.id >= tab.High() || !tab.Read(s.id, &copied) || copied != *at {
			t.Fatalf("session %d is not to be read as it is", s.id)
		}
		ids[s.id] = true
		originator, responder := at.Instances()
		got := twinSession{id: s.id, incarnation: at.Incarnation(), first: s.first, state: at.State(), timeout: at.Timeout(), last: at.Last(w.now),
			packets: [2]uint64{at.Packets(0), at.Packets(1)}, bytes: [2]uint64{at.Bytes(0), at.Bytes(1)}, kind: s.kind, since: s.since,
			new: New{Key: *at.Key(), Hash: s.new.Hash, Responder: at.Responder(), VPC: at.VPC(),
				Groups: [2]uint16{at.Group(0), at.Group(1)}, Instances: [2]uint16{originator, responder},
				Tracked: [2]bool{at.Tracked(0), at.Tracked(1)},
				State:   s.new.State, Now: s.new.Now, TimeoutNanosec: s.new.TimeoutNanosec, HalfOpen: s.new.HalfOpen}}
		if got != *s || at.Created() != s.new.Now/second*second || !at.Live() || at.Originator() != s.first.sender || at.Expired(w.now) != s.expired(w.now) {
			t.Fatalf("session %d is %+v, want %+v", s.id, got, *s)
		}
	}
	for id := range tab.High() {
		var copied Session
		if !ids[id] && (tab.At(id).Live() || tab.Read(id, &copied)) {
			t.Fatalf("record %d is live and is no session", id)
		}
	}
}

// A list is the twin. Three hashes for all make shared signatures, full buckets
// and overflow common; few addresses, ENIs and VPCs make near misses common.
func TestTableTwin(t *testing.T) {
	a := NewAllowances()
	rapid.Check(t, func(t *rapid.T) {
		for i := range uint16(twinInstances) {
			a.SetLimit(i, rapid.Int64Range(0, 30).Draw(t, "limit"))
		}
		for eni := range uint16(4) {
			a.SetENI(eni, rapid.Uint16Range(0, twinInstances-1).Draw(t, "instance of an ENI"), rapid.IntRange(0, 4).Draw(t, "guaranteed"))
		}
		tab, err := NewTable(rapid.SampledFrom([]int{1, 3, 12, 40}).Draw(t, "capacity"), a)
		if err != nil {
			t.Fatal(err)
		}
		w := &twin{now: second}
		defer func() {
			for _, s := range w.live {
				tab.Remove(s.id)
			}
			_ = tab.Free()
			for i := range uint16(twinInstances) {
				if a.Used(i) != 0 {
					t.Fatalf("instance %d keeps %d connections", i, a.Used(i))
				}
			}
			for eni := range uint16(4) {
				if a.UsedByENI(eni) != 0 {
					t.Fatalf("ENI %d keeps %d connections", eni, a.UsedByENI(eni))
				}
			}
		}()
		some := func(t *rapid.T) *twinSession {
			if len(w.live) == 0 {
				return nil
			}
			return rapid.SampledFrom(w.live).Draw(t, "session")
		}
		create := func(t *rapid.T) { w.create(t, tab) }
		for range dice.Draw(t, "to begin with") {
			create(t)
		}
		t.Repeat(map[string]func(*rapid.T){
			"create": create, "create again": create, "create more": create,
			"packet": func(t *rapid.T) { // of a session, where there is any
				p := drawTuple(t)
				if s := some(t); s != nil && rapid.Bool().Draw(t, "known") {
					p = s.first
					if rapid.Bool().Draw(t, "reply") {
						p = p.replyBy(s.new.Responder)
					}
					switch rapid.IntRange(0, 5).Draw(t, "near miss") {
					case 1:
						p.sender = p.sender%3 + 1
					case 2:
						p.vpc = 3 - p.vpc
					case 3:
						p.v6 = !p.v6
					}
				}
				if s, dir := w.check(t, tab, p); s != nil {
					n := rapid.Uint32().Draw(t, "bytes")
					if dir == 1 && s.packets[1] == 0 {
						tab.Answered(s.id)
					}
					tab.At(s.id).Count(dir, n, Millis(w.now))
					s.last = w.now
					s.packets[dir]++
					s.bytes[dir] += uint64(n)
					w.candidate(s)
				}
			},
			"enter": func(t *rapid.T) {
				if s := some(t); s != nil {
					s.state = State(rapid.Uint8Range(1, uint8(NumStates-1)).Draw(t, "state"))
					s.timeout = drawTimeout(t)
					tab.Enter(s.id, s.state, s.timeout, s.packets[1] != 0)
					w.candidate(s)
				}
			},
			"remove": func(t *rapid.T) {
				if s := some(t); s != nil {
					tab.Remove(s.id)
					w.remove(s)
				}
			},
			"expire": func(t *rapid.T) { w.expire(t, tab) },
			"time":   func(t *rapid.T) { w.now += rapid.Int64Range(0, 60).Draw(t, "ms") * millisecond },
			"": func(t *rapid.T) {
				w.compare(t, tab)
				w.candidates(t, tab)
			},
		})
	})
}
