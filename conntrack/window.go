package conntrack

import "github.com/nitrod/nitrod/internal/relaxed"

// Segment is what the checks of TCP's windows need of one.
type Segment struct {
	Seq, Ack uint32
	Payload  uint16
	Window   uint16 // as it stands in the header
	Flags    uint8
	Scale    uint8 // that a SYN offers; NoScale if none
	Partial  bool  // a first fragment: there is more payload than Payload says
}

// NoScale is the scale of a direction that offers none, or whose SYN was not
// seen. RFC 7323 knows none above 14.
const NoScale = 15

// length returns how much of sequence space the segment takes.
func (g *Segment) length() uint32 {
	n := uint32(g.Payload)
	if g.Flags&SYN != 0 {
		n++
	}
	if g.Flags&FIN != 0 {
		n++
	}
	return n
}

// Standing is how a segment stands to the windows of its connection.
type Standing uint8

// The standings.
const (
	Outside Standing = iota // no part of the connection: to be dropped
	Aside                   // passes for its receiver to answer, and changes nothing
	Inside                  // part of the connection
	Anew                    // answers a SYN that passed aside: the windows begin anew with it
)

// What is remembered of the two directions, in the session's head, beside what
// Sent and Window return. A direction's mark is shifted by its number.
const (
	// markSeen: its numbers are known. A direction that was never seen, as where
	// the answers take another way, is not held to anything.
	markSeen = 1 << (2 * iota)
	// markLoose: it may have sent more than was seen, since its beginning was
	// not, or it sent a fragment. What its peer acknowledges was sent.
	markLoose
	// markAsked: it has sent a SYN that passed aside. If its peer lives it will be
	// challenged, else answered (RFC 9293, 3.10.7.4); nobody else can know which.
	markAsked

	markAll = 0x3f
)

func (s *Session) mark(dir int, m uint64) bool { return s.head>>(dir&1)&m != 0 }

func (s *Session) setMark(dir int, m uint64) { relaxed.Store64(&s.head, s.head|m<<(dir&1)) }

func (s *Session) clearMark(dir int, m uint64) { relaxed.Store64(&s.head, s.head&^(m<<(dir&1))) }

func (s *Session) bothSeen() bool { return s.head&(markSeen|markSeen<<1) == markSeen|markSeen<<1 }

// ackSlack is how far an acknowledgement may lie back however small the window
// is: it may have been overtaken on its way here. It is what Linux allows.
const ackSlack = 66000

// ahead returns how far a lies behind b in sequence space: negative before it.
func ahead(a, b uint32) int32 { return int32(a - b) }

// room returns the largest window that a direction has announced, in bytes: at
// most 2^30. Where its scale is not known it is the largest there is.
func (s *Session) room(dir int) int32 {
	largest, scale := s.Window(dir)
	return int32(largest) << min(scale, 14)
}

// Follow notes a segment that carries data or an acknowledgement and no other
// flag, and reports whether it lies within the windows of an established
// connection whose both directions were seen. If not, Judge knows more. It is
// Judge and Take for what makes up the load (TestFollowTwin). For the owner.
func (s *Session) Follow(dir int, seq, ack uint32, payload, window uint16) bool {
	const mask = 0xff<<24 | markSeen*3 | markAsked*3
	if s.head&mask != uint64(Established)<<24|markSeen*3 {
		return false
	}
	dir &= 1
	end, acked := s.Sent(dir)
	peerEnd, peerAcked := s.Sent(1 - dir)
	room, peerRoom := s.room(dir), s.room(1-dir)
	last := seq + uint32(payload)
	if ahead(seq, peerAcked) > peerRoom+1 || ahead(last, end) < ^peerRoom ||
		ahead(ack, peerEnd) > 0 || ahead(ack, peerEnd) < ^max(room, ackSlack) {
		return false
	}
	if ahead(last, end) > 0 || ahead(ack, acked) > 0 {
		s.setSent(dir, later(last, end), later(ack, acked))
	}
	if largest, _ := s.Window(dir); window > largest {
		s.setWindow(dir, window)
	}
	return true
}

// later returns the later one of two sequence numbers.
func later(a, b uint32) uint32 {
	if ahead(a, b) > 0 {
		return a
	}
	return b
}

// Renews reports whether a segment in direction dir opens a new connection in
// the place of the session's. A SYN is no new one if its sender has sent nothing
// behind it yet: both ends have opened at once, and it is repeated. RFC 6191
// would have one compare numbers and timestamps with those of the old
// connection; to refuse is left to the end in TIME-WAIT, which alone knows.
func (s *Session) Renews(dir int, flags uint8, seq uint32, payload uint16) bool {
	state := s.State()
	if NextTCP(state, dir, flags) != Renew {
		return false
	}
	if state == FinOriginator || state == FinResponder {
		end, _ := s.Sent(dir)
		return seq+uint32(payload)+1 != end
	}
	return true
}

// Judge says to which state a segment in direction dir leads, or Renew, or
// Refuse, and how it stands to the windows. Only one that stands Inside or Anew
// changes the state. Where liberal is set, nothing stands Outside, and what would
// is followed, resets excepted. It changes nothing.
func (s *Session) Judge(dir int, g *Segment, liberal bool) (State, Standing) {
	state := s.State()
	next := NextTCP(state, dir, g.Flags)
	if next == Refuse {
		return Refuse, Outside
	}
	if next == Renew {
		if s.Renews(dir, g.Flags, g.Seq, g.Payload) {
			return Renew, Aside
		}
		return state, Aside
	}
	c := classOf[g.Flags&0x3f]
	standing := s.standing(state, dir, c, g)
	if standing == Outside && liberal {
		standing = Inside
		if c == classRST {
			standing = Aside
		}
	}
	if standing < Inside || next == TimeWait && state == LastAck && !s.closedBy(dir, g) {
		next = state
	}
	return next, standing
}

// closedBy reports whether after a segment all that both sides have sent is
// acknowledged, as far as one can tell.
func (s *Session) closedBy(dir int, g *Segment) bool {
	if !s.bothSeen() {
		return true
	}
	end, acked := s.Sent(dir)
	peerEnd, peerAcked := s.Sent(1 - dir)
	return later(g.Ack, acked) == peerEnd && peerAcked == later(g.Seq+g.length(), end)
}

func (s *Session) standing(state State, dir int, c class, g *Segment) Standing {
	switch c {
	case classRST:
		return s.resetStanding(state, dir, g)
	case classSYN:
		if state == SynSent {
			return Inside
		}
		return Aside
	case classSYNACK:
		return s.synAckStanding(state, dir, g)
	}
	switch {
	case state == SynSent:
		// What comes before the answer to a SYN is of an older connection.
		return Aside
	case !s.fits(dir, g):
		return Outside
	case state == SynReceived && dir == 0 && s.bothSeen() && !s.mark(1, markLoose):
		// It confirms only if it acknowledges the responder's SYN.
		if _, acked := s.Sent(0); ahead(g.Ack, acked) <= 0 {
			return Aside
		}
	}
	return Inside
}

// synAckStanding is standing for a SYN-ACK. No such one harms a connection:
// its receiver resets or challenges it (RFC 5961, section 4), so that its sender
// learns what there is. It counts where it fits, and where it tells that its
// sender has begun anew: it answers a SYN that passed aside, or acknowledges the
// very last that the other side has sent.
func (s *Session) synAckStanding(state State, dir int, g *Segment) Standing {
	switch {
	case state == SynSent:
		if dir == 1 && s.acknowledgesSYN(g) {
			return Inside
		}
		return Aside
	case state >= ResetOriginator:
		if dir == 1 {
			return Anew
		}
		return Aside
	case s.fits(dir, g):
		return Inside
	}
	if end, _ := s.Sent(1 - dir); s.mark(1-dir, markAsked) || g.Ack == end {
		return Anew
	}
	return Aside
}

// acknowledgesSYN reports whether a segment of the responder acknowledges the
// SYN of the originator, with all of the data that came with it or not. Until
// there is an answer, the originator's acknowledgement is the number of its SYN.
func (s *Session) acknowledgesSYN(g *Segment) bool {
	end, syn := s.Sent(0)
	return g.Flags&ACK != 0 && ahead(g.Ack, syn) > 0 && ahead(g.Ack, end) <= 0
}

// resetStanding is standing for a reset (RFC 9293, 3.10.7; RFC 5961, section 3).
// It counts where its number is the very one that its receiver expects: what
// that has acknowledged, or, if nothing was lost, what its sender has sent. Any
// other one within the window passes aside, as the receiver will challenge it.
func (s *Session) resetStanding(state State, dir int, g *Segment) Standing {
	end, _ := s.Sent(dir)
	_, expected := s.Sent(1 - dir)
	switch {
	case state >= ResetOriginator:
		return Aside
	case state == SynSent && dir == 1:
		if s.acknowledgesSYN(g) {
			return Inside
		}
		return Aside
	case s.mark(dir, markSeen) && g.Seq == end, s.mark(1-dir, markSeen) && g.Seq == expected:
		return Inside
	case g.Seq == 0 && g.Flags&ACK != 0: // the answer to a SYN where nobody listens; else it is ignored
		if s.mark(1-dir, markAsked) {
			return Inside
		}
		return Aside
	case state < Established || !s.bothSeen() || s.fitsSeq(dir, g):
		return Aside
	}
	return Outside
}

// fits reports whether a segment in direction dir lies within the windows:
// neither beyond what its receiver has room for nor so far back that it cannot
// be a repeated one, and acknowledging what was sent, and not too little of it.
func (s *Session) fits(dir int, g *Segment) bool {
	if !s.bothSeen() {
		return true
	}
	peerEnd, _ := s.Sent(1 - dir)
	room, beyond := s.room(dir), int32(0)
	if s.mark(1-dir, markLoose) {
		beyond = room
	}
	return s.fitsSeq(dir, g) && ahead(g.Ack, peerEnd) <= beyond && ahead(g.Ack, peerEnd) >= ^max(room, ackSlack)
}

// fitsSeq is the part of fits that looks at the sequence number. A keepalive or
// a probe of a closed window repeats one octet, or sends one for which there is
// no room: hence one more to the back and to the front. A reset answers what its
// receiver has acknowledged, and may lie as far back.
func (s *Session) fitsSeq(dir int, g *Segment) bool {
	end, _ := s.Sent(dir)
	_, peerAcked := s.Sent(1 - dir)
	room := s.room(1 - dir)
	back := room
	if g.Flags&RST != 0 {
		back = max(room, ackSlack)
	}
	return ahead(g.Seq, peerAcked) <= room+1 && ahead(g.Seq+g.length(), end) >= ^back
}

// Take notes a segment in direction dir that Judge said to stand so. It does
// not change the state, which it must find as Judge did. For the owner.
func (s *Session) Take(dir int, g *Segment, standing Standing) {
	c := classOf[g.Flags&0x3f]
	switch {
	case standing == Aside:
		s.passBy(dir, c, g)
	case standing == Anew:
		s.forget()
		s.setSent(1-dir, g.Ack, 0) // for Renews
		s.learn(dir, g)
	case standing == Outside || c == classRST:
	case s.State() == SynSent:
		s.handshake(dir, c, g)
	case !s.mark(dir, markSeen):
		s.learn(dir, g)
	default:
		s.extend(dir, g)
	}
}

// passBy notes what one has to know of a segment that passed aside.
func (s *Session) passBy(dir int, c class, g *Segment) {
	switch {
	case c == classSYN:
		s.setMark(dir, markAsked)
		if !s.mark(dir, markSeen) {
			s.setSent(dir, g.Seq+g.length(), 0) // for Renews
		}
	case s.State() == SynSent && c != classRST:
		s.setMark(dir, markLoose) // perhaps it has got the other's SYN before this session began
	}
}

// Begin notes the first segment of a session, which its originator sends. For
// the owner.
func (s *Session) Begin(g *Segment) {
	if s.State() == SynSent {
		s.handshake(0, classSYN, g)
		return
	}
	s.learn(0, g)
}

// forget makes both directions unknown.
func (s *Session) forget() {
	relaxed.Store64(&s.head, s.head&^markAll)
	for dir := range 2 {
		s.setSent(dir, 0, 0)
		s.setWindow(dir, 0)
		s.setScale(dir, NoScale)
	}
}

// learn takes over what the first segment says that was seen of a direction. The
// peer has sent what it acknowledges.
func (s *Session) learn(dir int, g *Segment) {
	s.setMark(dir, markSeen|markLoose)
	s.setSent(dir, g.Seq+g.length(), g.Ack)
	if g.Flags&SYN != 0 {
		s.setScale(dir, g.Scale)
	}
	s.setWindow(dir, s.announced(dir, g))
	s.raisePeer(dir, g)
}

// extend moves the windows on.
func (s *Session) extend(dir int, g *Segment) {
	end, acked := s.Sent(dir)
	s.setSent(dir, later(g.Seq+g.length(), end), later(g.Ack, acked))
	if largest, _ := s.Window(dir); s.announced(dir, g) > largest {
		s.setWindow(dir, s.announced(dir, g))
	}
	s.raisePeer(dir, g)
	if g.Partial {
		s.setMark(dir, markLoose)
	}
	if g.Flags&SYN == 0 { // it speaks of the connection that there is
		s.clearMark(dir, markAsked)
	}
}

// raisePeer makes the end of what the peer has sent include what a segment
// acknowledges.
func (s *Session) raisePeer(dir int, g *Segment) {
	if end, acked := s.Sent(1 - dir); s.mark(1-dir, markSeen) && ahead(g.Ack, end) > 0 {
		s.setSent(1-dir, g.Ack, acked)
	}
}

// announced returns the window of a segment in units of its direction's scale.
// That of a SYN is not scaled (RFC 7323, 2.2).
func (s *Session) announced(dir int, g *Segment) uint16 {
	_, scale := s.Window(dir)
	if g.Flags&SYN == 0 || scale == NoScale {
		return g.Window
	}
	return scaled(g.Window, scale)
}

// scaled returns a window of w bytes in units of 2^scale, rounded up.
func scaled(w uint16, scale uint8) uint16 { return uint16((uint32(w) + 1<<scale - 1) >> scale) }

// handshake notes a SYN before there was an answer, or the answer: a SYN-ACK, or
// the SYN of one who opens at the same time.
func (s *Session) handshake(dir int, c class, g *Segment) {
	if dir == 0 {
		s.ask(g)
		return
	}
	end, syn := s.Sent(0)
	s.setSent(0, end, g.Seq) // of the responder nothing is acknowledged yet
	acked := g.Ack
	if c == classSYN {
		acked = syn
	}
	s.setMark(1, markSeen)
	s.setSent(1, g.Seq+g.length(), acked)
	s.setScale(1, g.Scale)
	s.settleScales()
	s.setWindow(1, s.announced(1, g))
}

// ask notes the originator's SYN. One that is repeated may leave an option out
// that the first one had, and nobody knows which the responder got; it offers
// what either does. It may also be another connection's.
func (s *Session) ask(g *Segment) {
	end, syn := s.Sent(0)
	largest, scale := s.Window(0)
	if s.mark(0, markSeen) {
		s.setMark(0, markAsked) // the responder may answer twice, and differently
	}
	if !s.mark(0, markSeen) || syn != g.Seq {
		end, largest, scale = g.Seq+g.length(), 0, NoScale
	}
	if scale == NoScale {
		scale = g.Scale
	}
	s.setMark(0, markSeen)
	s.setSent(0, later(g.Seq+g.length(), end), g.Seq)
	s.setScale(0, scale)
	s.setWindow(0, max(largest, g.Window))
}

// settleScales applies the scales if both sides have offered one (RFC 7323,
// 2.2), now that both have spoken.
func (s *Session) settleScales() {
	_, other := s.Window(1)
	largest, scale := s.Window(0)
	if scale == NoScale || other == NoScale {
		s.setScale(0, 0)
		s.setScale(1, 0)
		return
	}
	s.setWindow(0, scaled(largest, scale))
}
