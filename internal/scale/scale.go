// Package scale makes VPC configurations of any size, for benchmarks and for
// tests of what must not grow with the size. Equal specs make equal objects.
package scale

import (
	"fmt"
	"net/netip"

	"github.com/nitrod/nitrod/policy"
)

// Shape says how the rules are spread over groups and ENIs.
type Shape string

// The shapes. Rules differ in port and prefix from each other in all of them.
const (
	Own        Shape = "own"        // a group for each ENI, rules by CIDR
	Shared     Shape = "shared"     // a group for each 20 ENIs, with 20 times as many rules
	Unions     Shape = "unions"     // a group for each ENI, which is in 15 of its neighbours' as well
	References Shape = "references" // a group for each ENI, rules by other groups
	Lists      Shape = "lists"      // a group for each ENI, rules by prefix lists of 20 entries
)

// Shapes are all of them.
var Shapes = []Shape{Own, Shared, Unions, References, Lists}

// Sharing numbers of the shapes.
const (
	sharers     = 20 // ENIs of a group of shape Shared
	unionGroups = 16 // groups of an ENI of shape Unions
	listLength  = 20 // prefixes of a list of shape Lists
)

// Spec describes a configuration.
type Spec struct {
	ENIs  int   // at most 50,000
	Rules int   // inbound rules of all groups together, a multiple of ENIs
	Shape Shape // "" is Own
}

// perSubnet is the number of ENIs in a subnet, of the 251 for which it has
// addresses.
const perSubnet = 200

// Objects returns the configuration: one VPC, subnets of 200 ENIs behind a
// network ACL, an instance for each ENI, groups that let everything out and in
// what their rules say. It passes policy.Compile.
func Objects(s Spec) *policy.Objects {
	o := &policy.Objects{
		VPCs: []policy.VPC{{ID: "vpc", CIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16"), netip.MustParsePrefix("2001:db8::/56")}}},
		NetworkACLs: []policy.NetworkACL{{ID: "acl", VPC: "vpc",
			Inbound: openACL(), Outbound: openACL()}},
	}
	for i := range s.ENIs {
		if i%perSubnet == 0 {
			n := byte(i / perSubnet)
			o.Subnets = append(o.Subnets, policy.Subnet{ID: subnetID(i), VPC: "vpc", NetworkACL: "acl", CIDRs: []netip.Prefix{
				netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, n}), 24),
				netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 7: n}), 64),
			}})
		}
		o.Instances = append(o.Instances, policy.Instance{ID: InstanceID(i)})
		o.ENIs = append(o.ENIs, s.eni(i))
	}
	groups, rules := s.ENIs, s.Rules/s.ENIs
	if s.Shape == Shared {
		groups, rules = (s.ENIs+sharers-1)/sharers, rules*sharers
	}
	for g := range groups {
		group := policy.SecurityGroup{ID: GroupID(g), VPC: "vpc", Outbound: []policy.SGRule{
			{Match: policy.Match{Protocol: policy.ProtoAll}, CIDR: netip.PrefixFrom(netip.IPv4Unspecified(), 0)},
			{Match: policy.Match{Protocol: policy.ProtoAll}, CIDR: netip.PrefixFrom(netip.IPv6Unspecified(), 0)},
		}}
		for i := range rules {
			group.Inbound = append(group.Inbound, s.rule(g, i, groups, rules))
		}
		if s.Shape == Lists {
			o.PrefixLists = append(o.PrefixLists, list(g))
		}
		o.SecurityGroups = append(o.SecurityGroups, group)
	}
	return o
}

// openACL returns the rules of one direction of the ACL: telnet is denied, the
// rest allowed.
func openACL() []policy.ACLRule {
	all4, all6 := netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	return []policy.ACLRule{
		{Number: 90, Match: policy.Match{Protocol: policy.ProtoTCP, FromPort: 23, ToPort: 23}, CIDR: all4},
		{Number: 100, Allow: true, Match: policy.Match{Protocol: policy.ProtoAll}, CIDR: all4},
		{Number: 110, Allow: true, Match: policy.Match{Protocol: policy.ProtoAll}, CIDR: all6},
	}
}

// ENIID, InstanceID and GroupID are the ids of the objects number i.
func ENIID(i int) string      { return fmt.Sprintf("eni-%05d", i) }
func InstanceID(i int) string { return fmt.Sprintf("i-%05d", i) }
func GroupID(i int) string    { return fmt.Sprintf("sg-%05d", i) }
func subnetID(i int) string   { return fmt.Sprintf("subnet-%03d", i/perSubnet) }
func listID(i int) string     { return fmt.Sprintf("pl-%05d", i) }

func (s Spec) eni(i int) policy.ENI {
	subnet, host := byte(i/perSubnet), byte(10+i%perSubnet)
	e := policy.ENI{
		ID: ENIID(i), Instance: InstanceID(i), Subnet: subnetID(i), MAC: [6]byte{2, 0, 1, 0, byte(i >> 8), byte(i)},
		Addresses: []netip.Addr{
			netip.AddrFrom4([4]byte{10, 0, subnet, host}),
			netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 7: subnet, 15: host}),
		},
		SourceDestCheck: true, MTU: 1500, Queues: 1, TCPEstablished: 432000, UDP: 30, UDPStream: 180,
	}
	switch s.Shape {
	case Shared:
		e.SecurityGroups = []string{GroupID(i / sharers)}
	case Unions:
		for k := range min(unionGroups, s.ENIs) {
			e.SecurityGroups = append(e.SecurityGroups, GroupID((i+k)%s.ENIs))
		}
	default:
		e.SecurityGroups = []string{GroupID(i)}
	}
	return e
}

// rule returns inbound rule i of group g, of which there are rules in each of
// groups.
func (s Spec) rule(g, i, groups, rules int) policy.SGRule {
	r := policy.SGRule{Match: policy.Match{Protocol: policy.ProtoTCP, FromPort: 2000 + i, ToPort: 2000 + i}}
	if i%2 != 0 {
		r.Protocol = policy.ProtoUDP
	}
	switch s.Shape {
	case References:
		r.Group = GroupID((g + 1 + i) % groups)
	case Lists:
		r.PrefixList = listID((g + i) % groups)
	default:
		r.CIDR = distinct(g*rules + i)
	}
	return r
}

// list returns the prefix list number i.
func list(i int) policy.PrefixList {
	l := policy.PrefixList{ID: listID(i)}
	for k := range listLength {
		l.Prefixes = append(l.Prefixes, distinct(i*listLength+k))
	}
	return l
}

// distinct returns prefix number i of many that do not overlap: a /28 out of
// 100.0.0.0/8 and what follows it.
func distinct(i int) netip.Prefix {
	a := uint32(100)<<24 + uint32(i)<<4
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)}), 28)
}
