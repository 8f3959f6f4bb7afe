package microburst

import (
	"sync/atomic"

	"github.com/nitrod/nitrod/internal/relaxed"
)

// NumBuckets is how many buckets a histogram has. Bucket 0 counts zeros, bucket
// i what lies from 2^(i-1) to 2^i - 1, and the last one all above.
const NumBuckets = 16

// The figures of a queue, as words that are published.
const (
	statPackets = iota
	statBytes
	statDrops
	statBursts
	statShort
	statSecond
	statHigh
	statPeaks // bytes, packets and time for each length of windows
	statFill  = statPeaks + 3*NumWindows
	statDepth = statFill + NumBuckets
	numStats  = statDepth + NumBuckets
)

// Stats is what a queue has seen since start.
type Stats struct {
	ENI, Queue uint16
	Ring       uint32 // its depth

	Packets, Bytes uint64 // queued
	Drops          uint64 // for want of room
	Bursts         uint64 // events
	Short          uint64 // bursts too short for an event
	Second         uint64 // bits per second over the last second, to 0.1 s
	High           uint64 // most packets in the ring before the port was offered them
	Peaks          [NumWindows]Peak
	Fill           [NumBuckets]uint64 // rounds by how many packets they queued
	Depth          [NumBuckets]uint64 // rounds by how many packets were in the ring before the port was offered them
}

// Peak is the most that a window of one length has seen.
type Peak struct {
	Bytes, Packets uint64
	At             int64 // when the window with those bytes began
}

// Rate returns the peak in bits per second, given the window's length.
func (p *Peak) Rate(window int64) uint64 { return p.Bytes * uint64(8_000_000_000/window) }

// sum adds a window to the longer ones that it lies in, and keeps the peaks.
func (q *Queue) sum(c *sums) {
	for i := range q.longer {
		w := &q.longer[i]
		if w.at != q.at[i] {
			w.at, w.bytes, w.packets = q.at[i], 0, 0
		}
		w.bytes += c.bytes
		w.packets += c.packets
		p := q.local[statPeaks+3*i : statPeaks+3*i+3]
		if w.bytes > p[0] {
			p[0], p[2] = w.bytes, uint64(w.at*Lengths[i])
		}
		p[1] = max(p[1], w.packets)
	}
	q.second.add(q.slot, c.bytes)
	q.local[statHigh] = max(q.local[statHigh], uint64(c.depth))
}

func (q *Queue) publish() {
	for i, v := range q.local {
		if q.published[i] != v {
			relaxed.Store64(&q.published[i], v)
		}
	}
}

// Stats returns the figures of queue i as they were last published: at most 26
// ms ago.
func (m *Monitor) Stats(i int) Stats {
	q := m.queues[i]
	load := func(i int) uint64 { return atomic.LoadUint64(&q.published[i]) }
	s := Stats{
		ENI: q.eni, Queue: q.queue, Ring: q.ring,
		Packets: load(statPackets), Bytes: load(statBytes), Drops: load(statDrops),
		Bursts: load(statBursts), Short: load(statShort), Second: load(statSecond), High: load(statHigh),
	}
	for i := range s.Peaks {
		s.Peaks[i] = Peak{load(statPeaks + 3*i), load(statPeaks + 3*i + 1), int64(load(statPeaks + 3*i + 2))}
	}
	for i := range NumBuckets {
		s.Fill[i], s.Depth[i] = load(statFill+i), load(statDepth+i)
	}
	return s
}

const (
	slots       = 10
	slotLength  = 1_000_000_000 / slots // ns
	slotWindows = slotLength / Window
)

// second is the bytes of the last second, in slots of a tenth: the one under way
// and the ten before it.
type second struct {
	at    int64 // index of the slot under way
	bytes [slots + 1]uint64
	total uint64
}

func (s *second) add(slot int64, bytes uint64) {
	s.advance(slot)
	s.bytes[slot%(slots+1)] += bytes
	s.total += bytes
}

// advance forgets the slots that lie more than a second back.
func (s *second) advance(slot int64) {
	for at := max(s.at+1, slot-slots); at <= slot; at++ {
		b := &s.bytes[at%(slots+1)]
		s.total -= *b
		*b = 0
	}
	s.at = max(s.at, slot)
}

// average returns the bits per second of the last second and the part of a slot
// that is under way.
func (s *second) average(slot, now int64) uint64 {
	s.advance(slot)
	return s.total * 8_000_000 / uint64((slots*slotLength+now-slot*slotLength)/1000)
}
