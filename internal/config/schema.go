package config

import (
	"log/slog"
	"time"

	"github.com/nitrod/nitrod/policy"
)

// The structs in this file and in schema_vpc.go are the schema: their tags
// (see field) drive the decoder, and their comments become
// docs/configuration.md.

// document is a whole file.
type document struct {
	// What nitrod takes from the machine: processors, memory, and how it uses them.
	Host Host `yaml:"host"`

	// For how long lcores let packets gather, as `ethtool -C` tells a guest's driver. It spares the CPU, or
	// the devices, and costs latency. `nitrod coalesce` changes it while packets flow.
	Coalesce Coalesce `yaml:"coalesce"`

	// The sizes of the tables that hold flows and sessions. They are fixed while nitrod runs.
	Tables Tables `yaml:"tables"`

	// How much of an lcore's time new flows may take from established ones.
	SlowPath SlowPath `yaml:"slow_path"`

	// What the routers of the subnets tell the guests.
	Router Router `yaml:"router"`

	// Connection tracking: what AWS does not publish and nitrod therefore chose. The timers that AWS
	// publishes are set per ENI.
	Conntrack Conntrack `yaml:"conntrack"`

	// How datagrams that come in fragments are followed. The bounds are for each ENI on each lcore, so
	// that none can take another's place.
	Fragments Fragments `yaml:"fragments"`

	// How the receive queues of the ENIs are measured between two looks at their counters, and what
	// `nitrod bursts` tells as a burst.
	Bursts Bursts `yaml:"bursts"`

	// The flows that carry most, which `nitrod top` and `nitrod profile` name.
	HeavyFlows HeavyFlows `yaml:"heavy_flows"`

	// Private networks. Addresses are unique within one VPC only.
	VPCs []vpcDoc `yaml:"vpcs" noun:"VPC"`

	// Parts of a VPC, each with one route table and one network ACL.
	Subnets []subnetDoc `yaml:"subnets" noun:"subnet"`

	// Lists of routes. The local routes to the CIDR blocks of the VPC are implied.
	RouteTables []routeTableDoc `yaml:"route_tables" noun:"route table"`

	// Stateless, ordered filters at the edge of subnets. A new one denies everything, as on AWS.
	NetworkACLs []networkACLDoc `yaml:"network_acls" noun:"network ACL"`

	// Stateful allow lists, applied at ENIs.
	SecurityGroups []securityGroupDoc `yaml:"security_groups" noun:"security group"`

	// Named sets of CIDR blocks for use in security groups.
	PrefixLists []prefixListDoc `yaml:"prefix_lists" noun:"prefix list"`

	// Instances that lie near each other, or apart.
	Placements []placementDoc `yaml:"placement_groups" noun:"placement group"`

	// The owners of ENIs, which share an instance's allowances.
	Instances []instanceDoc `yaml:"instances" noun:"instance"`

	// Network interfaces: what a guest is given, and the port through which it is reached.
	ENIs []eniDoc `yaml:"enis" noun:"ENI"`

	// Ways to the world: an uplink for each VPC, with one-to-one translation of addresses.
	Gateways []gatewayDoc `yaml:"internet_gateways" noun:"internet gateway"`

	// Where the link-local services of a VPC are: DNS, metadata, time and activation.
	Services []serviceDoc `yaml:"services" noun:"service port"`
}

// Host is what nitrod takes from the machine.
type Host struct {
	// The CPUs that nitrod polls with, one lcore each. `auto` takes the last CPU that the process
	// may run on; a count takes that many of the last; a list names them. The first CPU is best left
	// to control work and to the guests.
	Lcores LcoreSpec `yaml:"lcores" default:"auto"`

	// What share of the flows each lcore works, one number for each, in proportion to each other. Flows are
	// spread over lcores whatever ports and queues they come by. An lcore with 0 works none; it
	// takes packets from its devices, hands them over, and serves receive queues. Default: all as much.
	FlowShares []int `yaml:"flow_shares" min:"0" max:"1000"`

	// Which flows each lcore works whatever its share: of the rules that match a packet as it is, or with its
	// endpoints exchanged, the one at the lowest location decides. So both directions of a flow come to one lcore,
	// with its fragments and the ICMP errors about it.
	Steering []lcoreSteerDoc `yaml:"steering" noun:"steering rule"`

	// Packets taken from one queue in one round.
	Burst int `yaml:"burst" default:"32" min:"1" max:"64"`

	// Packets that may wait for limits, for each lcore; those beyond it are dropped as `limit_queue_full`.
	// One ENI may have as many of them as there is room for others. Each holds one of `mbufs`.
	LimitQueue int `yaml:"limit_queue" default:"8192" min:"64" max:"1048576"`

	// Memory that DPDK takes at start for packet buffers and its own objects.
	Memory Size `yaml:"memory" default:"256MiB" min:"32MiB" max:"1024GiB"`

	// Whether DPDK's memory lies in hugepages: `auto` uses them where the machine has enough free,
	// `on` refuses to start without, `off` never does.
	Hugepages Hugepages `yaml:"hugepages" default:"auto" enum:"auto,on,off"`

	// Packet buffers. Each costs `data_room` and 320 bytes of `memory`; without hugepages, whole pages of
	// 4 KiB.
	Mbufs int `yaml:"mbufs" default:"32768" min:"1024" max:"16777216"`

	// Bytes of a packet that one buffer holds, headroom not counted. `9.5KiB` holds a jumbo frame
	// (MTU 9001) in one segment; with less it takes several.
	DataRoom Size `yaml:"data_room" default:"2KiB" min:"2KiB" max:"32KiB"`

	// What an lcore does that finds nothing to do. `spin` polls without a pause, and so does `busy`, its
	// older name. `pause` stays on its CPU, at rest for some microseconds at a time. `sleep` gives the
	// CPU away for `idle_sleep`. `interrupt` sleeps until a packet comes, and wants devices that have
	// receive interrupts, such as taps. `adaptive` rests the longer the longer nothing has come: first it
	// spins, then it waits for interrupts where all devices of the lcore have them; else it pauses, and
	// sleeps for at most `idle_sleep`.
	Polling Polling `yaml:"polling" default:"adaptive" enum:"adaptive,busy,spin,pause,sleep,interrupt"`

	// The longest sleep of an lcore that no packet ends, with `sleep` and `adaptive` polling. The next
	// packet may be delayed for so long, and as many may come meanwhile as a device's queue holds.
	IdleSleep time.Duration `yaml:"idle_sleep" default:"100us" min:"1us" max:"10ms"`

	// Further arguments for DPDK's environment layer (EAL), each an item of its own. Those that
	// `lcores`, `memory` and `hugepages` stand for are refused.
	EAL []string `yaml:"eal" as:"argument"`

	// The Unix socket behind nitrod's subcommands.
	ControlSocket string `yaml:"control_socket" default:"/run/nitrod/nitrod.sock" as:"socket"`

	// The least severe messages that are logged.
	LogLevel slog.Level `yaml:"log_level" default:"info"`

	// Go's garbage collector target (GOGC). Nothing is allocated while packets flow, so a high value
	// makes collections, each of which can delay a poll, rare at the cost of a few MiB.
	GCPercent int `yaml:"gc_percent" default:"400" min:"50" max:"10000"`
}

// Hugepages says whether DPDK's memory lies in hugepages.
type Hugepages string

// The values of Hugepages.
const (
	HugepagesAuto Hugepages = "auto"
	HugepagesOn   Hugepages = "on"
	HugepagesOff  Hugepages = "off"
)

// Polling is what an lcore does when it finds nothing to do.
type Polling string

// The values of Polling.
const (
	PollingAdaptive  Polling = "adaptive"
	PollingBusy      Polling = "busy"
	PollingSpin      Polling = "spin"
	PollingPause     Polling = "pause"
	PollingSleep     Polling = "sleep"
	PollingInterrupt Polling = "interrupt"
)

// Coalesce is moderation, for each lcore.
type Coalesce struct {
	// Microseconds for which an lcore that has taken all there was lets packets gather before it polls
	// again. Not with `spin` polling.
	RxUsecs int `yaml:"rx_usecs" default:"0" min:"0" max:"1000"`

	// Instead of `rx_usecs`: the lcore finds the time itself, as DIM does for ENA's driver, from 1 to
	// 256 microseconds, and no more than `idle_sleep`.
	AdaptiveRx Switch `yaml:"adaptive_rx" default:"off" enum:"on,off"`

	// Microseconds for which packets for a device may be held back until there is a burst of them.
	TxUsecs int `yaml:"tx_usecs" default:"0" min:"0" max:"1000"`
}

// Tables are sizes that are fixed while nitrod runs.
type Tables struct {
	// Entries of the flow caches of all lcores together. Each direction of a flow takes one.
	Flows int `yaml:"flows" default:"1048576" min:"1024" max:"67108864"`

	// Flow cache entries not used for so long are dropped. The session outlives them; the next packet
	// finds it again on the slow path.
	FlowIdle time.Duration `yaml:"flow_idle" default:"60s" min:"1s" max:"1h"`

	// Sessions (tracked flows) of all lcores together. It bounds the host; an instance's share of it
	// is `conntrack_allowance`.
	Sessions int `yaml:"sessions" default:"1048576" min:"1024" max:"67108864"`
}

// SlowPath bounds the work for new flows, for each lcore.
type SlowPath struct {
	// First packets that an lcore takes through the slow path for one burst.
	Budget int `yaml:"budget" default:"16" min:"1" max:"64"`

	// Packets that may wait for the budget, for each lcore. Those beyond it are dropped and counted
	// as `slowpath_queue_full`.
	Queue int `yaml:"queue" default:"4096" min:"64" max:"1048576"`

	// After a change of policy: flows that an lcore judges anew a second, besides `budget`, as their
	// packets come. 100,000 take a twentieth of its time.
	Redecide int `yaml:"redecide" default:"100000" min:"0" max:"10000000"`

	// For how long after a change of policy the other flows that it concerns may go on by their old
	// verdicts, while they are judged anew in the background. `0s` lets none go on: each then waits
	// for the slow path with its next packet.
	RedecideWithin time.Duration `yaml:"redecide_within" default:"1s" min:"0s" max:"1m"`
}

// Router is what the routers of the subnets tell the guests.
type Router struct {
	// ICMP errors a second to each ENI about packets of its own that cannot go on: TTL used up, or too
	// long. What is above is dropped without a word, and counted like the rest. 0 sends none. AWS
	// publishes no such rate.
	ICMPErrors int `yaml:"icmp_errors" default:"100" min:"0" max:"1000000"`

	// How often a router says unasked that it is there, to each ENI with IPv6. Three times as long a guest
	// may use it without hearing of it again. Guests that ask are answered at once.
	AdvertInterval time.Duration `yaml:"advert_interval" default:"600s" min:"4s" max:"1800s" step:"1s"`
}

// Conntrack is connection tracking beyond what AWS publishes. All timers are
// idle times.
type Conntrack struct {
	// What becomes of a TCP packet that is no SYN and belongs to no session: `pickup` tracks it from
	// there where the rules admit it, as after a restart of nitrod; `strict` drops it.
	TCPMidstream Midstream `yaml:"tcp_midstream" default:"pickup" enum:"pickup,strict"`

	// What becomes of a TCP packet whose sequence number or acknowledgement lies outside the windows
	// of its connection: `strict` drops it as `tcp_out_of_window`, so that who does not see a
	// connection can neither end it nor put anything in; `liberal` lets it pass, for boxes in the path
	// that change these numbers. A reset that its receiver would not take changes nothing in either.
	TCPWindow Window `yaml:"tcp_window" default:"strict" enum:"strict,liberal"`

	// Whether a new flow may end another one where its instance's allowance is used up or the table of
	// sessions is full: a half-open, closing or one-way one, at the cost of the ENI that has the most of
	// them. `off` refuses new flows then, as AWS does.
	EarlyEviction Switch `yaml:"early_eviction" default:"on" enum:"on,off"`

	// TCP, after a SYN without answer.
	TCPSynSent time.Duration `yaml:"tcp_syn_sent" default:"30s" min:"1s" max:"1h"`

	// TCP, after SYN and SYN-ACK. It lasts for five repetitions of a lost SYN-ACK.
	TCPSynReceived time.Duration `yaml:"tcp_syn_received" default:"60s" min:"1s" max:"1h"`

	// TCP, after the first FIN. It is the longest that a connection closed on one side may pause.
	TCPClosing time.Duration `yaml:"tcp_closing" default:"120s" min:"1s" max:"1h"`

	// TCP, after FINs from both sides, so that repeated ones still pass.
	TCPTimeWait time.Duration `yaml:"tcp_time_wait" default:"30s" min:"1s" max:"1h"`

	// TCP, after an RST. It is short: on AWS, packets that come after a connection closed must be
	// admitted by the rules again.
	TCPClosed time.Duration `yaml:"tcp_closed" default:"5s" min:"1s" max:"1h"`

	// ICMP and ICMPv6 queries, such as echo.
	ICMP time.Duration `yaml:"icmp" default:"30s" min:"1s" max:"1h"`

	// All other protocols, tracked by their pair of addresses. The default is AWS's.
	Other time.Duration `yaml:"other" default:"600s" min:"1s" max:"24h"`
}

// Switch is on or off.
type Switch string

// The values of Switch.
const (
	SwitchOn  Switch = "on"
	SwitchOff Switch = "off"
)

// Fragments bounds what nitrod remembers of datagrams in fragments.
type Fragments struct {
	// How long a later fragment waits for the first one of its datagram, which alone has the ports,
	// before it is dropped as `fragment_without_first`.
	Hold time.Duration `yaml:"hold" default:"1s" min:"1ms" max:"30s"`

	// How long a datagram is remembered after its first fragment to come, so that the rest may follow.
	// It is at least `hold`.
	Lifetime time.Duration `yaml:"lifetime" default:"30s" min:"1s" max:"120s"`

	// Datagrams that are remembered for each ENI on each lcore, at 200 bytes each. The oldest makes
	// room for a new one.
	DatagramsPerENI int `yaml:"datagrams_per_eni" default:"128" min:"2" max:"65536"`

	// Fragments that may wait for their first ones, for each ENI on each lcore; fewer than
	// `datagrams_per_eni`. Each keeps a packet buffer. Those that have waited longest are dropped as
	// `fragment_hold_full`.
	HeldPerENI int `yaml:"held_per_eni" default:"64" min:"1" max:"4096"`
}

// Bursts is how the receive queues are measured.
type Bursts struct {
	// Whether they are: bytes and packets in windows of 10 us, 100 us and 1 ms, and bursts. It costs a few
	// nanoseconds a packet.
	Measure Switch `yaml:"measure" default:"off" enum:"on,off"`

	// What `rate_share` is a share of: the rate that the guest, or what is behind it, is thought to
	// take for long.
	Rate BitRate `yaml:"rate" default:"10gbps" min:"100mbps" max:"1000gbps"`

	// Percent of `rate` in a window of 10 us that make it a part of a burst.
	RateShare int `yaml:"rate_share" default:"50" min:"1" max:"100"`

	// Percent of the receive ring's depth that make a window a part of a burst, whatever the rate.
	RingShare int `yaml:"ring_share" default:"50" min:"1" max:"100"`

	// Shorter bursts are counted, not told, unless a packet was dropped in them.
	MinLength time.Duration `yaml:"min_length" default:"30us" min:"10us" max:"1s" step:"10us"`

	// Bursts that are kept for each lcore, at 420 bytes each. The oldest makes room for a new one.
	Events int `yaml:"events" default:"256" min:"1" max:"65536"`
}

// HeavyFlows is how the flows that carry most are found.
type HeavyFlows struct {
	// Whether they are, by a look at one packet of a round now and then. It costs less than a nanosecond a
	// packet.
	Measure Switch `yaml:"measure" default:"on" enum:"on,off"`
}

// Midstream is what becomes of a TCP packet that is no SYN and belongs to no
// session.
type Midstream string

// The values of Midstream.
const (
	MidstreamPickup Midstream = "pickup"
	MidstreamStrict Midstream = "strict"
)

// Window is what becomes of a TCP packet outside the windows of its connection.
type Window string

// The values of Window.
const (
	WindowStrict  Window = "strict"
	WindowLiberal Window = "liberal"
)

// Port is the way to an ENI's guest. Exactly one of Device and Tap is set.
type Port struct {
	// ENI is the id of the ENI that the port belongs to.
	ENI string

	// Any DPDK device, by PCI address or as `NAME,ARG=VALUE...` for a virtual one. Exactly one of
	// `device` and `tap` is given.
	Device string `yaml:"device" as:"device"`

	// A network interface of this host's kernel, made by nitrod, for containers and namespaces.
	Tap *Tap `yaml:"tap"`

	// Queues from which nitrod receives: what the guest sends with. Default: the ENI's `queues`.
	RxQueues int `yaml:"rx_queues" min:"1" max:"128"`

	// Queues to which nitrod transmits. With fewer than the ENI's `queues`, several of the guest's
	// queues share one. A tap has as many as `rx_queues`. Default: the ENI's `queues`.
	TxQueues int `yaml:"tx_queues" min:"1" max:"128"`

	// Depth of each of the guest's receive rings, a power of two: so many packets may wait for the
	// guest before more are dropped as `tx_queue_full`. A device's own transmit rings get the same
	// depth, as far as its driver has it. Default and range are ENA's.
	RxRing int `yaml:"rx_ring" default:"1024" min:"256" max:"16384"`

	// Depth of each of the rings with which the guest sends, a power of two: so many packets may wait
	// there until nitrod takes them. It is the length of a tap's queues in the kernel, and the depth of
	// a device's receive rings as far as its driver has it. Default: 512 with `llq: wide`, else 1024.
	TxRing int `yaml:"tx_ring" min:"256" max:"1024"`

	// The lcores that take what the guest sends and that serve its receive queues, by their numbers
	// from 0 in the order of `host.lcores`: queue n belongs to the n-th of them, and on from the first.
	// Default: the queues of all such ports go round all lcores.
	Lcores []int `yaml:"lcores" min:"0" max:"127"`

	// How many bytes of a packet's headers the guest's device takes, as ENA's low-latency queues have
	// it: `wide` 224, `normal` 96, `off` any number. A packet with longer ones is dropped as
	// `llq_headers_exceeded`. Only for ENIs.
	LLQ LLQ `yaml:"llq" default:"wide" enum:"wide,normal,off"`

	Pos policy.Pos
}

// LLQ is how an ENI's device takes the headers of what the guest sends.
type LLQ string

// The values of LLQ.
const (
	LLQWide   LLQ = "wide"
	LLQNormal LLQ = "normal"
	LLQOff    LLQ = "off"
)

// Headers returns how many bytes of headers the device takes; 0 is any number.
func (l LLQ) Headers() int {
	switch l {
	case LLQWide:
		return 224
	case LLQNormal:
		return 96
	}
	return 0
}

// Tap is a persistent tap interface that nitrod makes and removes.
type Tap struct {
	// The interface's name in its namespace.
	Name string `yaml:"name" as:"ifname" required:"true"`

	// The network namespace in which the interface is made. Default: nitrod's own.
	Namespace string `yaml:"namespace" as:"netns"`

	// Make the namespace where it does not exist, and remove at the end what was made.
	CreateNamespace bool `yaml:"create_namespace" default:"false"`

	// Give the interface the ENI's addresses and a default route, as a guest's own DHCP client would.
	Configure bool `yaml:"configure" default:"false"`

	Pos policy.Pos
}
