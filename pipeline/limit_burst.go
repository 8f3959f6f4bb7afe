package pipeline

import (
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/internal/prefetch"
	"github.com/nitrod/nitrod/pipeline/flowcache"
	"github.com/nitrod/nitrod/pipeline/shaper"
	"github.com/nitrod/nitrod/policy"
)

// bill is what a burst costs each of the buckets that lcores share, if all of it
// may leave at once, and which flows were charged for it.
type bill struct {
	owed    []shaper.Cost // by bucket; 0 but for those of items
	items   []billItem
	flows   [pktio.MaxBurst]flowCharge
	charged int // of flows
}

type billItem struct {
	bucket uint32
	rate   *shaper.Rate
}

type flowCharge struct {
	flow int // in limiter.flows
	cost shaper.Cost
}

func newBill(buckets int) bill {
	return bill{owed: make([]shaper.Cost, buckets), items: make([]billItem, 0, buckets)}
}

// add puts packets of some bytes in total on the bill. Of a packet within one
// instance the packet rate takes two at once, as sent.
func (l *bill) add(limits []bucketLimit, packets, bytes uint32, same bool) {
	for i := range limits {
		limit, n := &limits[i], packets
		if same && limit.kind == LimitPackets {
			if limit.receiver {
				continue
			}
			n *= 2
		}
		l.owe(limit, n, bytes)
	}
}

func (l *bill) owe(limit *bucketLimit, packets, bytes uint32) {
	if l.owed[limit.bucket] == 0 {
		l.items = append(l.items, billItem{limit.bucket, &limit.rate})
	}
	l.owed[limit.bucket] += limit.rate.CostOfAll(packets, bytes)
}

// limitBurst is limit for a burst that is far from its limits, as most are: if
// everything may leave at once, it charges each bucket once for all of it and
// reports true. If not, nothing is charged, and each packet is to be looked at.
// The outcome is that of one by one, since a bucket that lets all pass lets pass
// each.
func (w *Worker) limitBurst() bool {
	l := &w.limits.bill
	all := w.chargeFlows()
	for i := range l.items {
		it := &l.items[i]
		all = all && w.limits.leases[it.bucket].Passes(&w.engine.clocks[it.bucket], it.rate, l.owed[it.bucket], w.now)
	}
	for i := range l.items {
		it := &l.items[i]
		if all {
			w.limits.leases[it.bucket].Charge(l.owed[it.bucket])
		}
		l.owed[it.bucket] = 0
	}
	if !all {
		for _, c := range l.flows[:l.charged] {
			w.limits.flows[c.flow].clock.Charge(-c.cost)
		}
	}
	l.items, l.charged = l.items[:0], 0
	return all
}

// chargeFlows charges the flows of a burst, makes the bill of all other buckets,
// and reports whether each packet could leave at once as far as its flow goes. If
// not, the bill is not complete.
func (w *Worker) chargeFlows() bool {
	b := &w.burst
	for i := 0; i < b.n; {
		end := i + 1
		if first := &b.meta[i]; first.Verdict == VerdictForward {
			for ; end < b.n && first.together(&b.meta[end]); end++ {
			}
			if !w.chargeRun(i, end) {
				return false
			}
		}
		i = end
	}
	return true
}

// together reports whether two packets that are sent on are between the same two
// ENIs, by the same protocol: then the same limits speak for them.
func (m *Meta) together(o *Meta) bool {
	return m.Verdict == o.Verdict && m.ENI == o.ENI && m.Egress == o.Egress && m.Proto == o.Proto
}

// chargeRun is chargeFlows for packets that are together.
func (w *Worker) chargeRun(i, end int) bool {
	b, l := &w.burst, &w.limits
	if l.wheel.n != 0 {
		for k := i; k < end; k++ {
			if l.wheel.place(w.now, w.now, b.places[k], true) != 0 {
				return false
			}
		}
	}
	m := &b.meta[i]
	if w.view.limits == nil || (w.enis[m.ENI].Flags|w.enis[m.Egress].Flags)&policy.Limited == 0 {
		return true
	}
	from, to := &w.view.limits[m.ENI], &w.view.limits[m.Egress]
	if from.flows != nil {
		if r := from.flows.rate(w.view.snap.FlowLimit(m.ENI, m.Egress, m.Proto)); r.Limits() && !w.takeOfFlows(r, i, end) {
			return false
		}
	}
	bytes := uint32(0)
	for k := range b.desc[i:end] {
		bytes += b.desc[i+k].PktLen
	}
	same := w.enis[m.ENI].Instance == w.enis[m.Egress].Instance
	l.bill.add(from.out, uint32(end-i), bytes, same)
	l.bill.add(to.in, uint32(end-i), bytes, same)
	if len(to.queues) != 0 {
		w.billQueues(to.queues, i, end)
	}
	return true
}

// billQueues puts packets on the bills of their queues.
func (w *Worker) billQueues(queues []bucketLimit, i, end int) {
	b := &w.burst
	for i < end {
		queue, bytes := b.meta[i].Queue, uint32(0)
		for ; i < end && b.meta[i].Queue == queue; i++ {
			bytes += b.desc[i].PktLen
		}
		if int(queue) < len(queues) {
			w.limits.bill.owe(&queues[queue], 0, bytes)
		}
	}
}

// takeOfFlows charges the flows of packets for those that may leave at once, up to
// the first that may not.
func (w *Worker) takeOfFlows(r *shaper.Rate, i, end int) bool {
	b, l := &w.burst, &w.limits
	flows, charged := l.flows, l.bill.charged
	for k := i; k < end; k++ {
		if b.meta[k].class != classFlow {
			continue
		}
		flow := int(b.entry[k])
		if b.entry[k] == flowcache.None || flows[flow].place != b.places[k] {
			if l.wheel.n != 0 { // maybe older packets of the same flow, of which only limitPacket knows
				return false
			}
			flow, _ = w.flowClock(k)
		}
		cost := r.Cost(b.desc[k].PktLen)
		if !flows[flow].clock.Take(r, cost, w.now) {
			return false
		}
		l.bill.flows[charged&(pktio.MaxBurst-1)] = flowCharge{flow, cost}
		charged++
		l.bill.charged = charged
	}
	return true
}

// nearClocks is up to how many flows their clocks lie near enough to be left to the
// processor: 128 KiB.
const nearClocks = 8192

// askForClocks asks for the clocks of the burst's flows, ahead of their use.
func (w *Worker) askForClocks() {
	if w.view.limits == nil || w.cache.Len() < nearClocks {
		return
	}
	b := &w.burst
	for i, id := range b.entry[:b.n] {
		if id == flowcache.None {
			id = 0
		}
		w.lines[i&(prefetch.Max-1)] = addressOf(&w.limits.flows[id])
	}
	prefetch.First(&w.lines, b.n)
}
