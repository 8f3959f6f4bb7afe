package pipeline

import (
	"testing"
	"time"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/policy"
)

// The tests in this file go through the table of docs/semantics.md S1.4: what a
// change of policy does to flows that live.

var (
	everywhere = mustPrefix("0.0.0.0/0")
	vpcOnly    = mustPrefix("10.0.0.0/16")
)

func udpPort(port int, cidr string) policy.SGRule {
	return policy.SGRule{Match: policy.Match{Protocol: policy.ProtoUDP, FromPort: port, ToPort: port}, CIDR: mustPrefix(cidr)}
}

func allTo(cidr string) policy.SGRule {
	return policy.SGRule{Match: policy.Match{Protocol: policy.ProtoAll}, CIDR: mustPrefix(cidr)}
}

// setGroup sets the rules of group app (1) or web (0).
func setGroup(i int, in, out []policy.SGRule) func(*policy.Objects) {
	return func(o *policy.Objects) { o.SecurityGroups[i].Inbound, o.SecurityGroups[i].Outbound = in, out }
}

type rules = []policy.SGRule

// serving is web asking app's open UDP port 80: tracked at web, whose group lets
// nothing in, and not at app.
func serving(t *testing.T) *bed {
	o := defaultObjects()
	setGroup(1, rules{udpPort(80, "0.0.0.0/0")}, rules{allTo("0.0.0.0/0")})(o)
	return newBed(t, bedOptions{objects: o})
}

func (b *bed) ask(want map[drop.Reason]uint64) {
	b.t.Helper()
	b.inject("web", b.udp("web", "app", 5000, 80))
	b.wantDrops(b.settle(), want)
}

func (b *bed) answer(want map[drop.Reason]uint64) {
	b.t.Helper()
	b.inject("app", b.udp("app", "web", 80, 5000))
	b.wantDrops(b.settle(), want)
}

// AWS's own example: the request of an open port is not tracked at the server,
// and its answer passes by the server's rules; the client's end is tracked. What
// the server itself begins is tracked at its end.
func TestTrackedByHalves(t *testing.T) {
	b := serving(t)
	b.ask(nil)
	b.answer(nil)
	if s := b.onlySession(); !s.Tracked(0) || s.Tracked(1) {
		t.Errorf("tracked at the client %v, at the server %v", s.Tracked(0), s.Tracked(1))
	}
	if n := b.engine.Allowances().Used(b.record("app").Instance); n != 0 {
		t.Errorf("the server's instance has %d tracked connections", n)
	}
	if n := b.engine.Allowances().Used(b.record("web").Instance); n != 1 {
		t.Errorf("the client's instance has %d tracked connections", n)
	}
	b.policy(setGroup(0, rules{udpPort(7, "10.0.0.0/16")}, rules{allTo("0.0.0.0/0")}))
	b.inject("app", b.udp("app", "web", 6000, 7))
	b.wantDrops(b.settle(), nil)
	n := 0
	b.engine.EachSession(func(_ int, s *conntrack.Session) bool {
		if s.Originator() == b.eni("app") {
			n++
			if !s.Tracked(0) || !s.Tracked(1) {
				t.Errorf("what the server begins is tracked at it %v, at the other end %v", s.Tracked(0), s.Tracked(1))
			}
		}
		return true
	})
	if n != 1 {
		t.Errorf("%d sessions of the server's", n)
	}
}

// Flows that are tracked at neither end have no session and count nowhere, for
// TCP and UDP of each family by itself; ICMP is always tracked.
func TestUntrackedFlows(t *testing.T) {
	b := newBed(t, bedOptions{objects: untrackedObjects()})
	b.inject("web", b.udp("web", "app", 5000, 80), b.tcp("web", "app", 5000, 80, conntrack.SYN))
	b.inject("app", b.udp("app", "web", 80, 5000), b.tcp("app", "web", 80, 5000, conntrack.SYN|conntrack.ACK))
	s := b.settle()
	b.wantDrops(s, nil)
	if s.SessionsLive != 0 || s.FlowsLive != 4 {
		t.Errorf("%d sessions, %d flow-cache entries", s.SessionsLive, s.FlowsLive)
	}
	hits := s.FlowHits
	b.inject("web", b.udp("web", "app", 5000, 80))
	if s = b.settle(); s.FlowHits != hits+1 {
		t.Error("the flow cache did not decide the second packet of an untracked flow")
	}
	b.inject("web", b.ping("web", "app", 8, 1))
	if s = b.settle(); s.SessionsLive != 1 {
		t.Errorf("%d sessions after a ping", s.SessionsLive)
	}
	// Without its IPv4 rule, web's group tracks IPv4, and IPv6 as before: not.
	b.policy(func(o *policy.Objects) { o.SecurityGroups[0].Inbound = rules{allTo("::/0")} })
	b.inject("web", b.tcp("web", "app", 5001, 80, conntrack.SYN))
	b.inject("web", b.frame("web", b.ip6("web", "app"), packet.UDP{SrcPort: 5001, DstPort: 80}))
	s = b.settle()
	b.wantDrops(s, nil)
	if s.SessionsLive != 2 {
		t.Errorf("%d sessions: want the ping's and that of TCP over IPv4", s.SessionsLive)
	}
}

// A rule that admitted a flow is taken away: what is tracked goes on, what is
// not is cut at once.
func TestRuleRemoved(t *testing.T) {
	b := newBed(t, bedOptions{})
	b.ask(nil)
	b.policy(setGroup(1, nil, nil))
	b.ask(nil)
	b.answer(nil)

	b = serving(t)
	b.ask(nil)
	b.policy(setGroup(1, nil, rules{allTo("0.0.0.0/0")}))
	b.ask(map[drop.Reason]uint64{drop.SecurityGroupIn: 1})

	// The answer's rule alone: the same.
	b = serving(t)
	b.ask(nil)
	b.answer(nil)
	b.policy(setGroup(1, rules{udpPort(80, "0.0.0.0/0")}, nil))
	b.answer(map[drop.Reason]uint64{drop.SecurityGroupOut: 1})
	b.ask(map[drop.Reason]uint64{drop.SecurityGroupOut: 1}) // admitted, and tracked now
	b.answer(map[drop.Reason]uint64{drop.SecurityGroupOut: 1})
}

// An untracked flow whose rules begin to track it is judged anew: it goes on if
// they admit it, midstream, and is tracked from there, also where midstream is
// strict.
func TestUntrackedBecomesTracked(t *testing.T) {
	for _, pickup := range []bool{true, false} {
		o := untrackedObjects()
		b := newBed(t, bedOptions{objects: o, config: func(c *Config) { c.PickupMidstream = pickup }})
		b.together(sent{"web", conntrack.SYN}, sent{"app", conntrack.SYN | conntrack.ACK}, sent{"web", conntrack.ACK})
		if s := b.settle(); s.SessionsLive != 0 {
			t.Fatalf("%d sessions", s.SessionsLive)
		}
		b.policy(func(o *policy.Objects) {
			tcp := policy.Match{Protocol: policy.ProtoTCP, FromPort: 80, ToPort: 80}
			setGroup(1, rules{{Match: tcp, CIDR: vpcOnly}}, nil)(o)
			setGroup(0, nil, rules{allTo("0.0.0.0/0")})(o)
		})
		b.together(sent{"web", conntrack.ACK}, sent{"app", conntrack.ACK})
		b.wantDrops(b.settle(), nil)
		if s := b.onlySession(); !s.Tracked(0) || !s.Tracked(1) || s.State() != conntrack.Established {
			t.Errorf("pickup %v: tracked %v, %v in state %v", pickup, s.Tracked(0), s.Tracked(1), s.State())
		}
		// Another connection without a beginning is nobody's.
		b.inject("web", b.tcp("web", "app", 7777, 80, conntrack.ACK))
		want := map[drop.Reason]uint64{}
		if !pickup {
			want[drop.MidstreamTCP] = 1
		}
		b.wantDrops(b.settle(), want)
	}
}

// Rules that are opened leave a tracked flow's state as it is.
func TestRulesOpened(t *testing.T) {
	b := newBed(t, bedOptions{})
	b.ask(nil)
	b.policy(func(o *policy.Objects) {
		for i := range o.SecurityGroups {
			setGroup(i, rules{allTo("0.0.0.0/0")}, rules{allTo("0.0.0.0/0")})(o)
		}
	})
	b.ask(nil)
	b.answer(nil)
	if s := b.onlySession(); !s.Tracked(0) || !s.Tracked(1) || s.Packets(0) != 2 {
		t.Errorf("tracked %v, %v, %d packets", s.Tracked(0), s.Tracked(1), s.Packets(0))
	}
}

// A network ACL cuts tracked and untracked flows at once, in either direction,
// and lets them go on where they are once it allows them again.
func TestACLOnLiveFlows(t *testing.T) {
	deny := []policy.ACLRule{{Number: 1, Match: policy.Match{Protocol: policy.ProtoUDP, FromPort: 0, ToPort: 65535}, CIDR: everywhere}}
	allow := []policy.ACLRule{{Number: 2, Allow: true, Match: policy.Match{Protocol: policy.ProtoAll}, CIDR: everywhere}}
	for name, objects := range map[string]*policy.Objects{"tracked": defaultObjects(), "untracked": untrackedObjects()} {
		objects.NetworkACLs = []policy.NetworkACL{{ID: "acl", VPC: "v", Inbound: allow, Outbound: allow}}
		objects.Subnets[1].NetworkACL = "acl"
		b := newBed(t, bedOptions{objects: objects})
		b.ask(nil)
		b.answer(nil)
		live := b.stats().SessionsLive
		b.policy(func(o *policy.Objects) { o.NetworkACLs[0].Inbound = append(deny[:1:1], allow...) })
		b.ask(map[drop.Reason]uint64{drop.NACLIn: 1})
		b.answer(map[drop.Reason]uint64{drop.NACLIn: 1})
		b.policy(func(o *policy.Objects) {
			o.NetworkACLs[0].Inbound, o.NetworkACLs[0].Outbound = allow, append(deny[:1:1], allow...)
		})
		b.answer(map[drop.Reason]uint64{drop.NACLIn: 1, drop.NACLOut: 1})
		b.ask(map[drop.Reason]uint64{drop.NACLIn: 1, drop.NACLOut: 1})
		b.policy(func(o *policy.Objects) { o.NetworkACLs[0].Outbound = allow })
		b.ask(map[drop.Reason]uint64{drop.NACLIn: 1, drop.NACLOut: 1})
		b.answer(map[drop.Reason]uint64{drop.NACLIn: 1, drop.NACLOut: 1})
		if s := b.stats(); s.SessionsLive != live || s.Sessions != live {
			t.Errorf("%s: %d sessions live, %d begun; there were %d", name, s.SessionsLive, s.Sessions, live)
		}
	}
}

// A removed ENI takes its flows with it, whatever time old verdicts have.
func TestENIRemoved(t *testing.T) {
	b := newBed(t, bedOptions{config: func(c *Config) { c.RedecideWithin = time.Minute }})
	request, answer := b.udp("web", "app", 5000, 80), b.udp("app", "web", 80, 5000)
	b.inject("web", request)
	b.settle()
	app := b.ports[b.eni("app")]
	b.policy(func(o *policy.Objects) { o.ENIs = o.ENIs[:2] })
	b.inject("web", request)
	app.Inject(0, answer)
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.UnknownDestination: 1, drop.PortWithoutENI: 1})
}

// Beyond AWS a group may choose that its tracked flows end with its rules, at
// once or after a time; and spare them if a rule admits them again by then.
func TestLiveFlowsOfAGroup(t *testing.T) {
	choose := func(f policy.LiveFlows) *policy.Objects {
		o := defaultObjects()
		o.SecurityGroups[1].LiveFlows = f
		return o
	}
	narrow := setGroup(1, rules{udpPort(443, "0.0.0.0/0")}, nil)
	restore := setGroup(1, defaultObjects().SecurityGroups[1].Inbound, nil)
	refused := func(n uint64) map[drop.Reason]uint64 { return map[drop.Reason]uint64{drop.SecurityGroupIn: n} }

	b := newBed(t, bedOptions{objects: choose(policy.LiveFlows{Mode: policy.LiveCut})})
	b.ask(nil)
	b.policy(narrow)
	b.ask(refused(1))
	if s := b.stats(); s.SessionsLive != 0 {
		t.Errorf("%d sessions live after a cut", s.SessionsLive)
	}
	b.policy(restore)
	b.ask(refused(1))

	b = newBed(t, bedOptions{objects: choose(policy.LiveFlows{Mode: policy.LiveDrain, Drain: 10 * time.Second})})
	b.ask(nil)
	b.answer(nil)
	b.policy(narrow)
	for range 9 {
		b.ask(nil)
		b.answer(nil)
		b.clock.advance(time.Second)
	}
	b.clock.advance(2 * time.Second)
	b.ask(refused(1))

	b = newBed(t, bedOptions{objects: choose(policy.LiveFlows{Mode: policy.LiveDrain, Drain: 10 * time.Second})})
	b.ask(nil)
	b.policy(narrow)
	b.ask(nil)
	b.policy(restore)
	b.ask(nil)
	b.clock.advance(20 * time.Second)
	b.ask(nil)

	// The group itself is taken away from the ENI.
	b = newBed(t, bedOptions{objects: choose(policy.LiveFlows{Mode: policy.LiveCut})})
	b.ask(nil)
	b.policy(func(o *policy.Objects) { o.ENIs[2].SecurityGroups = []string{"web"} })
	b.ask(refused(1))
}

// After a change that concerns every flow, new connections get all of their
// budget; the flows go on by their old verdicts for at most the time that is
// set, whether the sweep has come to them or they were judged by packets.
func TestRedecisionIsBounded(t *testing.T) {
	const flows, redecide = 2000, 1000
	for _, swept := range []bool{true, false} {
		b := newBed(t, bedOptions{objects: untrackedObjects(), slots: 1 << 14, config: func(c *Config) {
			c.Flows, c.Sessions, c.SlowPathBudget, c.Redecide, c.RedecideWithin = 8192, 8192, 1, redecide, time.Second
			c.SlowPathQueue = 8192
		}})
		all := func() {
			for i := range uint16(flows) {
				b.inject("web", b.udp("web", "app", 1000+i, 80))
				if i%64 == 63 {
					b.settle()
					b.received("app") // its ports hold few, and a random key may lead most flows to one queue
				}
			}
			b.settle()
			b.received("app")
		}
		all()
		b.policy(setGroup(1, rules{udpPort(443, "0.0.0.0/0")}, rules{allTo("0.0.0.0/0")}))
		before := b.stats()
		all() // in no time at all: what may be judged at once is refused
		s := b.stats()
		if refused := s.Drops[drop.SecurityGroupIn]; refused != redecideDepth {
			t.Errorf("%d flows were judged anew by packets, want %d", refused, redecideDepth)
		}
		if s.Waited != before.Waited {
			t.Errorf("%d packets of known flows waited for the slow path", s.Waited-before.Waited)
		}
		if swept {
			for range 10_000 {
				b.clock.advance(tidyEvery)
				b.settle()
			}
			if !b.engine.SweepDone() {
				t.Error("the sweep has not ended within its time")
			}
		} else {
			b.clock.advance(time.Second)
		}
		s = b.stats()
		sent := s.Tx
		all()
		if s = b.stats(); s.Tx != sent {
			t.Errorf("swept %v: %d packets went by an old verdict after its time", swept, s.Tx-sent)
		}
		if swept && s.SlowPath-before.SlowPath > flows+flows/2 {
			t.Errorf("%d packets took the slow path after the sweep", s.SlowPath-before.SlowPath)
		}
	}
}

// Changes in quick succession do not prolong the time of an old verdict.
func TestOldVerdictsDoNotRenew(t *testing.T) {
	b := newBed(t, bedOptions{objects: untrackedObjects(), config: func(c *Config) { c.Redecide, c.RedecideWithin = 0, time.Second }})
	b.ask(nil)
	b.policy(setGroup(1, nil, nil))
	b.ask(nil) // by its old verdict
	for i := range 3 {
		b.clock.ns += int64(300 * time.Millisecond)
		w := b.engine.workers[0]
		w.nextTidy = b.clock.ns + int64(time.Hour) // no sweep helps
		b.policy(setGroup(1, rules{udpPort(1000+i, "0.0.0.0/0")}, nil))
		b.ask(nil)
	}
	b.clock.ns += int64(101 * time.Millisecond)
	b.ask(map[drop.Reason]uint64{drop.SecurityGroupIn: 1})
}

// A flow that comes back by another ENI of the instance than it went to: each
// ENI tracks what it sees, so that it works where the rules of the second one
// let the answers out, and every packet of the answers takes the slow path.
func TestAsymmetricRouting(t *testing.T) {
	o := defaultObjects()
	o.ENIs = append(o.ENIs, policy.ENI{
		ID: "app2", Instance: "app", Subnet: "back", MAC: [6]byte{2, 0, 0, 0, 1, 99}, Addresses: o.ENIs[2].Addresses[:0:0],
		SecurityGroups: []string{"out"}, MTU: 1500, Queues: 1, TCPEstablished: 432000, UDP: 30, UDPStream: 180,
	})
	o.ENIs[3].Addresses = append(o.ENIs[3].Addresses, mustPrefix("10.0.2.99/32").Addr())
	o.SecurityGroups = append(o.SecurityGroups, policy.SecurityGroup{ID: "out", VPC: "v", Outbound: rules{allTo("10.0.0.0/16")}})
	b := newBed(t, bedOptions{objects: o})
	answer := func() []byte {
		return b.frame("app2", b.ip("app", "web"), packet.UDP{SrcPort: 80, DstPort: 5000})
	}
	b.inject("app2", answer())
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.SecurityGroupIn: 1}) // nobody asked
	b.ask(map[drop.Reason]uint64{drop.SecurityGroupIn: 1})
	before := b.stats()
	for range 5 {
		b.inject("app2", answer())
		b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.SecurityGroupIn: 1})
	}
	s := b.stats()
	if got := len(b.received("web")); got != 5 {
		t.Errorf("web received %d answers", got)
	}
	if s.SlowPath-before.SlowPath != 5 || s.SessionsLive != 2 {
		t.Errorf("%d packets took the slow path, %d sessions live", s.SlowPath-before.SlowPath, s.SessionsLive)
	}
	// Both sessions see the answers: web's end has what it asked for.
	b.engine.EachSession(func(_ int, x *conntrack.Session) bool {
		switch x.Originator() {
		case b.eni("web"):
			if x.Packets(0) != 1 || x.Packets(1) != 5 {
				t.Errorf("web's session has %d packets and %d answers", x.Packets(0), x.Packets(1))
			}
		case b.eni("app2"):
			if !x.Tracked(0) || x.Tracked(1) || x.Packets(0) != 5 {
				t.Errorf("app2's session is tracked %v, %v and has %d packets", x.Tracked(0), x.Tracked(1), x.Packets(0))
			}
		}
		return true
	})
	// Each end counts once.
	for _, instance := range []string{"web", "app"} {
		want := int64(1)
		if instance == "app" {
			want = 2
		}
		if n := b.engine.Allowances().Used(b.record(instance).Instance); n != want {
			t.Errorf("instance %s has %d tracked connections, want %d", instance, n, want)
		}
	}
	// What app itself answers goes on as ever.
	b.answer(map[drop.Reason]uint64{drop.SecurityGroupIn: 1})
}
