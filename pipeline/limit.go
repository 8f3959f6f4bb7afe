package pipeline

import (
	"errors"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/hugemem"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/internal/relaxed"
	"github.com/nitrod/nitrod/pipeline/flowcache"
	"github.com/nitrod/nitrod/pipeline/shaper"
	"github.com/nitrod/nitrod/policy"
)

const (
	// DefaultLimitQueue is how many packets of an lcore may wait for limits.
	DefaultLimitQueue = 8192
	// departures bounds how many packets leave the wheel in a round, as many
	// bursts as that.
	departures = 8
	// strayFlows is how many clocks there are for the flows that have no entry in
	// the flow cache.
	strayFlows = 4096
)

// limiter is an lcore's part of the limits.
type limiter struct {
	wheel   wheel
	purses  []purse     // of Engine.clocks
	flows   []flowClock // by flow-cache entry, and those of strays
	counts  limitCounters
	charges [maxBuckets]charge // of the packet in hand
	bill    bill

	// rechosen is the last slot of the wheel with packets that were put there
	// while queues changed, or before, and go by what is in force when they leave.
	rechosen uint64

	flowBlock *hugemem.Block[flowClock]
}

// maxBuckets is how many shared buckets may speak for one packet: an instance's
// and an ENI's at both ends, and the queue's.
const maxBuckets = 4 + 1 + 4 + 1 + 1

// charge is what a packet takes of a bucket if it passes.
type charge struct {
	lease *shaper.Lease
	cost  shaper.Cost
}

// flowClock is the bucket of a flow. It lies beside the flow's entry in the flow
// cache, and is another flow's once the entry is.
type flowClock struct {
	place uint64 // of the flow
	clock shaper.Clock
}

func newLimiter(cfg *Config, buckets, enis, entries int) (l limiter, err error) {
	capacity := cfg.LimitQueue
	if capacity == 0 {
		capacity = DefaultLimitQueue
	}
	if l.flowBlock, err = hugemem.Alloc[flowClock](entries + strayFlows); err != nil {
		return l, err
	}
	if l.wheel, err = newWheel(capacity, enis); err != nil {
		_ = l.flowBlock.Free()
		return l, err
	}
	l.flows = l.flowBlock.Items
	l.purses, l.counts = make([]purse, buckets), newLimitCounters(enis)
	l.bill.buckets = make([]*bucketLimit, 0, buckets)
	return l, nil
}

// free gives the memory back, not the packets.
func (l *limiter) free() error {
	l.flows = nil
	return errors.Join(l.flowBlock.Free(), l.wheel.release())
}

// limit is the stage where the token buckets of flow, queue, ENI and instance hold
// packets back: each of a packet's buckets gives it a time, and it leaves at the
// latest of them. Until then it waits on the wheel; one that would wait for longer
// than a bucket's longest delay is dropped, and takes nothing of any bucket.
func (w *Worker) limit() {
	if w.view.limits == nil && w.limits.wheel.n == 0 {
		return
	}
	if w.limitBurst() {
		return
	}
	b := &w.burst
	for i := range b.n {
		if b.meta[i].Verdict == VerdictForward {
			w.limitPacket(i)
		}
	}
}

// timing is what the buckets say of a packet.
type timing struct {
	at      int64  // when it may leave
	waits   uint16 // for which limits, a bit each: bucketLimit.bit
	refused bool
}

func (w *Worker) limitPacket(i int) {
	b, l := &w.burst, &w.limits
	m, n := &b.meta[i], b.desc[i].PktLen
	t := timing{at: w.now}
	known, charged := true, 0
	var flow *flowClock
	var flowCost shaper.Cost
	if w.view.limits != nil && (w.enis[m.ENI].Flags|w.enis[m.Egress].Flags)&policy.Limited != 0 {
		from, to := &w.view.limits[m.ENI], &w.view.limits[m.Egress]
		if from.flows != nil && m.class == classFlow {
			if r := from.flows.rate(w.view.snap.FlowLimit(m.ENI, m.Egress, m.Proto)); r.Limits() {
				var id int
				id, known = w.flowClock(i)
				flow = &l.flows[id]
				flowCost = r.Cost(n)
				if at, ok := flow.clock.Departure(r, flowCost, w.now); !ok {
					w.tooLate(i, 1<<LimitFlow, drop.FlowBandwidthExceeded)
					return
				} else if at > w.now {
					t.at, t.waits = at, 1<<LimitFlow
				}
			}
		}
		same := w.enis[m.ENI].Instance == w.enis[m.Egress].Instance
		charged = w.ask(i, from.sends(&w.enis[m.Egress]), n, same, charged, &t)
		charged = w.ask(i, to.takes(&w.enis[m.ENI]), n, same, charged, &t)
		if int(m.Queue) < len(to.queues) {
			charged = w.ask(i, to.queues[m.Queue:m.Queue+1], n, same, charged, &t)
		}
		if t.refused {
			return
		}
	}
	slot := l.wheel.place(t.at, w.now, b.places[i], known)
	if slot != 0 && l.wheel.full(slot, m.ENI) {
		w.countLimited(m, t.waits, true)
		w.dropAt(i, drop.LimitQueueFull)
		return
	}
	for j := range l.charges[:charged] {
		c := &l.charges[j]
		c.lease.Charge(c.cost)
	}
	if flow != nil {
		flow.clock.Charge(flowCost)
	}
	if slot != 0 {
		w.countLimited(m, t.waits, false)
		born := w.bornOf(m)
		b.take(i, l.wheel.put(slot, b.places[i], born, m.ENI))
		m.Verdict = VerdictHold
	}
}

// ask asks buckets about packet i of n bytes, and notes what each is to be charged.
// A packet within one instance takes two of its packet rate at once, as sent.
func (w *Worker) ask(i int, limits []bucketLimit, n uint32, same bool, charged int, t *timing) int {
	for j := range limits {
		if t.refused {
			return charged
		}
		l := &limits[j]
		cost := l.rate.Cost(n)
		if same && l.kind == LimitPackets {
			if l.receiver {
				continue
			}
			cost *= 2
		}
		lease := &w.limits.purses[l.bucket].lease
		at, ok := lease.Departure(&w.engine.clocks[l.bucket], &l.rate, cost, w.now)
		if !ok {
			w.tooLate(i, l.bit(), l.reason())
			t.refused = true
			return charged
		}
		w.limits.charges[charged] = charge{lease, cost}
		charged++
		if at > w.now {
			t.at = max(t.at, at)
			t.waits |= l.bit()
		}
	}
	return charged
}

// tooLate drops packet i, which a bucket would let wait for too long.
func (w *Worker) tooLate(i int, limit uint16, r drop.Reason) {
	w.countLimited(&w.burst.meta[i], limit, true)
	w.dropAt(i, r)
}

// flowClock returns which of limiter.flows is the clock of packet i's flow, and
// whether it is known to be that flow's since the flow's first packet. Flows
// without an entry in the flow cache have few between them.
func (w *Worker) flowClock(i int) (flow int, known bool) {
	b, l := &w.burst, &w.limits
	id, place := b.entry[i], b.places[i]
	if id == flowcache.None || !w.cache.At(id).Key.Equal(&b.keys[i]) {
		id = w.cache.Find(flowcache.HashOf(place, &b.keys[i]), &b.keys[i])
	}
	if id == flowcache.None {
		return w.cache.Cap() + int(place%strayFlows), false
	}
	if f := &l.flows[id]; f.place != place {
		f.clock.Reset()
		relaxed.Store64(&f.place, place)
		return int(id), false
	}
	return int(id), true
}

// bornOf says which ENIs a packet is between, so that others in their places are
// not taken for them.
func (w *Worker) bornOf(m *Meta) uint64 {
	return uint64(w.enis[m.ENI].Born)<<32 | uint64(w.enis[m.Egress].Born)
}

// depart carries on the packets whose time has come, before any younger ones. It
// returns how many went. What is more than a round takes leaves with the next.
func (w *Worker) depart() int {
	l, b, sum := &w.limits, &w.burst, 0
	for range departures {
		b.n = 0
		for b.n < pktio.MaxBurst {
			it, born := l.wheel.due(w.now)
			if it == nil {
				break
			}
			b.put(b.n, it)
			b.n++
			m := &b.meta[b.n-1]
			if from, to := &w.enis[m.ENI], &w.enis[m.Egress]; from.Dead() || to.Dead() || w.bornOf(m) != born {
				w.dropAt(b.n-1, drop.ENIRemoved)
			} else if w.choosing || l.wheel.cursor < l.rechosen {
				w.chooseAgain(b.n - 1)
			}
		}
		if b.n == 0 {
			break
		}
		sum += b.n
		w.rewrite()
		w.transmit()
	}
	return sum
}
