package pipeline

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/pipeline/flowcache"
	"github.com/nitrod/nitrod/pipeline/shaper"
	"github.com/nitrod/nitrod/policy"
)

// LimitSays is what a bucket says of a packet that comes now.
type LimitSays struct {
	Kind    LimitKind
	ENI     uint16        // at which it counts: the packet's sender or its receiver
	Credits bool          // it is an instance's credits: a bucket at the baseline
	Rate    uint64        // bits a second, or packets of LimitPackets
	Left    uint64        // bytes, or packets, that could pass at once
	Depth   uint64        // likewise, if the bucket were full
	Wait    time.Duration // for which it lets the packet wait
	Drops   bool          // it would have to wait for too long
	Reason  drop.Reason   // of such drops
}

// limit explains what limit does with a packet of n bytes that policy lets pass:
// it asks copies of its buckets. A flow that the flow cache does not know is
// taken for one that begins. Packets that wait already are not looked at.
func (x *Explanation) limit(e *Engine, v *view, n uint32) {
	m := &x.Meta
	m.Egress = x.Egress
	if v.limits == nil || (v.snap.ENIs[m.ENI].Flags|v.snap.ENIs[m.Egress].Flags)&policy.Limited == 0 {
		return
	}
	from, to := &v.limits[m.ENI], &v.limits[m.Egress]
	if from.flows != nil && m.class == classFlow {
		x.askFlow(e, v, from.flows, n)
	}
	x.ask(e, v, from.sends(&v.snap.ENIs[m.Egress]), n)
	x.ask(e, v, to.takes(&v.snap.ENIs[m.ENI]), n)
	if int(x.Queue) < len(to.queues) {
		x.ask(e, v, to.queues[x.Queue:x.Queue+1], n)
	}
	if len(x.Limits) != 0 {
		x.limitStep()
	}
}

// askFlow is the part of limit that asks the bucket of the packet's flow.
func (x *Explanation) askFlow(e *Engine, v *view, rates *flowRates, n uint32) {
	limit := v.snap.FlowLimit(x.Meta.ENI, x.Egress, x.Meta.Proto)
	r := rates.rate(limit)
	if !r.Limits() {
		return
	}
	var clock shaper.Clock
	var entry flowcache.Entry
	w := e.workers[x.Lcore]
	if id := w.cache.Locate(x.Hash, &x.Key, &entry); id != flowcache.None {
		clock = w.limits.readFlow(id, flowcache.Place(x.Hash, &x.Key))
	}
	now := e.Now()
	says := LimitSays{Kind: LimitFlow, ENI: x.Meta.ENI, Rate: limit.Rate, Left: clock.Left(r, now), Depth: r.Depth()}
	at, ok := clock.Departure(r, r.Cost(n), now)
	x.says(says, now, at, ok, drop.FlowBandwidthExceeded)
}

// ask is Worker.ask for a reader, who hears all buckets out.
func (x *Explanation) ask(e *Engine, v *view, limits []bucketLimit, n uint32) {
	m, now := &x.Meta, e.Now()
	same := v.snap.ENIs[m.ENI].Instance == v.snap.ENIs[x.Egress].Instance
	for i := range limits {
		l := &limits[i]
		cost := l.rate.Cost(n)
		if same && l.kind == LimitPackets {
			if l.receiver {
				continue
			}
			cost *= 2
		}
		lease := e.workers[x.Lcore].limits.purses[l.bucket].lease.Copy()
		var bucket shaper.SharedClock
		e.clocks[l.bucket].CopyTo(&bucket)
		says := LimitSays{Kind: l.kind, ENI: m.ENI, Left: lease.Left(&bucket, &l.rate, now), Depth: l.rate.Depth()}
		if l.receiver {
			says.ENI = x.Egress
		}
		says.Rate, says.Credits = e.rateOf(v.snap, l, says.ENI)
		at, ok := lease.Departure(&bucket, &l.rate, cost, now)
		x.says(says, now, at, ok, l.reason())
	}
}

// says notes what a bucket has said. The packet leaves when all let it, and is
// dropped for the first that does not.
func (x *Explanation) says(s LimitSays, now, at int64, ok bool, r drop.Reason) {
	s.Reason, s.Drops = r, !ok
	switch {
	case ok:
		s.Wait = time.Duration(at - now)
		x.Wait = max(x.Wait, s.Wait)
	case x.Verdict == VerdictForward:
		x.refuse(r)
	}
	x.Limits = append(x.Limits, s)
}

// limitStep adds the step of the limits as a whole.
func (x *Explanation) limitStep() {
	st := policy.Step{Stage: policy.Stage(drop.StageLimit), Half: x.Reason.Info().Half, Outcome: policy.Passed}
	switch {
	case x.Verdict == VerdictDrop:
		x.Wait = 0
		st.Outcome, st.Reason, st.Code, st.Text = policy.Dropped, x.Reason, x.Reason.Info().AWS, x.Reason.Info().Help
	case x.Wait != 0:
		st.Text = "The packet waits for " + x.Wait.String() + " until all of its limits let it pass."
	case len(x.Limits) == 1:
		st.Text = "Its limit lets the packet pass at once."
	default:
		st.Text = "All of its " + strconv.Itoa(len(x.Limits)) + " limits let the packet pass at once."
	}
	x.Policy.Steps = append(x.Policy.Steps, st)
}

// readFlow returns a copy of the clock of the flow at a place, which has a
// flow-cache entry, for another goroutine than the lcore.
func (l *limiter) readFlow(id uint32, place uint64) shaper.Clock {
	f := &l.flows[id]
	if atomic.LoadUint64(&f.place) != place {
		return shaper.Clock{}
	}
	return f.clock.Copy()
}

// rateOf returns the rate of a bucket as policy has it, and whether it is that of
// credits.
func (e *Engine) rateOf(snap *policy.Snapshot, l *bucketLimit, eni uint16) (rate uint64, credits bool) {
	own := &snap.Limits[eni]
	var in *policy.InstanceRecord
	if i := snap.ENIs[eni].Instance; i != policy.NoInstance {
		in = &snap.Instances[i]
	}
	switch l.kind {
	case LimitENIOut:
		return own.Out.Rate, false
	case LimitENIIn:
		return own.In.Rate, false
	case LimitQueue:
		return own.Queue.Rate, false
	case LimitPackets:
		return in.Packets.Rate, false
	case LimitInternetOut:
		return in.InternetOut.Rate, false
	case LimitInternetIn:
		return in.InternetIn.Rate, false
	}
	way, first := &in.Out, uint32(bucketOut)
	if l.kind == LimitInstanceIn {
		way, first = &in.In, bucketIn
	}
	if (l.bucket-e.plan.instances)%instanceBuckets != first {
		return way.Baseline, true
	}
	return way.Rate, false
}
