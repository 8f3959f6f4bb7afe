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

// run is packets that follow each other in a burst between the same two ENIs, by
// the same protocol.
type run struct {
	eni, egress    uint16
	proto          uint8
	queue          uint8      // of the packets that are still to be added to its limit
	from, to       *eniLimits // nil without limits
	flow           *shaper.Rate
	packets, bytes uint32
	queued         uint32 // bytes for the queue
}

// newRun returns a run that begins with a packet.
func (w *Worker) newRun(m *Meta) (r run) {
	r.eni, r.egress, r.proto, r.queue = m.ENI, m.Egress, m.Proto, m.Queue
	if w.view.limits == nil || (w.enis[m.ENI].Flags|w.enis[m.Egress].Flags)&policy.Limited == 0 {
		return r
	}
	r.from, r.to = &w.view.limits[m.ENI], &w.view.limits[m.Egress]
	if r.from.flows != nil {
		if rate := r.from.flows.rate(w.view.snap.FlowLimit(m.ENI, m.Egress, m.Proto)); rate.Limits() {
			r.flow = rate
		}
	}
	return r
}

// bill puts a run on the bill.
func (w *Worker) bill(r *run) {
	if r.packets == 0 {
		return
	}
	w.billQueue(r)
	same := w.enis[r.eni].Instance == w.enis[r.egress].Instance
	w.limits.bill.add(r.from.out, r.packets, r.bytes, same)
	w.limits.bill.add(r.to.in, r.packets, r.bytes, same)
	r.packets, r.bytes = 0, 0
}

// billQueue puts on it what goes to the queue in hand.
func (w *Worker) billQueue(r *run) {
	if int(r.queue) < len(r.to.queues) && r.queued != 0 {
		w.limits.bill.owe(&r.to.queues[r.queue], 0, r.queued)
	}
	r.queued = 0
}

// chargeFlows charges the flows of a burst, makes the bill of all other buckets,
// and reports whether each packet could leave at once as far as its flow goes. If
// not, the bill is not complete.
func (w *Worker) chargeFlows() bool {
	b, l := &w.burst, &w.limits
	waits := l.wheel.n != 0
	var r run
	for i, begun := 0, false; i < b.n; i++ {
		m := &b.meta[i]
		if m.Verdict != VerdictForward {
			continue
		}
		if !begun || m.ENI != r.eni || m.Egress != r.egress || m.Proto != r.proto {
			w.bill(&r)
			r, begun = w.newRun(m), true
		}
		if waits && l.wheel.place(w.now, w.now, b.places[i], true) != 0 {
			return false
		}
		if r.from == nil {
			continue
		}
		n := b.desc[i].PktLen
		if m.Queue != r.queue {
			w.billQueue(&r)
			r.queue = m.Queue
		}
		r.packets++
		r.bytes += n
		r.queued += n
		if r.flow == nil || m.class != classFlow {
			continue
		}
		flow := int(b.entry[i])
		if b.entry[i] == flowcache.None || l.flows[flow].place != b.places[i] {
			if waits { // maybe older packets of the same flow, of which only limitPacket knows
				return false
			}
			flow, _ = w.flowClock(i)
		}
		cost := r.flow.Cost(n)
		if !l.flows[flow].clock.Take(r.flow, cost, w.now) {
			return false
		}
		l.bill.flows[l.bill.charged&(pktio.MaxBurst-1)] = flowCharge{flow, cost}
		l.bill.charged++
	}
	w.bill(&r)
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
