package simport

import (
	"fmt"
	"sync/atomic"
)

// DefaultDepth is how many packets a queue holds where PortConfig says 0.
const DefaultDepth = 1024

// A Source writes the next frame to buf, which is as long as the pool's slots
// are, and returns its length; 0 means that there is none for now. It runs on
// the lcore that polls the queue.
type Source func(buf []byte) int

// A Sink looks at a frame that was sent. The frame is its to read until it
// returns. It runs on the lcore that sends.
type Sink func(frame []byte)

// PortConfig says what a port is like.
type PortConfig struct {
	RxQueues int // 0: 1
	TxQueues int // 0: 1
	RxDepth  int // packets that a receive queue holds; 0: DefaultDepth
	TxDepth  int // packets that a transmit queue holds until drained; 0: DefaultDepth

	// Source, where set, makes the source of a receive queue, which is then fed
	// by it alone, as fast as it is polled.
	Source func(queue int) Source
	// Sink, where set, makes the sink of a transmit queue: what is sent is
	// shown to it and freed at once, and the queue never fills up.
	Sink func(queue int) Sink
}

// QueueStats counts what went through one queue since the port was made.
type QueueStats struct {
	Packets, Bytes uint64
	// Missed is what was refused: the queue was full, or the pool empty. A
	// source whose poll finds the pool empty counts one, as nothing is lost.
	Missed uint64
}

// Port is a device in memory. Its methods follow the package's rules for
// threads.
type Port struct {
	pool *Pool
	id   uint16
	rx   []rxQueue
	tx   []txQueue
}

// counters have one writer and may be read by anybody.
type counters struct{ packets, bytes, missed atomic.Uint64 }

func (c *counters) add(packets, bytes uint64) {
	// One writer: no need for a read-modify-write.
	c.packets.Store(c.packets.Load() + packets)
	c.bytes.Store(c.bytes.Load() + bytes)
}

func (c *counters) stats() QueueStats {
	return QueueStats{Packets: c.packets.Load(), Bytes: c.bytes.Load(), Missed: c.missed.Load()}
}

type rxQueue struct {
	ring   *ring
	source Source
	alloc  cache    // of the injecting goroutine
	_      [64]byte // what the two goroutines write lies apart
	in     counters // written by the polling IO, but missed by the injector
}

type txQueue struct {
	ring *ring
	sink Sink
	free cache    // of the draining goroutine
	_    [64]byte // as above
	out  counters // written by the sending IO
}

// NewPort makes a port on a pool. Its number is that of the ports made before.
// All ports are made before the first IO, since an IO may send to any of them.
func NewPort(pool *Pool, c PortConfig) *Port {
	p := &Port{pool: pool, id: uint16(len(pool.ports))}
	p.rx = make([]rxQueue, max(c.RxQueues, 1))
	for i := range p.rx {
		q := &p.rx[i]
		q.ring, q.alloc = newRing(orDefault(c.RxDepth)), newCache(pool)
		if c.Source != nil {
			q.source = c.Source(i)
		}
	}
	p.tx = make([]txQueue, max(c.TxQueues, 1))
	for i := range p.tx {
		q := &p.tx[i]
		q.ring, q.free = newRing(orDefault(c.TxDepth)), newCache(pool)
		if c.Sink != nil {
			q.sink = c.Sink(i)
		}
	}
	pool.ports = append(pool.ports, p)
	return p
}

func orDefault(depth int) int {
	if depth == 0 {
		return DefaultDepth
	}
	return depth
}

// ID returns the port's number, as Desc.Port and TxRun.Port have it.
func (p *Port) ID() uint16 { return p.id }

// Inject puts a copy of frame into a receive queue. It returns false, and
// counts a miss, where the queue is full or the pool empty. A frame that no
// slot has room for is a mistake of the test and panics.
func (p *Port) Inject(queue int, frame []byte) bool {
	return p.InjectSplit(queue, frame, len(frame))
}

// InjectSplit is Inject for a packet in two segments of which the first holds
// the given number of bytes: the receiver is told of two segments and may look
// at the first only. The packet is sent whole.
func (p *Port) InjectSplit(queue int, frame []byte, first int) bool {
	q := &p.rx[queue]
	if len(frame) > p.pool.slotSize || first > len(frame) || first < 0 {
		panic(fmt.Sprintf("simport: frame of %d bytes, %d of them in the first segment, for slots of %d", len(frame), first, p.pool.slotSize))
	}
	if q.ring.len() >= int(q.ring.size) {
		q.in.missed.Add(1)
		return false
	}
	i, ok := q.alloc.get(slotQueued)
	if !ok {
		q.in.missed.Add(1)
		return false
	}
	copy(p.pool.bytes(i), frame)
	p.pool.slots[i].len, p.pool.slots[i].first = uint32(len(frame)), uint32(first)
	return q.ring.push(i) // there is room: nobody else pushes
}

// Drain takes what was sent on a transmit queue, shows each frame to f, in
// order, and frees it. It returns how many there were. A frame must not be
// kept after f has returned.
func (p *Port) Drain(queue int, f func(frame []byte)) int {
	return p.DrainN(queue, len(p.pool.slots), f)
}

// DrainN is Drain for at most n frames.
func (p *Port) DrainN(queue, n int, f func(frame []byte)) int {
	q := &p.tx[queue]
	for k := range n {
		i, ok := q.ring.pop()
		if !ok {
			return k
		}
		f(p.pool.bytes(i)[:p.pool.slots[i].len])
		q.free.put(i, slotQueued, "drain")
	}
	return n
}

// Discard frees all that lies in the port's queues, as closing a device does,
// and returns how many packets that were. No lcore may be polling it.
func (p *Port) Discard() int {
	n := 0
	for i := range p.rx {
		q := &p.rx[i]
		for slot, ok := q.ring.pop(); ok; slot, ok = q.ring.pop() {
			q.alloc.put(slot, slotQueued, "discard")
			n++
		}
	}
	for i := range p.tx {
		n += p.Drain(i, func([]byte) {})
	}
	return n
}

// RxWaiting returns how many packets wait in a receive queue.
func (p *Port) RxWaiting(queue int) int { return p.rx[queue].ring.len() }

// TxWaiting returns how many packets wait in a transmit queue.
func (p *Port) TxWaiting(queue int) int { return p.tx[queue].ring.len() }

// RxStats returns the counters of a receive queue; packets count when they are
// polled.
func (p *Port) RxStats(queue int) QueueStats { return p.rx[queue].in.stats() }

// TxStats returns the counters of a transmit queue.
func (p *Port) TxStats(queue int) QueueStats { return p.tx[queue].out.stats() }
