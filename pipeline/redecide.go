package pipeline

import (
	"time"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/pipeline/flowcache"
	"github.com/nitrod/nitrod/pipeline/shaper"
	"github.com/nitrod/nitrod/policy"
)

// A change of policy makes every flow that it may concern out of date at once.
// To judge them all anew in the round in which their next packets come would
// take the slow path from new connections. So there are Config.Redecide of them
// a second, and the others go on by their old verdicts: until a sweep over
// the flow cache, in slices, has come to them, and no longer than
// Config.RedecideWithin. What is out of date then waits for the slow path like a
// new flow (docs/decisions/0015).

// redecision is where an lcore stands with the last change of policy.
type redecision struct {
	until  int64  // the time to which an old verdict may serve
	left   uint32 // flow-cache entries to look at
	hand   uint32 // the next of them
	ending uint32 // sessions to look at, before those: the change may end some
	ended  uint32 // the next of them
	limit  shaper.Limit
	bucket shaper.Bucket // flows judged anew as their packets come
	own    bool          // the packet in hand is one of them
}

// newRedecision lets an lcore judge so many flows anew a second, and after a
// pause what comes in a millisecond, or redecideDepth, at once. 0 lets it judge
// none.
func newRedecision(rate int) redecision {
	return redecision{limit: shaper.NewLimit(uint32(rate), uint32(max(rate/1000, redecideDepth)))}
}

const redecideDepth = 16

const (
	// sweepSlice bounds the entries that one slice of the sweep judges anew: some
	// 20 us of work.
	sweepSlice = 64
	// endSlice bounds the sessions that one slice looks at.
	endSlice = 512
)

// policyChanged begins a sweep. The time to which old verdicts serve is that of
// the oldest change whose sweep has not ended, so that changes in quick
// succession do not prolong it.
func (w *Worker) policyChanged() {
	w.limits.wheel.strict = w.limits.wheel.last // other buckets may speak for a flow now
	r := &w.redecision
	if r.left == 0 {
		r.until = w.now + int64(w.engine.cfg.RedecideWithin)
	}
	r.left, r.hand = w.cache.High(), 0
	r.ending, r.ended = 0, 0
	if w.view.ends {
		r.ending = w.sessions.High()
	}
}

// stillServes reports whether a flow's verdict decides the packet in hand
// although it is out of date. If not, the flow is to be judged anew.
func (w *Worker) stillServes(e *flowcache.Entry, src, dst *policy.ENIRecord) bool {
	r := &w.redecision
	if w.now >= r.until {
		return false
	}
	if r.limit.Limits() && r.bucket.Take(r.limit, w.now, 1) {
		r.own = true
		return false
	}
	return sameENIs(e, src, dst)
}

// sameENIs reports whether the two ENIs are those for which an entry was made:
// an index may have been given to another one.
func sameENIs(e *flowcache.Entry, src, dst *policy.ENIRecord) bool {
	gens := e.Gens()
	return !src.Dead() && !dst.Dead() && uint32(gens>>32) >= src.Born && uint32(gens) >= dst.Born
}

// sweep judges flows anew that are out of date, without a packet of theirs: a
// slice of the flow cache in each call, so that a pass takes half the time for
// which old verdicts serve. Sessions that the change may end by itself, those
// of a removed ENI or by the choice of their group, are looked at too, since
// many of them have no entry: they are idle.
func (w *Worker) sweep(elapsed int64) {
	r := &w.redecision
	if r.left == 0 && r.ending == 0 {
		return
	}
	within := max(int64(w.engine.cfg.RedecideWithin)/2, tidyEvery)
	for range min(1+uint32(int64(w.sessions.High())*elapsed/within), r.ending, endSlice) {
		if s := w.sessions.At(r.ended); s.Live() && !s.Over(w.now) {
			w.meetsFate(r.ended)
		}
		r.ended++
		r.ending--
	}
	look := min(1+uint32(int64(w.cache.High())*elapsed/within), r.left)
	for judged := 0; look > 0 && judged < sweepSlice; look-- {
		if w.judgeEntry(r.hand) {
			judged++
		}
		r.hand++
		r.left--
	}
}

// judgeEntry judges the flow of a flow-cache entry anew, if it is out of date,
// and reports whether it was. What only a packet can settle stays as it is: a
// flow that is to be tracked from now on, or that has sessions besides its own.
func (w *Worker) judgeEntry(id uint32) bool {
	e := w.cache.At(id)
	if e.Key.Tail == 0 {
		return false
	}
	k := e.Key
	src, dst := &w.enis[k.ENI()], &w.enis[e.Egress()]
	if e.Gens() == flowcache.Gens(src.Gen, dst.Gen) {
		return false
	}
	m := Meta{
		ENI: k.ENI(), VPC: src.VPC, Egress: noENI, Proto: k.Proto(),
		Flags: flagLater, // nothing of a packet's own counts
	}
	m.Hash = w.engine.hasher.Hash(&k, uint32(m.VPC))
	if !sameENIs(e, src, dst) {
		w.cache.Remove(m.Hash, &k)
		return true
	}
	m.ICMPType, m.ICMPCode = icmpOf(&k)
	if k.Flags()&hash.KeyRouted != 0 {
		m.Flags |= flagRouted
	}
	w.query = flowQuery(&m, &k, dst.MAC)
	w.admit(&m, &k)
	a, d := &w.admission, &w.decision
	w.counters.local[countRedecided]++
	switch {
	case d.Verdict == policy.Forward:
		if out, in := a.missing(d); out || in || !a.settled() {
			return true
		}
		f := w.acceptanceOf(&k, a, d)
		w.replace(e, &m, &k, &f)
	case w.cacheable(&m, a, d) && d.Reason != drop.RouterNoService:
		f := w.refusalOf(&m, a, d)
		w.replace(e, &m, &k, &f)
	default:
		w.cache.Remove(m.Hash, &k)
	}
	return true
}

// replace gives an entry a new verdict and leaves when it was last used.
func (w *Worker) replace(e *flowcache.Entry, m *Meta, k *hash.FlowKey, f *flowcache.Action) {
	f.Queued = e.Queued()
	w.cache.Set(m.Hash, k, f, e.Used())
}

// SweepDone reports whether all lcores have judged anew what the last change of
// policy concerned, apart from what needs a packet of its own. For tests that
// call Round themselves.
func (e *Engine) SweepDone() bool {
	for _, w := range e.workers {
		if w.redecision.left != 0 || w.redecision.ending != 0 || w.view != e.view.Load() {
			return false
		}
	}
	return true
}

// DefaultRedecideWithin is how long an old verdict may serve after a change of
// policy.
const DefaultRedecideWithin = time.Second
