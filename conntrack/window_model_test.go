package conntrack

import (
	"testing"

	"pgregory.net/rapid"
)

// A model of how ends move data: windows that are scaled, shut and opened again,
// losses, repetitions by holes (as with selective acknowledgements) or from the
// first hole on (as without), probes and keepalives. Numbers are 64 bits wide
// and are cut only when sent, so that they wrap around.
type mover struct {
	una, nxt, edge uint64 // of what it sends: not acknowledged, next, as far as the peer has room
	finished       bool   // with a FIN as the last

	rcv     uint64            // next to receive
	early   map[uint64]uint64 // received behind a hole, from and to
	buffer  uint64            // how much it can take
	unread  uint64
	scale   uint8
	sacks   bool
	sacked  map[uint64]uint64 // what the peer has behind holes, as far as it has said
	out, in []moved           // sent, and past the session
}

type moved struct {
	g        Segment
	seq, end uint64
	ack      uint64
	edge     uint64
	early    map[uint64]uint64
}

// emit sends the piece from seq to end.
func (m *mover) emit(seq, end uint64, flags uint8) {
	raw := uint16((m.buffer - m.unread) >> m.scale)
	s := moved{seq: seq, end: end, ack: m.rcv, edge: m.rcv + uint64(raw)<<m.scale}
	s.g = Segment{Seq: uint32(seq), Ack: uint32(m.rcv), Payload: uint16(end - seq), Window: raw, Flags: flags | ACK, Scale: NoScale}
	if flags&FIN != 0 {
		s.g.Payload--
	}
	if m.sacks {
		s.early = map[uint64]uint64{}
		for from, to := range m.early {
			s.early[from] = to
		}
	}
	m.out = append(m.out, s)
}

func (m *mover) receive(s moved) {
	if s.ack > m.una && s.ack <= m.nxt {
		m.una = s.ack
	}
	m.edge = max(m.edge, s.edge)
	if s.early != nil {
		m.sacked = s.early
	}
	if s.end == s.seq {
		if s.seq < m.rcv { // a keepalive or a probe
			m.emit(m.nxt, m.nxt, 0)
		}
		return
	}
	if room := m.buffer - m.unread; s.seq <= m.rcv+room && s.end > m.rcv {
		s.end = min(s.end, m.rcv+room)
		m.early[s.seq] = max(m.early[s.seq], s.end)
		for again := true; again; {
			again = false
			for from, to := range m.early {
				if from > m.rcv {
					continue
				}
				if delete(m.early, from); to > m.rcv {
					m.unread += to - m.rcv
					m.rcv, again = to, true
				}
			}
		}
	}
	m.emit(m.nxt, m.nxt, 0)
}

// piece draws the end of a piece of data that begins at from.
func piece(t *rapid.T, from, to uint64) uint64 {
	n := rapid.SampledFrom([]uint64{1, 536, 1460, 8948, 65495}).Draw(t, "bytes")
	return min(to, from+n)
}

// step lets an end do something of its own.
func (m *mover) step(t *rapid.T) {
	switch rapid.SampledFrom([]string{"send", "send", "repeat", "read", "read", "probe", "keepalive", "finish"}).Draw(t, "does") {
	case "send":
		for range rapid.IntRange(1, 8).Draw(t, "segments") {
			if !m.finished && m.nxt < m.edge {
				end := piece(t, m.nxt, m.edge)
				m.emit(m.nxt, end, PSH)
				m.nxt = end
			}
		}
	case "repeat":
		m.repeat(t)
	case "read":
		m.unread -= rapid.Uint64Range(0, m.unread).Draw(t, "read")
		m.emit(m.nxt, m.nxt, 0)
	case "probe": // of a window that is shut, as Linux does and as BSD does
		if !m.finished && m.una == m.nxt && m.nxt >= m.edge {
			m.emit(m.una-1, m.una-1, 0)
			m.emit(m.nxt, m.nxt+1, 0)
		}
	case "keepalive":
		if m.una == m.nxt {
			m.emit(m.nxt-1, m.nxt-1+rapid.Uint64Range(0, 1).Draw(t, "octets"), 0)
		}
	case "finish":
		if !m.finished && m.nxt < m.edge && rapid.IntRange(0, 2).Draw(t, "now") == 0 {
			m.emit(m.nxt, m.nxt+1, FIN)
			m.nxt, m.finished = m.nxt+1, true
		}
	}
}

// repeat sends again what is not acknowledged: all of it, or the holes.
func (m *mover) repeat(t *rapid.T) {
	data := m.nxt
	if m.finished {
		data--
	}
	for from := m.una; from < data; {
		if to, has := m.sacked[from]; has && m.sacks && to > from {
			from = to
			continue
		}
		end := piece(t, from, data)
		m.emit(from, end, 0)
		from = end
		if rapid.Bool().Draw(t, "enough") {
			return
		}
	}
	if m.finished && m.una < m.nxt {
		m.emit(data, m.nxt, FIN)
	}
}

// movers are two ends and the session between them, past the handshake.
func movers(t *rapid.T) (ends [2]*mover, s *Session) {
	var iss [2]uint64
	scales := rapid.Bool().Draw(t, "scales")
	for i := range ends {
		// Near the place where numbers wrap around, or anywhere.
		iss[i] = 1<<32 + uint64(rapid.SampledFrom([]uint32{0, ^uint32(0) - 3000, 1<<31 - 1000, rapid.Uint32().Draw(t, "any")}).Draw(t, "iss"))
		m := &mover{una: iss[i] + 1, nxt: iss[i] + 1, early: map[uint64]uint64{}, sacks: rapid.Bool().Draw(t, "sacks")}
		m.buffer = rapid.SampledFrom([]uint64{1, 700, 5000, 65535}).Draw(t, "buffer")
		if scales {
			m.scale = uint8(rapid.SampledFrom([]int{0, 1, 7, 14}).Draw(t, "scale"))
			m.buffer <<= m.scale
		}
		ends[i] = m
	}
	s = &Session{}
	s.publish(&New{State: SynSent})
	for i, m := range ends {
		peer := ends[1-i]
		g := Segment{Seq: uint32(iss[i]), Window: uint16(min(m.buffer, 65535)), Flags: SYN, Scale: NoScale}
		if scales {
			g.Scale = m.scale
		}
		if peer.rcv = iss[i] + 1; i == 0 {
			s.Begin(&g)
			continue
		}
		g.Flags, g.Ack = SYN|ACK, uint32(iss[0]+1)
		next, standing := s.Judge(1, &g, false)
		if standing != Inside {
			t.Fatalf("the SYN-ACK stands %d", standing)
		}
		s.Take(1, &g, standing)
		s.enter(next, 0)
	}
	for i, m := range ends { // the SYN's window is not scaled
		m.edge = m.nxt + min(ends[1-i].buffer, 65535)
	}
	ends[0].emit(ends[0].nxt, ends[0].nxt, 0)
	return ends, s
}

// pass lets the session judge a segment in direction dir, by the short way first.
func pass(s *Session, dir int, g *Segment) Standing {
	if g.Flags&^PSH == ACK && s.Follow(dir, g.Seq, g.Ack, g.Payload, g.Window) {
		return Inside
	}
	next, standing := s.Judge(dir, g, false)
	if standing != Outside {
		s.Take(dir, g, standing)
		s.enter(next, 0)
	}
	return standing
}

// Whatever is lost, repeated, overtaken and probed: what an end sends passes,
// and nearly all that somebody else sends who does not see the connection does
// not.
func TestMovedDataPasses(t *testing.T) {
	states := map[State]int{}
	rapid.Check(t, func(t *rapid.T) {
		ends, s := movers(t)
		for range rapid.IntRange(1, 250).Draw(t, "steps") {
			i := rapid.IntRange(0, 1).Draw(t, "end")
			m := ends[i]
			switch what := rapid.SampledFrom([]string{"act", "track", "track", "deliver", "deliver", "lose", "strange"}).Draw(t, "what"); {
			case what == "act":
				m.step(t)
			case what == "track" && len(m.out) > 0:
				m.track(t, s, i)
				states[s.State()]++
			case (what == "deliver" || what == "lose") && len(m.in) > 0:
				at := rapid.IntRange(0, len(m.in)-1).Draw(t, "which")
				p := m.in[at]
				if what == "lose" || rapid.IntRange(0, 9).Draw(t, "twice") != 0 {
					m.in = append(m.in[:at:at], m.in[at+1:]...)
				}
				if what == "deliver" {
					ends[1-i].receive(p)
				}
			case what == "strange":
				strange(t, s, i, m)
			}
		}
		closes(t, s, ends)
	})
	for _, state := range []State{SynReceived, Established, FinOriginator, FinResponder} {
		if states[state] == 0 {
			t.Errorf("no data moved in %v", state)
		}
	}
}

// track takes the next segment past the session.
func (m *mover) track(t *rapid.T, s *Session, dir int) {
	p := m.out[0]
	m.out = m.out[1:]
	if standing := pass(s, dir, &p.g); standing != Inside {
		t.Fatalf("end %d's %+v stands %d in %v, windows %x", dir, p.g, standing, s.State(), s.seq)
	}
	m.in = append(m.in, p)
}

// closes has both ends finish, with no more losses, and wants the connection
// closed in order.
func closes(t *rapid.T, s *Session, ends [2]*mover) {
	for range 20 {
		for i, m := range ends {
			m.unread = 0
			m.emit(m.nxt, m.nxt, 0)
			if m.repeat(t); !m.finished && m.nxt < m.edge {
				m.emit(m.nxt, m.nxt+1, FIN)
				m.nxt, m.finished = m.nxt+1, true
			}
			for len(m.out) > 0 {
				m.track(t, s, i)
			}
			for ; len(m.in) > 0; m.in = m.in[1:] {
				ends[1-i].receive(m.in[0])
			}
		}
	}
	if a, b := ends[0], ends[1]; a.una == a.nxt && b.una == b.nxt && s.State() != TimeWait {
		t.Fatalf("all is acknowledged, and the session is %v, windows %x", s.State(), s.seq)
	}
}

// strange is a segment of one who knows the ports alone: far off in one number
// or in both.
func strange(t *rapid.T, s *Session, dir int, m *mover) {
	far := rapid.Uint32Range(1<<31-1<<29, 1<<31+1<<29)
	g := Segment{Seq: uint32(m.nxt), Ack: uint32(m.rcv), Flags: rapid.SampledFrom([]uint8{ACK, ACK | PSH, FIN | ACK, RST}).Draw(t, "flags"), Scale: NoScale}
	if g.Flags == RST || rapid.Bool().Draw(t, "by sequence") {
		g.Seq += far.Draw(t, "off")
	} else {
		g.Ack += far.Draw(t, "off")
	}
	before := *s
	standing := pass(s, dir, &g)
	if s.State() == SynReceived && standing == Aside && g.Flags&RST != 0 || g.Flags&RST != 0 && g.Seq == 0 {
		return // its receiver ignores it
	}
	// Windows of the largest scale are a quarter of all numbers.
	if standing != Outside && max(s.room(0), s.room(1)) < 1<<28 || *s != before && standing == Outside {
		t.Fatalf("%+v stands %d in %v, windows %x", g, standing, before.State(), before.seq)
	}
}

// The short way for the load against the long one: what it takes is Inside and
// noted alike, and where all is known it takes all that is.
func TestFollowTwin(t *testing.T) {
	taken := 0
	rapid.Check(t, func(t *rapid.T) {
		near := rapid.SampledFrom([]uint32{0, 1, 2, 1460, 65535, 65536, 66000, 66001, 66002, 1 << 20, 1 << 30, 1<<30 + 1, 1 << 31, ^uint32(0), ^uint32(1), ^uint32(65999), ^uint32(66000), ^uint32(1 << 20)})
		base := [2]uint32{rapid.Uint32().Draw(t, "base"), rapid.Uint32().Draw(t, "base")}
		var s Session
		s.publish(&New{State: rapid.SampledFrom([]State{Established, Established, Established, Established, SynReceived, FinOriginator}).Draw(t, "state")})
		for dir := range 2 {
			s.setSent(dir, base[dir]+near.Draw(t, "end"), base[1-dir]+near.Draw(t, "ack"))
			s.setWindow(dir, rapid.SampledFrom([]uint16{0, 1, 1000, 65535}).Draw(t, "window"))
			s.setScale(dir, uint8(rapid.IntRange(0, NoScale).Draw(t, "scale")))
			s.setMark(dir, rapid.SampledFrom([]uint64{markSeen, markSeen, markSeen, markSeen | markLoose, markSeen | markAsked, 0}).Draw(t, "marks"))
		}
		dir := rapid.IntRange(0, 1).Draw(t, "dir")
		g := Segment{Seq: base[dir] + near.Draw(t, "seq"), Ack: base[1-dir] + near.Draw(t, "acks"), Payload: rapid.SampledFrom([]uint16{0, 1, 1460, 65495}).Draw(t, "payload"),
			Window: rapid.Uint16().Draw(t, "announced"), Flags: ACK, Scale: NoScale}
		short, long := s, s
		next, standing := long.Judge(dir, &g, false)
		if !short.Follow(dir, g.Seq, g.Ack, g.Payload, g.Window) {
			known := s.head&markAll == markSeen|markSeen<<1 && s.State() == Established
			if short != s || known && standing == Inside {
				t.Fatalf("%+v stands %d in %+v; the short way leaves %+v", g, standing, s, short)
			}
			return
		}
		taken++
		long.Take(dir, &g, standing)
		if standing != Inside || next != Established || short != long {
			t.Fatalf("%+v stands %d in %+v: %+v by the short way, %+v by the long one", g, standing, s, short, long)
		}
	})
	if taken == 0 {
		t.Error("the short way took nothing")
	}
}

func BenchmarkFollow(b *testing.B) {
	var s Session
	s.publish(&New{State: Established})
	for dir := range 2 {
		s.setMark(dir, markSeen)
		s.setWindow(dir, 500)
		s.setScale(dir, 7)
	}
	n, refused := uint32(0), 0
	for b.Loop() { // data one way, an acknowledgement for each
		if !s.Follow(0, n, 0, 1460, 500) || !s.Follow(1, 0, n+1460, 0, 500) {
			refused++
		}
		n += 1460
	}
	if refused != 0 {
		b.Fatal(refused)
	}
}
