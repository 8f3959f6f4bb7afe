package pipeline

// This file is for who drives the lcores round by round, in one goroutine,
// instead of leaving them to RunLcore: tests, and scenarios.

// Settle lets all lcores run until nothing moves, and publishes the counters.
func (e *Engine) Settle() {
	for quiet := 0; quiet < 3; {
		moved := 0
		for _, w := range e.workers {
			moved += w.Round()
		}
		for _, w := range e.workers {
			if w.waiting.n > 0 {
				moved++
			}
		}
		if moved == 0 {
			quiet++
		} else {
			quiet = 0
		}
	}
	e.Publish()
}

// Publish publishes the counters of all lcores.
func (e *Engine) Publish() {
	for _, w := range e.workers {
		w.counters.publish()
		w.eniCounts.publish()
		w.limits.counts.publish()
		w.publishQueues()
		if w.monitor != nil {
			w.monitor.Publish()
		}
	}
}

// InHand counts the packets in all queues and rings, one by one. The law of
// accounting says that there are Stats.Held of them.
func (e *Engine) InHand() int {
	n := 0
	for _, w := range e.workers {
		n += w.waiting.n + w.frags.held + w.limits.wheel.n
		for _, r := range w.in {
			if r != nil {
				n += r.Len()
			}
		}
		for _, r := range w.sendIn {
			if r != nil {
				n += r.Len()
			}
		}
		for i := range w.out {
			if q := w.out[i].queue; q != nil {
				n += q.Len()
			}
			if p := w.out[i].pacer; p != nil {
				n += p.Len()
			}
		}
	}
	return n
}

// ForgetFlows empties the flow caches, so that the next packet of every flow
// takes the slow path.
func (e *Engine) ForgetFlows() {
	for _, w := range e.workers {
		w.cache.Clear()
	}
}

// Drain empties what the lcores hold, as the end of RunLcore does.
func (e *Engine) Drain() {
	for _, w := range e.workers {
		w.drain()
	}
}
