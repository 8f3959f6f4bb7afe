package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/nitrod/nitrod/policy/internal/classify"
	"github.com/nitrod/nitrod/policy/route"
)

// FindingKind is what a Finding is about.
type FindingKind string

// The kinds of findings.
const (
	// RuleShadowed: no packet reaches a rule of a network ACL, because rules
	// with lower numbers decide all that it matches, one or several together.
	RuleShadowed FindingKind = "acl_rule_shadowed"
	// RuleBehindAll: the same, where one of them decides every packet of the
	// family.
	RuleBehindAll FindingKind = "acl_rule_behind_all"
	// RuleRedundant: a rule of a security group admits nothing that other rules
	// of the group do not admit. All rules so reported can be taken out
	// together.
	RuleRedundant FindingKind = "group_rule_redundant"
	// RuleRedundantAtENIs: the same of a rule by itself, with all groups of the
	// ENI counted, at every ENI that has the group.
	RuleRedundantAtENIs FindingKind = "group_rule_redundant_at_enis"
	// RouteNeverChosen: every address of a route's destination has a longer
	// route, or is one that no route leads anywhere.
	RouteNeverChosen FindingKind = "route_never_chosen"
	// Unused: nothing refers to the object.
	Unused FindingKind = "unused"
	// NoEffect: a reference leads to something that makes it mean nothing.
	NoEffect FindingKind = "no_effect"
)

// Finding is a part of a valid configuration that does nothing: it can be taken
// out, or was meant to say something else.
type Finding struct {
	Pos    Pos
	Kind   FindingKind
	Object string // which, such as `network ACL "web", inbound rule 100`
	Text   string // one sentence
}

// String returns "file:line:column: text".
func (f *Finding) String() string {
	e := Error{f.Pos, f.Text}
	return e.Error()
}

// Analyse finds what does nothing in a configuration that Compile takes, by
// position. It looks at what is written, not at what traffic there is: a rule
// is reported only if no packet whatever could make a difference. Rules are
// compared exactly, over all addresses, protocols and ports; the members of a
// group that a rule names may be any ENIs of the VPC, so that a finding stays
// true when membership changes.
func Analyse(o *Objects) []Finding {
	a := analysis{o: o}
	a.networkACLs()
	a.securityGroups()
	a.routeTables()
	a.unused()
	slices.SortStableFunc(a.found, func(x, y Finding) int { return x.Pos.compare(y.Pos) })
	return a.found
}

type analysis struct {
	o     *Objects
	found []Finding
}

func (a *analysis) add(pos Pos, kind FindingKind, object, format string, args ...any) {
	a.found = append(a.found, Finding{Pos: pos, Kind: kind, Object: object, Text: fmt.Sprintf(format, args...)})
}

// networkACLs finds the rules that no packet reaches.
func (a *analysis) networkACLs() {
	for i := range a.o.NetworkACLs {
		acl := &a.o.NetworkACLs[i]
		a.aclRules(acl, "inbound", acl.Inbound)
		a.aclRules(acl, "outbound", acl.Outbound)
	}
}

func (a *analysis) aclRules(acl *NetworkACL, direction string, rules []ACLRule) {
	sorted := sortedACL(rules)
	input := make([]classify.Rule, len(sorted))
	for i, r := range sorted {
		input[i] = classify.Rule{Protocol: r.Protocol, From: r.FromPort, To: r.ToPort, Prefixes: []netip.Prefix{r.CIDR}}
	}
	for i, by := range classify.Deciders(input) {
		if slices.Contains(by, i) {
			continue
		}
		r := &sorted[i]
		object := fmt.Sprintf("network ACL %q, %s rule %d", acl.ID, direction, r.Number)
		if b := &sorted[by[0]]; len(by) == 1 && b.Protocol == ProtoAll && b.CIDR.Bits() == 0 {
			does := "denies"
			if b.Allow {
				does = "allows"
			}
			a.add(r.Pos, RuleBehindAll, object, "%s is never reached: rule %d %s all %s before it", object, b.Number, does, family(b.CIDR.Addr().Is6()))
			continue
		}
		numbers := make([]string, len(by))
		for j, b := range by {
			numbers[j] = fmt.Sprint(sorted[b].Number)
		}
		a.add(r.Pos, RuleShadowed, object, "%s is never reached: %s all that it matches", object, decide("rule", numbers))
	}
}

// maxNamed bounds the names in one sentence.
const maxNamed = 4

// decide writes "rule 1 decides" or "rules 1, 2 and 3 together decide".
func decide(noun string, names []string) string {
	if len(names) == 1 {
		return noun + " " + names[0] + " decides"
	}
	return noun + "s " + enumerate(names) + " together decide"
}

// enumerate writes "a", "a and b", "a, b and c" or "a, b, c and 7 more".
func enumerate(names []string) string {
	n := len(names)
	switch {
	case n == 1:
		return names[0]
	case n > maxNamed:
		return strings.Join(names[:maxNamed-1], ", ") + fmt.Sprintf(" and %d more", n-maxNamed+1)
	}
	return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
}

// groupAnalysis is what securityGroups knows of one group.
type groupAnalysis struct {
	rules     [2][]classify.Rule // inbound, outbound
	redundant [2][]bool
	spare     [2][]bool // at each ENI so far
	enis      int
	joined    bool // some of them have other groups too
}

// securityGroups finds the rules without which nothing changes.
func (a *analysis) securityGroups() {
	o := a.o
	lists, index := make(map[string][]netip.Prefix), make(map[string]int)
	for i := range o.PrefixLists {
		lists[o.PrefixLists[i].ID] = o.PrefixLists[i].Prefixes
	}
	for i := range o.SecurityGroups {
		index[o.SecurityGroups[i].ID] = i
	}
	blocks := a.vpcBlocks()
	all := make([]groupAnalysis, len(o.SecurityGroups))
	for i := range o.SecurityGroups {
		g := &o.SecurityGroups[i]
		for d, rules := range [][]SGRule{g.Inbound, g.Outbound} {
			all[i].rules[d] = classifiable(rules, lists, index)
			all[i].redundant[d] = classify.Removable(all[i].rules[d], blocks[g.VPC])
			all[i].spare[d] = slices.Repeat([]bool{true}, len(rules))
		}
	}
	a.unions(all, index, blocks)
	for i := range all {
		g := &o.SecurityGroups[i]
		for d, rules := range [][]SGRule{g.Inbound, g.Outbound} {
			for j := range rules {
				a.groupRule(g, &all[i], d, j, &rules[j])
			}
		}
	}
}

func (a *analysis) vpcBlocks() map[string][]netip.Prefix {
	blocks := make(map[string][]netip.Prefix)
	for i := range a.o.VPCs {
		blocks[a.o.VPCs[i].ID] = a.o.VPCs[i].CIDRs
	}
	return blocks
}

// classifiable turns rules into the classifier's, in their order.
func classifiable(rules []SGRule, lists map[string][]netip.Prefix, groups map[string]int) []classify.Rule {
	out := make([]classify.Rule, len(rules))
	for i := range rules {
		r := &rules[i]
		m := r.canonical()
		out[i] = classify.Rule{Protocol: m.Protocol, From: m.FromPort, To: m.ToPort}
		switch {
		case r.Group != "":
			out[i].HasGroup, out[i].Group = true, uint16(groups[r.Group])
		case r.PrefixList != "":
			out[i].Prefixes = lists[r.PrefixList]
		default:
			out[i].Prefixes = []netip.Prefix{r.CIDR}
		}
	}
	return out
}

// unions notes for each rule whether it is spare at all ENIs that have its
// group. ENIs with the same groups are looked at once.
func (a *analysis) unions(all []groupAnalysis, index map[string]int, blocks map[string][]netip.Prefix) {
	seen := make(map[string]bool)
	for i := range a.o.ENIs {
		ids := slices.Sorted(slices.Values(a.o.ENIs[i].SecurityGroups))
		for _, id := range ids {
			all[index[id]].enis++
		}
		key := strings.Join(ids, " ")
		if seen[key] || len(ids) == 0 {
			continue
		}
		seen[key] = true
		for d := range 2 {
			var union []classify.Rule
			for _, id := range ids {
				union = append(union, all[index[id]].rules[d]...)
			}
			spare := classify.Spare(union, blocks[a.o.SecurityGroups[index[ids[0]]].VPC])
			for _, id := range ids {
				g := &all[index[id]]
				g.joined = g.joined || len(ids) > 1
				for j := range g.spare[d] {
					g.spare[d][j] = g.spare[d][j] && spare[j]
				}
				spare = spare[len(g.spare[d]):]
			}
		}
	}
}

func (a *analysis) groupRule(g *SecurityGroup, found *groupAnalysis, d, j int, r *SGRule) {
	object := fmt.Sprintf("security group %q, rule %q", g.ID, ruleName(g.ID, d == 0, j, r.ID))
	switch {
	case r.PrefixList != "" && len(found.rules[d][j].Prefixes) == 0:
		// References without effect are reported as such.
	case found.redundant[d][j]:
		a.add(r.Pos, RuleRedundant, object, "%s admits nothing that the group's other %s rules do not admit", object, direction(d))
	case found.enis != 0 && found.joined && found.spare[d][j]:
		a.add(r.Pos, RuleRedundantAtENIs, object, "%s admits nothing at any ENI that the other rules there do not admit, by itself", object)
	}
}

func direction(d int) string {
	if d == 0 {
		return "inbound"
	}
	return "outbound"
}

// routeTables finds the routes that no destination chooses. What another route
// takes is exact; of destinations that no router takes anywhere, those that
// make up the whole of a route's are found.
func (a *analysis) routeTables() {
	blocks := a.vpcBlocks()
	for i := range a.o.RouteTables {
		t := &a.o.RouteTables[i]
		prefixes := masked(blocks[t.VPC])
		written := make(map[netip.Prefix]*Route)
		for j := range t.Routes {
			p := t.Routes[j].Destination.Masked()
			written[p] = &t.Routes[j]
			if !slices.Contains(prefixes, p) {
				prefixes = append(prefixes, p)
			}
		}
		classify.SortPrefixes(prefixes)
		for j, p := range prefixes {
			r := written[p]
			if r == nil {
				continue
			}
			object := fmt.Sprintf("route table %q, route to %s", t.ID, p)
			if why := route.NeverRouted(p); why != "" {
				a.add(r.Pos, RouteNeverChosen, object, "%s is never chosen: its destinations are %s, which no router takes anywhere", object, why)
				continue
			}
			if classify.Covered(p, prefixes[j+1:]) {
				a.add(r.Pos, RouteNeverChosen, object, "%s is never chosen: longer routes of the table cover all of it", object)
			}
		}
	}
}
