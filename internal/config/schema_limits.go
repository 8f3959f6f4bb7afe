package config

import (
	"time"

	"github.com/nitrod/nitrod/policy"
)

// The structs of limits. What their absent keys mean where it depends on other
// keys is in limits.go.

type placementDoc struct {
	// Its name.
	ID string `yaml:"id" as:"id" required:"true"`

	// How its instances stand to each other. Only those of a `cluster`, which lies in one availability
	// zone, have a higher limit of single flows between them.
	Strategy placementStrategy `yaml:"strategy" default:"cluster" enum:"cluster,partition,spread"`

	Pos policy.Pos
}

type placementStrategy string

const placementCluster placementStrategy = "cluster"

type instanceLimitsDoc struct {
	// Bandwidth towards the guests of all its ENIs together.
	BandwidthIn *bandwidthDoc `yaml:"bandwidth_in"`

	// Bandwidth away from them.
	BandwidthOut *bandwidthDoc `yaml:"bandwidth_out"`

	// Of that, bandwidth from internet gateways, which counts in both.
	InternetIn *internetDoc `yaml:"internet_in"`

	// And bandwidth to them.
	InternetOut *internetDoc `yaml:"internet_out"`

	// Packets a second of all its ENIs, in both directions together.
	Packets *packetsDoc `yaml:"packets"`

	// Bandwidth of each single flow that it sends.
	Flow *flowLimitsDoc `yaml:"flow"`

	Pos policy.Pos
}

type bandwidthDoc struct {
	// Bits a second while there are credits; `0bps` is no limit, and other rates are at least `64kbps`.
	// Default: by the instance's `type`, and without one none.
	Rate BitRate `yaml:"rate" min:"0bps" max:"1000gbps"`

	// Bits a second without credits, at least `64kbps` and at most `rate`. Default: by the instance's
	// `type`, but not above `rate`; without a type `rate`.
	Baseline BitRate `yaml:"baseline" min:"64kbps" max:"1000gbps"`

	// How long a burst at `rate` may last from full credits. AWS publishes 5 to 60 minutes by size.
	CreditTime time.Duration `yaml:"credit_time" default:"30m" min:"0s" max:"24h"`

	// Bytes that may come at once. Default: what comes in 100 us, and at least 64KiB.
	Burst Size `yaml:"burst" min:"2KiB" max:"1GiB"`

	// For how long a packet above the limit may wait; one that would wait longer is dropped.
	Delay time.Duration `yaml:"delay" default:"5ms" min:"0s" max:"100ms"`

	Pos policy.Pos
}

type internetDoc struct {
	// Bits a second; `0bps` is no limit, and other rates are at least `64kbps`. Default: by the instance's
	// `type`, and without one none.
	Rate BitRate `yaml:"rate" min:"0bps" max:"1000gbps"`

	// Bytes that may come at once. Default: what comes in 100 us, and at least 64KiB.
	Burst Size `yaml:"burst" min:"2KiB" max:"1GiB"`

	// For how long a packet above the limit may wait; one that would wait longer is dropped.
	Delay time.Duration `yaml:"delay" default:"5ms" min:"0s" max:"100ms"`

	Pos policy.Pos
}

type packetsDoc struct {
	// Packets a second; `0pps` is no limit. Default: by the instance's `type`, and without one none.
	Rate PacketRate `yaml:"rate" min:"0pps" max:"1000mpps"`

	// Packets that may come at once. Default: what comes in 100 us, and at least 64.
	Burst int `yaml:"burst" min:"1" max:"1073741824"`

	// For how long a packet above the limit may wait; one that would wait longer is dropped.
	Delay time.Duration `yaml:"delay" default:"5ms" min:"0s" max:"100ms"`

	Pos policy.Pos
}

type flowLimitsDoc struct {
	// Bits a second of a flow; `0bps` is no limit, here and below, and other rates are at least `64kbps`.
	// The defaults are AWS's.
	Rate BitRate `yaml:"rate" default:"5gbps" min:"0bps" max:"1000gbps"`

	// The same where both ends are in one cluster placement group, for all protocols but UDP.
	ClusterTCP BitRate `yaml:"cluster_tcp" default:"10gbps" min:"0bps" max:"1000gbps"`

	// The same for UDP.
	ClusterUDP BitRate `yaml:"cluster_udp" default:"8gbps" min:"0bps" max:"1000gbps"`

	// The same where both ends use ENA Express in one availability zone.
	Express BitRate `yaml:"express" default:"25gbps" min:"0bps" max:"1000gbps"`

	// Bytes of a flow that may come at once. Default: for each rate what comes in 100 us, and at least
	// 64KiB.
	Burst Size `yaml:"burst" min:"2KiB" max:"1GiB"`

	// For how long a packet above the limit may wait; one that would wait longer is dropped.
	Delay time.Duration `yaml:"delay" default:"5ms" min:"0s" max:"100ms"`

	Pos policy.Pos
}

type eniLimitsDoc struct {
	// Bandwidth towards the guest.
	BandwidthIn *limitDoc `yaml:"bandwidth_in"`

	// Bandwidth away from the guest.
	BandwidthOut *limitDoc `yaml:"bandwidth_out"`

	// Bandwidth of each of the guest's receive queues.
	Queue *limitDoc `yaml:"queue"`

	Pos policy.Pos
}

type limitDoc struct {
	// Bits a second; `0bps` is no limit, and other rates are at least `64kbps`.
	Rate BitRate `yaml:"rate" min:"0bps" max:"1000gbps" required:"true"`

	// Bytes that may come at once. Default: what comes in 100 us, and at least 64KiB.
	Burst Size `yaml:"burst" min:"2KiB" max:"1GiB"`

	// For how long a packet above the limit may wait; one that would wait longer is dropped.
	Delay time.Duration `yaml:"delay" default:"5ms" min:"0s" max:"100ms"`

	Pos policy.Pos
}

type pacingDoc struct {
	// Bits a second of each of the guest's receive queues, which flows that want more than there is share
	// evenly; `0bps` is no limit, here and below, and other rates are at least `64kbps`.
	Rate BitRate `yaml:"rate" default:"0bps" min:"0bps" max:"1000gbps"`

	// Bits a second of each flow, at most `rate`.
	FlowRate BitRate `yaml:"flow_rate" default:"0bps" min:"0bps" max:"1000gbps"`

	// Packets of a queue that may wait; those beyond it are dropped as `pacing_queue_full`. Each holds one
	// of the host's `mbufs`.
	Packets int `yaml:"packets" default:"8192" min:"64" max:"1048576"`

	// Packets of a flow that may wait, at most `packets`; those beyond it are dropped as `pacing_flow_full`.
	FlowPackets int `yaml:"flow_packets" default:"100" min:"1" max:"1048576"`

	// For how long a packet may wait; one that has waited longer is dropped as `pacing_too_late`.
	Delay time.Duration `yaml:"delay" default:"100ms" min:"1ms" max:"1s"`

	Pos policy.Pos
}

// express is for which protocols an ENI uses ENA Express.
type express string

const (
	expressTCP express = "tcp"
	expressAll express = "all"
)
