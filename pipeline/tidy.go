package pipeline

import "github.com/nitrod/nitrod/internal/drop"

const (
	tidyEvery = 100_000 // ns between two runs of tidy's work
	// expirePass is how long it takes to look at every session and every
	// flow-cache entry once. It delays when memory comes back, no verdict.
	expirePass = 1_000_000_000
	maxSlice   = 8192 // records in one call, also after a pause and in the largest table
	gapEvery   = 1000 // runs of tidy between two publications of the gaps
)

// tidy does what is due from time to time, a little of it in each call: it ends
// idle sessions and flows, gives up fragments whose first ones did not come, lets
// the routers be heard, and publishes the counters.
func (w *Worker) tidy() {
	if w.now < w.nextTidy {
		return
	}
	elapsed := min(w.now-w.nextTidy+tidyEvery, 100*tidyEvery)
	w.nextTidy = w.now + tidyEvery
	share := func(high uint32) int { return min(1+int(int64(high)*elapsed/expirePass), maxSlice) }
	w.counters.local[countExpired] += uint64(w.sessions.Expire(w.now, share(w.sessions.High())))
	w.cache.Expire(w.tick, w.engine.cfg.flowIdleTicks(), share(w.cache.High()))
	w.sweep(elapsed)
	w.advertise()
	w.frags.expire(w)
	if w.heavy != nil {
		w.heavy.Tick(w.now)
	}
	w.counters.publish()
	w.eniCounts.publish()
	w.limits.counts.publish()
	w.poll.publish()
	w.publishQueues()
	if w.monitor != nil {
		w.monitor.Tidy()
	}
	if w.gaps.due--; w.gaps.due <= 0 {
		w.gaps.due = gapEvery
		w.gaps.publish()
	}
}

// drain empties what the worker holds when it stops, so that every packet is
// accounted for.
func (w *Worker) drain() {
	stop := func(eni uint16, buf uint64) {
		w.countDrop(eni, drop.Shutdown)
		w.flush.Frees = append(w.flush.Frees[:0], buf)
		w.io.Tx(&w.flush)
		w.flush.Frees = w.flush.Frees[:0]
	}
	w.flush.Runs = w.flush.Runs[:0]
	for _, q := range []*fragQueue{&w.frags.due, &w.frags.ready} {
		for q.front != noSlot {
			var it item
			w.frags.takeHeld(q.front, &it)
			stop(it.meta.ENI, it.desc.Buf)
		}
	}
	for wheel := &w.limits.wheel; wheel.n > 0; {
		it := wheel.any()
		stop(it.meta.ENI, it.desc.Buf)
	}
	for w.waiting.n > 0 {
		it := w.waiting.at(0)
		stop(it.meta.ENI, it.desc.Buf)
		w.waiting.remove(1)
	}
	for _, r := range w.in {
		for r != nil && r.Peek() != nil {
			it := r.Peek()
			stop(it.meta.ENI, it.desc.Buf)
			r.Advance()
			r.Release()
		}
	}
	for _, r := range w.sendIn {
		for r != nil && r.Peek() != nil {
			it := r.Peek()
			stop(w.out[it.dest&^withFlow].eni, it.buf)
			r.Advance()
			r.Release()
		}
	}
	for _, dest := range w.paced {
		for q := &w.out[dest]; q.pacer.Len() != 0; {
			stop(q.eni, q.pacer.Drop().Buf)
		}
	}
	w.paced = w.paced[:0]
	for i := range w.out {
		if q := w.out[i].queue; q != nil {
			q.Drain(func(buf uint64) { stop(w.out[i].eni, buf) })
		}
	}
	w.dirty = w.dirty[:0]
	w.counters.publish()
	w.eniCounts.publish()
	w.limits.counts.publish()
	w.publishQueues()
	if w.monitor != nil {
		w.monitor.Publish()
	}
	w.gaps.publish()
}
