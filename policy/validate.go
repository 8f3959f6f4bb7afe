package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// checker finds everything that is wrong with a configuration. What it has
// passed, the compiler takes without asking again.
type checker struct {
	o    *Objects
	errs Errors

	vpcs, subnets, tables, acls, groups, lists, placements, instances, enis, gateways, services index
}

// index finds the objects of one kind by id.
type index struct {
	kind string
	ids  []string
	at   map[string]int
}

func validate(o *Objects) (*checker, Errors) {
	c := &checker{o: o}
	c.vpcs = indexOf(c, "VPC", o.VPCs, func(v *VPC) (string, Pos) { return v.ID, v.Pos })
	c.subnets = indexOf(c, "subnet", o.Subnets, func(s *Subnet) (string, Pos) { return s.ID, s.Pos })
	c.tables = indexOf(c, "route table", o.RouteTables, func(t *RouteTable) (string, Pos) { return t.ID, t.Pos })
	c.acls = indexOf(c, "network ACL", o.NetworkACLs, func(a *NetworkACL) (string, Pos) { return a.ID, a.Pos })
	c.groups = indexOf(c, "security group", o.SecurityGroups, func(g *SecurityGroup) (string, Pos) { return g.ID, g.Pos })
	c.lists = indexOf(c, "prefix list", o.PrefixLists, func(l *PrefixList) (string, Pos) { return l.ID, l.Pos })
	c.placements = indexOf(c, "placement group", o.Placements, func(p *PlacementGroup) (string, Pos) { return p.ID, p.Pos })
	c.instances = indexOf(c, "instance", o.Instances, func(i *Instance) (string, Pos) { return i.ID, i.Pos })
	c.enis = indexOf(c, "ENI", o.ENIs, func(e *ENI) (string, Pos) { return e.ID, e.Pos })
	c.gateways = indexOf(c, "internet gateway", o.Gateways, func(g *InternetGateway) (string, Pos) { return g.ID, g.Pos })
	c.services = indexOf(c, "service port", o.Services, func(p *ServicePort) (string, Pos) { return p.ID, p.Pos })

	c.checkVPCs()
	c.checkSubnets()
	c.checkRouteTables()
	c.checkACLs()
	c.checkPrefixLists()
	c.checkGroups()
	c.checkInstances()
	c.checkENIs()
	c.checkAllowances()
	c.checkQueues()
	c.checkOutside()
	c.errs.sort()
	return c, c.errs
}

// indexOf indexes the objects of one kind and reports ids that are missing,
// malformed or taken.
func indexOf[T any](c *checker, kind string, objects []T, describe func(*T) (string, Pos)) index {
	x := index{kind: kind, at: make(map[string]int, len(objects))}
	for i := range objects {
		id, pos := describe(&objects[i])
		if why := badID(id); why != "" {
			c.errorf(pos, "the %s's id %s", kind, why)
			continue
		}
		if first, taken := x.at[id]; taken {
			_, at := describe(&objects[first])
			c.errorf(pos, "%s %q is already defined%s", kind, id, where(at))
			continue
		}
		if i == MaxObjects {
			c.errorf(pos, "there are %d objects of kind %s; nitrod takes at most %d", len(objects), kind, MaxObjects)
		}
		x.at[id] = i
		x.ids = append(x.ids, id)
	}
	return x
}

func badID(id string) string {
	if id == "" {
		return "is missing"
	}
	if len(id) > MaxIDLength {
		return fmt.Sprintf("is longer than %d characters", MaxIDLength)
	}
	for _, r := range id {
		if !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-:/", r)) {
			return fmt.Sprintf("%q contains %q; use letters, digits and . _ - : /", id, r)
		}
	}
	return ""
}

// where returns " at file:line", or nothing for an unknown position.
func where(p Pos) string {
	p.Column = 0
	if s := p.String(); s != "" {
		return " at " + s
	}
	return ""
}

func (c *checker) errorf(pos Pos, format string, args ...any) {
	c.errs = append(c.errs, &Error{Pos: pos, Msg: fmt.Sprintf(format, args...)})
}

// maxSuggestions bounds the search for the nearest id in a file that is wrong
// throughout.
const maxSuggestions = 100

// ref resolves a reference of owner to an object of kind x. An owner is what
// error messages call it: a string, or a fmt.Stringer where there are many.
func (c *checker) ref(pos Pos, owner any, x *index, id string) (int, bool) {
	if i, ok := x.at[id]; ok {
		return i, true
	}
	if id == "" {
		c.errorf(pos, "%s names no %s", owner, x.kind)
		return 0, false
	}
	hint := ""
	if len(id) <= MaxIDLength && len(c.errs) < maxSuggestions {
		if near, ok := nearest(id, x.ids); ok {
			hint = fmt.Sprintf("; did you mean %q?", near)
		}
	}
	c.errorf(pos, "%s refers to %s %q, which is not defined%s", owner, x.kind, id, hint)
	return 0, false
}

// sameVPC resolves a reference to an object that must be in the VPC of its
// owner.
func (c *checker) sameVPC(pos Pos, owner any, vpc string, x *index, id string, vpcOf func(int) string) (int, bool) {
	i, ok := c.ref(pos, owner, x, id)
	if ok && vpcOf(i) != vpc {
		c.errorf(pos, "%s is in VPC %q but refers to %s %q of VPC %q", owner, vpc, x.kind, id, vpcOf(i))
		return 0, false
	}
	return i, ok
}

// prefix reports whether p is a usable prefix, with an error if not. Host bits
// are allowed: AWS canonicalises CIDRs, and so does Compile.
func (c *checker) prefix(pos Pos, owner any, p netip.Prefix) bool {
	switch {
	case !p.IsValid():
		c.errorf(pos, "%s has a CIDR that is missing or not valid", owner)
	case p.Addr().Is4In6():
		c.errorf(pos, "%s: write %s as an IPv4 CIDR", owner, p)
	default:
		return true
	}
	return false
}

// owned is a prefix of object number i.
type owned struct {
	prefix netip.Prefix
	i      int
}

// overlaps calls report for each prefix that overlaps one before it, in order
// of address. Prefixes either nest or are disjoint, so one pass in order finds
// them all.
func overlaps(all []owned, report func(a, b owned)) {
	slices.SortStableFunc(all, func(x, y owned) int {
		if d := x.prefix.Addr().Compare(y.prefix.Addr()); d != 0 {
			return d
		}
		return x.prefix.Bits() - y.prefix.Bits()
	})
	for i, outer := 1, 0; i < len(all); i++ {
		if all[outer].prefix.Overlaps(all[i].prefix) {
			report(all[outer], all[i])
		} else {
			outer = i
		}
	}
}
