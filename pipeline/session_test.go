package pipeline

import (
	"testing"
	"time"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/policy"
)

func (b *bed) wantSession(state conntrack.State, timeout time.Duration) {
	b.t.Helper()
	if s := b.onlySession(); s.State() != state || s.Timeout() != int64(timeout) {
		b.t.Fatalf("the session is %v for %v, want %v for %v", s.State(), time.Duration(s.Timeout()), state, timeout)
	}
}

// One request and its response are no stream; more than that are
// (docs/semantics.md, connection tracking).
func TestUDPBecomesStream(t *testing.T) {
	o := defaultObjects()
	o.ENIs[0].UDP, o.ENIs[2].UDP = 60, 40 // the shorter of both ends counts
	o.ENIs[0].UDPStream, o.ENIs[2].UDPStream = 90, 120
	b := newBed(t, bedOptions{objects: o})
	ask, reply := b.udp("web", "app", 5000, 80), b.udp("app", "web", 80, 5000)
	for i, step := range []struct {
		from   string
		frame  []byte
		stream bool
	}{{"web", ask, false}, {"app", reply, false}, {"web", ask, false}, {"app", reply, true}, {"web", ask, true}} {
		b.inject(step.from, step.frame)
		b.wantDrops(b.settle(), nil)
		if s := b.onlySession(); (s.State() == conntrack.UDPStream) != step.stream {
			t.Fatalf("after packet %d it is %v", i+1, s.State())
		}
		if step.stream {
			b.wantSession(conntrack.UDPStream, 90*time.Second)
		} else {
			b.wantSession(conntrack.UDPSingle, 40*time.Second)
		}
	}
	if s := b.onlySession(); s.Packets(0) != 3 || s.Packets(1) != 2 || s.Bytes(0) != 3*32 {
		t.Errorf("%d and %d packets, %d bytes", s.Packets(0), s.Packets(1), s.Bytes(0))
	}
}

func TestTCPTimeouts(t *testing.T) {
	o := defaultObjects()
	o.ENIs[0].TCPEstablished, o.ENIs[2].TCPEstablished = 350, 60
	b := newBed(t, bedOptions{objects: o})
	const s, a, f = conntrack.SYN, conntrack.ACK, conntrack.FIN
	timeouts := conntrack.DefaultTimeouts
	for _, step := range []struct {
		from  string
		flags uint8
		state conntrack.State
	}{
		{"web", s, conntrack.SynSent}, {"app", s | a, conntrack.SynReceived}, {"web", a, conntrack.Established},
		{"app", f | a, conntrack.FinResponder}, {"web", f | a, conntrack.LastAck}, {"app", a, conntrack.TimeWait},
	} {
		b.together(sent{step.from, step.flags})
		b.wantDrops(b.settle(), nil)
		want := time.Duration(timeouts[step.state])
		if step.state == conntrack.Established {
			want = 60 * time.Second
		}
		b.wantSession(step.state, want)
	}
}

// A ping works in both directions; a request from the other side with the same
// identifier is no reply, whatever the identifier.
func TestPing(t *testing.T) {
	for _, id := range []uint16{77, 8, 0, 0xff08} {
		b := newBed(t, bedOptions{})
		b.inject("web", b.ping("web", "app", 8, id))
		b.settle()
		b.inject("app", b.ping("app", "web", 0, id))
		b.inject("app", b.ping("app", "web", 8, id)) // app may not ask
		s := b.settle()
		b.wantDrops(s, map[drop.Reason]uint64{drop.SecurityGroupOut: 1})
		b.wantSession(conntrack.ICMPQuery, 30*time.Second)
		if len(b.received("app")) != 1 || len(b.received("web")) != 1 {
			t.Errorf("identifier %d: the ping did not work", id)
		}
		// Nor does web's asking admit app's other queries and odd replies.
		b.inject("app", b.ping("app", "web", 13, id), b.ping("app", "web", 14, id),
			b.frame("app", b.ip("app", "web"), packet.ICMP{Type: 0, Code: 8, ID: id}))
		b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.SecurityGroupOut: 4})
	}
}

// What is idle for too long is gone: its memory comes back, and the next packet
// is judged by the rules.
func TestIdleSessionExpires(t *testing.T) {
	b := newBed(t, bedOptions{})
	b.inject("web", b.udp("web", "app", 5000, 80))
	b.settle()
	b.clock.advance(30 * time.Second)
	b.inject("app", b.udp("app", "web", 80, 5000))
	b.wantDrops(b.settle(), nil)
	b.clock.advance(30*time.Second + time.Millisecond)
	b.inject("app", b.udp("app", "web", 80, 5000))
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.SecurityGroupOut: 1})
	for range 2000 { // tidy goes round the tables within a second
		b.clock.advance(time.Millisecond)
		b.settle()
	}
	if s := b.stats(); s.SessionsLive != 0 || b.engine.Allowances().Used(0) != 0 {
		t.Errorf("%d sessions live, %d count", s.SessionsLive, b.engine.Allowances().Used(0))
	}
	b.clock.advance(2 * time.Minute)
	for range 2000 {
		b.clock.advance(time.Millisecond)
		b.settle()
	}
	if s := b.stats(); s.FlowsLive != 0 {
		t.Errorf("%d flow entries live", s.FlowsLive)
	}
}

// An allowance that is used up refuses new connections and no other packet; a
// connection that ends makes room.
func TestAllowanceExceeded(t *testing.T) {
	o := defaultObjects()
	o.Instances[2].ConntrackAllowance = 2
	b := newBed(t, bedOptions{objects: o})
	b.inject("web", b.udp("web", "app", 1, 80), b.udp("web", "app", 2, 80), b.udp("web", "app", 3, 80))
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.ConntrackAllowanceExceeded: 1})
	if x := b.engine.Explain(b.eni("web"), b.udp("web", "app", 3, 80)); x.Reason != drop.ConntrackAllowanceExceeded {
		t.Errorf("explained as %v", x.Reason)
	}
	b.inject("web", b.udp("web", "app", 1, 80), b.udp("web", "app", 3, 80))
	b.inject("app", b.udp("app", "web", 80, 2))
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.ConntrackAllowanceExceeded: 2})
	if got := len(b.received("app")); got != 3 {
		t.Errorf("app received %d packets, want 3", got)
	}
	b.pass(31 * time.Second)
	b.inject("web", b.udp("web", "app", 3, 80))
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.ConntrackAllowanceExceeded: 2})
}

func TestSessionTableFull(t *testing.T) {
	b := newBed(t, bedOptions{config: func(c *Config) { c.Sessions = 16 }})
	for i := range 20 {
		b.inject("web", b.udp("web", "app", uint16(1000+i), 80))
	}
	s := b.settle()
	if n := s.Drops[drop.SessionTableFull]; n != 20-s.SessionsLive || n < 4 || s.Dropped() != n {
		t.Fatalf("%d refused, %d live", n, s.SessionsLive)
	}
	if x := b.engine.Explain(b.eni("web"), b.udp("web", "app", 9999, 80)); x.Reason != drop.SessionTableFull {
		t.Errorf("explained as %v", x.Reason)
	}
	b.pass(31 * time.Second)
	b.inject("web", b.udp("web", "app", 1019, 80))
	if after := b.settle(); after.Drops[drop.SessionTableFull] != s.Drops[drop.SessionTableFull] {
		t.Error("there is no room after all sessions have ended")
	}
}

// docs/semantics.md, change of policy: a tracked flow outlives the rule that
// admitted it, a new one does not; a network ACL that denies cuts at once, and
// that allows again heals.
func TestPolicyChangesOnLiveTraffic(t *testing.T) {
	b := newBed(t, bedOptions{objects: propertyObjects()})
	both := func(port uint16) {
		b.inject("web", b.udp("web", "app", port, 80))
		b.inject("app", b.udp("app", "web", 80, port))
	}
	b.inject("web", b.udp("web", "app", 1, 80))
	b.settle()
	both(1)
	b.wantDrops(b.settle(), nil)
	before := b.stats()

	b.policy(changes["rules removed"])
	both(1)
	b.inject("web", b.udp("web", "app", 2, 80))
	s := b.settle()
	b.wantDrops(s, map[drop.Reason]uint64{drop.SecurityGroupIn: 1})
	if n := s.SlowPath - before.SlowPath; n != 3 {
		t.Errorf("%d packets were judged anew, want 3", n)
	}
	both(1) // judged once under the new policy, then accelerated
	if again := b.settle(); again.SlowPath != s.SlowPath {
		t.Errorf("%d packets more were judged", again.SlowPath-s.SlowPath)
	}

	b.policy(changes["acl denies"])
	both(1)
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.SecurityGroupIn: 1, drop.NACLIn: 1}) // only the way in is denied
	b.policy(changes["acl allows"])
	both(1)
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.SecurityGroupIn: 1, drop.NACLIn: 1})
	if b.stats().SessionsLive != 1 {
		t.Error("the session did not outlive it all")
	}
}

// What was refused before it was asked for is a reply once it is.
func TestCachedRefusalEndsWithTheSession(t *testing.T) {
	b := newBed(t, bedOptions{})
	for range 3 {
		b.inject("app", b.udp("app", "web", 80, 5000))
	}
	s := b.settle()
	b.wantDrops(s, map[drop.Reason]uint64{drop.SecurityGroupOut: 3})
	if s.FlowHits != 2 {
		t.Fatalf("the refusal was not cached: %d hits", s.FlowHits)
	}
	b.inject("web", b.udp("web", "app", 5000, 80))
	b.settle()
	b.inject("app", b.udp("app", "web", 80, 5000))
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.SecurityGroupOut: 3})
}

// A session speaks for its own two ENIs. The same addresses and ports, led to
// another ENI by its MAC or by a changed route, are judged by the rules.
func TestSessionAdmitsToItsOwnENIsOnly(t *testing.T) {
	o := propertyObjects()
	o.SecurityGroups = append(o.SecurityGroups, policy.SecurityGroup{ID: "shut", VPC: "v"})
	o.ENIs[1].SecurityGroups = []string{"shut"}
	b := newBed(t, bedOptions{objects: o})
	// web sends for web2's address to the appliance, which takes all.
	b.inject("web", b.direct(b.udp("web", "web2", 5000, 80), "fw"))
	b.wantDrops(b.settle(), nil)
	b.inject("web", b.direct(b.udp("web", "web2", 5000, 80), "web2"))
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.SecurityGroupIn: 1})
	if len(b.received("web2")) != 0 || len(b.received("fw")) != 1 {
		t.Error("the session of the appliance admitted to web2")
	}

	// By a route: the session through the appliance is not one with app.
	b.policy(changes["by appliance"])
	b.inject("web", b.udp("web", "app", 6000, 9999))
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.SecurityGroupIn: 1})
	b.policy(changes["direct"])
	b.inject("web", b.udp("web", "app", 6000, 9999))
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.SecurityGroupIn: 2})
}

// ICMP errors pass as part of the flow that they quote, and only from its end.
func TestICMPErrorFollowsItsFlow(t *testing.T) {
	b := newBed(t, bedOptions{})
	request := b.udp("web", "app", 5000, 80)
	unreachable := func(from string) []byte {
		return b.frame(from, b.ip(from, "web"), packet.ICMP{Type: 3, Code: 3}, packet.Quote(request, 28))
	}
	b.inject("app", unreachable("app")) // app's group lets nothing out by itself
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.SecurityGroupOut: 1})
	b.inject("web", request)
	b.settle()
	b.inject("app", unreachable("app"))
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.SecurityGroupOut: 1})
	b.inject("web2", b.direct(unreachable("web2"), "web")) // no end of the flow
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.SecurityGroupOut: 1, drop.SecurityGroupIn: 1})
	if len(b.received("web")) != 1 {
		t.Error("the error did not arrive")
	}
}

// A connection in the place of a closed one needs no more room than that had:
// it comes about with a full table and a used-up allowance, and explain knows.
func TestRenewalNeedsNoRoom(t *testing.T) {
	o := defaultObjects()
	o.Instances[0].ConntrackAllowance = 1
	b := newBed(t, bedOptions{objects: o, config: func(c *Config) { c.Sessions = 16 }})
	b.together(sent{"web", conntrack.SYN}, sent{"web", conntrack.RST})
	b.settle()
	for i := range 15 {
		b.inject("web2", b.udp("web2", "app", uint16(i), 80))
	}
	if s := b.settle(); s.SessionsLive != 16 {
		t.Fatalf("%d sessions", s.SessionsLive)
	}
	again := b.tcp("web", "app", 40000, 80, conntrack.SYN)
	if x := b.engine.Explain(b.eni("web"), again); x.Verdict != VerdictForward || x.NewState != conntrack.SynSent {
		t.Errorf("explained as %v %v, to state %v", x.Verdict, x.Reason, x.NewState)
	}
	b.inject("web", again)
	s := b.settle()
	b.wantDrops(s, nil)
	if s.SessionsLive != 16 || s.Sessions != 17 {
		t.Errorf("%d sessions of %d live", s.SessionsLive, s.Sessions)
	}
}
