package pipeline

import (
	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
)

// What track says of a packet of a known session.
type trackResult uint8

const (
	trackRefuse trackResult = iota // m.Reason says why
	trackPass
	trackRenew // it opens a new connection in the place of this one
)

// track is the stage that follows a session's state, windows, time and counters
// with packet i of the burst.
func (w *Worker) track(i int, m *Meta, id uint32, dir int) trackResult {
	s := w.sessions.At(id)
	state := s.State()
	switch {
	case state.IsTCP():
		if m.TCPFlags&^(conntrack.PSH|ecn) == conntrack.ACK && m.Flags&flagFragment == 0 &&
			s.Follow(dir, m.Seq, m.Ack, m.Payload, m.Window) {
			break
		}
		if m.Flags&flagLater != 0 { // no flags to go by
			break
		}
		if r := w.trackTCP(i, m, id, dir); r != trackPass {
			return r
		}
	case dir == 1 && s.Packets(1) == 0:
		w.sessions.Answered(id)
	case state == conntrack.UDPSingle:
		if becomesStream(s, dir) {
			w.sessions.Enter(id, conntrack.UDPStream, w.timeout(conntrack.UDPStream, s.Originator(), s.Responder(), true), true)
		}
	}
	s.Count(dir, m.L3Len, w.millis)
	return trackPass
}

// ecn are TCP's flags of RFC 3168, which say nothing of the connection's state.
const ecn = 0xc0

// trackTCP is track for the segments of TCP that are not the load: it asks the
// state table and the windows, and follows them.
func (w *Worker) trackTCP(i int, m *Meta, id uint32, dir int) trackResult {
	s := w.sessions.At(id)
	state := s.State()
	g := segmentOf(m, w.burst.frame(i))
	next, standing := s.Judge(dir, &g, w.engine.cfg.LiberalWindows)
	switch {
	case next == conntrack.Renew:
		return trackRenew
	case standing == conntrack.Outside:
		m.Verdict, m.Reason = VerdictDrop, refusal(next, m.TCPFlags)
		return trackRefuse
	}
	s.Take(dir, &g, standing)
	if next != state || dir == 1 && s.Packets(1) == 0 {
		answered := dir == 1 || s.Packets(1) != 0
		w.sessions.Enter(id, next, w.timeout(next, s.Originator(), s.Responder(), answered), answered)
	}
	return trackPass
}

// trackFirst is track for the packet that has made its session, and its state.
func (w *Worker) trackFirst(i int, m *Meta, id uint32) {
	s := w.sessions.At(id)
	if s.State().IsTCP() && m.Flags&flagLater == 0 {
		g := segmentOf(m, w.burst.frame(i))
		s.Begin(&g)
	}
	s.Count(0, m.L3Len, w.millis)
}

// segmentOf returns what the windows need of a TCP segment whose frame begins
// with frame.
func segmentOf(m *Meta, frame []byte) conntrack.Segment {
	g := conntrack.Segment{
		Seq: m.Seq, Ack: m.Ack, Payload: m.Payload, Window: m.Window, Flags: m.TCPFlags,
		Scale: conntrack.NoScale, Partial: m.Flags&flagFragment != 0,
	}
	if m.TCPFlags&conntrack.SYN != 0 {
		g.Scale = windowScale(m, frame)
	}
	return g
}

// windowScale returns the scale that a SYN offers. Options that lie beyond the
// first segment are not read.
func windowScale(m *Meta, frame []byte) uint8 {
	tcp := packet.TCPHeader(frame[m.L4:])
	end := min(tcp.HeaderLen(), len(tcp))
	if o := packet.ParseTCPOptions(tcp[packet.TCPMinLen:end]); o.HasScale {
		return o.WindowScale
	}
	return conntrack.NoScale
}

// becomesStream reports whether a packet in direction dir makes more than one
// request and its response of a UDP flow (docs/semantics.md, connection
// tracking).
func becomesStream(s *conntrack.Session, dir int) bool {
	return s.Packets(dir) > 0 && s.Packets(1-dir) > 1
}

// refusal names the reason for which a segment stands outside: next is what the
// state table says of it.
func refusal(next conntrack.State, flags uint8) drop.Reason {
	switch {
	case !conntrack.ValidFlags(flags):
		return drop.TCPInvalidFlags
	case next == conntrack.Refuse:
		return drop.TCPSessionClosed
	}
	return drop.TCPOutOfWindow
}

// timeout returns the idle time of a session in a given state: for the states
// that AWS lets one set per ENI the shorter of both ends', since the end that
// forgets first is the one that refuses the next packet. A connection of which
// only one side was seen, as one that is picked up midstream, is established for
// no longer than one whose handshake is under way: nobody can hold a session for
// days by a packet of his own.
func (w *Worker) timeout(state conntrack.State, originator, responder uint16, answered bool) int64 {
	if state == conntrack.Established && !answered {
		state = conntrack.SynReceived
	}
	a, b := &w.enis[originator], &w.enis[responder]
	const second = 1_000_000_000
	switch state {
	case conntrack.Established:
		return int64(min(a.TCPEstablished, b.TCPEstablished)) * second
	case conntrack.UDPSingle:
		return int64(min(a.UDP, b.UDP)) * second
	case conntrack.UDPStream:
		return int64(min(a.UDPStream, b.UDPStream)) * second
	}
	return w.engine.cfg.Timeouts[state]
}
