package policy

import (
	"strconv"
	"strings"
	"testing"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/policy/nacl"
	"github.com/nitrod/nitrod/policy/secgroup"
)

func TestDecide(t *testing.T) {
	s := compiled(t, fixture(), nil)
	mac := func(eni string) [6]byte { return s.ENIs[eniOf(t, s, eni)].MAC }
	onLink := func(m [6]byte) func(*Query) {
		return func(q *Query) { q.Key.Tail &^= uint64(hash.KeyRouted); q.DstMAC = m }
	}
	established := func(q *Query) {
		q.AdmittedOut, q.AdmittedIn = true, true
		q.Far = s.Decide(q, nil).Egress
	}
	admittedOut := func(q *Query) { q.AdmittedOut = true }
	admittedIn := func(eni string) func(*Query) {
		return func(q *Query) { q.AdmittedIn, q.Far = true, eniOf(t, s, eni) }
	}
	echo := func(typ, code uint8) func(*Query) {
		return func(q *Query) { q.ICMPType, q.ICMPCode = typ, code }
	}
	for _, tc := range []struct {
		name     string
		eni      string
		src, dst string
		proto    uint8
		port     uint16
		with     func(*Query)
		want     drop.Reason // Unset forwards
		egress   string
		rule     string // of the destination's group
	}{
		{name: "by group reference", eni: "web", src: "10.0.1.10", dst: "10.0.2.10", proto: 6, port: 80, egress: "app", rule: "sg-app/in/1"},
		{name: "secondary address", eni: "web", src: "10.0.1.10", dst: "10.0.2.11", proto: 6, port: 80, egress: "app", rule: "sg-app/in/1"},
		{name: "prefix list", eni: "app2", src: "10.0.2.20", dst: "10.0.1.10", proto: 6, port: 80, egress: "web", rule: "http"},
		{name: "prefix list, other family's rule", eni: "app", src: "2001:db8:0:2::10", dst: "2001:db8:0:1::10", proto: 6, port: 80, want: drop.NACLOut, egress: "web"},
		{name: "no rule for the port", eni: "web", src: "10.0.1.10", dst: "10.0.2.10", proto: 6, port: 81, want: drop.SecurityGroupIn, egress: "app"},
		{name: "ACL denies first", eni: "web", src: "10.0.1.10", dst: "10.0.2.10", proto: 6, port: 23, want: drop.NACLOut, egress: "app"},
		{name: "ACL of the destination", eni: "web", src: "10.0.1.10", dst: "10.0.2.10", proto: 6, port: 5201, want: drop.NACLIn, egress: "app"},
		{name: "echo request", eni: "web", src: "10.0.1.10", dst: "10.0.2.10", proto: 1, with: echo(8, 0), egress: "app", rule: "sg-app/in/2"},
		{name: "echo code", eni: "web", src: "10.0.1.10", dst: "10.0.2.10", proto: 1, with: echo(8, 1), want: drop.SecurityGroupIn, egress: "app"},
		{name: "ICMP type", eni: "web", src: "10.0.1.10", dst: "10.0.2.10", proto: 1, with: echo(13, 0), want: drop.NACLIn, egress: "app"},
		{name: "echo ignores the pseudo-port", eni: "web", src: "10.0.1.10", dst: "10.0.2.10", proto: 1, port: 4711, with: echo(8, 0), egress: "app", rule: "sg-app/in/2"},
		{name: "no outbound rule", eni: "web2", src: "10.0.1.20", dst: "10.0.2.10", proto: 6, port: 80, want: drop.SecurityGroupOut, egress: "app"},
		{name: "established skips groups", eni: "web2", src: "10.0.1.20", dst: "10.0.2.10", proto: 6, port: 81, with: established, egress: "app"},
		{name: "admitted by the sender's session only", eni: "web2", src: "10.0.1.20", dst: "10.0.2.10", proto: 6, port: 81, with: admittedOut, want: drop.SecurityGroupIn, egress: "app"},
		{name: "admitted by the receiver's session only", eni: "web2", src: "10.0.1.20", dst: "10.0.2.10", proto: 6, port: 80, with: admittedIn("app"), want: drop.SecurityGroupOut, egress: "app"},
		{name: "admitted by the receiver's session", eni: "web", src: "10.0.1.10", dst: "10.0.2.10", proto: 6, port: 81, with: admittedIn("app"), egress: "app"},
		{name: "a session at another ENI than the receiver", eni: "web", src: "10.0.1.10", dst: "10.0.2.10", proto: 6, port: 81, with: admittedIn("app2"), want: drop.SecurityGroupIn, egress: "app"},
		{name: "established keeps ACLs", eni: "web", src: "10.0.1.10", dst: "10.0.2.10", proto: 6, port: 23, with: established, want: drop.NACLOut, egress: "app"},
		{name: "spoofed", eni: "web", src: "10.0.1.11", dst: "10.0.2.10", proto: 6, port: 80, want: drop.SourceIPSpoofed},
		{name: "spoofed by another ENI's address", eni: "web", src: "10.0.1.20", dst: "10.0.2.10", proto: 6, port: 80, with: established, want: drop.SourceIPSpoofed},
		{name: "link-local source", eni: "web", src: "fe80::1", dst: "2001:db8:0:2::10", proto: 6, port: 80, want: drop.SourceIPSpoofed},
		{name: "link-local source, check off", eni: "fw", src: "169.254.7.7", dst: "10.0.2.10", proto: 6, port: 80, want: drop.SourceIPSpoofed},
		{name: "loopback source, check off", eni: "fw", src: "127.0.0.1", dst: "10.0.2.10", proto: 6, port: 80, with: onLink(mac("fw")), want: drop.SourceIPSpoofed},
		{name: "loopback destination", eni: "fw", src: "10.0.3.10", dst: "127.0.0.1", proto: 6, port: 80, with: onLink(mac("fw")), want: drop.NoRoute},
		{name: "nobody", eni: "web", src: "10.0.1.10", dst: "10.0.2.99", proto: 6, port: 80, want: drop.UnknownDestination},
		{name: "nobody, ACL first", eni: "web", src: "10.0.1.10", dst: "10.0.2.99", proto: 6, port: 23, want: drop.NACLOut},
		{name: "nobody in the same subnet, no ACL", eni: "web", src: "10.0.1.10", dst: "10.0.1.99", proto: 6, port: 23, want: drop.UnknownDestination},
		{name: "blackhole", eni: "web", src: "10.0.1.10", dst: "192.0.2.1", proto: 6, port: 80, want: drop.RouteBlackhole},
		{name: "gateway", eni: "web", src: "10.0.1.10", dst: "203.0.113.1", proto: 6, port: 80, want: drop.RouteNoSuchTarget},
		{name: "no route in the main table", eni: "app", src: "10.0.2.10", dst: "203.0.113.1", proto: 6, port: 80, want: drop.NoRoute},
		{name: "IPv6 has no default route", eni: "web", src: "2001:db8:0:1::10", dst: "2001:db8:ff::1", proto: 6, port: 80, want: drop.NoRoute},
		{name: "appliance", eni: "web", src: "10.0.1.10", dst: "198.51.100.7", proto: 6, port: 80, egress: "fw", rule: "sg-fw/in/1"},
		{name: "appliance forwards, references do not hold", eni: "fw", src: "10.0.1.10", dst: "10.0.2.10", proto: 6, port: 80, want: drop.SecurityGroupIn, egress: "app"},
		{name: "router", eni: "web", src: "10.0.1.10", dst: "10.0.1.1", proto: 1, with: echo(8, 0), want: drop.RouterNoService},
		{name: "another subnet's router", eni: "web", src: "10.0.1.10", dst: "10.0.2.1", proto: 1, with: echo(8, 0), want: drop.RouterNoService},
		{name: "last address", eni: "web", src: "10.0.1.10", dst: "10.0.1.255", proto: 17, port: 9, want: drop.RouterNoService},
		{name: "metadata", eni: "web2", src: "10.0.1.20", dst: "169.254.169.254", proto: 6, port: 80, want: drop.LinkLocalNoService},
		{name: "resolver", eni: "web2", src: "10.0.1.20", dst: "10.0.0.2", proto: 17, port: 53, want: drop.LinkLocalNoService},
		{name: "IPv6 resolver", eni: "web", src: "2001:db8:0:1::10", dst: "fd00:ec2::253", proto: 17, port: 53, want: drop.LinkLocalNoService},
		{name: "other link-local", eni: "web", src: "10.0.1.10", dst: "169.254.1.1", proto: 17, port: 53, want: drop.NoRoute},
		{name: "router's link-local", eni: "web", src: "2001:db8:0:1::10", dst: "fe80:ec2::1", proto: 58, with: echo(128, 0), want: drop.RouterNoService},
		{name: "multicast", eni: "web", src: "10.0.1.10", dst: "239.0.0.1", proto: 17, port: 9, want: drop.Multicast},
		{name: "broadcast", eni: "web", src: "10.0.1.10", dst: "255.255.255.255", proto: 17, port: 9, want: drop.Broadcast},
		{name: "same subnet through the router", eni: "app2", src: "10.0.2.20", dst: "10.0.2.10", proto: 6, port: 80, egress: "app", rule: "sg-app/in/1"},
		{name: "same subnet on link, no ACL", eni: "app2", src: "10.0.2.20", dst: "10.0.2.10", proto: 6, port: 5201, with: onLink(mac("app")), egress: "app", rule: "sg-app/in/3"},
		{name: "on link, somebody else's MAC", eni: "app2", src: "10.0.2.20", dst: "10.0.2.10", proto: 6, port: 80, with: onLink(mac("web")), want: drop.DestinationMACUnknown},
		{name: "on link, somebody else's address", eni: "app2", src: "10.0.2.20", dst: "10.0.1.10", proto: 6, port: 80, with: onLink(mac("app")), want: drop.DestinationMACUnknown},
		{name: "on link to another subnet's MAC", eni: "app2", src: "10.0.2.20", dst: "10.0.1.10", proto: 6, port: 80, with: onLink(mac("web")), want: drop.DestinationMACUnknown},
		{name: "self reference", eni: "app", src: "10.0.2.10", dst: "10.0.2.20", proto: 6, port: 7, want: drop.SecurityGroupOut, egress: "app2"},
		{name: "outbound by group reference", eni: "app", src: "10.0.2.10", dst: "10.0.1.10", proto: 6, port: 443, want: drop.SecurityGroupIn, egress: "web"},
		{name: "the other VPC has the address too", eni: "far", src: "10.0.1.10", dst: "10.0.2.10", proto: 6, port: 80, with: established, want: drop.UnknownDestination},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := query(t, s, tc.eni, tc.src, tc.dst, tc.proto, tc.port)
			if tc.with != nil {
				tc.with(q)
			}
			var tr Trace
			d := s.Decide(q, &tr)
			if again := s.Decide(q, nil); again != d {
				t.Fatalf("with trace %+v, without %+v", d, again)
			}
			if d.Reason != tc.want || (d.Verdict == Forward) != (tc.want == drop.Unset) {
				t.Fatalf("verdict %v, reason %v; want %v\n%s", d.Verdict, d.Reason, tc.want, printTrace(&tr))
			}
			if got := s.ENI(d.Egress).ID; got != tc.egress {
				t.Errorf("egress %q, want %q", got, tc.egress)
			}
			if d.SrcGen == 0 || (d.DstGen != 0) != (tc.egress != "") {
				t.Errorf("generations %d, %d with egress %q", d.SrcGen, d.DstGen, tc.egress)
			}
			if _, rule := s.SecurityGroupRule(d.SGIn); rule != tc.rule {
				t.Errorf("inbound rule %q, want %q", rule, tc.rule)
			}
			last := tr.Steps[len(tr.Steps)-1]
			if last.Reason != d.Reason || (last.Outcome == Dropped) != (d.Verdict == Drop) || last.Text == "" {
				t.Errorf("the trace ends with %+v", last)
			}
			if last.Outcome == Dropped && last.Reason.Info().Half != "" && last.Half != last.Reason.Info().Half {
				t.Errorf("step %s is of the %s half, its reason %v of the %s half", last.Stage, last.Half, last.Reason, last.Reason.Info().Half)
			}
		})
	}
}

func printTrace(tr *Trace) string {
	var b strings.Builder
	for _, st := range tr.Steps {
		b.WriteString(string(st.Stage) + " " + string(st.Outcome) + ": " + st.Text + "\n")
	}
	return b.String()
}

// A route by an appliance whose check is on leads to its door and no further.
func TestDestinationCheck(t *testing.T) {
	o := fixture()
	o.ENIs[3].SourceDestCheck = true
	s := compiled(t, o, nil)
	if d := s.Decide(query(t, s, "web", "10.0.1.10", "198.51.100.7", 6, 80), nil); d.Reason != drop.DestinationCheck {
		t.Fatalf("reason %v, want %v", d.Reason, drop.DestinationCheck)
	}
}

// An ENI that forwards for others is a next hop on its own link.
func TestOnLinkAppliance(t *testing.T) {
	o := fixture()
	o.ENIs[1].SourceDestCheck = false // app
	o.SecurityGroups[1].Inbound = append(o.SecurityGroups[1].Inbound, SGRule{Match: all, CIDR: pfx("0.0.0.0/0")})
	s := compiled(t, o, nil)
	q := query(t, s, "app2", "10.0.2.20", "10.0.1.10", 6, 80)
	q.Key.Tail &^= uint64(hash.KeyRouted)
	q.DstMAC = s.ENIs[eniOf(t, s, "app")].MAC
	if d := s.Decide(q, nil); d.Verdict != Forward || d.Egress != eniOf(t, s, "app") || d.Routed {
		t.Fatalf("got %+v, want the packet at app", d)
	}
}

// A destination in the VPC may be led through an appliance by the CIDR of its
// subnet; the references to groups do not hold on that path.
func TestRouteOfWholeSubnet(t *testing.T) {
	o := fixture()
	o.RouteTables[0].Routes = append(o.RouteTables[0].Routes, Route{Destination: pfx("10.0.2.0/24"), Target: TargetENI, TargetID: "fw"})
	o.SecurityGroups[0].Outbound = []SGRule{{Match: all, Group: "sg-app"}}
	s := compiled(t, o, nil)
	var tr Trace
	d := s.Decide(query(t, s, "web", "10.0.1.10", "10.0.2.10", 6, 80), &tr)
	if d.Reason != drop.SecurityGroupOut || d.Egress != eniOf(t, s, "fw") {
		t.Fatalf("got %v at %q, want %v at fw", d.Reason, s.ENI(d.Egress).ID, drop.SecurityGroupOut)
	}
	if code := tr.Steps[len(tr.Steps)-1].Code; code != "SG_REFERENCES_NOT_PRESERVED" {
		t.Errorf("code %q", code)
	}
}

func TestTraceNamesWhatDecided(t *testing.T) {
	s := compiled(t, fixture(), nil)
	var tr Trace
	d := s.Decide(query(t, s, "web", "10.0.1.10", "10.0.2.10", 6, 80), &tr)
	want := []struct {
		stage        Stage
		object, rule string
	}{
		{StageSource, "web", ""}, {StageRoute, "rt-web", "10.0.0.0/16"}, {StageACLOut, "acl-web", "200"},
		{StageGroupsOut, "sg-web", "sg-web/out/1"}, {StageMapping, "app", ""}, {StageACLIn, "acl-app", "10"}, {StageGroupsIn, "sg-app", "sg-app/in/1"},
	}
	if len(tr.Steps) != len(want) {
		t.Fatalf("%d steps, want %d:\n%s", len(tr.Steps), len(want), printTrace(&tr))
	}
	for i, w := range want {
		if st := tr.Steps[i]; st.Stage != w.stage || st.Object != w.object || st.Rule != w.rule || st.Outcome != Passed {
			t.Errorf("step %d is %+v, want %+v", i, st, w)
		}
	}
	if table, r := s.Route(d.Route); table != "rt-web" || r.Destination != pfx("10.0.0.0/16") {
		t.Errorf("route %q %v", table, r.Destination)
	}
	if acl := s.ACL(d.ACLOut); acl != "acl-web" || d.ACLOut.Rule != 200 {
		t.Errorf("outbound ACL %q rule %d", acl, d.ACLOut.Rule)
	}
	if acl := s.ACL(d.ACLIn); acl != "acl-app" || d.ACLIn.Rule != 10 {
		t.Errorf("inbound ACL %q rule %d", acl, d.ACLIn.Rule)
	}
	if group, rule := s.SecurityGroupRule(d.SGOut); group != "sg-web" || rule != "sg-web/out/1" {
		t.Errorf("outbound rule %q of %q", rule, group)
	}
}

func TestImplicitDenyHasAWSNumbers(t *testing.T) {
	s := compiled(t, fixture(), nil)
	if d := s.Decide(query(t, s, "web", "10.0.1.10", "10.0.2.10", 47, 0), nil); d.ACLIn.Rule != nacl.ImplicitDeny4 {
		t.Errorf("IPv4: %+v", d)
	}
	if d := s.Decide(query(t, s, "web", "2001:db8:0:1::10", "2001:db8:0:2::10", 47, 0), nil); d.ACLIn.Rule != nacl.ImplicitDeny6 {
		t.Errorf("IPv6: %+v", d)
	}
}

func TestDecideUnknownENI(t *testing.T) {
	s := compiled(t, fixture(), nil)
	for _, eni := range []uint16{uint16(len(s.ENIs)), NoENI} {
		q := &Query{Key: hash.FlowKey{Tail: hash.Tail(1, 2, eni, 6, hash.KeyRouted)}}
		var tr Trace
		if d := s.Decide(q, &tr); d.Verdict != Drop || d.Reason != drop.PortWithoutENI || d.Egress != NoENI {
			t.Errorf("ENI %d: %+v", eni, d)
		}
	}
	if (Decision{}).Verdict != Drop {
		t.Error("the zero Decision must drop")
	}
}

func TestDecideDoesNotAllocate(t *testing.T) {
	s := compiled(t, fixture(), nil)
	for _, q := range []*Query{
		query(t, s, "web", "10.0.1.10", "10.0.2.10", 6, 80),
		query(t, s, "web", "2001:db8:0:1::10", "2001:db8:0:2::10", 6, 80),
		query(t, s, "web", "10.0.1.10", "203.0.113.9", 6, 80),
		query(t, s, "web", "10.0.1.99", "203.0.113.9", 6, 80),
	} {
		if n := testing.AllocsPerRun(100, func() {
			s.DecideInto(&sink, q, nil)
		}); n != 0 {
			t.Errorf("%v allocations for %v", n, q)
		}
	}
}

var sink Decision

func BenchmarkDecide(b *testing.B) {
	s := compiled(b, fixture(), nil)
	for name, q := range map[string]*Query{
		"IPv4": query(b, s, "web", "10.0.1.10", "10.0.2.10", 6, 80),
		"IPv6": query(b, s, "web", "2001:db8:0:1::10", "2001:db8:0:2::10", 6, 80),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s.DecideInto(&sink, q, nil)
			}
		})
	}
}

// 1,000 rules at either end, of which the last one admits.
func BenchmarkDecideRules(b *testing.B) {
	for _, n := range []int{1, 50, 1000} {
		b.Run("rules="+strconv.Itoa(n), func(b *testing.B) {
			o := fixture()
			rules := make([]SGRule, n)
			for i := range rules {
				p, _ := ip("172.16.0.0").Prefix(16)
				rules[i] = SGRule{Match: tcp(1000+i, 2000+i), CIDR: p}
			}
			rules[n-1] = SGRule{Match: tcp(80, 80), CIDR: pfx("10.0.0.0/16")}
			o.SecurityGroups[0].Outbound = rules
			o.SecurityGroups[1].Inbound = rules
			o.ENIs[2].SecurityGroups = nil // else it has both
			s := compiled(b, o, nil)
			q := query(b, s, "web", "10.0.1.10", "10.0.2.10", 6, 80)
			for b.Loop() {
				if s.DecideInto(&sink, q, nil); sink.SGIn != secgroup.MakeRef(sink.SGIn.Group(), true, n-1) {
					b.Fatal("the last rule must admit")
				}
			}
		})
	}
}
