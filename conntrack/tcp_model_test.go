package conntrack

// A model of TCP as an end speaks it (RFC 9293, section 3.10, with the
// challenges of RFC 5961), small but complete in what the state table sees:
// which flags an end may send, and when it repeats them. Every unit of
// sequence space is a SYN, a piece of data or a FIN.

type phase uint8

const (
	closed phase = iota // and listening, if the end listens
	synSent
	synReceived
	established
	finWait1
	finWait2
	closeWait
	closing
	lastAck
	timeWait
)

type segment struct {
	flags    uint8
	seq, ack uint32
	length   uint32 // in sequence space
	iss, irs uint32 // of its connection; 0 if it answers for none
}

type end struct {
	phase  phase
	listen bool
	iss    uint32
	irs    uint32  // the peer's
	una    uint32  // first unit not acknowledged
	nxt    uint32  // next unit to send
	rcv    uint32  // next unit to receive
	units  []uint8 // what was sent, as the flags to send it with
	out    []segment
}

const window = 1000

func (e *end) send(flags uint8, seq, length uint32) {
	s := segment{flags: flags, seq: seq, length: length, iss: e.iss, irs: e.irs}
	if flags&ACK != 0 {
		s.ack = e.rcv
	}
	e.out = append(e.out, s)
}

func (e *end) sendACK() { e.send(ACK, e.nxt, 0) }

func (e *end) push(flags uint8) {
	e.units = append(e.units, flags)
	e.nxt++
}

// reset answers a segment that belongs to no connection.
func (e *end) reset(s segment) {
	if s.flags&ACK != 0 {
		e.out = append(e.out, segment{flags: RST, seq: s.ack})
	} else {
		e.out = append(e.out, segment{flags: RST | ACK, ack: s.seq + s.length})
	}
}

func (e *end) begin(p phase) {
	*e = end{phase: p, listen: e.listen, iss: e.iss + 10*window, rcv: e.rcv, out: e.out}
	e.una, e.nxt = e.iss, e.iss
	e.push(SYN)
}

// forget ends the connection without a word, as a crash does.
func (e *end) forget() { *e = end{listen: e.listen, iss: e.iss, out: e.out} }

func (e *end) connect() {
	e.begin(synSent)
	e.send(SYN, e.iss, 1)
}

func (e *end) write() {
	e.send(ACK|PSH, e.nxt, 1)
	e.push(ACK | PSH)
}

// close finishes sending, with data in the same segment or without.
func (e *end) close(data bool) {
	seq := e.nxt
	if data {
		e.push(ACK | PSH)
	}
	e.push(FIN | ACK)
	e.send(FIN|ACK, seq, e.nxt-seq)
	if e.phase == closeWait {
		e.phase = lastAck
	} else {
		e.phase = finWait1
	}
}

func (e *end) abort() {
	e.send(RST|ACK, e.nxt, 0)
	e.forget()
}

// repeat sends the oldest unit again that is not acknowledged.
func (e *end) repeat() {
	flags := e.units[e.una-e.iss]
	if flags == SYN && e.phase != synSent {
		flags |= ACK
	}
	e.send(flags, e.una, 1)
}

// probe is a keepalive: a byte that the peer has had.
func (e *end) probe() { e.send(ACK, e.nxt-1, 0) }

func (e *end) canWrite() bool  { return e.phase == established || e.phase == closeWait }
func (e *end) canClose() bool  { return e.canWrite() || e.phase == synReceived }
func (e *end) canRepeat() bool { return e.una != e.nxt }
func (e *end) synced() bool    { return e.phase >= established }

func (e *end) receive(s segment) {
	switch e.phase {
	case closed:
		switch {
		case s.flags&RST != 0:
		case e.listen && s.flags&(SYN|ACK) == SYN:
			e.accept(s)
		default:
			e.reset(s)
		}
	case synSent:
		e.receiveInSynSent(s)
	default:
		e.receiveInConnection(s)
	}
}

func (e *end) accept(s segment) {
	e.begin(synReceived)
	e.rcv, e.irs = s.seq+1, s.seq
	e.send(SYN|ACK, e.iss, 1)
}

func (e *end) receiveInSynSent(s segment) {
	if s.flags&ACK != 0 && s.ack != e.nxt {
		if s.flags&RST == 0 {
			e.reset(s)
		}
		return
	}
	switch {
	case s.flags&RST != 0:
		if s.flags&ACK != 0 {
			e.forget()
		}
	case s.flags&SYN == 0:
	case s.flags&ACK != 0:
		e.rcv, e.irs, e.una, e.phase = s.seq+1, s.seq, s.ack, established
		e.sendACK()
	default:
		e.rcv, e.irs, e.phase = s.seq+1, s.seq, synReceived
		e.send(SYN|ACK, e.iss, 1)
	}
}

func (e *end) receiveInConnection(s segment) {
	inWindow := s.seq-e.rcv < window
	switch {
	case e.phase == timeWait && e.listen && s.flags&(SYN|ACK|RST) == SYN && inWindowOrAhead(s.seq, e.rcv):
		e.accept(s)
	case s.flags&RST != 0:
		if s.seq == e.rcv {
			e.forget()
		} else if inWindow {
			e.sendACK()
		}
	case !inWindow || s.flags&SYN != 0: // old, or a stranger
		e.sendACK()
	case e.phase == synReceived && s.ack != e.nxt && s.ack != e.una+1:
		e.reset(s)
	case s.ack-e.una > e.nxt-e.una:
		if s.ack-e.nxt < window { // for what was never sent
			e.sendACK()
		}
	default:
		e.acknowledged(s.ack)
		e.take(s)
	}
}

func inWindowOrAhead(seq, rcv uint32) bool { return int32(seq-rcv) >= 0 }

func (e *end) acknowledged(ack uint32) {
	e.una = ack
	if e.phase == synReceived && ack != e.iss {
		e.phase = established
	}
	if e.una != e.nxt {
		return
	}
	switch e.phase {
	case finWait1:
		e.phase = finWait2
	case closing:
		e.phase = timeWait
	case lastAck:
		e.forget()
	}
}

func (e *end) take(s segment) {
	if e.phase == closed || s.length == 0 {
		return
	}
	if s.seq == e.rcv {
		e.rcv += s.length
		if s.flags&FIN != 0 {
			switch e.phase {
			case established:
				e.phase = closeWait
			case finWait1:
				e.phase = closing
			case finWait2:
				e.phase = timeWait
			}
		}
	}
	e.sendACK()
}
