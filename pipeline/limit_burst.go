package pipeline

import (
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/internal/prefetch"
	"github.com/nitrod/nitrod/pipeline/flowcache"
	"github.com/nitrod/nitrod/pipeline/shaper"
	"github.com/nitrod/nitrod/policy"
)

// purse is an lcore's part of a bucket that lcores share, in a cache line.
type purse struct {
	lease shaper.Lease
	owed  shaper.Cost // for the burst in hand; 0 but for those on the bill
	_     [8]byte
}

// bill is what a burst costs, if all of it may leave at once: the buckets whose
// purses owe something, and the flows that were charged for it.
type bill struct {
	buckets []*bucketLimit
	flows   [pktio.MaxBurst]flowCharge
	charged int // of flows
}

type flowCharge struct {
	flow int // in limiter.flows
	cost shaper.Cost
}

// owe puts packets of some bytes in total on the bill. Of a packet within one
// instance the packet rate takes two at once, as sent.
func (l *limiter) owe(limits []bucketLimit, packets, bytes uint32, same bool) {
	for i := range limits {
		limit, n := &limits[i], packets
		if same && limit.kind == LimitPackets {
			if limit.receiver {
				continue
			}
			n *= 2
		}
		p := &l.purses[limit.bucket]
		if p.owed == 0 {
			l.bill.buckets = append(l.bill.buckets, limit)
		}
		p.owed += limit.rate.CostOfAll(n, bytes)
	}
}

// limitBurst is limit for a burst that is far from its limits, as most are: if
// everything may leave at once, it charges each bucket once for all of it and
// reports true. If not, nothing is charged, and each packet is to be looked at.
// The outcome is that of one by one, since a bucket that lets all pass lets pass
// each.
func (w *Worker) limitBurst() bool {
	l := &w.limits
	all := w.chargeFlows()
	for _, limit := range l.bill.buckets {
		p := &l.purses[limit.bucket]
		all = all && (p.lease.Covers(&limit.rate, p.owed, w.now) || p.lease.Passes(&w.engine.clocks[limit.bucket], &limit.rate, p.owed, w.now))
	}
	for _, limit := range l.bill.buckets {
		p := &l.purses[limit.bucket]
		if all {
			p.lease.Charge(p.owed)
		}
		p.owed = 0
	}
	if !all {
		for _, c := range l.bill.flows[:l.bill.charged] {
			l.flows[c.flow].clock.Charge(-c.cost)
		}
	}
	l.bill.buckets, l.bill.charged = l.bill.buckets[:0], 0
	return all
}

// chargeFlows charges the flows of a burst, makes the bill of all other buckets,
// and reports whether each packet could leave at once as far as its flow goes. If
// not, the bill is not complete.
func (w *Worker) chargeFlows() bool {
	b := &w.burst
	for i := 0; i < b.n; {
		first := &b.meta[i]
		if first.Verdict != VerdictForward {
			i++
			continue
		}
		end, bytes, queues := i, uint32(0), uint8(0)
		for ; end < b.n && first.together(&b.meta[end]); end++ {
			bytes += b.desc[end].PktLen
			queues |= first.Queue ^ b.meta[end].Queue
		}
		if !w.chargeRun(i, end, bytes, queues == 0) {
			return false
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

// chargeRun is chargeFlows for packets that are together, of some bytes in total.
func (w *Worker) chargeRun(i, end int, bytes uint32, oneQueue bool) bool {
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
	same := w.enis[m.ENI].Instance == w.enis[m.Egress].Instance
	l.owe(from.sends(&w.enis[m.Egress]), uint32(end-i), bytes, same)
	l.owe(to.takes(&w.enis[m.ENI]), uint32(end-i), bytes, same)
	switch {
	case len(to.queues) == 0:
	case !oneQueue:
		w.billQueues(to.queues, i, end)
	case int(m.Queue) < len(to.queues):
		l.owe(to.queues[m.Queue:m.Queue+1], 0, bytes, same)
	}
	return true
}

// billQueues puts packets that go to several queues on the bills of those.
func (w *Worker) billQueues(queues []bucketLimit, i, end int) {
	b := &w.burst
	for i < end {
		queue, bytes := b.meta[i].Queue, uint32(0)
		for ; i < end && b.meta[i].Queue == queue; i++ {
			bytes += b.desc[i].PktLen
		}
		if int(queue) < len(queues) {
			w.limits.owe(queues[queue:queue+1], 0, bytes, false)
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
