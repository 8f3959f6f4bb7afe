package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/policy/route"
)

// edges returns addresses that meet every combination of prefixes that any
// address meets: the first and the last of each, and their neighbours outside.
func edges(ps []netip.Prefix) []netip.Addr {
	var out []netip.Addr
	for _, p := range ps {
		first, last := p.Masked().Addr(), lastAddr(p)
		for _, a := range []netip.Addr{first, last, first.Prev(), last.Next()} {
			if a.IsValid() && !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out
}

// edgeServices returns packets, without addresses, that meet every combination
// of protocols and ports that any packet meets.
func edgeServices(ms []Match) []packet {
	var out []packet
	ports := []int{0, 65535}
	values := []int{0, 255}
	for _, m := range ms {
		ports = append(ports, m.FromPort, m.FromPort-1, m.ToPort, m.ToPort+1)
		values = append(values, m.FromPort, m.ToPort, 77)
	}
	for _, proto := range []int{ProtoTCP, ProtoUDP} {
		for _, port := range ports {
			if 0 <= port && port <= 65535 {
				out = append(out, packet{proto: proto, port: port})
			}
		}
	}
	for _, proto := range []int{ProtoICMP, ProtoICMPv6} {
		for _, typ := range values {
			for _, code := range values {
				if 0 <= typ && typ <= 255 && 0 <= code && code <= 255 {
					out = append(out, packet{proto: proto, typ: typ, code: code})
				}
			}
		}
	}
	return append(out, packet{proto: 47}, packet{proto: 99})
}

func TestShadowedRulesTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var rules []ACLRule
		for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(1, 99), 0, 8, rapid.ID).Draw(t, "numbers") {
			rules = append(rules, ACLRule{Number: n, Match: genMatch.Draw(t, "match"), CIDR: genPeer.Draw(t, "cidr"), Allow: rapid.Bool().Draw(t, "allow"), Pos: line(n)})
		}
		var prefixes []netip.Prefix
		var services []Match
		for i := range rules {
			prefixes, services = append(prefixes, rules[i].CIDR), append(services, rules[i].Match)
		}
		slices.SortFunc(rules, func(a, b ACLRule) int { return cmp.Compare(a.Number, b.Number) })
		reached := map[int]bool{}
		for _, a := range edges(prefixes) {
			for _, p := range edgeServices(services) {
				for _, r := range rules {
					if r.CIDR.Masked().Contains(a) && matches(r.Match, p) {
						reached[r.Number] = true
						break
					}
				}
			}
		}
		o := &Objects{NetworkACLs: []NetworkACL{{ID: "a", VPC: "v", Inbound: rules}}}
		found := map[int]bool{}
		for _, f := range Analyse(o) {
			if f.Kind == RuleShadowed || f.Kind == RuleBehindAll {
				found[f.Pos.Line] = true
			}
		}
		for _, r := range rules {
			if found[r.Number] == reached[r.Number] {
				t.Fatalf("rule %d is reached: %v, found out of reach: %v\n%+v", r.Number, reached[r.Number], found[r.Number], rules)
			}
		}
	})
}

func TestRoutesNeverChosenTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := []netip.Prefix{
			pfx("10.0.0.0/16"), pfx("10.0.0.0/17"), pfx("10.0.128.0/17"), pfx("10.0.128.0/18"), pfx("10.0.192.0/18"),
			pfx("0.0.0.0/0"), pfx("0.0.0.0/1"), pfx("128.0.0.0/1"), pfx("2001:db8::/56"), pfx("2001:db8::/57"), pfx("2001:db8:0:80::/57"),
			pfx("::/0"), pfx("fe80::/10"), pfx("224.0.0.0/5"),
		}
		o := &Objects{VPCs: []VPC{{ID: "v", CIDRs: []netip.Prefix{pfx("10.0.0.0/17"), pfx("2001:db8::/56")}}}}
		table := RouteTable{ID: "t", VPC: "v"}
		prefixes := slices.Clone(o.VPCs[0].CIDRs)
		for i, d := range rapid.SliceOfNDistinct(rapid.SampledFrom(all), 0, 8, rapid.ID).Draw(t, "destinations") {
			table.Routes = append(table.Routes, Route{Destination: d, Target: TargetBlackhole, Pos: line(i + 1)})
			prefixes = append(prefixes, d)
		}
		o.RouteTables = []RouteTable{table}
		found := map[int]bool{}
		for _, f := range Analyse(o) {
			found[f.Pos.Line] = found[f.Pos.Line] || f.Kind == RouteNeverChosen
		}
		for i, r := range table.Routes {
			chosen := false
			for _, a := range append(edges(prefixes), ip("225.0.0.1"), ip("9.9.9.9"), ip("200.0.0.1")) {
				longer := slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) && p.Bits() > r.Destination.Bits() })
				chosen = chosen || r.Destination.Contains(a) && !longer && route.Classify(a) == route.Routable
			}
			if found[i+1] == chosen {
				t.Fatalf("%s is chosen: %v, found never chosen: %v, among %v", r.Destination, chosen, found[i+1], prefixes)
			}
		}
	})
}

// without takes out what is found to do nothing, in all lists at once.
func without(o *Objects, found []Finding, kinds ...FindingKind) {
	gone := map[int]bool{}
	for _, f := range found {
		if slices.Contains(kinds, f.Kind) {
			gone[f.Pos.Line] = true
		}
	}
	for i := range o.NetworkACLs {
		a := &o.NetworkACLs[i]
		dead := func(r ACLRule) bool { return gone[r.Pos.Line] }
		a.Inbound, a.Outbound = slices.DeleteFunc(a.Inbound, dead), slices.DeleteFunc(a.Outbound, dead)
	}
	for i := range o.SecurityGroups {
		g := &o.SecurityGroups[i]
		dead := func(r SGRule) bool { return gone[r.Pos.Line] }
		g.Inbound, g.Outbound = slices.DeleteFunc(g.Inbound, dead), slices.DeleteFunc(g.Outbound, dead)
	}
	for i := range o.RouteTables {
		t := &o.RouteTables[i]
		t.Routes = slices.DeleteFunc(t.Routes, func(r Route) bool { return gone[r.Pos.Line] })
	}
	gonePos := func(p Pos) bool { return gone[p.Line] }
	o.RouteTables = slices.DeleteFunc(o.RouteTables, func(t RouteTable) bool { return gonePos(t.Pos) })
	o.NetworkACLs = slices.DeleteFunc(o.NetworkACLs, func(a NetworkACL) bool { return gonePos(a.Pos) })
}

// number gives every object and rule a line of its own.
func number(o *Objects) {
	n := 0
	next := func(p *Pos) { n++; *p = line(n) }
	for i := range o.NetworkACLs {
		a := &o.NetworkACLs[i]
		next(&a.Pos)
		for _, rules := range [][]ACLRule{a.Inbound, a.Outbound} {
			for j := range rules {
				next(&rules[j].Pos)
			}
		}
	}
	for i := range o.SecurityGroups {
		g := &o.SecurityGroups[i]
		next(&g.Pos)
		for _, rules := range [][]SGRule{g.Inbound, g.Outbound} {
			for j := range rules {
				next(&rules[j].Pos)
			}
		}
	}
	for i := range o.RouteTables {
		t := &o.RouteTables[i]
		next(&t.Pos)
		for j := range t.Routes {
			next(&t.Routes[j].Pos)
		}
	}
}

// What is found can be taken out, all of it at once, and no packet sees the
// difference but by the name of the rule.
func TestFindingsDoNothing(t *testing.T) {
	seen := map[FindingKind]int{}
	rapid.Check(t, func(t *rapid.T) {
		o := genObjects.Draw(t, "objects")
		number(o)
		before, err := Compile(o, nil)
		if err != nil {
			t.Fatal(err)
		}
		found := Analyse(o)
		for _, f := range found {
			seen[f.Kind]++
		}
		var packets []packet
		for range 30 {
			packets = append(packets, genPacket(t, o))
		}
		without(o, found, RuleShadowed, RuleBehindAll, RuleRedundant, RouteNeverChosen, Unused)
		after, err := Compile(o, before)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range packets {
			x, y := before.Decide(queryOf(before, p), nil), after.Decide(queryOf(after, p), nil)
			if x.Verdict != y.Verdict || x.Reason != y.Reason || x.Egress != y.Egress {
				t.Fatalf("%+v: %+v with what is found, %+v without\n%+v", p, x, y, found)
			}
		}
	})
	for _, k := range []FindingKind{RuleShadowed, RuleBehindAll, RuleRedundant, RuleRedundantAtENIs, RouteNeverChosen, Unused, NoEffect} {
		if seen[k] == 0 {
			t.Errorf("nothing was found of kind %s", k)
		}
	}
}

// A rule found redundant at all ENIs can be taken out by itself.
func TestRuleRedundantAtENIsDoesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := genObjects.Draw(t, "objects")
		number(o)
		var packets []packet
		for range 20 {
			packets = append(packets, genPacket(t, o))
		}
		before, err := Compile(o, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range Analyse(o) {
			if f.Kind != RuleRedundantAtENIs {
				continue
			}
			less := *o
			less.SecurityGroups = slices.Clone(o.SecurityGroups)
			for i := range less.SecurityGroups {
				g := &less.SecurityGroups[i]
				g.Inbound, g.Outbound = slices.Clone(g.Inbound), slices.Clone(g.Outbound)
			}
			without(&less, []Finding{f}, f.Kind)
			after, err := Compile(&less, before)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range packets {
				if x, y := before.Decide(queryOf(before, p), nil), after.Decide(queryOf(after, p), nil); x.Reason != y.Reason {
					t.Fatalf("%+v: %v with, %v without: %s", p, x.Reason, y.Reason, f.Text)
				}
			}
		}
	})
}

func TestFindings(t *testing.T) {
	o := fixture()
	o.NetworkACLs[0].Inbound = append(o.NetworkACLs[0].Inbound,
		ACLRule{Number: 200, Match: Match{ProtoUDP, 1, 1}, CIDR: pfx("10.0.0.0/8"), Pos: line(201)},
		ACLRule{Number: 50, Allow: true, Match: tcp(0, 99), CIDR: pfx("10.0.0.0/8"), Pos: line(202)},
		ACLRule{Number: 51, Match: tcp(100, 200), CIDR: pfx("10.0.0.0/8"), Pos: line(203)},
		ACLRule{Number: 52, Match: tcp(50, 150), CIDR: pfx("10.1.0.0/16"), Pos: line(204)},
		ACLRule{Number: 53, Match: tcp(7, 7), CIDR: pfx("10.1.0.0/16"), Pos: line(205)},
	)
	o.NetworkACLs = append(o.NetworkACLs, NetworkACL{ID: "acl-idle", VPC: "vpc-1", Pos: line(206)})
	o.RouteTables[0].Routes = append(o.RouteTables[0].Routes,
		Route{Destination: pfx("198.51.100.0/25"), Target: TargetBlackhole, Pos: line(210)},
		Route{Destination: pfx("198.51.100.128/25"), Target: TargetENI, TargetID: "web", Pos: line(211)},
		Route{Destination: pfx("fe80::/10"), Target: TargetBlackhole, Pos: line(212)},
	)
	o.RouteTables = append(o.RouteTables, RouteTable{ID: "rt-idle", VPC: "vpc-1", Pos: line(213)})
	o.SecurityGroups[1].Inbound = append(o.SecurityGroups[1].Inbound,
		SGRule{ID: "twice", Match: tcp(80, 80), Group: "sg-web", Pos: line(220)},
		SGRule{ID: "nobody", Match: tcp(81, 81), Group: "sg-idle", Pos: line(221)},
		SGRule{ID: "empty", Match: tcp(82, 82), PrefixList: "none", Pos: line(222)},
		SGRule{ID: "halves", Match: tcp(5200, 5202), Group: "sg-web", Pos: line(223)},
	)
	o.SecurityGroups = append(o.SecurityGroups,
		SecurityGroup{ID: "sg-idle", VPC: "vpc-1", Inbound: []SGRule{{ID: "self", Match: all, Group: "sg-idle", Pos: line(231)}}, Pos: line(230)},
		SecurityGroup{ID: "sg-lone", VPC: "vpc-1", Inbound: []SGRule{{ID: "self", Match: all, Group: "sg-lone", Pos: line(233)}}, Pos: line(232)},
		SecurityGroup{ID: "sg-more", VPC: "vpc-1", Outbound: []SGRule{{ID: "some", Match: tcp(1, 9), CIDR: pfx("10.0.0.0/8"), Pos: line(235)}}, Pos: line(234)},
	)
	o.ENIs[0].SecurityGroups = append(o.ENIs[0].SecurityGroups, "sg-more") // with sg-web
	o.PrefixLists = append(o.PrefixLists, PrefixList{ID: "none", Pos: line(240)}, PrefixList{ID: "idle", Pos: line(241)})
	o.VPCs = append(o.VPCs, VPC{ID: "vpc-idle", CIDRs: []netip.Prefix{pfx("10.0.0.0/16")}, Pos: line(250)})
	o.Subnets = append(o.Subnets, Subnet{ID: "idle", VPC: "vpc-1", CIDRs: []netip.Prefix{pfx("10.0.9.0/24")}, Pos: line(251)})
	o.Instances = append(o.Instances, Instance{ID: "i-idle", Pos: line(252)})
	for i := range o.ENIs {
		if o.ENIs[i].ID == "far" {
			o.ENIs[i].Subnet = "other"
		}
	}
	compiled(t, o, nil)
	got := []string{}
	for _, f := range Analyse(o) {
		if f.Pos.Line >= 200 || f.Pos.Line == 63 || f.Pos.Line == 22 {
			got = append(got, fmt.Sprintf("%d %s: %s", f.Pos.Line, f.Kind, f.Text))
		}
	}
	want := []string{
		`22 route_never_chosen: route table "rt-web", route to 198.51.100.0/24 is never chosen: longer routes of the table cover all of it`,
		`63 group_rule_redundant: security group "sg-app", rule "sg-app/in/3" admits nothing that the group's other inbound rules do not admit`,
		`201 acl_rule_behind_all: network ACL "acl-web", inbound rule 200 is never reached: rule 100 allows all IPv4 before it`,
		`204 acl_rule_shadowed: network ACL "acl-web", inbound rule 52 is never reached: rules 50 and 51 together decide all that it matches`,
		`205 acl_rule_shadowed: network ACL "acl-web", inbound rule 53 is never reached: rule 50 decides all that it matches`,
		`206 unused: network ACL "acl-idle" is not used: no subnet has it`,
		`211 no_effect: route table "rt-web", route to 198.51.100.128/25 leads to ENI "web", which takes packets for its own addresses only: its source_dest_check is on`,
		`212 route_never_chosen: route table "rt-web", route to fe80::/10 is never chosen: its destinations are link-local addresses, which no router takes anywhere`,
		`213 unused: route table "rt-idle" is not used: it serves no subnet`,
		`220 group_rule_redundant: security group "sg-app", rule "twice" admits nothing that the group's other inbound rules do not admit`,
		`221 no_effect: security group "sg-app", rule "nobody" admits nobody: no ENI has security group "sg-idle"`,
		`222 no_effect: security group "sg-app", rule "empty" admits nobody: prefix list "none" is empty`,
		`231 no_effect: security group "sg-idle", rule "self" admits nobody: no ENI has security group "sg-idle"`,
		`232 unused: security group "sg-lone" is not used: no ENI has it and no rule of another group names it`,
		`233 no_effect: security group "sg-lone", rule "self" admits nobody: no ENI has security group "sg-lone"`,
		`235 group_rule_redundant_at_enis: security group "sg-more", rule "some" admits nothing at any ENI that the other rules there do not admit, by itself`,
		`241 unused: prefix list "idle" is not used: no rule names it`,
		`250 unused: VPC "vpc-idle" is not used: it has no subnet`,
		`251 unused: subnet "idle" is not used: no ENI lies in it`,
		`252 unused: instance "i-idle" is not used: it has no ENI`,
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}
