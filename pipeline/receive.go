package pipeline

import "github.com/nitrod/nitrod/internal/pktio"

// receive is the stage that fills the burst: first packets that waited for the
// slow path, then those that other lcores handed over, then the devices'. It
// returns how many came.
func (w *Worker) receive() int {
	b := &w.burst
	n := 0
	// As many as the slow path can take: none of them has to wait again, which
	// would put it behind younger packets of its flow. Half of the burst stays
	// for packets that need no slow path.
	for w.waiting.n > 0 && n < min(w.budget, pktio.MaxBurst/2) {
		b.put(n, w.waiting.pop())
		n++
	}
	w.known = n
	share := (pktio.MaxBurst - n) / 2 / max(1, len(w.in)-1)
	for _, r := range w.in {
		if r == nil {
			continue
		}
		for range share {
			it := r.Peek()
			if it == nil {
				break
			}
			b.put(n, it)
			r.Advance()
			n++
		}
		r.Release()
	}
	w.counters.local[countHandedIn] += uint64(n - w.known)
	w.parsed = n
	if n < pktio.MaxBurst {
		got := w.io.Rx(b.desc[n:min(n+w.engine.cfg.Burst, pktio.MaxBurst)])
		w.counters.local[countRx] += uint64(got)
		n += got
	}
	b.n = n
	return n
}
