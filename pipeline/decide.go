package pipeline

import (
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
	for i := range b.n {
		m := &b.meta[i]
		if w.waiting.n != 0 && i >= w.known && w.waiting.holds(m.Hash) {
			w.wait(i)
			continue
		}
		id := b.entry[i]
		if w.changed { // since lookup an entry was installed, or made room for one
			id = w.cache.Find(m.Hash, &b.keys[i])
		}
		if id != flowcache.None && w.accelerate(i, m, w.cache.At(id)) {
			w.counters.local[countHits]++
		} else {
			if w.budget == 0 {
				w.wait(i)
				continue
			}
			w.budget--
			w.counters.local[countSlowPath]++
			w.slowPath(i)
		}
		if m.Verdict == VerdictDrop {
			w.dropAt(i, m.Reason)
		}
	}
}

// accelerate decides a packet by its flow's entry. It returns false if the
// entry is out of date or the packet needs the slow path for another reason.
func (w *Worker) accelerate(i int, m *Meta, e *flowcache.Entry) bool {
	src, dst := &w.enis[m.ENI], &w.enis[e.Egress()]
	if e.Gens() != flowcache.Gens(src.Gen, dst.Gen) || m.class != classFlow {
		return false
	}
	if m.Flags&flagRouted == 0 && [6]byte(w.burst.frame(i)[0:6]) != dst.MAC {
		return false // the key says nothing of the neighbour's MAC
	}
	if e.Forward() {
		s := w.sessions.At(e.Session())
		if s.Incarnation() != e.Incarnation() || s.Expired(w.now) {
			return false
		}
		switch w.track(m, s, e.Dir()) {
		case trackRenew:
			return false
		case trackPass:
			w.forward(m, &w.burst.keys[i], e.Egress(), e.Queue())
			m.Session = e.Session()
		}
	} else {
		m.Reason = drop.Reason(e.Reason())
	}
	m.Hit = true
	w.cache.Use(e, w.tick)
	return true
}

// wait puts packet i at the end of the waiting queue.
func (w *Worker) wait(i int) {
	m := &w.burst.meta[i]
	if w.waiting.full() {
		w.dropAt(i, drop.SlowPathQueueFull)
		return
	}
	m.Verdict = VerdictHold
	w.burst.take(i, w.waiting.push(m.Hash))
	w.counters.local[countWaited]++
}
