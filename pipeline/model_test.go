package pipeline

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/policy"
	"pgregory.net/rapid"
)

// vpcModel is the dumb twin of the datapath for flows: a list of connections,
// searched from its beginning, and the policy compiled from nothing for every
// packet. It has no flow cache, no generations, no index, no waiting queue and
// no sweep. What policy says of one packet has a twin of its own in package
// policy, and TCP's table and windows theirs in package conntrack.
type vpcModel struct {
	now       time.Duration
	objects   *policy.Objects
	conns     []*modelConn
	pickup    bool
	untracked map[string]bool // flows that went without a connection when they were last let through
}

// modelPacket is a packet of TCP, UDP, ICMP echo or GRE that crosses the router.
type modelPacket struct {
	from         string
	src, dst     netip.Addr
	proto        uint8
	sport, dport uint16
	flags        uint8
	echo         uint8 // ICMP's type
}

type modelConn struct {
	opened  modelPacket
	ends    [2]string // ENIs
	tracked [2]bool
	groups  [2]string
	state   conntrack.State
	idle    time.Duration
	last    time.Duration
	drained time.Duration // 0 for never
	packets [2]int
}

func (p modelPacket) tuple() string {
	return fmt.Sprint(p.src, p.sport, p.dst, p.dport, p.proto)
}

func (p modelPacket) answer() string {
	return fmt.Sprint(p.dst, p.dport, p.src, p.sport, p.proto)
}

// way returns the direction of a packet in a connection, or -1.
func (c *modelConn) way(p modelPacket) int {
	switch p.tuple() {
	case c.opened.tuple():
		return 0
	case c.opened.answer():
		return 1
	}
	return -1
}

func (m *vpcModel) String() (all string) {
	for _, c := range m.conns {
		all += fmt.Sprintf("%s of %v, tracked %v by %v: %v, last %v, idle time %v, drained at %v\n",
			c.opened.tuple(), c.ends, c.tracked, c.groups, c.state, c.last, c.idle, c.drained)
	}
	return all
}

// listed shows the sessions of a bed.
func (b *bed) listed() (all string) {
	b.engine.EachSession(func(_ int, s *conntrack.Session) bool {
		all += fmt.Sprintf("%s of %d, %d, tracked %v, %v: %v, last %v, idle time %v\n",
			tupleOf(s.Key()), s.Originator(), s.Responder(), s.Tracked(0), s.Tracked(1), s.State(),
			time.Duration(s.Last(b.clock.ns)), time.Duration(s.Timeout()))
		return true
	})
	return all
}

func tupleOf(k *hash.FlowKey) string {
	return fmt.Sprintf("%x:%d > %x:%d %d", k.Src.Lo, k.SrcPort(), k.Dst.Lo, k.DstPort(), k.Proto())
}

func (m *vpcModel) end(c *modelConn) {
	m.conns = slices.DeleteFunc(m.conns, func(x *modelConn) bool { return x == c })
}

// over ends what time has ended.
func (m *vpcModel) over() {
	m.conns = slices.DeleteFunc(m.conns, func(c *modelConn) bool {
		return m.now > c.last+c.idle || c.drained != 0 && m.now/time.Second >= c.drained/time.Second
	})
}

// speaking returns the connections that speak for a packet to ENI to: that
// between the two, one at the sender, one at the receiver.
func (m *vpcModel) speaking(p modelPacket, to string) (main, out, in *modelConn) {
	for _, c := range m.conns {
		way := c.way(p)
		if way < 0 {
			continue
		}
		from, at := c.ends[way] == p.from, c.ends[1-way] == to
		if from && at {
			main = c
		}
		if from && c.tracked[way] && (out == nil || at) {
			out = c
		}
		if at && c.tracked[1-way] && (in == nil || from) {
			in = c
		}
	}
	return main, out, in
}

func (m *vpcModel) query(s *policy.Snapshot, p modelPacket) policy.Query {
	eni, _ := s.ENIByID(p.from)
	q := policy.Query{
		Key: hash.FlowKey{Src: policy.KeyAddr(p.src), Dst: policy.KeyAddr(p.dst),
			Tail: hash.Tail(p.sport, p.dport, eni, p.proto, hash.KeyIPv4|hash.KeyRouted)},
		Opens: p.proto == protoTCP && p.flags&(conntrack.SYN|conntrack.ACK) == conntrack.SYN,
	}
	if p.proto == protoICMP {
		q.ICMPType = p.echo
	}
	return q
}

// decide lets one packet go through and returns what becomes of it, and to
// which ENI it goes.
func (m *vpcModel) decide(p modelPacket) (drop.Reason, string) {
	m.over()
	s, err := policy.Compile(m.objects, nil)
	if err != nil {
		panic(err)
	}
again:
	q := m.query(s, p)
	q.AdmittedOut, q.AdmittedIn = true, true // to find out where it goes
	first := s.Decide(&q, nil)
	to := s.ENI(first.Egress).ID
	q.Far = first.Egress
	main, out, in := m.speaking(p, to)
	var replaced []*modelConn
	for _, c := range []**modelConn{&main, &out, &in} {
		switch {
		case *c == nil:
		case m.cut(s, *c):
			m.end(*c)
			goto again
		case (*c).state.IsTCP() && conntrack.NextTCP((*c).state, (*c).way(p), p.flags) == conntrack.Renew:
			replaced = append(replaced, *c)
			*c = nil
		}
	}
	q.AdmittedOut, q.AdmittedIn = out != nil, in != nil
	d := s.Decide(&q, nil)
	if d.Verdict == policy.Forward && replaced != nil {
		for _, c := range replaced {
			m.end(c)
		}
		goto again
	}
	if d.Verdict != policy.Forward {
		delete(m.untracked, p.tuple())
		return d.Reason, ""
	}
	needs := [2]bool{d.TrackOut && out == nil, d.TrackIn && in == nil}
	var fresh *modelConn
	switch {
	case needs == [2]bool{}:
	case main == nil:
		var r drop.Reason
		if fresh, r = m.open(s, p, to, needs, &d); r != drop.Unset {
			return r, ""
		}
	default:
		way := main.way(p)
		for half, need := range needs { // half 0 is the sender's
			if end := half ^ way; need {
				main.tracked[end] = true
				if main.groups[end] = groupOf(s, &d, half); way == 1 {
					main.groups[end] = "" // it has admitted an answer, and makes no choice for the flow
				}
			}
		}
		in, out = main, main
	}
	delete(m.untracked, p.tuple())
	if main == nil && fresh == nil && out == nil && in == nil {
		m.untracked[p.tuple()] = true
	}
	seen := map[*modelConn]bool{nil: true}
	for _, c := range []*modelConn{main, out, in} {
		if !seen[c] {
			seen[c] = true
			if r := m.follow(c, p); r != drop.Unset {
				return r, ""
			}
		}
	}
	return drop.Unset, to
}

func groupOf(s *policy.Snapshot, d *policy.Decision, half int) string {
	ref := d.SGOut
	if half == 1 {
		ref = d.SGIn
	}
	group, _ := s.SecurityGroupRule(ref)
	return group
}

func (m *vpcModel) open(s *policy.Snapshot, p modelPacket, to string, tracked [2]bool, d *policy.Decision) (*modelConn, drop.Reason) {
	state := conntrack.Initial(p.proto, p.flags, m.pickup || m.untracked[p.tuple()])
	if state == conntrack.None {
		if conntrack.ValidFlags(p.flags) {
			return nil, drop.MidstreamTCP
		}
		return nil, drop.TCPInvalidFlags
	}
	c := &modelConn{opened: p, ends: [2]string{p.from, to}, tracked: tracked, state: state, last: m.now}
	for half := range c.groups {
		c.groups[half] = groupOf(s, d, half)
	}
	c.idle = m.timeout(state, false)
	c.packets[0] = 1
	m.conns = append(m.conns, c)
	return c, drop.Unset
}

// follow is what a packet does to a connection.
func (m *vpcModel) follow(c *modelConn, p modelPacket) drop.Reason {
	way := c.way(p)
	answered := way == 1 || c.packets[1] != 0
	switch {
	case c.state.IsTCP():
		next := conntrack.NextTCP(c.state, way, p.flags)
		if next == conntrack.Refuse {
			if conntrack.ValidFlags(p.flags) {
				return drop.TCPSessionClosed
			}
			return drop.TCPInvalidFlags
		}
		c.state, c.idle = next, m.timeout(next, answered)
	case c.state == conntrack.UDPSingle && c.packets[way] > 0 && c.packets[1-way] > 1:
		c.state, c.idle = conntrack.UDPStream, m.timeout(conntrack.UDPStream, true)
	}
	c.packets[way]++
	c.last = m.now
	return drop.Unset
}

// timeout is that of the defaults, which all ENIs of the model have.
func (m *vpcModel) timeout(s conntrack.State, answered bool) time.Duration {
	if s == conntrack.Established && !answered {
		s = conntrack.SynReceived
	}
	return time.Duration(conntrack.DefaultTimeouts[s])
}

// changed ends the connections that a change of policy ends.
func (m *vpcModel) changed() {
	m.over()
	s, err := policy.Compile(m.objects, nil)
	if err != nil {
		panic(err)
	}
	m.conns = slices.DeleteFunc(m.conns, func(c *modelConn) bool { return m.cut(s, c) })
}

// cut reports whether the choice of a group ends a connection, and notes if it
// does so later.
func (m *vpcModel) cut(s *policy.Snapshot, c *modelConn) bool {
	drains := time.Duration(0)
	for end := range c.ends {
		if !c.tracked[end] || c.groups[end] == "" {
			continue
		}
		i := slices.IndexFunc(m.objects.SecurityGroups, func(g policy.SecurityGroup) bool { return g.ID == c.groups[end] })
		live := m.objects.SecurityGroups[i].LiveFlows
		if live.Mode == policy.LiveAWS {
			continue
		}
		eni, _ := s.ENIByID(c.ends[end])
		far, _ := s.ENIByID(c.ends[1-end])
		q := m.query(s, c.opened)
		if _, ok := s.StillAdmits(&q.Key, q.ICMPType, 0, end, eni, far); ok {
			continue
		}
		if live.Mode == policy.LiveCut {
			return true
		}
		drains = live.Drain
	}
	switch {
	case drains == 0:
		c.drained = 0
	case c.drained == 0:
		c.drained = m.now + drains
	}
	return false
}

// modelObjects is defaultObjects with a second ENI of app's instance that may
// send for it, so that answers can come another way.
func modelObjects() *policy.Objects {
	o := defaultObjects()
	back := o.ENIs[2]
	back.ID, back.MAC[5], back.SourceDestCheck = "app2", 99, false
	back.Addresses = []netip.Addr{netip.MustParseAddr("10.0.2.99")}
	o.ENIs = append(o.ENIs, back)
	return o
}

// modelRules are what groups may have, so that flows are tracked at both ends,
// at one, at none, and refused.
var modelRules = []rules{
	nil,
	{udpPort(80, "0.0.0.0/0"), {Match: policy.Match{Protocol: policy.ProtoTCP, FromPort: 80, ToPort: 80}, CIDR: everywhere}},
	{allTo("0.0.0.0/0")},
	{allTo("10.0.0.0/16")},
	{allTo("10.0.1.0/24")},
	{{Match: policy.Match{Protocol: policy.ProtoICMP, FromPort: 8, ToPort: -1}, CIDR: vpcOnly}},
	{{Match: policy.Match{Protocol: policy.ProtoAll}, Group: "web"}},
}

func drawPacket(t *rapid.T) modelPacket {
	address := map[string]string{"web": "10.0.1.10", "web2": "10.0.1.11", "app": "10.0.2.10"}
	from := rapid.SampledFrom([]string{"web", "web", "app", "app", "web2", "app2"}).Draw(t, "from")
	as, to := from, "app"
	if from == "app2" {
		as = "app"
	}
	if as == "app" {
		to = rapid.SampledFrom([]string{"web", "web", "web2"}).Draw(t, "to")
	}
	p := modelPacket{from: from, src: netip.MustParseAddr(address[as]), dst: netip.MustParseAddr(address[to])}
	p.proto = rapid.SampledFrom([]uint8{protoTCP, protoTCP, protoUDP, protoUDP, protoICMP, 47}).Draw(t, "protocol")
	client, server := rapid.Uint16Range(4000, 4001).Draw(t, "client's port"), rapid.SampledFrom([]uint16{80, 81}).Draw(t, "server's port")
	switch p.proto {
	case protoTCP:
		const s, a, r = conntrack.SYN, conntrack.ACK, conntrack.RST
		p.flags = rapid.SampledFrom([]uint8{s, s, s | a, a, a, r | a, 0, s | r}).Draw(t, "flags")
		fallthrough
	case protoUDP:
		p.sport, p.dport = client, server
		if as == "app" {
			p.sport, p.dport = server, client
		}
	case protoICMP:
		p.sport, p.dport, p.echo = client, 8, 8
		if rapid.Bool().Draw(t, "reply") {
			p.sport, p.dport, p.echo = 8, client, 0
		}
	}
	return p
}

func (p modelPacket) frame(b *bed) []byte {
	var l packet.Layer = packet.Payload("anything")
	switch p.proto {
	case protoTCP:
		l = p.segment()
	case protoUDP:
		l = packet.UDP{SrcPort: p.sport, DstPort: p.dport}
	case protoICMP:
		l = packet.ICMP{Type: p.echo, ID: max(p.sport, p.dport)}
	}
	return b.frame(p.from, packet.IPv4{Src: p.src, Dst: p.dst, Proto: p.proto}, l)
}

// segment numbers the packet so that it always lies within the windows, and a
// reset is the one that its receiver expects: what the windows say has a twin of
// its own (conntrack, TestWindow).
func (p modelPacket) segment() packet.TCP {
	s := packet.TCP{SrcPort: p.sport, DstPort: p.dport, Flags: p.flags, Seq: 101, Ack: 501}
	if p.sport < p.dport { // the server's
		s.Seq, s.Ack = 501, 101
	}
	if p.flags&conntrack.SYN != 0 {
		s.Seq--
	}
	if p.flags&conntrack.ACK == 0 {
		s.Ack = 0
	}
	return s
}

// After any sequence of packets, time and changes of policy the model, the slow
// path alone, and the slow path with the flow cache before it come to the same
// verdict, and the same number of connections counts for each instance.
func TestDatapathEqualsModel(t *testing.T) {
	reasons, kinds := map[drop.Reason]int{}, map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		pickup := rapid.Bool().Draw(t, "pickup")
		within := rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(t, "redecide within")
		bedOf := func() *bed {
			return newBed(t, bedOptions{slots: 64, objects: modelObjects(), config: func(c *Config) {
				c.PickupMidstream, c.Redecide, c.RedecideWithin = pickup, 1_000_000_000, within
			}})
		}
		b, cold := bedOf(), bedOf()
		m := &vpcModel{now: time.Second, objects: modelObjects(), pickup: pickup, untracked: map[string]bool{}}
		policies := func(change func(*policy.Objects)) {
			b.policy(change)
			cold.policy(change)
			change(m.objects)
			m.changed()
			b.sweepSessions()
			cold.sweepSessions()
		}
		t.Repeat(map[string]func(*rapid.T){
			"packets": func(t *rapid.T) {
				for range rapid.IntRange(1, 30).Draw(t, "packets") {
					p := drawPacket(t)
					frame := p.frame(b)
					got := b.fate(p.from, frame)
					want, to := m.decide(p)
					reasons[want]++
					cold.forgetAllBut(m.untracked)
					if slow := cold.fate(p.from, frame); slow != got {
						t.Fatalf("%s from %s: with the flow cache %+v, without %+v, model %v %s\n%s\nwithout:\n%s\nmodel:\n%s",
							p.tuple(), p.from, got, slow, want, to, b.listed(), cold.listed(), m)
					}
					if got.reason != want || want == drop.Unset && b.snap.ENI(got.egress).ID != to {
						t.Fatalf("%+v: %v to %q, the model says %v to %q", p, got.reason, b.snap.ENI(got.egress).ID, want, to)
					}
				}
			},
			"time": func(t *rapid.T) {
				d := time.Duration(rapid.SampledFrom([]int{1, 1, 2, 6, 31, 61, 200}).Draw(t, "seconds")) * time.Second
				b.pass(d)
				cold.pass(d)
				m.now += d
			},
			"rules": func(t *rapid.T) {
				i := rapid.IntRange(0, 1).Draw(t, "group")
				in, out := rapid.SampledFrom(modelRules).Draw(t, "in"), rapid.SampledFrom(modelRules).Draw(t, "out")
				policies(setGroup(i, in, out))
			},
			"live": func(t *rapid.T) {
				i, mode := rapid.IntRange(0, 1).Draw(t, "group"), policy.LiveMode(rapid.IntRange(0, 2).Draw(t, "mode"))
				policies(func(o *policy.Objects) {
					o.SecurityGroups[i].LiveFlows = policy.LiveFlows{Mode: mode, Drain: 5 * time.Second}
				})
			},
			"acl": func(t *rapid.T) {
				allow := rapid.Bool().Draw(t, "allow")
				policies(func(o *policy.Objects) {
					o.NetworkACLs = []policy.NetworkACL{{ID: "acl", VPC: "v",
						Inbound:  []policy.ACLRule{{Number: 1, Allow: allow, Match: policy.Match{Protocol: policy.ProtoUDP, FromPort: 0, ToPort: 65535}, CIDR: everywhere}, {Number: 2, Allow: true, Match: policy.Match{Protocol: policy.ProtoAll}, CIDR: everywhere}},
						Outbound: []policy.ACLRule{{Number: 2, Allow: true, Match: policy.Match{Protocol: policy.ProtoAll}, CIDR: everywhere}}}}
					o.Subnets[1].NetworkACL = "acl"
				})
			},
			"": func(t *rapid.T) {
				m.over()
				used := map[string]int64{}
				for _, c := range m.conns {
					for end, id := range c.ends {
						if c.tracked[end] {
							used[id[:3]]++
							kinds[fmt.Sprint(c.tracked)]++
						}
					}
				}
				for _, x := range []*bed{b, cold} {
					x.pass(0)
					for _, instance := range []string{"web", "app"} {
						n := x.engine.Allowances().Used(x.record(instance).Instance)
						if instance == "web" {
							n += x.engine.Allowances().Used(x.record("web2").Instance)
						}
						if n != used[instance] {
							t.Fatalf("%d connections count for %s, the model says %d:\n%s\nthe model has\n%s", n, instance, used[instance], x.listed(), m)
						}
					}
				}
			},
		})
	})
	for _, r := range []drop.Reason{drop.Unset, drop.SecurityGroupIn, drop.SecurityGroupOut, drop.NACLIn, drop.MidstreamTCP} {
		if reasons[r] == 0 {
			t.Errorf("no packet came to %v: %v", r, reasons)
		}
	}
	for _, k := range [][2]bool{{true, true}, {true, false}, {false, true}} {
		if kinds[fmt.Sprint(k)] == 0 {
			t.Errorf("no connection was tracked %v", k)
		}
	}
}

// sweepSessions lets the sweep look at all sessions, and at no flow.
func (b *bed) sweepSessions() {
	for _, w := range b.engine.workers {
		w.begin()
		left := w.redecision.left
		w.redecision.left = 0
		for w.redecision.ending != 0 {
			w.sweep(tidyEvery)
		}
		w.redecision.left = left
	}
}

// forgetAllBut is forget, but for the entries by which flows are known to go
// untracked: they are no mere cache where midstream is strict.
func (b *bed) forgetAllBut(untracked map[string]bool) {
	if len(untracked) == 0 {
		b.forget()
	}
}
