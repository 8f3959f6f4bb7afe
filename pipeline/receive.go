package pipeline

import "github.com/nitrod/nitrod/internal/pktio"

// receive is the stage that fills the burst: fragments that have waited for
// their first, packets that other lcores handed over, then the devices'. It
// returns how many came.
func (w *Worker) receive() int {
	b := &w.burst
	released := w.release()
	n := released
	share := max(1, (pktio.MaxBurst-n)/2/max(1, len(w.in)-1))
	for _, r := range w.in {
		if r == nil {
			continue
		}
		for range min(share, pktio.MaxBurst-n) {
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
	w.counters.local[countHandedIn] += uint64(n - released)
	w.parsed, w.hashed = n, n
	if n < pktio.MaxBurst {
		got := w.io.Rx(b.desc[n:min(n+w.engine.cfg.Burst, pktio.MaxBurst)])
		w.counters.local[countRx] += uint64(got)
		w.countSent(b.desc[n : n+got])
		n += got
	}
	b.n = n
	return n
}
