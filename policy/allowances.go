package policy

import (
	"math/bits"
	"time"
)

// Limit is a token bucket as the datapath keeps it: what passes in any stretch
// of t seconds is at most rate * t + burst, and what comes faster waits for its
// time. The zero value limits nothing.
//
// A bandwidth counts the bits of whole frames as nitrod gets and gives them:
// with their Ethernet header, without preamble, checksum and gap. AWS does not
// say what it counts. A packet rate counts frames.
type Limit struct {
	Rate  uint64        // bits a second of a bandwidth, packets a second of a packet rate; 0 is no limit
	Burst uint64        // what a full bucket holds: bytes of a bandwidth, packets of a packet rate; at least one frame
	Delay time.Duration // for how long a packet may wait; one that would wait longer is dropped. 0 lets none wait
}

// Limits reports whether there is a limit at all.
func (l *Limit) Limits() bool { return l.Rate != 0 }

// Bandwidth is a bandwidth of an instance in one direction: a Limit at the rate
// of its bursts, and credits for what goes beyond its baseline (docs/semantics.md
// S6.3).
//
// Credits are bytes. They come at the baseline rate and go with every byte that
// passes, so that they grow below the baseline and shrink above it; a bucket
// that is full grows no more, and an instance starts with a full one. Without
// credits an instance is held to its baseline.
//
// So a second bucket of rate Baseline and burst Credits + Burst holds besides
// the first one, and a packet leaves when both let it.
type Bandwidth struct {
	Limit
	Baseline uint64 // bits a second, at most Rate; equal to it where there is no burst, and then the first bucket is all there is
	Credits  uint64 // bytes that a full bucket of credits holds; 0 where Baseline is Rate
}

// Bursts reports whether there are credits to be kept.
func (b *Bandwidth) Bursts() bool { return b.Baseline < b.Rate }

// FlowLimits are the limits of each single flow that an instance sends, by the
// way it takes (docs/semantics.md S6.1). They are bandwidths. FlowLimit chooses
// among them.
type FlowLimits struct {
	Default    Limit
	ClusterTCP Limit // both ends in one cluster placement group: all protocols but UDP
	ClusterUDP Limit
	Express    Limit // both ends use ENA Express, in one availability zone
}

// InstanceRecord is what the datapath needs of an instance's limits, which all
// of its ENIs share. They decide no flow, and so raise no generation: who is
// limited takes them from the snapshot in force.
//
// In is towards the guest, Out away from it. A packet from one instance to
// another is Out of the first and In of the second, also where both are one.
type InstanceRecord struct {
	In, Out Bandwidth
	// What comes from internet gateways and goes to them counts here as well. These
	// are bandwidths.
	InternetIn, InternetOut Limit

	Packets Limit // a packet rate, of both directions together: what comes in and what goes out counts one each
	Flow    FlowLimits
	Cluster uint16 // the cluster placement group that it is in, or NoCluster
}

// ENILimits are the limits of one ENI, which its owner has set: AWS has no such
// ones. They raise no generation either. In is towards the guest, Out away from
// it.
type ENILimits struct {
	In, Out    Limit  // bandwidths of the whole ENI
	Queue      Limit  // bandwidth of each of the guest's receive queues, towards the guest
	Pacing     Pacing // of each of them, besides
	Zone       uint16 // availability zone of its subnet; zones have equal numbers where they are one
	Express    bool   // uses ENA Express for TCP
	ExpressUDP bool   // and for UDP; only with Express
}

// NoCluster is the index of no cluster placement group.
const NoCluster = 0xffff

// FlowLimit returns the limit, a bandwidth, of a single flow from ENI src to
// ENI or port dst of a protocol. It is that of the sender's instance. It does
// not allocate.
//
// ENA Express asks for both ends' consent and one zone, a cluster placement
// group for both ends in it; whoever has both has the first. A way through an
// appliance is two ways here, each with its own limit.
func (s *Snapshot) FlowLimit(src, dst uint16, protocol uint8) *Limit {
	from := s.ENIs[src].Instance
	if from == NoInstance {
		return &noLimit
	}
	in := &s.Instances[from]
	to := s.ENIs[dst].Instance
	if to == NoInstance {
		return &in.Flow.Default
	}
	a, b := &s.Limits[src], &s.Limits[dst]
	if a.Zone == b.Zone && (protocol == ProtoTCP && a.Express && b.Express ||
		protocol == ProtoUDP && a.ExpressUDP && b.ExpressUDP) {
		return &in.Flow.Express
	}
	if in.Cluster == NoCluster || in.Cluster != s.Instances[to].Cluster {
		return &in.Flow.Default
	}
	if protocol == ProtoUDP {
		return &in.Flow.ClusterUDP
	}
	return &in.Flow.ClusterTCP
}

// noLimit is the limit of who belongs to no instance. Nobody writes to it.
var noLimit Limit

// Defaults of a bucket whose owner names none (docs/semantics.md S6.4). AWS
// publishes neither.
const (
	DefaultDelay        = 5 * time.Millisecond
	minDefaultBurst     = 64 << 10 // bytes: the largest datagram that a guest segments
	minDefaultPackets   = 64       // as many as an lcore takes at once
	defaultBurstsSecond = 10_000   // a default burst is what comes in 100 us
)

// DefaultBurst returns the burst in bytes of a bandwidth of rate bits a second
// for which none is given: what comes in 100 us, and at least 64 KiB.
func DefaultBurst(rate uint64) uint64 { return max(rate/8/defaultBurstsSecond, minDefaultBurst) }

// DefaultPacketBurst returns the burst in packets of a packet rate for which
// none is given: what comes in 100 us, and at least 64.
func DefaultPacketBurst(rate uint64) uint64 { return max(rate/defaultBurstsSecond, minDefaultPackets) }

// CreditBytes returns how many bytes of credits pay for bursting at rate above
// baseline, both in bits a second, for a time.
func CreditBytes(rate, baseline uint64, lasting time.Duration) uint64 {
	if rate <= baseline || lasting <= 0 {
		return 0
	}
	hi, lo := bits.Mul64((rate - baseline), uint64(lasting))
	const perByte = 8 * uint64(time.Second)
	if hi >= perByte {
		return 1<<64 - 1
	}
	bytes, _ := bits.Div64(hi, lo, perByte)
	return bytes
}
