package pipeline

import (
	"sync/atomic"

	"github.com/nitrod/nitrod/internal/relaxed"
	"github.com/nitrod/nitrod/pipeline/flowcache"
	"github.com/nitrod/nitrod/pipeline/microburst"
)

// maxPicks is at how many packets of a burst a round looks for one that went to
// a queue. A queue that gets fewer is asked again in the next round.
const maxPicks = 8

// observe tells the queue's monitor what has come to it in this round, before
// the port is offered any of it.
func (w *Worker) observe(q *destQueue, dest uint32) {
	packets, bytes := q.queue.Taken()
	if q.watch.Note(packets, bytes, q.queue.Overruns, uint32(q.queue.Len())) {
		w.pickFlow(q, dest)
	}
}

// pickFlow names to a queue's monitor the flow of a packet that went to it in
// this round, of all such packets with about the same chance.
func (w *Worker) pickFlow(q *destQueue, dest uint32) {
	b := &w.burst
	w.random = w.random*1664525 + 1013904223 // a sequence modulo 2^32 of full length
	i := int(uint64(w.random) * uint64(b.n+w.collected) >> 32)
	if i >= b.n {
		w.pickRemote(q, dest, i)
		return
	}
	for range min(maxPicks, b.n) {
		m := &b.meta[i]
		if (m.Verdict == VerdictForward || m.Verdict == VerdictReplaced) && w.destOf(m) == dest {
			q.watch.Sample(&b.keys[i])
			return
		}
		if i++; i == b.n {
			i = 0
		}
	}
}

// pickRemote names the flow of a packet that another lcore sent to a queue. Such
// packets come without their keys, but each lcore tells the last one's entry.
func (w *Worker) pickRemote(q *destQueue, dest uint32, from int) {
	all := w.engine.workers
	for i := range all {
		o := all[(from+i)%len(all)]
		if o == w {
			continue
		}
		id := atomic.LoadUint32(&o.lastSent[dest])
		if id != flowcache.None && o.cache.Read(id, &w.remote) {
			q.watch.Sample(&w.remote.Key)
			return
		}
	}
}

// noteSent tells the lcore that serves a queue which flow packet i, which went
// there, belongs to.
func (w *Worker) noteSent(dest uint32, i int) {
	if w.monitor != nil && w.burst.entry[i] != flowcache.None {
		relaxed.Store32(&w.lastSent[dest], w.burst.entry[i])
	}
}

// watchQueues begins to measure the queues that the worker serves.
func (w *Worker) watchQueues() {
	if !w.engine.cfg.Bursts.On {
		return
	}
	w.monitor = microburst.New(w.engine.cfg.Bursts)
	w.lastSent = make([]uint32, len(w.out))
	for i := range w.lastSent {
		w.lastSent[i] = flowcache.None
	}
	for i := range w.out {
		if q := &w.out[i]; q.queue != nil {
			q.watch = w.monitor.Add(q.eni, uint16(uint32(i)-w.eniQueue[q.eni]), q.queue.Depth())
		}
	}
}

// Bursts calls f with a copy of every event that is kept, lcore by lcore and the
// youngest of each first, until f returns false. Times are of the engine's clock.
func (e *Engine) Bursts(f func(lcore int, ev *microburst.Event) bool) {
	for i, w := range e.workers {
		more := true
		if w.monitor != nil {
			w.monitor.Events(func(ev *microburst.Event) bool {
				more = f(i, ev)
				return more
			})
		}
		if !more {
			return
		}
	}
}

// EachQueue calls f with what the windows of every receive queue have seen,
// lcore by lcore, until f returns false. It calls nothing where they are not
// measured.
func (e *Engine) EachQueue(f func(lcore int, s *microburst.Stats) bool) {
	for i, w := range e.workers {
		if w.monitor == nil {
			continue
		}
		for q := range w.monitor.NumQueues() {
			if s := w.monitor.Stats(q); !f(i, &s) {
				return
			}
		}
	}
}
