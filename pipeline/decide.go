package pipeline

import (
	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/pipeline/flowcache"
)

// decide gives every packet its verdict, one after the other in the order in
// which they came: by the flow cache if it can, else by the slow path. The order
// matters: a packet finds what the ones before it did, be it a flow that was
// just installed or a connection that was just closed.
func (w *Worker) decide() {
	b := &w.burst
	w.changed = false
	for i, id := range b.entry[:b.n] {
		m := &b.meta[i]
		if w.fragments && w.sharesRefusal(i) {
			continue
		}
		if id != flowcache.None && !w.changed && w.accelerate(i, m, w.cache.At(id)) {
			continue
		}
		m.Hash = flowcache.HashOf(b.places[i], &b.keys[i])
		if w.changed && w.hit(i) {
			continue
		}
		if w.waiting.holds(m.Hash) || !w.judge(i) {
			w.wait(i)
		}
		w.redecision.own = false
	}
}

// hit decides packet i by the flow cache and reports whether it could.
func (w *Worker) hit(i int) bool {
	id := w.burst.entry[i]
	if w.changed { // since lookup an entry was installed, or made room for one
		id = w.cache.Find(w.burst.meta[i].Hash, &w.burst.keys[i])
	}
	return id != flowcache.None && w.accelerate(i, &w.burst.meta[i], w.cache.At(id))
}

// judge decides packet i by the slow path, unless the round's time for that is
// over.
func (w *Worker) judge(i int) bool {
	if w.redecision.own {
		w.redecision.own = false
		w.counters.local[countRedecided]++
	} else if w.budget == 0 {
		return false
	} else {
		w.budget--
	}
	w.counters.local[countSlowPath]++
	w.slowPath(i)
	if m := &w.burst.meta[i]; m.Verdict == VerdictDrop {
		w.dropAt(i, m.Reason)
	}
	return true
}

// spoofed reports whether a flow is dropped for its source address: that holds
// for whatever MAC its packets are sent to.
func spoofed(e *flowcache.Entry) bool {
	return !e.Forward() && drop.Reason(e.Reason()) == drop.SourceIPSpoofed
}

// accelerate decides a packet by its flow's entry. It returns false if the
// entry is out of date or the packet needs the slow path for another reason.
func (w *Worker) accelerate(i int, m *Meta, e *flowcache.Entry) bool {
	src, dst := &w.enis[m.ENI], &w.enis[e.Egress()]
	if m.class != classFlow || e.Gens() != flowcache.Gens(src.Gen, dst.Gen) && !w.stillServes(e, src, dst) {
		return false
	}
	if m.Flags&flagRouted == 0 && !spoofed(e) && [6]byte(w.burst.frame(i)[0:6]) != dst.MAC {
		return false // the key says nothing of the neighbour's MAC
	}
	if e.Queued() && !w.retrying {
		if w.waiting.holds(flowcache.HashOf(w.burst.places[i], &w.burst.keys[i])) {
			return false // older packets of the flow are waiting
		}
		w.cache.SetQueued(e, false)
	}
	id := e.Session()
	if id != conntrack.NoSession {
		if s := w.sessions.At(id); s.Incarnation() != e.Incarnation() || s.OverAt(w.now, w.millis) {
			return false
		}
	}
	if e.Answer() && m.opens() {
		return false
	}
	if e.Forward() {
		result := trackPass
		if id != conntrack.NoSession {
			if result = w.track(i, m, id, e.Dir()); result == trackRenew {
				return false
			}
		}
		if result == trackPass {
			m.Verdict, m.Egress, m.Queue = VerdictForward, e.Egress(), e.Queue()
			if m.Flags&flagFragment != 0 || w.choosing {
				m.Queue = w.queueFor(m.Egress, &w.burst.keys[i], m.TOS, m.Flags&flagFragment != 0)
			}
		}
	} else {
		m.Reason, m.Egress = drop.Reason(e.Reason()), e.Egress()
	}
	w.counters.local[countHits]++
	w.cache.Use(e, w.tick)
	if m.Verdict == VerdictDrop {
		w.dropAt(i, m.Reason)
	}
	return true
}
