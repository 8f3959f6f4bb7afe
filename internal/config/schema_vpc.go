package config

import (
	"net/netip"
	"time"

	"github.com/nitrod/nitrod/policy"
)

type vpcDoc struct {
	// Its name.
	ID string `yaml:"id" as:"id" required:"true"`

	// Its address blocks, IPv4 and IPv6.
	CIDRs []netip.Prefix `yaml:"cidrs" required:"true"`

	Pos policy.Pos
}

type subnetDoc struct {
	// Its name.
	ID string `yaml:"id" as:"id" required:"true"`

	// The VPC that it is a part of.
	VPC string `yaml:"vpc" as:"id" required:"true"`

	// The availability zone that it lies in. Subnets that name none lie in one together.
	Zone string `yaml:"zone" as:"id"`

	// One IPv4 block, one IPv6 block, or one of each, from the VPC's.
	CIDRs []netip.Prefix `yaml:"cidrs" required:"true"`

	// Its route table. Default: the VPC's main one.
	RouteTable string `yaml:"route_table" as:"id"`

	// Its network ACL. Default: the default ACL, which allows everything.
	NetworkACL string `yaml:"network_acl" as:"id"`

	Pos policy.Pos
}

type routeTableDoc struct {
	// Its name.
	ID string `yaml:"id" as:"id" required:"true"`

	// The VPC that it serves.
	VPC string `yaml:"vpc" as:"id" required:"true"`

	// Whether it serves the subnets that name no table.
	Main bool `yaml:"main" default:"false"`

	// Its routes; the longest prefix that has the destination wins.
	Routes []routeDoc `yaml:"routes" noun:"route"`

	Pos policy.Pos
}

type routeDoc struct {
	// The addresses that the route leads to.
	Destination netip.Prefix `yaml:"destination" required:"true"`

	// `local`, `blackhole` (dropped as `route_blackhole`), `eni:ID`, `internet_gateway:ID`, or `gateway:NAME` for a gateway
	// that this host does not have (dropped as `route_no_such_target`).
	Target target `yaml:"target" required:"true"`

	Pos policy.Pos
}

// matchDoc is what rules of both kinds ask of a packet.
type matchDoc struct {
	protocol *protocol
	ports    *portRange
	icmp     **icmpDoc
	pos      policy.Pos
}

type icmpDoc struct {
	// The message's type.
	Type icmpValue `yaml:"type" default:"all"`

	// The message's code. It is `all` where the type is.
	Code icmpValue `yaml:"code" default:"all"`

	Pos policy.Pos
}

type networkACLDoc struct {
	// Its name.
	ID string `yaml:"id" as:"id" required:"true"`

	// The VPC whose subnets may use it.
	VPC string `yaml:"vpc" as:"id" required:"true"`

	// Rules for packets that enter the subnet. What no rule matches is denied.
	Inbound []aclRuleDoc `yaml:"inbound" noun:"inbound rule"`

	// Rules for packets that leave the subnet. What no rule matches is denied.
	Outbound []aclRuleDoc `yaml:"outbound" noun:"outbound rule"`

	Pos policy.Pos
}

type aclRuleDoc struct {
	// Its number. The rule with the lowest number that matches decides.
	Rule int `yaml:"rule" min:"1" max:"32766" required:"true"`

	// What becomes of packets that match.
	Action aclAction `yaml:"action" enum:"allow,deny" required:"true"`

	// The protocol; `-1` is `all`.
	Protocol protocol `yaml:"protocol" required:"true"`

	// Destination ports. For tcp and udp they must be given; other protocols have none.
	Ports portRange `yaml:"ports"`

	// Which messages, for icmp and icmpv6. Default: all.
	ICMP *icmpDoc `yaml:"icmp"`

	// The peer's addresses: the source of inbound packets, the destination of outbound ones.
	CIDR netip.Prefix `yaml:"cidr" required:"true"`

	Pos policy.Pos
}

type aclAction string

const aclAllow aclAction = "allow"

type securityGroupDoc struct {
	// Its name.
	ID string `yaml:"id" as:"id" required:"true"`

	// The VPC whose ENIs may use it.
	VPC string `yaml:"vpc" as:"id" required:"true"`

	// Rules that admit flows to the ENI. Default: none, so that nothing is admitted.
	Inbound []sgRuleDoc `yaml:"inbound" noun:"inbound rule"`

	// Rules that admit flows from the ENI. Default: everything, as for a new group on AWS; write
	// `outbound: []` for nothing.
	Outbound []sgRuleDoc `yaml:"outbound" noun:"outbound rule"`

	// What becomes of the tracked flows that the group has admitted, when it no longer does because a
	// rule, or the group itself, is taken away: `aws` lets them go on until they end or idle out, `cut`
	// ends them with the change, and `drain=TIME` so long after it, in whole seconds up to 8h.
	LiveFlows liveFlows `yaml:"live_flows" default:"aws"`

	Pos policy.Pos
}

type sgRuleDoc struct {
	// A name for the rule in explain and counters. Default: GROUP/in/N or GROUP/out/N.
	ID string `yaml:"id" as:"id"`

	// The protocol; `-1` is `all`.
	Protocol protocol `yaml:"protocol" required:"true"`

	// Destination ports. For tcp and udp they must be given; other protocols have none.
	Ports portRange `yaml:"ports"`

	// Which messages, for icmp and icmpv6. Default: all.
	ICMP *icmpDoc `yaml:"icmp"`

	// The peer, by address. Exactly one of `cidr`, `group` and `prefix_list` is given.
	CIDR netip.Prefix `yaml:"cidr"`

	// The peer, as any ENI that is a member of this security group.
	Group string `yaml:"group" as:"id"`

	// The peer, by the addresses of a prefix list.
	PrefixList string `yaml:"prefix_list" as:"id"`

	Pos policy.Pos
}

type prefixListDoc struct {
	// Its name.
	ID string `yaml:"id" as:"id" required:"true"`

	// The blocks in it.
	Prefixes []netip.Prefix `yaml:"prefixes"`

	Pos policy.Pos
}

type instanceDoc struct {
	// Its name.
	ID string `yaml:"id" as:"id" required:"true"`

	// Its EC2 instance type, such as `c7i.large`, which gives it limits of its bandwidth, packets and single
	// flows, and its ENIs their number of queues: see [instance types](instance-types.md). Default: none,
	// and no limits but those given here.
	Type string `yaml:"type" as:"type"`

	// Its placement group.
	PlacementGroup string `yaml:"placement_group" as:"id"`

	// Its limits, where they are not those of its `type`.
	Limits *instanceLimitsDoc `yaml:"limits"`

	// Flows that may be tracked for all its ENIs together; 0 is no limit but `tables: sessions`. At
	// the limit only new flows are refused, and counted as `conntrack_allowance_exceeded`. AWS does
	// not publish its values.
	ConntrackAllowance int `yaml:"conntrack_allowance" default:"0" min:"0" max:"67108864"`

	// The generation of the Nitro card that it stands in for. It decides the idle time of established
	// TCP connections where an ENI gives none: `v5`, which stands for the ones before it too, 432000 s;
	// `v6` 350 s. A `type` of that generation makes `v6` the default.
	Nitro Nitro `yaml:"nitro" default:"v5" enum:"v5,v6"`

	// Its vCPUs: how many steering rules its ENIs may have, all together. A `type` has its own number.
	VCPUs int `yaml:"vcpus" default:"0" min:"0" max:"1024"`

	// Which packets come to which receive queue of its ENIs, whatever their `rss` says.
	Steering []steerDoc `yaml:"steering" noun:"steering rule"`

	Pos policy.Pos
}

// Nitro is a generation of the card.
type Nitro string

// The values of Nitro.
const (
	NitroV5 Nitro = "v5"
	NitroV6 Nitro = "v6"
)

type eniDoc struct {
	// Its name.
	ID string `yaml:"id" as:"id" required:"true"`

	// The instance that it belongs to.
	Instance string `yaml:"instance" as:"id" required:"true"`

	// The subnet that it lies in.
	Subnet string `yaml:"subnet" as:"id" required:"true"`

	// Its MAC address, from which alone it may send.
	MAC mac `yaml:"mac" required:"true"`

	// Its addresses, from the subnet's blocks. The first of each family is the primary one.
	Addresses []netip.Addr `yaml:"addresses" required:"true"`

	// Prefixes delegated to it, from the subnet's blocks: /28 of IPv4 and /80 of IPv6. All addresses in
	// them are its own; its guest decides what they are for.
	Prefixes []netip.Prefix `yaml:"prefixes"`

	// By which public addresses the VPC's internet gateway translates some of its IPv4 addresses.
	Public []publicDoc `yaml:"public_addresses" noun:"public address"`

	// Its security groups; their rules are taken together.
	SecurityGroups []string `yaml:"security_groups" as:"id" required:"true"`

	// Whether it sends from, and receives for, its own addresses only. Appliances that forward need
	// `false`.
	SourceDestCheck bool `yaml:"source_dest_check" default:"true"`

	// Its MTU, which DHCP tells the guest. AWS's default is 9001; ours is what containers, uplinks and
	// one packet buffer of the default `data_room` carry. For jumbo frames raise that as well.
	MTU int `yaml:"mtu" default:"1500" min:"1280" max:"9001"`

	// Receive queues of the guest, among which its flows are spread. The `type` of the instance, if it has
	// one, gives another default.
	Queues int `yaml:"queues" default:"1" min:"1" max:"128"`

	// How it spreads flows over its `queues`.
	RSS *rssDoc `yaml:"rss" noun:"RSS"`

	// Whether entries of its indirection table move to other queues when these carry unevenly.
	Rebalance Rebalance `yaml:"rebalance"`

	// Flows of its instance's `conntrack_allowance` that are kept for this ENI: the others of the
	// instance cannot use them. Together they must not exceed the allowance.
	ConntrackGuaranteed int `yaml:"conntrack_guaranteed" default:"0" min:"0" max:"1048575"`

	// TCP connections that the ENI may have begun and not confirmed; 0 is no limit. A new one beyond it
	// ends the oldest of them, or is dropped as `conntrack_half_open_exceeded` where another lcore has
	// them all.
	ConntrackHalfOpen int `yaml:"conntrack_half_open" default:"0" min:"0" max:"67108864"`

	// Idle time of established TCP connections, in whole seconds (AWS: TcpEstablishedTimeout). Default:
	// by the instance's `nitro`.
	TCPEstablishedTimeout time.Duration `yaml:"tcp_established_timeout" min:"60s" max:"432000s" step:"1s"`

	// Idle time of UDP flows with no more than one request and one response, in whole seconds (AWS:
	// UdpTimeout).
	UDPTimeout time.Duration `yaml:"udp_timeout" default:"30s" min:"30s" max:"60s" step:"1s"`

	// Idle time of UDP flows with more than that, in whole seconds (AWS: UdpStreamTimeout).
	UDPStreamTimeout time.Duration `yaml:"udp_stream_timeout" default:"180s" min:"60s" max:"180s" step:"1s"`

	// Fragments that it may send a second; 0 is no limit, as ENA's enable_frag_bypass asks for. Those
	// beyond it are dropped as `fragment_rate_exceeded` and counted in `pps_allowance_exceeded`. The
	// default is AWS's.
	FragmentRate int `yaml:"fragment_rate" default:"1024" min:"0" max:"100000000"`

	// Packets that it may send a second to link-local services, all together; 0 is no limit. Those
	// beyond it are dropped and counted as `linklocal_allowance_exceeded`. The default is AWS's.
	LinkLocalRate int `yaml:"linklocal_rate" default:"1024" min:"0" max:"100000000"`

	// For which protocols it uses ENA Express, where the other end does too and lies in its zone: `off`,
	// `tcp`, or `all`, which is TCP and UDP.
	Express express `yaml:"ena_express" default:"off" enum:"off,tcp,all"`

	// Limits of its own, besides those of its instance. AWS has no such ones.
	Limits *eniLimitsDoc `yaml:"limits"`

	// How each of the guest's receive queues spaces out what it gives to the guest, with fairness among
	// flows, as the queueing discipline `fq` does for a host. By default not at all; AWS has no such thing.
	Pacing *pacingDoc `yaml:"pacing"`

	// How the guest is reached.
	Port *Port `yaml:"port" required:"true"`

	Pos policy.Pos
}

type publicDoc struct {
	// One of the ENI's IPv4 addresses.
	Private netip.Addr `yaml:"private" required:"true"`

	// The public address by which the world knows it.
	Public netip.Addr `yaml:"public" required:"true"`

	Pos policy.Pos
}

type gatewayDoc struct {
	// Its name, which no ENI has.
	ID string `yaml:"id" as:"id" required:"true"`

	// The VPC whose way to the world it is. A VPC has one at most.
	VPC string `yaml:"vpc" as:"id" required:"true"`

	// The MAC address of the next hop behind the port; the interface of a tap gets it.
	MAC mac `yaml:"mac" required:"true"`

	// The MTU of the way to the world.
	MTU int `yaml:"mtu" default:"1500" min:"1280" max:"9001"`

	// Queues in which packets leave.
	Queues int `yaml:"queues" default:"1" min:"1" max:"128"`

	// The uplink.
	Port *Port `yaml:"port" required:"true"`

	Pos policy.Pos
}

type serviceDoc struct {
	// Its name, which no ENI and no internet gateway has.
	ID string `yaml:"id" as:"id" required:"true"`

	// The VPC whose link-local services are behind the port. A VPC has one such port at most.
	VPC string `yaml:"vpc" as:"id" required:"true"`

	// The MAC address of the host that offers the services; the interface of a tap gets it.
	MAC mac `yaml:"mac" required:"true"`

	// The MTU of the way to it.
	MTU int `yaml:"mtu" default:"1500" min:"1280" max:"9001"`

	// Queues in which packets go there.
	Queues int `yaml:"queues" default:"1" min:"1" max:"128"`

	// How it is reached.
	Port *Port `yaml:"port" required:"true"`

	Pos policy.Pos
}
