package pipeline

import (
	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/drop"
)

// What track says of a packet of a known session.
type trackResult uint8

const (
	trackRefuse trackResult = iota // m.Reason says why
	trackPass
	trackRenew // it opens a new connection in the place of this one
)

// track is the stage that follows a session's state, time and counters.
func (w *Worker) track(m *Meta, id uint32, dir int) trackResult {
	s := w.sessions.At(id)
	state := s.State()
	switch {
	case state.IsTCP():
		if m.Flags&flagLater != 0 { // no flags to go by
			break
		}
		next := conntrack.NextTCP(state, dir, m.TCPFlags)
		if next == state && (dir == 0 || s.Packets(1) != 0) {
			break
		}
		answered := dir == 1 || s.Packets(1) != 0
		switch next {
		case conntrack.Renew:
			return trackRenew
		case conntrack.Refuse:
			m.Verdict, m.Reason = VerdictDrop, refusal(state, m.TCPFlags)
			return trackRefuse
		}
		w.sessions.Enter(id, next, w.timeout(next, s.Originator(), s.Responder(), answered), answered)
	case dir == 1 && s.Packets(1) == 0:
		w.sessions.Answered(id)
	case state == conntrack.UDPSingle:
		if becomesStream(s, dir) {
			w.sessions.Enter(id, conntrack.UDPStream, w.timeout(conntrack.UDPStream, s.Originator(), s.Responder(), true), true)
		}
	}
	s.Count(dir, m.L3Len, w.now)
	return trackPass
}

// becomesStream reports whether a packet in direction dir makes more than one
// request and its response of a UDP flow (docs/semantics.md, connection
// tracking).
func becomesStream(s *conntrack.Session, dir int) bool {
	return s.Packets(dir) > 0 && s.Packets(1-dir) > 1
}

// refusal names the reason for which TCP's state table refuses flags.
func refusal(state conntrack.State, flags uint8) drop.Reason {
	if conntrack.ValidFlags(flags) {
		return drop.TCPSessionClosed
	}
	return drop.TCPInvalidFlags
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
