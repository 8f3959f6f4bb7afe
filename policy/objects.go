package policy

import (
	"net/netip"
)

// Objects is a VPC configuration as a person writes it: lists of named
// objects that refer to each other by id. It is the input of Compile and holds
// no defaults of its own: internal/config has applied them.
//
// Pos fields say where an object stands in its file, for error messages; zero
// where it came from elsewhere.
type Objects struct {
	VPCs           []VPC
	Subnets        []Subnet
	RouteTables    []RouteTable
	NetworkACLs    []NetworkACL
	SecurityGroups []SecurityGroup
	PrefixLists    []PrefixList
	Placements     []PlacementGroup
	Instances      []Instance
	ENIs           []ENI
	Gateways       []InternetGateway
	Services       []ServicePort
}

// Pos is a position in a configuration file, counted from 1.
type Pos struct {
	File         string
	Line, Column int
}

// VPC is a private network. Addresses are unique within one VPC only.
type VPC struct {
	ID    string
	CIDRs []netip.Prefix
	Pos   Pos
}

// Subnet is a part of a VPC with one route table and one network ACL. Empty
// RouteTable means the VPC's main table; empty NetworkACL the default ACL,
// which allows everything. Subnets without a Zone lie in one zone.
type Subnet struct {
	ID         string
	VPC        string
	Zone       string         // availability zone
	CIDRs      []netip.Prefix // one IPv4, one IPv6, or both
	RouteTable string
	NetworkACL string
	Pos        Pos
}

// TargetKind is what a route leads to.
type TargetKind uint8

// The kinds of route targets.
const (
	TargetInvalid         TargetKind = iota
	TargetLocal                      // the VPC itself
	TargetENI                        // an ENI, usually of an appliance
	TargetBlackhole                  // drop
	TargetGateway                    // a named gateway that this host does not have
	TargetInternetGateway            // an internet gateway
)

// Route leads a destination to a target.
type Route struct {
	Destination netip.Prefix
	Target      TargetKind
	TargetID    string // ENI or gateway id
	Pos         Pos
}

// RouteTable is a list of routes. The local routes of its VPC's CIDRs are
// implied.
type RouteTable struct {
	ID     string
	VPC    string
	Main   bool
	Routes []Route
	Pos    Pos
}

// Protocol numbers that rules name.
const (
	ProtoAll    = -1
	ProtoICMP   = 1
	ProtoTCP    = 6
	ProtoUDP    = 17
	ProtoICMPv6 = 58
)

// Match is what a rule of a network ACL or a security group asks of a packet.
//
// FromPort and ToPort are inclusive and mean destination ports for TCP and
// UDP. For ICMP and ICMPv6 the type is in FromPort and the code in ToPort, -1
// for all. For ProtoAll and any other protocol they are ignored (AWS: all
// ports).
type Match struct {
	Protocol         int // ProtoAll or an IP protocol number
	FromPort, ToPort int
}

// ACLRule is one entry of a network ACL.
type ACLRule struct {
	Number int // 1 to 32766
	Allow  bool
	Match
	CIDR netip.Prefix
	Pos  Pos
}

// NetworkACL is a stateless, ordered filter at a subnet's edge.
type NetworkACL struct {
	ID       string
	VPC      string
	Inbound  []ACLRule
	Outbound []ACLRule
	Pos      Pos
}

// SGRule is one allow rule of a security group. Exactly one of CIDR, Group and
// PrefixList names the peer.
type SGRule struct {
	ID string // stable name of the rule; "" lets Compile name it GROUP/in/N or GROUP/out/N
	Match
	CIDR       netip.Prefix
	Group      string
	PrefixList string
	Pos        Pos
}

// SecurityGroup is a stateful allow list applied at ENIs.
type SecurityGroup struct {
	ID       string
	VPC      string
	Inbound  []SGRule
	Outbound []SGRule
	// LiveFlows is what becomes of tracked flows that it no longer admits.
	LiveFlows LiveFlows
	Pos       Pos
}

// PrefixList is a named set of prefixes.
type PrefixList struct {
	ID       string
	Prefixes []netip.Prefix
	Pos      Pos
}

// PlacementGroup says how instances stand to each other. Only a cluster, which
// lies in one zone, changes what they may send.
type PlacementGroup struct {
	ID      string
	Cluster bool
	Pos     Pos
}

// Instance owns ENIs and the allowances they share. A Limit without a rate is
// no limit. Where a Bandwidth has a rate, Baseline is set.
type Instance struct {
	ID                 string
	ConntrackAllowance int    // tracked connections; 0 is no limit
	Placement          string // placement group; "" is none
	In, Out            Bandwidth
	InternetIn         Limit // of it what comes from internet gateways
	InternetOut        Limit // and what goes to them
	Packets            Limit
	Flow               FlowLimits
	VCPUs              int // steering rules that there is room for
	Steering           []SteerRule
	Pos                Pos
}

// ENI is a network interface of an instance.
type ENI struct {
	ID        string
	Instance  string
	Subnet    string
	MAC       [6]byte
	Addresses []netip.Addr // the first of each family is primary
	// Prefixes are delegated to the ENI: all of their addresses are its own,
	// and its guest gives them to whom it likes.
	Prefixes []netip.Prefix
	// Public are the public addresses by which an internet gateway translates
	// some of Addresses.
	Public          []PublicAddress
	SecurityGroups  []string
	SourceDestCheck bool
	MTU             int
	Queues          int // receive queues of the guest
	TCPEstablished  int // idle timeouts in seconds
	UDP             int
	UDPStream       int
	FragmentRate    int // fragments that it may send a second; 0 is no limit
	LinkLocalRate   int // packets a second to link-local services; 0 is no limit
	// ConntrackGuaranteed is how much of its instance's allowance nobody else
	// may use; ConntrackHalfOpen how many of the connections that it begins may
	// be half open, 0 for any number.
	ConntrackGuaranteed int
	ConntrackHalfOpen   int
	// In, Out and Queue are as in ENILimits.
	In, Out, Queue Limit
	Pacing         Pacing
	// Express and ExpressUDP: it uses ENA Express, for TCP and for UDP too.
	Express, ExpressUDP bool
	RSS                 *RSS // nil for the default
	Pos                 Pos
}

// PublicAddress says by which public IPv4 address the world knows a private one.
type PublicAddress struct {
	Private, Public netip.Addr
	Pos             Pos
}

// InternetGateway is a VPC's way to the world: one uplink, behind whose port
// the next hop is (docs/semantics.md S4.7).
type InternetGateway struct {
	ID     string
	VPC    string
	MAC    [6]byte // of the next hop
	MTU    int
	Queues int // in which frames for the next hop are sent
	Pos    Pos
}

// ServicePort is where a VPC's link-local services are: whatever answers for
// all of them is behind one port (docs/semantics.md S4.5).
type ServicePort struct {
	ID     string
	VPC    string
	MAC    [6]byte // of the host that offers the services
	MTU    int
	Queues int
	Pos    Pos
}
