// Package control is the daemon's local API, and its client: what the
// subcommands of nitrod show comes from here. It is HTTP with JSON on a Unix
// socket, readable by the socket's owner only.
package control

import (
	"github.com/nitrod/nitrod/policy"
)

// DefaultSocket is where the daemon listens unless configured otherwise.
const DefaultSocket = "/run/nitrod/nitrod.sock"

// Stats is the answer to GET /v1/stats. Counters are since the daemon's start.
//
// Rx + Originated = Tx + Consumed + the sum of Drops + Held; Held is what this
// law gives while packets are under way, and zero when the daemon is quiet.
type Stats struct {
	TimeNS          int64             `json:"time_ns"` // of the day, since 1970
	UptimeNS        int64             `json:"uptime_ns"`
	Rx              uint64            `json:"rx"`
	Originated      uint64            `json:"originated"`
	Tx              uint64            `json:"tx"`
	Consumed        uint64            `json:"consumed"`
	Held            int64             `json:"held"`
	Dropped         uint64            `json:"dropped"`
	Drops           map[string]uint64 `json:"drops"`
	FlowHits        uint64            `json:"flow_hits"`
	SlowPath        uint64            `json:"slow_path"`
	Waited          uint64            `json:"waited"`
	Redecided       uint64            `json:"redecided"` // flows judged anew after a change of policy
	Flows           uint64            `json:"flows"`
	Evicted         uint64            `json:"flows_evicted"`
	Sessions        uint64            `json:"sessions"`
	Begun           uint64            `json:"sessions_begun"`
	Expired         uint64            `json:"sessions_expired"`
	Early           map[string]uint64 `json:"sessions_ended_early"` // by kind, to make room for others
	Fragmented      uint64            `json:"fragmented"`           // packets that went on in pieces
	FragmentsWaited uint64            `json:"fragments_waited"`     // for the first one of their datagram
	ICMPErrors      uint64            `json:"icmp_errors"`          // to senders, about packets that could not go on
	TableMem        string            `json:"table_memory"`

	ENIs      map[string]ENI      `json:"enis"`
	Instances map[string]Instance `json:"instances"`
	Lcores    []Lcore             `json:"lcores"`
	Mbufs     Mbufs               `json:"mbufs"`
	Driver    Driver              `json:"driver"`
}

// ENI is an ENI's counters as its guest sees them: rx is what it receives.
type ENI struct {
	Port      string `json:"port"`
	RxPackets uint64 `json:"rx_packets"`
	RxBytes   uint64 `json:"rx_bytes"`
	TxPackets uint64 `json:"tx_packets"`
	TxBytes   uint64 `json:"tx_bytes"`
	Drops     uint64 `json:"drops"`
	Link      string `json:"link"` // up, down, or why it is not known

	// ENA's counters of what exceeded an allowance (docs/semantics.md S5.1).
	BWInExceeded       uint64 `json:"bw_in_allowance_exceeded"`
	BWOutExceeded      uint64 `json:"bw_out_allowance_exceeded"`
	PPSExceeded        uint64 `json:"pps_allowance_exceeded"`
	ConntrackExceeded  uint64 `json:"conntrack_allowance_exceeded"`
	LinkLocalExceeded  uint64 `json:"linklocal_allowance_exceeded"`
	ConntrackAvailable *int64 `json:"conntrack_allowance_available,omitempty"` // absent without a limit

	// Limits are by kind what had to wait and what was dropped for a limit: only
	// those that have held something back.
	Limits map[string]LimitCounts `json:"limits,omitempty"`

	ConntrackUsed int64  `json:"conntrack_used"`
	HalfOpen      uint64 `json:"conntrack_half_open"` // connections that it began
}

// LimitCounts are the packets that had to wait for a limit, and those that were
// dropped since they would have had to wait for too long.
type LimitCounts struct {
	Queued  uint64 `json:"queued"`
	Dropped uint64 `json:"dropped"`
}

// Instance is an instance's tracked connections.
type Instance struct {
	Used      int64  `json:"conntrack_used"`
	Exceeded  uint64 `json:"conntrack_allowance_exceeded"`
	Available *int64 `json:"conntrack_allowance_available,omitempty"` // absent without a limit
}

// Lcore is one poller's counters.
type Lcore struct {
	CPU      int    `json:"cpu"`
	Rounds   uint64 `json:"rounds"`
	Rx       uint64 `json:"rx"`
	Tx       uint64 `json:"tx"`
	FlowHits uint64 `json:"flow_hits"`
	SlowPath uint64 `json:"slow_path"`
	HandOver uint64 `json:"handed_over"`
	Shards   int    `json:"shards"` // that it owns, of the 512 over which flows are spread
	Gaps     Gaps   `json:"gaps"`

	Polling Polling `json:"polling"`
}

// Polling is how an lcore polls, and how it has rested.
type Polling struct {
	Mode       string `json:"mode"`        // as host.polling has it
	Interrupts bool   `json:"interrupts"`  // all its devices have them
	Rest       string `json:"rest"`        // the last one: pause, sleep or interrupt; poll if there was work since
	RxUsecs    int    `json:"rx_usecs"`    // for which packets gather now before they are taken
	AdaptiveRx bool   `json:"adaptive_rx"` // the lcore finds rx_usecs itself
	TxUsecs    int    `json:"tx_usecs"`
	Pauses     uint64 `json:"pauses"` // rests on the CPU
	PausedNS   int64  `json:"paused_ns"`
	Sleeps     uint64 `json:"sleeps"`
	AsleepNS   int64  `json:"asleep_ns"`
	Woken      uint64 `json:"woken"` // sleeps that a packet or another lcore ended
}

// Gaps are the times between two polls of an lcore, chosen pauses left out.
type Gaps struct {
	Count uint64 `json:"count"`
	P50   uint64 `json:"p50_ns"`
	P99   uint64 `json:"p99_ns"`
	P9999 uint64 `json:"p9999_ns"`
	Max   uint64 `json:"max_ns"`
}

// Mbufs is the use of the packet buffers.
type Mbufs struct {
	Total     int `json:"total"`
	Available int `json:"available"`
}

// Driver counts what drivers, and the binding to them, did to packets out of
// nitrod's sight: a packet that they lost on receipt was never in Rx, and one
// that they lost after they took it is in Tx.
type Driver struct {
	RxMissed    uint64 `json:"rx_missed"`       // lost: the device had no free descriptor
	RxNoBuffer  uint64 `json:"rx_no_buffer"`    // lost: no packet buffer was free
	RxErrors    uint64 `json:"rx_errors"`       // lost: the device found them damaged
	RxBadCsum   uint64 `json:"rx_bad_checksum"` // lost: a checksum left to nitrod that cannot be completed
	RxOversized uint64 `json:"rx_oversized"`    // lost: a segment left to nitrod to cut, which nobody negotiated
	TxErrors    uint64 `json:"tx_errors"`       // not sent; those that the driver gave back are sent later, or are drops as tx_queue_full
	TxUnchained uint64 `json:"tx_unchained"`    // lost: too long for the one segment that the port takes
	BadResizes  uint64 `json:"bad_resizes"`     // a length that the buffer does not hold was refused: a defect of nitrod

	RxCompleted  uint64 `json:"rx_checksum_completed"` // nothing lost: checksums completed in software
	RxPulledUp   uint64 `json:"rx_pulled_up"`          // nothing lost: headers brought into the first segment
	TxLinearised uint64 `json:"tx_linearised"`         // nothing lost: chains copied into one segment
}

// Tuple is a flow as people write it.
type Tuple struct {
	Protocol string `json:"protocol"` // by name where it has one
	Src      string `json:"src"`
	Dst      string `json:"dst"`
	SrcPort  uint16 `json:"src_port"`
	DstPort  uint16 `json:"dst_port"`
}

// Flow is one flow-cache entry of GET /v1/flows: one direction.
type Flow struct {
	Tuple
	ENI     string `json:"eni"`  // that sends
	Path    string `json:"path"` // routed, or link for a neighbour in the subnet
	Verdict string `json:"verdict"`
	Reason  string `json:"reason,omitempty"`
	Egress  string `json:"egress,omitempty"`
	Queue   int    `json:"queue"`
	Dir     string `json:"direction,omitempty"` // original or reply
	Current bool   `json:"current"`             // judged by the policy in force
	IdleNS  int64  `json:"idle_ns"`
	Lcore   int    `json:"lcore"`
}

// Session is one tracked connection of GET /v1/conntrack.
type Session struct {
	Tuple
	VPC         string `json:"vpc"`
	Originator  string `json:"originator"` // ENI
	Responder   string `json:"responder"`  // ENI
	State       string `json:"state"`
	AgeNS       int64  `json:"age_ns"`
	IdleNS      int64  `json:"idle_ns"`
	TimeoutNS   int64  `json:"timeout_ns"`
	OutPackets  uint64 `json:"original_packets"`
	OutBytes    uint64 `json:"original_bytes"`
	BackPackets uint64 `json:"reply_packets"`
	BackBytes   uint64 `json:"reply_bytes"`
	// At which ENIs the connection is tracked, so that their groups are not asked.
	OriginatorTracked bool `json:"originator_tracked"`
	ResponderTracked  bool `json:"responder_tracked"`
	Lcore             int  `json:"lcore"`
}

// ExplainRequest is the body of POST /v1/explain: a frame, or what is needed to
// make one.
type ExplainRequest struct {
	ENI   string `json:"eni,omitempty"`   // that sends; found by src if empty
	Frame string `json:"frame,omitempty"` // in hexadecimal; the rest is then ignored

	VPC      string `json:"vpc,omitempty"` // where several have src
	Protocol string `json:"protocol,omitempty"`
	Src      string `json:"src,omitempty"`
	Dst      string `json:"dst,omitempty"`
	SrcPort  uint16 `json:"src_port,omitempty"`
	DstPort  uint16 `json:"dst_port,omitempty"`
	TCPFlags string `json:"tcp_flags,omitempty"` // letters of FSRPAU; S if empty
	ICMPType *uint8 `json:"icmp_type,omitempty"` // echo request if absent
	ICMPCode uint8  `json:"icmp_code,omitempty"`

	Both bool `json:"both,omitempty"` // explain the answer's way too
}

// Explanation is the answer to POST /v1/explain.
type Explanation struct {
	Packet  string `json:"packet"` // one line
	Verdict string `json:"verdict"`
	Reason  string `json:"reason,omitempty"`
	Code    string `json:"code,omitempty"` // AWS Reachability Analyzer's word for the reason
	Help    string `json:"help,omitempty"`
	ENI     string `json:"eni"`
	Class   string `json:"class,omitempty"`
	Shard   int    `json:"shard"`
	Lcore   int    `json:"lcore"`

	HostRule *int `json:"host_rule,omitempty"` // location of the host's steering rule that chooses the lcore, if one does

	Cache   string `json:"flow_cache,omitempty"` // hit, miss or stale
	Session string `json:"session,omitempty"`    // its state before and after
	LeftNS  int64  `json:"session_left_ns,omitempty"`

	Datagram string `json:"datagram,omitempty"` // of a fragment: which it is, and whether its datagram's first one was seen

	// Tracked says for a packet that passes where its flow is tracked: at the
	// ENI that sends it, and at the one that receives it.
	Tracked *[2]bool `json:"tracked,omitempty"`

	Egress   string        `json:"egress,omitempty"`
	Queue    int           `json:"queue"`
	QueueWhy string        `json:"queue_why,omitempty"`
	Pace     string        `json:"queue_pace,omitempty"` // how that queue spaces packets out, and what waits in it
	Limits   []Limit       `json:"limits,omitempty"`     // that such packets may meet
	WaitNS   int64         `json:"wait_ns,omitempty"`    // for which they would let it wait before it goes on
	Steps    []policy.Step `json:"steps"`
	Reply    *Reply        `json:"reply,omitempty"` // if it was asked for and there is one
}

// Limit is one that a packet may meet.
type Limit struct {
	Name  string `json:"name"` // of the drop reason or the counter that it leads to
	Of    string `json:"of"`   // the instance or the ENI
	Left  int64  `json:"left"` // of what Text says
	Bites bool   `json:"bites"`
	// WaitNS is for how long the limit would let the packet wait, of those that do so.
	WaitNS int64  `json:"wait_ns,omitempty"`
	Text   string `json:"text"` // one sentence
}

// Reply is what policy would do with the answer to a packet that passes.
type Reply struct {
	ENI     string        `json:"eni"` // that sends it
	Verdict string        `json:"verdict"`
	Reason  string        `json:"reason,omitempty"`
	Code    string        `json:"code,omitempty"`
	Help    string        `json:"help,omitempty"`
	Egress  string        `json:"egress,omitempty"`
	Steps   []policy.Step `json:"steps"`
}

// Version is the answer to GET /v1/version.
type Version struct {
	Nitrod string `json:"nitrod"`
	DPDK   string `json:"dpdk"`
	Go     string `json:"go"`
}

// Problem is the body of every answer that is not 200.
type Problem struct {
	Error string `json:"error"`
}
