package traffic

import (
	"cmp"
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
)

// Options are what counts as a whale.
type Options struct {
	LcoreShare float64 // of an lcore's time that one flow takes
	FlowShare  float64 // of the bandwidth that one flow may have
}

// DefaultOptions are for who names none: a flow that takes a quarter of an lcore or
// half of the limit of a single flow.
var DefaultOptions = Options{LcoreShare: 0.25, FlowShare: 0.5}

// Profile is what the traffic was like between two samples.
type Profile struct {
	Seconds   float64    `json:"seconds"`
	Instances []Instance `json:"instances"`
	ENIs      []ENI      `json:"enis"`
	Lcores    []Lcore    `json:"lcores"`
	Flows     []Flow     `json:"flows"` // those that carried most, the largest first
	Whales    []Whale    `json:"whales"`
	FlowsOff  bool       `json:"heavy_flows_off,omitempty"` // Flows and Whales are empty since nobody looks for them
}

// Rates are per second, as the guest sees them: rx is what it receives.
type Rates struct {
	RxPackets float64 `json:"rx_packets_per_second"`
	RxBits    float64 `json:"rx_bits_per_second"` // of frames
	TxPackets float64 `json:"tx_packets_per_second"`
	TxBits    float64 `json:"tx_bits_per_second"`
	Opened    float64 `json:"connections_opened_per_second"`
	Accepted  float64 `json:"connections_accepted_per_second"`
	Drops     float64 `json:"drops_per_second"`
}

func (r *Rates) add(o *Rates) {
	r.RxPackets += o.RxPackets
	r.RxBits += o.RxBits
	r.TxPackets += o.TxPackets
	r.TxBits += o.TxBits
	r.Opened += o.Opened
	r.Accepted += o.Accepted
	r.Drops += o.Drops
}

// Instance is an instance's traffic: the sum of its ENIs'.
type Instance struct {
	ID string `json:"id"`
	Rates
	Tracked int64 `json:"conntrack_used"`
}

// ENI is an ENI's traffic.
type ENI struct {
	ID       string `json:"id"`
	Instance string `json:"instance"`
	Rates
	Spread *Spread `json:"spread,omitempty"` // if it was asked for
	Limits []Use   `json:"limits"`           // the one that it will hit first at the front
}

// Lcore is an lcore's load.
type Lcore struct {
	CPU  int     `json:"cpu"`
	Busy float64 `json:"busy"` // the share of its time that rounds with work took
	Rx   float64 `json:"rx_packets_per_second"`
	Tx   float64 `json:"tx_packets_per_second"`
}

// Spread says how the flows that an ENI receives lie on its queues.
type Spread struct {
	Flows    []uint64 `json:"flows"`        // by queue
	Entropy  float64  `json:"entropy_bits"` // of the queue of a flow; log2 of the queues at the most
	Evenness float64  `json:"evenness"`     // the entropy by that most; 1 with a single queue or without flows
}

// Between compares two samples of one daemon.
func Between(before, after *Sample, o Options) (*Profile, error) {
	elapsed := float64(after.TimeNS-before.TimeNS) / 1e9
	if elapsed <= 0 || len(before.Lcores) != len(after.Lcores) {
		return nil, errors.New("the two samples are not of one run of nitrod")
	}
	p := &Profile{Seconds: elapsed, Flows: slices.Clone(after.Flows), Instances: []Instance{}, ENIs: []ENI{}, Whales: []Whale{}, FlowsOff: after.FlowsOff}
	slices.SortFunc(p.Flows, func(a, b Flow) int { return cmp.Or(cmp.Compare(b.Bits, a.Bits), cmp.Compare(b.Packets, a.Packets)) })
	instances := map[string]*Instance{}
	for _, id := range slices.Sorted(maps.Keys(after.ENIs)) {
		was, is := before.ENIs[id], after.ENIs[id]
		e := ENI{ID: id, Instance: is.Instance, Rates: ratesOf(&was, &is, elapsed), Spread: spreadOf(is.QueueFlows)}
		e.Limits = usesOf(id, before, after, elapsed, p.Flows)
		p.ENIs = append(p.ENIs, e)
		if instances[is.Instance] == nil {
			instances[is.Instance] = &Instance{ID: is.Instance, Tracked: after.Instances[is.Instance].Tracked}
		}
		instances[is.Instance].add(&e.Rates)
	}
	for _, id := range slices.Sorted(maps.Keys(instances)) {
		if id != "" { // the ports of gateways and services have none
			p.Instances = append(p.Instances, *instances[id])
		}
	}
	for i, is := range after.Lcores {
		was := before.Lcores[i]
		p.Lcores = append(p.Lcores, Lcore{
			CPU: is.CPU, Busy: min(1, rate(was.BusyNS, is.BusyNS, elapsed)/1e9), Rx: rate(was.Rx, is.Rx, elapsed), Tx: rate(was.Tx, is.Tx, elapsed),
		})
	}
	for i := range p.Flows {
		if w, is := whaleOf(&p.Flows[i], p.Lcores, o); is {
			p.Whales = append(p.Whales, w)
		}
	}
	return p, nil
}

// rate is how fast a counter rose. One that fell is of an ENI that was replaced by
// another one with its name.
func rate(was, is uint64, elapsed float64) float64 {
	if is < was {
		was = 0
	}
	return float64(is-was) / elapsed
}

func ratesOf(was, is *ENICounters, elapsed float64) Rates {
	return Rates{
		RxPackets: rate(was.RxPackets, is.RxPackets, elapsed), RxBits: 8 * rate(was.RxBytes, is.RxBytes, elapsed),
		TxPackets: rate(was.TxPackets, is.TxPackets, elapsed), TxBits: 8 * rate(was.TxBytes, is.TxBytes, elapsed),
		Opened: rate(was.Opened, is.Opened, elapsed), Accepted: rate(was.Accepted, is.Accepted, elapsed),
		Drops: rate(was.Drops, is.Drops, elapsed),
	}
}

// spreadOf measures how even flows lie on queues by Shannon's entropy.
func spreadOf(flows []uint64) *Spread {
	if len(flows) == 0 {
		return nil
	}
	s := &Spread{Flows: flows, Evenness: 1}
	sum := 0.0
	for _, n := range flows {
		sum += float64(n)
	}
	for _, n := range flows {
		if n != 0 {
			p := float64(n) / sum
			s.Entropy -= p * math.Log2(p)
		}
	}
	if most := math.Log2(float64(len(flows))); most > 0 && sum > 0 {
		s.Entropy = max(0, s.Entropy) // not the -0 of a single queue in use
		s.Evenness = s.Entropy / most
	}
	return s
}

// ProtocolName names an IP protocol, by its number where it has no name here.
func ProtocolName(n uint8) string {
	if name, ok := protocols[n]; ok {
		return name
	}
	return strconv.Itoa(int(n))
}
