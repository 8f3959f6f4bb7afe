package microburst

import (
	"sync/atomic"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/relaxed"
)

// ShapeBins is how many bins the shape of an event has.
const ShapeBins = 32

// Event is a burst.
type Event struct {
	ENI, Queue uint16
	Start      int64 // ns of the engine's clock
	Length     int64 // ns
	Bytes      uint64
	Packets    uint64
	Drops      uint64            // packets for which the ring had no room meanwhile
	PeakRate   uint64            // bits per second, in the largest window of 10 us
	Second     uint64            // bits per second over the second that ended with it, to 0.1 s
	Depth      uint32            // most packets in the ring
	Ring       uint32            // packets that the ring holds
	Step       int64             // ns, of a bin of Shape
	Shape      [ShapeBins]uint32 // bytes, from the window in which it began
	Flows      [NumFlows]Flow    // largest first; those without a key are none
}

// Flow is a flow's part in a burst, estimated from samples.
type Flow struct {
	Key   hash.FlowKey
	Bytes uint64
}

const (
	headWords  = 10
	flowWords  = 6
	eventWords = headWords + ShapeBins/2 + NumFlows*flowWords
)

// pack writes an event as words.
func (e *Event) pack(w *[eventWords]uint64) {
	*w = [eventWords]uint64{
		uint64(e.Start), uint64(e.Length), e.Bytes, e.Packets, e.Drops, e.PeakRate, e.Second,
		uint64(e.Depth)<<32 | uint64(e.Ring), uint64(e.Step), uint64(e.ENI)<<16 | uint64(e.Queue),
	}
	at := w[headWords:]
	for i := range ShapeBins / 2 {
		at[i] = uint64(e.Shape[2*i])<<32 | uint64(e.Shape[2*i+1])
	}
	at = at[ShapeBins/2:]
	for i := range e.Flows {
		f := &e.Flows[i]
		copy(at[i*flowWords:], []uint64{f.Key.Src.Hi, f.Key.Src.Lo, f.Key.Dst.Hi, f.Key.Dst.Lo, f.Key.Tail, f.Bytes})
	}
}

// unpack is the reverse of pack.
func (e *Event) unpack(w *[eventWords]uint64) {
	*e = Event{
		Start: int64(w[0]), Length: int64(w[1]), Bytes: w[2], Packets: w[3], Drops: w[4], PeakRate: w[5], Second: w[6],
		Depth: uint32(w[7] >> 32), Ring: uint32(w[7]), Step: int64(w[8]), ENI: uint16(w[9] >> 16), Queue: uint16(w[9]),
	}
	at := w[headWords:]
	for i := range ShapeBins / 2 {
		e.Shape[2*i], e.Shape[2*i+1] = uint32(at[i]>>32), uint32(at[i])
	}
	at = at[ShapeBins/2:]
	for i := range e.Flows {
		f := at[i*flowWords:]
		e.Flows[i] = Flow{hash.FlowKey{Src: hash.Addr{Hi: f[0], Lo: f[1]}, Dst: hash.Addr{Hi: f[2], Lo: f[3]}, Tail: f[4]}, f[5]}
	}
}

// log keeps the last events. It has one writer; readers find an event whole or
// not at all, by the sequence number of its place.
type log struct {
	places  []place
	written uint64 // as readers see it
	next    uint64
	words   [eventWords]uint64
}

type place struct {
	seq   uint64 // 2n+1 while event n is being written, 2n+2 when it stands there
	words [eventWords]uint64
}

func newLog(n int) log { return log{places: make([]place, n)} }

func (l *log) write(e *Event) {
	p := &l.places[l.next%uint64(len(l.places))]
	e.pack(&l.words)
	relaxed.Store64(&p.seq, 2*l.next+1)
	for i, v := range l.words {
		relaxed.Store64(&p.words[i], v)
	}
	relaxed.Store64(&p.seq, 2*l.next+2)
	l.next++
	relaxed.Store64(&l.written, l.next)
}

// read copies event n out, unless another one stands in its place by now.
func (l *log) read(n uint64, e *Event) bool {
	p := &l.places[n%uint64(len(l.places))]
	if atomic.LoadUint64(&p.seq) != 2*n+2 {
		return false
	}
	var words [eventWords]uint64
	for i := range words {
		words[i] = atomic.LoadUint64(&p.words[i])
	}
	if atomic.LoadUint64(&p.seq) != 2*n+2 {
		return false
	}
	e.unpack(&words)
	return true
}

// Events calls f with a copy of every event that is kept, the youngest first,
// until f returns false.
func (m *Monitor) Events(f func(e *Event) bool) {
	var e Event
	last := atomic.LoadUint64(&m.log.written)
	for n := last; n > 0 && last-n < uint64(len(m.log.places)); n-- {
		if m.log.read(n-1, &e) && !f(&e) {
			return
		}
	}
}
