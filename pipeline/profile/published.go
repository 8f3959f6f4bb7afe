package profile

import (
	"sync/atomic"

	"github.com/nitrod/nitrod/internal/relaxed"
)

// published is a window in words that others read while the lcore writes the next
// one. The sequence is odd while it does: a reader who sees it odd, or changed when
// it is done, tries again.
type published struct {
	sequence uint64
	head     [6]uint64 // Start, End, Packets, Bytes, Looked, N
	flows    [Flows][flowWords]uint64
}

// flowWords are a key, the four counts of a Flow, and its Place.
const flowWords = 10

const (
	placeQueue   = 16 // bits to the left
	placeDropped = 24
)

func (p *published) publish(w *Totals, t *table) {
	atomic.AddUint64(&p.sequence, 1)
	for i, v := range [...]uint64{uint64(w.Start), uint64(w.End), w.Packets, w.Bytes, w.Looked, uint64(t.n)} {
		relaxed.Store64(&p.head[i], v)
	}
	for i := range t.flows[:t.n] {
		f, to := &t.flows[i], &p.flows[i]
		place := uint64(f.Egress) | uint64(f.Queue)<<placeQueue
		if f.Dropped {
			place |= 1 << placeDropped
		}
		for j, v := range [flowWords]uint64{
			f.Key.Src.Hi, f.Key.Src.Lo, f.Key.Dst.Hi, f.Key.Dst.Lo, f.Key.Tail, f.Packets, f.Bytes, t.loads[i], f.Over, place,
		} {
			relaxed.Store64(&to[j], v)
		}
	}
	atomic.AddUint64(&p.sequence, 1)
}

// read copies what is published and reports whether anything is.
func (p *published) read(w *Window) bool {
	for {
		sequence := atomic.LoadUint64(&p.sequence)
		if sequence == 0 {
			return false
		}
		if sequence&1 == 0 {
			p.copyTo(w)
			if atomic.LoadUint64(&p.sequence) == sequence {
				return true
			}
		}
	}
}

// copyTo copies the words.
func (p *published) copyTo(w *Window) {
	var head [6]uint64
	for i := range head {
		head[i] = atomic.LoadUint64(&p.head[i])
	}
	w.Totals = Totals{int64(head[0]), int64(head[1]), head[2], head[3], head[4]}
	w.N = int(head[5])
	for i := range w.Flows[:w.N] {
		var v [flowWords]uint64
		for j := range v {
			v[j] = atomic.LoadUint64(&p.flows[i][j])
		}
		f := &w.Flows[i]
		f.Key.Src.Hi, f.Key.Src.Lo, f.Key.Dst.Hi, f.Key.Dst.Lo, f.Key.Tail = v[0], v[1], v[2], v[3], v[4]
		f.Packets, f.Bytes, f.Load, f.Over = v[5], v[6], v[7], v[8]
		f.Place = Place{uint16(v[9]), uint8(v[9] >> placeQueue), v[9]>>placeDropped&1 != 0}
	}
}
