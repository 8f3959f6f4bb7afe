package pipeline

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/policy"
)

// next builds the packet that a live flow sends next.
func (b *bed) next(f *LiveFlow, w *LiveWay) []byte {
	k := &w.Key
	r := &b.snap.ENIs[k.ENI()]
	to := r.RouterMAC
	if k.Flags()&hash.KeyRouted == 0 {
		to = w.link
	}
	src, dst := policy.AddrOf(k.Src, k.IsIPv6()), policy.AddrOf(k.Dst, k.IsIPv6())
	if public, ok := b.snap.Public(r.VPC, dst); ok && r.Flags&policy.IsInternetGateway != 0 {
		dst = public
	}
	layers := []packet.Layer{packet.Ether{Dst: to, Src: r.MAC}}
	if k.IsIPv6() {
		layers = append(layers, packet.IPv6{Src: src, Dst: dst, Next: k.Proto()})
	} else {
		layers = append(layers, packet.IPv4{Src: src, Dst: dst, Proto: k.Proto()})
	}
	switch k.Proto() {
	case protoTCP:
		tcp := packet.TCP{SrcPort: k.SrcPort(), DstPort: k.DstPort(), Flags: conntrack.ACK, Window: 1000}
		if f.HasSession {
			dir := 0
			if w == &f.Ways[1] {
				dir = 1
			}
			tcp.Seq, _ = f.Session.Sent(dir)
			tcp.Ack, _ = f.Session.Sent(1 - dir)
		}
		layers = append(layers, tcp)
	case protoUDP:
		layers = append(layers, packet.UDP{SrcPort: k.SrcPort(), DstPort: k.DstPort()})
	case protoICMP, protoICMPv6:
		typ, code := icmpOf(k)
		id := k.SrcPort()
		if _, asks, ok := queryOf(typ, k.IsIPv6()); ok && !asks {
			id = k.DstPort()
		}
		if k.IsIPv6() {
			layers = append(layers, packet.ICMPv6{Type: typ, Code: code, Rest: uint32(id) << 16})
		} else {
			layers = append(layers, packet.ICMP{Type: typ, Code: code, ID: id})
		}
	default:
		layers = append(layers, packet.Payload("anything"))
	}
	return packet.Build(layers...)
}

// edits draws some changes to a policy, so that flows die, live, take other ways
// and are admitted.
func edits(t *rapid.T, b *bed) func(*policy.Objects) {
	names := rapid.SliceOfN(rapid.SampledFrom(append(sortedNames(changes), "rules removed", "random rules", "random acl", "swap groups", "untracked", "untracked", "live", "live", "live")), 1, 4).Draw(t, "edits")
	if rapid.Bool().Draw(t, "end flows") {
		names = append(names, "live", "live", "rules removed")
	}
	match := func() policy.Match {
		m := policy.Match{Protocol: rapid.SampledFrom([]int{policy.ProtoAll, policy.ProtoTCP, policy.ProtoUDP, policy.ProtoICMP}).Draw(t, "protocol")}
		switch m.Protocol {
		case policy.ProtoTCP, policy.ProtoUDP:
			m.FromPort = rapid.SampledFrom([]int{0, 80, 1000}).Draw(t, "from")
			m.ToPort = rapid.SampledFrom([]int{m.FromPort, 65535}).Draw(t, "to")
		case policy.ProtoICMP:
			m.FromPort, m.ToPort = rapid.SampledFrom([]int{-1, 0, 8}).Draw(t, "type"), -1
		}
		return m
	}
	cidr := rapid.SampledFrom([]string{"0.0.0.0/0", "::/0", "10.0.1.0/24", "10.0.2.10/32"})
	return func(o *policy.Objects) {
		for _, name := range names {
			switch name {
			case "random rules":
				g := &o.SecurityGroups[rapid.IntRange(0, 1).Draw(t, "group")]
				rules := []policy.SGRule{{Match: match(), CIDR: mustPrefix(cidr.Draw(t, "peer"))}, {Match: match(), Group: "web"}}
				if rapid.Bool().Draw(t, "in") {
					g.Inbound = rules
				} else {
					g.Outbound = rules
				}
			case "random acl":
				rules := []policy.ACLRule{
					{Number: 10, Allow: rapid.Bool().Draw(t, "allow"), Match: match(), CIDR: mustPrefix(cidr.Draw(t, "peer"))},
					{Number: 20, Allow: true, Match: policy.Match{Protocol: policy.ProtoAll}, CIDR: mustPrefix("0.0.0.0/0")},
				}
				if rapid.Bool().Draw(t, "in") {
					o.NetworkACLs[0].Inbound = rules
				} else {
					o.NetworkACLs[0].Outbound = rules
				}
			case "untracked":
				g := &o.SecurityGroups[rapid.IntRange(0, 1).Draw(t, "group")]
				open := []policy.SGRule{{Match: policy.Match{Protocol: policy.ProtoAll}, CIDR: mustPrefix("0.0.0.0/0")}}
				g.Inbound, g.Outbound = open, open
			case "live":
				o.SecurityGroups[rapid.IntRange(0, 2).Draw(t, "group")].LiveFlows = rapid.SampledFrom([]policy.LiveFlows{
					{}, {Mode: policy.LiveCut}, {Mode: policy.LiveDrain, Drain: 30 * time.Second},
				}).Draw(t, "live flows")
			case "swap groups":
				e := &o.ENIs[rapid.IntRange(0, len(o.ENIs)-1).Draw(t, "eni")]
				e.SecurityGroups = []string{rapid.SampledFrom([]string{"web", "app", "fw"}).Draw(t, "becomes")}
			default:
				changes[name](o)
			}
		}
	}
}

// copyOf copies what edits change.
func copyOf(o *policy.Objects) *policy.Objects {
	c := *o
	c.SecurityGroups, c.NetworkACLs = slices.Clone(o.SecurityGroups), slices.Clone(o.NetworkACLs)
	c.RouteTables, c.ENIs, c.Instances = slices.Clone(o.RouteTables), slices.Clone(o.ENIs), slices.Clone(o.Instances)
	for i := range c.RouteTables {
		c.RouteTables[i].Routes = slices.Clone(c.RouteTables[i].Routes)
	}
	return &c
}

// stateful are the reasons that come from a session's state or from a table that
// is full, of which a look ahead says nothing.
var stateful = []drop.Reason{
	drop.TCPSessionClosed, drop.TCPInvalidFlags, drop.SessionTableFull,
	drop.MTUExceeded, drop.TTLExpired, drop.ConntrackAllowanceExceeded,
}

// What is foreseen of each live flow is what then happens to its next packet,
// and there are flows of every fate among those that are compared.
func TestForeseenIsWhatHappens(t *testing.T) {
	fates := []string{"the same", "is cut", "drains", "tracked elsewhere", "dies", "is admitted", "another way", "by the rules"}
	seen := map[string]int{}
	unseen := func(what string) bool { return seen[what] == 0 }
	const rounds = 5 // almost always one does
	for i := 0; i < rounds && slices.ContainsFunc(fates, unseen); i++ {
		rapid.Check(t, func(t *rapid.T) { foreseenHappens(t, seen) })
	}
	for _, what := range fates {
		if unseen(what) {
			t.Errorf("no flow was foreseen to be: %s; %v", what, seen)
		}
	}
}

// foreseenHappens draws flows and a new policy, compares, and counts by fate the
// flows that it compared.
func foreseenHappens(t *rapid.T, seen map[string]int) {
	pickup := rapid.Bool().Draw(t, "pickup")
	b := newBed(t, bedOptions{lcores: rapid.IntRange(1, 2).Draw(t, "lcores"), slots: 512, objects: propertyObjects(),
		config: func(c *Config) { c.PickupMidstream = pickup }})
	m := frameMaker{b: b}
	for range rapid.IntRange(1, 60).Draw(t, "frames") {
		eni, frame := m.draw(t)
		b.fatesAt(b.eni(eni), frame)
	}
	flows := func() {
		for range rapid.IntRange(0, 12).Draw(t, "flows") {
			from := rapid.SampledFrom([]string{"web", "fw"}).Draw(t, "client")
			port := rapid.Uint16Range(1000, 1007).Draw(t, "port")
			b.fate(from, b.tcp(from, "app", port, 80, conntrack.SYN))
			b.fate("app", b.tcp("app", from, 80, port, conntrack.SYN|conntrack.ACK))
			b.fate(from, b.udp(from, "app", port, 5201))
		}
	}
	flows()
	again := rapid.IntRange(0, 3).Draw(t, "tracked again") == 0
	if again || rapid.Bool().Draw(t, "once before") {
		edit := edits(t, b)
		b.policy(func(o *policy.Objects) {
			if edit(o); again {
				changes["groups open"](o)
			}
		})
		for range rapid.IntRange(0, 10).Draw(t, "more frames") {
			eni, frame := m.draw(t)
			b.fatesAt(b.eni(eni), frame)
		}
		flows()
	}
	b.clock.advance(time.Second)
	b.settle() // no fragment waits any more
	objects := copyOf(b.objects)
	if again {
		changes["groups closed"](objects)
	}
	edits(t, b)(objects)
	next, err := policy.Compile(objects, b.snap)
	if err != nil {
		t.Fatal(err)
	}
	ahead, err := b.engine.Foresee(next)
	if err != nil {
		t.Fatal(err)
	}
	var live []LiveFlow
	ahead.Each(func(f *LiveFlow) bool {
		live = append(live, *f)
		return true
	})
	// One packet alone for each pair of endpoints: more would answer each other.
	tried := map[uint64]bool{}
	live = slices.DeleteFunc(live, func(f LiveFlow) bool {
		h := b.engine.hasher.Hash(&f.Ways[0].Key, 0)
		again := tried[h]
		tried[h] = true
		return again
	})
	ways, steps := make([]*LiveWay, len(live)), make([][]policy.Step, len(live))
	for i := range live {
		ways[i] = &live[i].Ways[rapid.IntRange(0, live[i].N-1).Draw(t, "way")]
		steps[i] = ahead.Explain(ways[i])
	}
	before := b.snap
	if err := b.engine.SetPolicy(next); err != nil {
		t.Fatal(err)
	}
	b.objects = objects
	for i := range live {
		f := &live[i]
		w, steps := ways[i], steps[i]
		b.snap = before
		frame := b.next(f, w)
		b.snap = next
		got := b.fateAt(w.Key.ENI(), frame)
		want := outcome{verdict: w.Then.Verdict, reason: w.Then.Reason, egress: w.Then.Egress, queue: got.queue}
		if w.Then.Verdict != VerdictForward {
			want.egress = noENI
			byPolicy := w.Then.Reason != drop.PortWithoutENI && w.Then.Reason != drop.MidstreamTCP && !slices.Contains(stateful, w.Then.Reason)
			if n := len(steps); byPolicy && (n == 0 || steps[n-1].Reason != w.Then.Reason) {
				t.Fatalf("the flow would be dropped for %v, explained by %+v", w.Then.Reason, steps)
			}
		}
		if slices.Contains(stateful, got.reason) || slices.Contains(stateful, w.Then.Reason) {
			continue
		}
		if got != want {
			t.Fatalf("%s:\nforeseen as %+v,\nhappened    %+v\n%+v\n%+v", packet.Summary(frame), want, got, w, f)
		}
		b.wantTracked(f, w)
		switch {
		case f.Cut:
			seen["is cut"]++
		case f.Drains != 0:
			seen["drains"]++
		case w.Now.Verdict == w.Then.Verdict && w.Now.Tracked != w.Then.Tracked:
			seen["tracked elsewhere"]++
		case w.Now.Verdict == w.Then.Verdict:
			seen["the same"]++
		case w.Then.Verdict == VerdictDrop:
			seen["dies"]++
		default:
			seen["is admitted"]++
		}
		if w.Now.Verdict == w.Then.Verdict && w.Now.Egress != w.Then.Egress {
			seen["another way"]++
		}
		if f.HasSession && w.Then.Verdict == VerdictForward && !w.Then.Session {
			seen["by the rules"]++
		}
	}
}

// wantTracked wants the flow to be tracked now where it was foreseen, and its
// session to drain.
func (b *bed) wantTracked(f *LiveFlow, w *LiveWay) {
	b.t.Helper()
	if w.Then.Verdict != VerdictForward {
		return
	}
	vpc := b.snap.ENIs[w.Key.ENI()].VPC
	sessions := b.engine.workers[f.Lcore].sessions
	found := sessions.LookupBetween(b.engine.hasher.Hash(&w.Key, uint32(vpc)), &w.Key, vpc, w.Then.Egress, b.clock.Now())
	if got := [2]bool{found.Out != conntrack.NoSession, found.In != conntrack.NoSession}; got != w.Then.Tracked {
		b.t.Fatalf("tracked at %v, foreseen %v\n%+v", got, w.Then.Tracked, f)
	}
	var s conntrack.Session
	if f.HasSession && f.Drains != 0 && w.Then.Session && sessions.Read(found.Main, &s) {
		if draining, _ := s.Draining(b.clock.Now()); !draining {
			b.t.Fatalf("the session was foreseen to drain\n%+v", f)
		}
	}
}

// A packet of each kind of ICMP message is told by its key.
func TestICMPOfKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v6 := rapid.Bool().Draw(t, "v6")
		typ := rapid.SampledFrom([]uint8{0, 8, 13, 14, 15, 16, 17, 18, 9, 40}).Draw(t, "type")
		flags, proto := uint8(0), uint8(protoICMP)
		if v6 {
			flags, proto = hash.KeyIPv6, protoICMPv6
			typ = rapid.SampledFrom([]uint8{128, 129, 130, 150}).Draw(t, "type6")
		}
		code := rapid.SampledFrom([]uint8{0, 0, 1}).Draw(t, "code")
		id := rapid.OneOf(rapid.Uint16(), rapid.SampledFrom([]uint16{8, 13, 128, 129, 0xff08, 0xff80})).Draw(t, "id")
		l4 := []byte{typ, code, 0, 0, byte(id >> 8), byte(id), 0, 0}
		var k hash.FlowKey
		var m Meta
		src, dst := parseICMP(l4, 1, flags, &k, &m)
		k.Tail = hash.Tail(src, dst, 1, proto, flags)
		gotType, gotCode := icmpOf(&k)
		if gotType != typ || gotCode != code {
			t.Fatalf("type %d code %d id %d has ports %d and %d, which mean type %d code %d", typ, code, id, src, dst, gotType, gotCode)
		}
	})
}
