package conntrack

import (
	"testing"

	"pgregory.net/rapid"
)

// seen is what the network between two ends has seen of their connection, and
// from it alone says where the connection stands: a twin of the state table.
type seen struct {
	begun      bool
	originator int
	synBack    bool // the responder's SYN
	confirmed  bool // the originator's acknowledgement of it
	fin        [2]bool
	ackAfter   bool      // after both FINs an acknowledgement, and nothing that lacks one
	top, acked [2]uint32 // by end: behind the last octet sent, and last acknowledged
	reset      bool
	resetBy    int
}

func (n *seen) state() State {
	switch {
	case n.reset:
		return [2]State{ResetOriginator, ResetResponder}[n.resetBy]
	case n.fin[0] && n.fin[1] && n.ackAfter:
		return TimeWait
	case n.fin[0] && n.fin[1]:
		return LastAck
	case n.fin[0]:
		return FinOriginator
	case n.fin[1]:
		return FinResponder
	case n.confirmed:
		return Established
	case n.synBack:
		return SynReceived
	}
	return SynSent
}

// begin forgets what was before a packet that opens a connection.
func (n *seen) begin(from int, s segment) {
	*n = seen{begun: true, originator: from}
	n.top[from] = s.seq + s.length
}

// add is for a packet that is part of the connection.
func (n *seen) add(from int, s segment) {
	dir, flags := from^n.originator, s.flags
	switch {
	case n.reset && dir == 1 && flags&(SYN|ACK) == SYN|ACK: // it answers a SYN from before
		*n = seen{begun: true, originator: n.originator, top: n.top, acked: n.acked}
	case flags&RST != 0:
		if !n.reset {
			n.reset, n.resetBy = true, dir
		}
		return
	}
	if flags&SYN != 0 && !n.synBack || ahead(s.seq+s.length, n.top[from]) > 0 {
		n.top[from] = s.seq + s.length
	}
	if flags&ACK != 0 {
		n.acked[from] = s.ack
	}
	switch {
	case n.fin[0] && n.fin[1]:
		n.ackAfter = n.ackAfter || flags&(ACK|SYN|FIN) == ACK && n.acked[0] == n.top[1] && n.acked[1] == n.top[0]
	case n.synBack && dir == 0 && flags&ACK != 0:
		n.confirmed = true
	}
	if dir == 1 && flags&SYN != 0 {
		n.synBack = true
	}
	if flags&FIN != 0 {
		n.fin[dir] = true
	}
}

// Whatever two ends say that keep their connections, in whatever order it is
// lost and repeated, passes, and the session stands where what was seen says.
func TestLegalExchangesPass(t *testing.T) {
	reached := map[State]bool{}
	pass := func(t *rapid.T, p *path, kind trouble) {
		p.run(t, kind, func() {
			if p.refused {
				t.Fatal("refused")
			}
			want := None
			if p.seen.begun {
				want = p.seen.state()
			}
			if p.state != want {
				t.Fatalf("the session is %v, what was seen says %v", p.state, want)
			}
			reached[p.state] = true
		})
	}
	settle := func(t *rapid.T, p *path) {
		if p.without().settled() && !p.settled() {
			t.Fatalf("the ends hang in %v: %+v", p.state, p.ends)
		}
	}
	t.Run("one connection", rapid.MakeCheck(func(t *rapid.T) {
		p := path{connects: [2]int{0: 1}}
		p.ends[1].listen = true
		pass(t, &p, aborts)
		settle(t, &p)
	}))
	t.Run("ports used again", rapid.MakeCheck(func(t *rapid.T) {
		p := path{connects: [2]int{0: 9}}
		p.ends[1].listen = true
		pass(t, &p, aborts)
	}))
	t.Run("both open", rapid.MakeCheck(func(t *rapid.T) {
		p := path{connects: [2]int{9, 9}}
		pass(t, &p, patience)
		settle(t, &p)
	}))
	for s := SynSent; s < TCPStates; s++ {
		if !reached[s] {
			t.Errorf("no exchange came to %v", s)
		}
	}
}

// Whatever has been before between two ends, crashes and half-open connections
// included, the same ports serve a new connection.
func TestNewConnectionAfterAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := path{connects: [2]int{9, 9}}
		p.ends[0].listen, p.ends[1].listen = rapid.Bool().Draw(t, "listen"), true
		p.run(t, crashes, func() {})
		if p.without().works() && (!p.works() || p.state != Established) {
			t.Fatalf("no connection in %v: %+v", p.state, p.ends)
		}
	})
}
