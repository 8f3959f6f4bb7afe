package pipeline

import (
	"slices"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/pipeline/shaper"
	"github.com/nitrod/nitrod/policy"
)

// LimitKind is what a bucket limits.
type LimitKind uint8

// The kinds. Out is what an ENI or instance sends, in what it receives; packets
// are of both directions together.
const (
	LimitFlow LimitKind = iota
	LimitENIOut
	LimitENIIn
	LimitQueue
	LimitInstanceOut
	LimitInstanceIn
	LimitPackets
	LimitInternetOut // of LimitInstanceOut what goes to an internet gateway
	LimitInternetIn  // and of LimitInstanceIn what comes from one
	NumLimitKinds
)

var limitKindNames = [NumLimitKinds]string{
	LimitFlow: "flow", LimitENIOut: "eni_out", LimitENIIn: "eni_in", LimitQueue: "queue",
	LimitInstanceOut: "instance_out", LimitInstanceIn: "instance_in", LimitPackets: "instance_packets",
	LimitInternetOut: "internet_out", LimitInternetIn: "internet_in",
}

// String names the kind.
func (k LimitKind) String() string { return limitKindNames[k] }

// limitReason says for what reason a packet is dropped that a bucket would let
// wait for too long; a packet rate has a second one, at the receiver.
var limitReason = [NumLimitKinds]drop.Reason{
	LimitFlow:        drop.FlowBandwidthExceeded,
	LimitENIOut:      drop.ENIOutBandwidthExceeded,
	LimitENIIn:       drop.ENIInBandwidthExceeded,
	LimitQueue:       drop.QueueBandwidthExceeded,
	LimitInstanceOut: drop.BWOutAllowanceExceeded,
	LimitInstanceIn:  drop.BWInAllowanceExceeded,
	LimitPackets:     drop.PPSAllowanceExceeded,
	LimitInternetOut: drop.BWOutAllowanceExceeded,
	LimitInternetIn:  drop.BWInAllowanceExceeded,
}

// bucketLimit is a bucket that speaks for a packet, and its rate.
type bucketLimit struct {
	rate     shaper.Rate
	bucket   uint32 // in Engine.clocks
	kind     LimitKind
	receiver bool // it speaks for the packet as received
}

// bit tells limits of one packet apart: by their kind, but for the receiver's
// packet rate.
func (l *bucketLimit) bit() uint16 {
	if l.kind == LimitPackets && l.receiver {
		return packetsIn
	}
	return 1 << l.kind
}

// Bits of the limits that speak for a packet as received.
const (
	packetsIn  = 1 << NumLimitKinds
	atReceiver = 1<<LimitENIIn | 1<<LimitQueue | 1<<LimitInstanceIn | 1<<LimitInternetIn | packetsIn
)

func (l *bucketLimit) reason() drop.Reason {
	if l.kind == LimitPackets && l.receiver {
		return drop.PPSInAllowanceExceeded
	}
	return limitReason[l.kind]
}

// eniLimits are the buckets of an ENI and its instance.
type eniLimits struct {
	out, in          []bucketLimit
	toWorld, ofWorld []bucketLimit // in place of them, to and from internet gateways
	queues           []bucketLimit // by receive queue
	flows            *flowRates    // of what it sends; nil without
}

// sends returns the buckets of what goes to an ENI or port.
func (l *eniLimits) sends(to *policy.ENIRecord) []bucketLimit {
	if to.Flags&policy.IsInternetGateway != 0 {
		return l.toWorld
	}
	return l.out
}

// takes returns the buckets of what comes from an ENI or port.
func (l *eniLimits) takes(from *policy.ENIRecord) []bucketLimit {
	if from.Flags&policy.IsInternetGateway != 0 {
		return l.ofWorld
	}
	return l.in
}

// flowRates are the rates of an instance's policy.FlowLimits.
type flowRates struct {
	of                                        *policy.FlowLimits
	standard, clusterTCP, clusterUDP, express shaper.Rate
}

// rate returns the rate of one of the limits that f was made of.
func (f *flowRates) rate(l *policy.Limit) *shaper.Rate {
	switch l {
	case &f.of.ClusterTCP:
		return &f.clusterTCP
	case &f.of.ClusterUDP:
		return &f.clusterUDP
	case &f.of.Express:
		return &f.express
	}
	return &f.standard
}

// Buckets of an ENI and of an instance. A bandwidth with credits has two: see
// policy.Bandwidth.
const (
	bucketENIOut = iota
	bucketENIIn
	eniBuckets
)

const (
	bucketOut = iota
	bucketOutCredits
	bucketIn
	bucketInCredits
	bucketPackets
	bucketInternetOut
	bucketInternetIn
	instanceBuckets
)

// limitPlan says where in Engine.clocks the buckets are. There is a place for each
// ENI that has a port, its queues, and as many instances, since each that matters
// has an ENI.
//
// Thread-safety: under Engine.changing.
type limitPlan struct {
	queues    []uint32 // by ENI: the bucket of its first queue
	instances uint32   // the first instance's
	slots     []string // ids of the instances that have a place
	buckets   int
}

func newLimitPlan(guests []guest) limitPlan {
	p := limitPlan{queues: make([]uint32, len(guests)), slots: make([]string, len(guests))}
	at := uint32(len(guests) * eniBuckets)
	for i := range guests {
		p.queues[i] = at
		at += uint32(guests[i].queues)
	}
	p.instances = at
	p.buckets = int(at) + len(guests)*instanceBuckets
	return p
}

// settle gives the instances of a snapshot's ENIs their places, and returns those
// by index. An instance keeps its place, and so what its buckets hold, as long as
// it has an ENI; one that is new finds them full.
func (p *limitPlan) settle(snap *policy.Snapshot, clocks []shaper.SharedClock) map[uint16]uint32 {
	wanted := map[string]uint16{}
	for i := range snap.ENIs {
		if r := &snap.ENIs[i]; !r.Dead() && r.Instance != policy.NoInstance {
			wanted[snap.Instance(r.Instance).ID] = r.Instance
		}
	}
	at := map[uint16]uint32{}
	for slot, id := range p.slots {
		if index, stays := wanted[id]; stays {
			at[index] = p.instances + uint32(slot*instanceBuckets)
			delete(wanted, id)
		} else {
			p.slots[slot] = ""
		}
	}
	for id, index := range wanted {
		for slot := range p.slots {
			if p.slots[slot] == "" {
				p.slots[slot] = id
				at[index] = p.instances + uint32(slot*instanceBuckets)
				for b := range instanceBuckets {
					clocks[at[index]+uint32(b)].Reset()
				}
				break
			}
		}
	}
	return at
}

// limitsOf derives the limits of all ENIs from a snapshot, or nil if there are
// none.
func (e *Engine) limitsOf(snap *policy.Snapshot) []eniLimits {
	at := e.plan.settle(snap, e.clocks)
	limited := false
	for i := range snap.ENIs {
		r := &snap.ENIs[i]
		limited = limited || !r.Dead() && r.Flags&policy.Limited != 0
	}
	if !limited {
		return nil
	}
	all := make([]eniLimits, len(snap.ENIs))
	flows := map[uint16]*flowRates{}
	for i := range snap.ENIs {
		r := &snap.ENIs[i]
		if r.Dead() || r.Flags&policy.Limited == 0 {
			continue
		}
		l := &all[i]
		if r.Instance != policy.NoInstance {
			in := &snap.Instances[r.Instance]
			l.instance(in, at[r.Instance], e.lcores)
			if flows[r.Instance] == nil {
				flows[r.Instance] = flowRatesOf(&in.Flow)
			}
			l.flows = flows[r.Instance]
		}
		l.own(&snap.Limits[i], uint32(i*eniBuckets), e.plan.queues[i], int(r.Queues), e.lcores)
		l.toWorld, l.ofWorld = l.out, l.in
		if r.Instance != policy.NoInstance {
			l.world(&snap.Instances[r.Instance], at[r.Instance], e.lcores)
		}
	}
	return all
}

func (l *eniLimits) instance(in *policy.InstanceRecord, at uint32, lcores int) {
	out := func(b uint32, k LimitKind, r shaper.Rate) { l.out = appendLimit(l.out, at+b, k, r, false) }
	to := func(b uint32, k LimitKind, r shaper.Rate) { l.in = appendLimit(l.in, at+b, k, r, true) }
	out(bucketOut, LimitInstanceOut, bandwidth(&in.Out.Limit, lcores))
	out(bucketOutCredits, LimitInstanceOut, credits(&in.Out, lcores))
	to(bucketIn, LimitInstanceIn, bandwidth(&in.In.Limit, lcores))
	to(bucketInCredits, LimitInstanceIn, credits(&in.In, lcores))
	p := &in.Packets
	packets := shaper.NewPacketRate(p.Rate, p.Burst, p.Delay, lcores)
	out(bucketPackets, LimitPackets, packets)
	to(bucketPackets, LimitPackets, packets)
}

// world adds the buckets of what goes to internet gateways and comes from them.
func (l *eniLimits) world(in *policy.InstanceRecord, at uint32, lcores int) {
	l.toWorld = appendLimit(slices.Clip(l.out), at+bucketInternetOut, LimitInternetOut, bandwidth(&in.InternetOut, lcores), false)
	l.ofWorld = appendLimit(slices.Clip(l.in), at+bucketInternetIn, LimitInternetIn, bandwidth(&in.InternetIn, lcores), true)
}

func (l *eniLimits) own(o *policy.ENILimits, at, queues uint32, n, lcores int) {
	l.out = appendLimit(l.out, at+bucketENIOut, LimitENIOut, bandwidth(&o.Out, lcores), false)
	l.in = appendLimit(l.in, at+bucketENIIn, LimitENIIn, bandwidth(&o.In, lcores), true)
	for q := range n {
		l.queues = appendLimit(l.queues, queues+uint32(q), LimitQueue, bandwidth(&o.Queue, lcores), true)
	}
}

func appendLimit(to []bucketLimit, bucket uint32, k LimitKind, r shaper.Rate, receiver bool) []bucketLimit {
	if !r.Limits() {
		return to
	}
	return append(to, bucketLimit{r, bucket, k, receiver})
}

func bandwidth(l *policy.Limit, lcores int) shaper.Rate {
	return shaper.NewBandwidth(l.Rate, l.Burst, l.Delay, lcores)
}

// credits is the rate of a bandwidth's second bucket: the baseline, with what has
// been saved for a burst.
func credits(b *policy.Bandwidth, lcores int) shaper.Rate {
	if !b.Limits() || !b.Bursts() {
		return shaper.Rate{}
	}
	return shaper.NewBandwidth(b.Baseline, b.Credits+b.Burst, b.Delay, lcores)
}

// flowRatesOf returns an instance's flow rates, or nil without any. An lcore has
// its flows to itself.
func flowRatesOf(f *policy.FlowLimits) *flowRates {
	r := &flowRates{f, bandwidth(&f.Default, 1), bandwidth(&f.ClusterTCP, 1), bandwidth(&f.ClusterUDP, 1), bandwidth(&f.Express, 1)}
	if !r.standard.Limits() && !r.clusterTCP.Limits() && !r.clusterUDP.Limits() && !r.express.Limits() {
		return nil
	}
	return r
}
