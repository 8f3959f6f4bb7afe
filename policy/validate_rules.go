package policy

import (
	"fmt"
	"net/netip"
	"slices"
)

// match checks what a rule asks of protocol and ports.
func (c *checker) match(pos Pos, owner any, m *Match) {
	switch {
	case m.Protocol < ProtoAll || m.Protocol > 255:
		c.errorf(pos, "%s: protocol %d is neither -1 nor between 0 and 255", owner, m.Protocol)
	case m.Protocol == ProtoTCP || m.Protocol == ProtoUDP:
		if m.FromPort < 0 || m.FromPort > 65535 || m.ToPort < 0 || m.ToPort > 65535 {
			c.errorf(pos, "%s: ports %d-%d are not between 0 and 65535", owner, m.FromPort, m.ToPort)
		} else if m.FromPort > m.ToPort {
			c.errorf(pos, "%s: the port range %d-%d ends before it begins", owner, m.FromPort, m.ToPort)
		}
	case m.Protocol == ProtoICMP || m.Protocol == ProtoICMPv6:
		if m.FromPort < -1 || m.FromPort > 255 {
			c.errorf(pos, "%s: ICMP type %d is neither -1 nor between 0 and 255", owner, m.FromPort)
		}
		if m.ToPort < -1 || m.ToPort > 255 {
			c.errorf(pos, "%s: ICMP code %d is neither -1 nor between 0 and 255", owner, m.ToPort)
		}
	}
}

func (c *checker) checkACLs() {
	for i := range c.o.NetworkACLs {
		a := &c.o.NetworkACLs[i]
		c.ref(a.Pos, fmt.Sprintf("network ACL %q", a.ID), &c.vpcs, a.VPC)
		c.checkACLRules(a, "inbound", a.Inbound)
		c.checkACLRules(a, "outbound", a.Outbound)
	}
}

func (c *checker) checkACLRules(a *NetworkACL, direction string, rules []ACLRule) {
	if len(rules) > MaxACLRules {
		c.errorf(a.Pos, "network ACL %q has %d %s rules; at most %d are allowed", a.ID, len(rules), direction, MaxACLRules)
	}
	seen := make(map[int]int, len(rules))
	for i := range rules {
		r := &rules[i]
		owner := fmt.Sprintf("network ACL %q, %s rule %d", a.ID, direction, r.Number)
		if r.Number < 1 || r.Number > MaxACLRuleNumber {
			c.errorf(r.Pos, "%s: rule numbers go from 1 to %d", owner, MaxACLRuleNumber)
		} else if first, taken := seen[r.Number]; taken {
			c.errorf(r.Pos, "%s: the number is already taken%s", owner, where(rules[first].Pos))
		} else {
			seen[r.Number] = i
		}
		c.prefix(r.Pos, owner, r.CIDR)
		c.match(r.Pos, owner, &r.Match)
	}
}

func (c *checker) checkPrefixLists() {
	for i := range c.o.PrefixLists {
		l := &c.o.PrefixLists[i]
		owner := fmt.Sprintf("prefix list %q", l.ID)
		if n := len(l.Prefixes); n > MaxPrefixListEntries {
			c.errorf(l.Pos, "%s has %d entries; at most %d are allowed", owner, n, MaxPrefixListEntries)
		}
		seen := make(map[netip.Prefix]bool, len(l.Prefixes))
		for _, p := range l.Prefixes {
			if !c.prefix(l.Pos, owner, p) {
				continue
			}
			if seen[p.Masked()] {
				c.errorf(l.Pos, "%s has the entry %s twice", owner, p.Masked())
			}
			seen[p.Masked()] = true
		}
	}
}

func (c *checker) checkGroups() {
	for i := range c.o.SecurityGroups {
		g := &c.o.SecurityGroups[i]
		c.ref(g.Pos, fmt.Sprintf("security group %q", g.ID), &c.vpcs, g.VPC)
		var names map[string]Pos
		if named := func(r SGRule) bool { return r.ID != "" }; slices.ContainsFunc(g.Inbound, named) || slices.ContainsFunc(g.Outbound, named) {
			names = make(map[string]Pos) // names that Compile gives differ from each other
		}
		c.checkGroupRules(g, true, g.Inbound, names)
		c.checkGroupRules(g, false, g.Outbound, names)
	}
}

// groupRule is the owner of errors about a rule of a group. A file has rules by
// the ten thousands, so that no text is made where nothing is wrong.
type groupRule struct {
	group   *SecurityGroup
	inbound bool
	i       int
	id      string
}

func (r *groupRule) name() string { return ruleName(r.group.ID, r.inbound, r.i, r.id) }

// String returns the rule as error messages name it.
func (r *groupRule) String() string {
	return fmt.Sprintf("security group %q, rule %q", r.group.ID, r.name())
}

// checkGroupRules checks one direction of a group. names holds the names of its
// rules so far; nil if they cannot collide.
func (c *checker) checkGroupRules(g *SecurityGroup, inbound bool, rules []SGRule, names map[string]Pos) {
	if len(rules) > MaxRulesPerGroup {
		c.errorf(g.Pos, "security group %q has %d rules in one direction; at most %d are allowed", g.ID, len(rules), MaxRulesPerGroup)
	}
	owner := &groupRule{group: g, inbound: inbound}
	for i := range rules {
		r := &rules[i]
		owner.i, owner.id = i, r.ID
		if names != nil {
			name := owner.name()
			if first, taken := names[name]; taken {
				c.errorf(r.Pos, "%s: the id is already taken%s", owner, where(first))
			}
			names[name] = r.Pos
		}
		if r.ID != "" {
			if why := badID(r.ID); why != "" {
				c.errorf(r.Pos, "security group %q: a rule's id %s", g.ID, why)
			}
		}
		c.match(r.Pos, owner, &r.Match)
		c.checkPeer(r, owner, g.VPC)
	}
}

func (c *checker) checkPeer(r *SGRule, owner *groupRule, vpc string) {
	byCIDR, byGroup, byList := r.CIDR != netip.Prefix{}, r.Group != "", r.PrefixList != ""
	n := 0
	for _, is := range []bool{byCIDR, byGroup, byList} {
		if is {
			n++
		}
	}
	if n != 1 {
		c.errorf(r.Pos, "%s must name exactly one of a CIDR, a group and a prefix list, and names %d", owner, n)
		return
	}
	switch {
	case byCIDR:
		c.prefix(r.Pos, owner, r.CIDR)
	case byGroup:
		c.sameVPC(r.Pos, owner, vpc, &c.groups, r.Group, func(i int) string { return c.o.SecurityGroups[i].VPC })
	case byList:
		c.ref(r.Pos, owner, &c.lists, r.PrefixList)
	}
}

// ruleName returns the name under which a rule is reported.
func ruleName(group string, inbound bool, i int, id string) string {
	if id != "" {
		return id
	}
	direction := "out"
	if inbound {
		direction = "in"
	}
	return fmt.Sprintf("%s/%s/%d", group, direction, i+1)
}

// weights returns how much each rule list counts against an ENI's limit, per
// family: a CIDR or a reference to a group is one rule, a prefix list as many
// as it has entries (docs/semantics.md S3).
func (c *checker) weights(rules []SGRule) (v4, v6 int) {
	for i := range rules {
		r := &rules[i]
		switch {
		case r.Group != "":
			v4++
			v6++
		case r.PrefixList != "":
			if l, ok := c.lists.at[r.PrefixList]; ok {
				for _, p := range c.o.PrefixLists[l].Prefixes {
					if p.Addr().Is4() {
						v4++
					} else {
						v6++
					}
				}
			}
		case r.CIDR.Addr().Is4():
			v4++
		default:
			v6++
		}
	}
	return v4, v6
}
