// Package traffic says what the traffic of a running nitrod is like: its rates, how
// flows spread over queues, which flows carry most, which of them no queue can
// share, and the limit that each ENI will hit first. It compares two samples of
// what lcores publish, and reads nothing itself.
package traffic

// Sample is the answer to GET /v1/profile: counters since the daemon's start, and
// the flows that carried most in the last whole second.
type Sample struct {
	TimeNS    int64                       `json:"time_ns"` // of the daemon's monotonic clock
	ENIs      map[string]ENICounters      `json:"enis"`
	Instances map[string]InstanceCounters `json:"instances"`
	Lcores    []LcoreCounters             `json:"lcores"`
	Flows     []Flow                      `json:"flows"`
	FlowsOff  bool                        `json:"heavy_flows_off,omitempty"` // Flows is empty since nobody looks for them
}

// ENICounters are an ENI's as its guest sees it: rx is what it receives.
type ENICounters struct {
	Instance  string `json:"instance"`
	RxPackets uint64 `json:"rx_packets"`
	RxBytes   uint64 `json:"rx_bytes"`
	TxPackets uint64 `json:"tx_packets"`
	TxBytes   uint64 `json:"tx_bytes"`
	Drops     uint64 `json:"drops"`
	Opened    uint64 `json:"connections_opened"`   // tracked ones that it began
	Accepted  uint64 `json:"connections_accepted"` // that others began to it
	Fragments uint64 `json:"fragments"`            // that it sent
	LinkLocal uint64 `json:"linklocal_packets"`    // that it sent

	FragmentsExceeded uint64 `json:"fragment_rate_exceeded"`
	ConntrackExceeded uint64 `json:"conntrack_allowance_exceeded"`
	LinkLocalExceeded uint64 `json:"linklocal_allowance_exceeded"`

	FragmentRate       uint32 `json:"fragment_rate"`                           // a second; 0 is no limit
	LinkLocalRate      uint32 `json:"linklocal_rate"`                          // packets a second; 0 is no limit
	ConntrackAvailable *int64 `json:"conntrack_allowance_available,omitempty"` // to it; absent without a limit

	// LimitsExceeded are the packets that limits of bandwidth and of packets a second
	// have held back or dropped, by the limit's name in nitrod stats.
	LimitsExceeded map[string]uint64 `json:"limits_exceeded,omitempty"`

	// The fullest of its receive rings: packets that wait in it now, its depth, and
	// the packets for which any of them had no room.
	RingWaiting  uint64 `json:"rx_ring_waiting"`
	RingDepth    uint64 `json:"rx_ring_depth"`
	RingOverruns uint64 `json:"rx_overruns"`

	// Bandwidths of the ENI, in bits a second of frames; 0 is no limit.
	InBits  uint64 `json:"in_limit_bits_per_second,omitempty"`
	OutBits uint64 `json:"out_limit_bits_per_second,omitempty"`

	// QueueFlows are the flows that the flow cache sends to each receive queue. Absent
	// unless they were asked for.
	QueueFlows []uint64 `json:"queue_flows,omitempty"`
}

// InstanceCounters are what the ENIs of an instance share.
type InstanceCounters struct {
	Tracked int64 `json:"conntrack_used"`

	// Limits: bits a second of frames, and packets a second in both directions
	// together; 0 is no limit.
	In      Bandwidth `json:"in_limit"`
	Out     Bandwidth `json:"out_limit"`
	Packets uint64    `json:"packets_limit_per_second,omitempty"`
}

// Bandwidth is that of an instance in one direction. What goes beyond the baseline is
// paid with credits; where there are none to be had, the baseline is the rate.
type Bandwidth struct {
	Bits     uint64 `json:"bits_per_second,omitempty"`
	Baseline uint64 `json:"baseline_bits_per_second,omitempty"`
}

// LcoreCounters are one poller's.
type LcoreCounters struct {
	CPU    int    `json:"cpu"`
	BusyNS uint64 `json:"busy_ns"` // that rounds with work took
	Rx     uint64 `json:"rx"`
	Tx     uint64 `json:"tx"`
}

// Flow is one direction of a flow, as an lcore saw it in the last whole second.
// Rates are estimates by the packets that it looked at (package pipeline/profile).
type Flow struct {
	Protocol   string  `json:"protocol"` // by name where it has one
	Number     uint8   `json:"protocol_number"`
	Src        string  `json:"src"`
	Dst        string  `json:"dst"`
	SrcPort    uint16  `json:"src_port"`
	DstPort    uint16  `json:"dst_port"`
	ENI        string  `json:"eni"` // that sends
	Egress     string  `json:"egress,omitempty"`
	Queue      int     `json:"queue"` // receive queue of Egress
	Dropped    bool    `json:"dropped,omitempty"`
	Lcore      int     `json:"lcore"`
	Packets    float64 `json:"packets_per_second"`
	Bits       float64 `json:"bits_per_second"` // of frames
	LcoreShare float64 `json:"lcore_share"`     // of the packets that its lcore decided
	LimitBits  float64 `json:"limit_bits_per_second"`
}

// protocols are the names of what is no TCP, UDP or ICMP but often met.
var protocols = map[uint8]string{
	1: "icmp", 4: "ip-in-ip", 6: "tcp", 17: "udp", 41: "ipv6-in-ip", 47: "gre", 50: "esp", 51: "ah", 58: "icmpv6",
	97: "etherip", 115: "l2tp", 132: "sctp", 137: "mpls-in-ip",
}
