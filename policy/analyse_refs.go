package policy

import "fmt"

// uses counts what refers to the objects of each kind.
type uses struct {
	vpcs, subnets, tables, acls, lists, instances map[string]int
	named                                         map[string]int // groups, by rules
	members                                       map[string]int // groups, by ENIs
}

func (a *analysis) countUses() *uses {
	o := a.o
	u := &uses{
		vpcs: map[string]int{}, subnets: map[string]int{}, tables: map[string]int{}, acls: map[string]int{},
		lists: map[string]int{}, instances: map[string]int{}, named: map[string]int{}, members: map[string]int{},
	}
	mains := make(map[string]string)
	for i := range o.RouteTables {
		if t := &o.RouteTables[i]; t.Main {
			mains[t.VPC] = t.ID
		}
	}
	for i := range o.Subnets {
		s := &o.Subnets[i]
		u.vpcs[s.VPC]++
		u.acls[s.NetworkACL]++
		if s.RouteTable != "" {
			u.tables[s.RouteTable]++
		} else {
			u.tables[mains[s.VPC]]++
		}
	}
	for i := range o.SecurityGroups {
		g := &o.SecurityGroups[i]
		for _, rules := range [][]SGRule{g.Inbound, g.Outbound} {
			for j := range rules {
				u.lists[rules[j].PrefixList]++
				if rules[j].Group != g.ID { // a group does not hold itself up
					u.named[rules[j].Group]++
				}
			}
		}
	}
	for i := range o.ENIs {
		e := &o.ENIs[i]
		u.subnets[e.Subnet]++
		u.instances[e.Instance]++
		for _, g := range e.SecurityGroups {
			u.members[g]++
		}
	}
	return u
}

// unused finds objects that nothing refers to, and references that mean
// nothing.
func (a *analysis) unused() {
	o, u := a.o, a.countUses()
	idle := func(pos Pos, object, why string) {
		a.add(pos, Unused, object, "%s is not used: %s", object, why)
	}
	for i := range o.VPCs {
		if v := &o.VPCs[i]; u.vpcs[v.ID] == 0 {
			idle(v.Pos, fmt.Sprintf("VPC %q", v.ID), "it has no subnet")
		}
	}
	for i := range o.Subnets {
		if s := &o.Subnets[i]; u.subnets[s.ID] == 0 {
			idle(s.Pos, fmt.Sprintf("subnet %q", s.ID), "no ENI lies in it")
		}
	}
	for i := range o.RouteTables {
		if t := &o.RouteTables[i]; u.tables[t.ID] == 0 {
			idle(t.Pos, fmt.Sprintf("route table %q", t.ID), "it serves no subnet")
		}
	}
	for i := range o.NetworkACLs {
		if n := &o.NetworkACLs[i]; u.acls[n.ID] == 0 {
			idle(n.Pos, fmt.Sprintf("network ACL %q", n.ID), "no subnet has it")
		}
	}
	for i := range o.SecurityGroups {
		if g := &o.SecurityGroups[i]; u.members[g.ID] == 0 && u.named[g.ID] == 0 {
			idle(g.Pos, fmt.Sprintf("security group %q", g.ID), "no ENI has it and no rule of another group names it")
		}
	}
	for i := range o.PrefixLists {
		if l := &o.PrefixLists[i]; u.lists[l.ID] == 0 {
			idle(l.Pos, fmt.Sprintf("prefix list %q", l.ID), "no rule names it")
		}
	}
	for i := range o.Instances {
		if in := &o.Instances[i]; u.instances[in.ID] == 0 {
			idle(in.Pos, fmt.Sprintf("instance %q", in.ID), "it has no ENI")
		}
	}
	a.withoutEffect(u)
}

// withoutEffect finds rules whose peer is nobody, and routes to an ENI that
// takes no packets for others. AWS calls references to what is gone stale;
// those do not compile here, but these are as dead.
func (a *analysis) withoutEffect(u *uses) {
	empty := make(map[string]bool)
	for i := range a.o.PrefixLists {
		empty[a.o.PrefixLists[i].ID] = len(a.o.PrefixLists[i].Prefixes) == 0
	}
	for i := range a.o.SecurityGroups {
		g := &a.o.SecurityGroups[i]
		for d, rules := range [][]SGRule{g.Inbound, g.Outbound} {
			for j := range rules {
				r := &rules[j]
				object := fmt.Sprintf("security group %q, rule %q", g.ID, ruleName(g.ID, d == 0, j, r.ID))
				switch {
				case r.Group != "" && u.members[r.Group] == 0:
					a.add(r.Pos, NoEffect, object, "%s admits nobody: no ENI has security group %q", object, r.Group)
				case r.PrefixList != "" && empty[r.PrefixList]:
					a.add(r.Pos, NoEffect, object, "%s admits nobody: prefix list %q is empty", object, r.PrefixList)
				}
			}
		}
	}
	checked := make(map[string]bool)
	for i := range a.o.ENIs {
		checked[a.o.ENIs[i].ID] = a.o.ENIs[i].SourceDestCheck
	}
	for i := range a.o.RouteTables {
		t := &a.o.RouteTables[i]
		for j := range t.Routes {
			if r := &t.Routes[j]; r.Target == TargetENI && checked[r.TargetID] {
				object := fmt.Sprintf("route table %q, route to %s", t.ID, r.Destination.Masked())
				a.add(r.Pos, NoEffect, object, "%s leads to ENI %q, which takes packets for its own addresses only: its source_dest_check is on", object, r.TargetID)
			}
		}
	}
}
