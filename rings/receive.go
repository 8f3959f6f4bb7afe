package rings

import (
	"fmt"
	"sync/atomic"

	"github.com/nitrod/nitrod/internal/hugemem"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/internal/relaxed"
)

// ReceiveQueue is one receive queue of an ENI, as its guest sees it: what the
// guest receives is what nitrod sends to the ENI's port. Packets wait here, at
// most the ring's depth of them, until the port takes them.
//
// Thread-safety: it belongs to the lcore that serves the port's queue. Other
// lcores hand that lcore their packets by an SPSC ring. Counts is for any
// goroutine.
//
// Limits: the depth is AWS's receive ring, 256 to 16384 and a power of two
// (docs/semantics.md, rings); a full queue refuses, which ENA calls an overrun.
type ReceiveQueue struct {
	Port, Queue uint16 // where the port takes the packets

	sent, sentBytes, overruns uint64
	highWater                 uint32

	depth      uint32
	mask       uint32
	head, tail uint32
	waiting    uint64 // bytes in the queue
	bufs       []uint64
	lens       []uint32
	bufBlock   *hugemem.Block[uint64]
	lenBlock   *hugemem.Block[uint32]
}

// NewReceiveQueue returns an empty queue of the given depth in packets.
func NewReceiveQueue(port, queue uint16, depth int) (*ReceiveQueue, error) {
	if depth < 2 || depth&(depth-1) != 0 || depth > 1<<20 {
		return nil, fmt.Errorf("rings: receive ring of %d is not a power of two from 2 to 2^20", depth)
	}
	bufs, err := hugemem.Alloc[uint64](depth)
	if err != nil {
		return nil, err
	}
	lens, err := hugemem.Alloc[uint32](depth)
	if err != nil {
		_ = bufs.Free()
		return nil, err
	}
	return &ReceiveQueue{
		Port: port, Queue: queue, depth: uint32(depth), mask: uint32(depth - 1),
		bufs: bufs.Items, lens: lens.Items, bufBlock: bufs, lenBlock: lens,
	}, nil
}

// QueueCounts is what a receive queue has counted since start, and how full it
// is.
type QueueCounts struct {
	Packets, Bytes uint64 // that the port took
	Overruns       uint64 // packets for which there was no room
	Depth          uint32 // packets that it holds at most
	Waiting        uint32 // packets in it now
	HighWater      uint32 // the most packets that were in it when the port was asked to take some
}

// Counts returns the queue's counters. They are read one by one, so that they
// need not be of one moment.
func (q *ReceiveQueue) Counts() QueueCounts {
	head := atomic.LoadUint32(&q.head) // before tail, which is never behind it
	return QueueCounts{
		Packets: atomic.LoadUint64(&q.sent), Bytes: atomic.LoadUint64(&q.sentBytes), Overruns: atomic.LoadUint64(&q.overruns),
		Depth: q.depth, Waiting: min(atomic.LoadUint32(&q.tail)-head, q.depth), HighWater: atomic.LoadUint32(&q.highWater),
	}
}

// Free returns the queue's memory, not the packets in it: see Drain.
func (q *ReceiveQueue) Free() error {
	q.bufs, q.lens = nil, nil
	if err := q.bufBlock.Free(); err != nil {
		return err
	}
	return q.lenBlock.Free()
}

// Push appends a packet of n bytes and reports whether there was room. The
// queue owns the packet if so; if not, the overrun is counted here and the
// packet stays with the caller.
func (q *ReceiveQueue) Push(buf uint64, n uint32) bool {
	if q.tail-q.head == q.depth {
		relaxed.Store64(&q.overruns, q.overruns+1)
		return false
	}
	i := q.tail & q.mask
	q.bufs[i], q.lens[i] = buf, n
	relaxed.Store32(&q.tail, q.tail+1)
	q.waiting += uint64(n)
	return true
}

// PushBurst appends packets in order and returns how many there was room for.
// Those the queue owns; the others are counted as overruns and stay with the
// caller.
func (q *ReceiveQueue) PushBurst(descs []pktio.Desc) int {
	n := min(len(descs), int(q.depth-(q.tail-q.head)))
	relaxed.Store64(&q.overruns, q.overruns+uint64(len(descs)-n))
	bufs, lens, mask, tail, bytes := q.bufs, q.lens, q.mask, q.tail, uint64(0)
	for i := range descs[:n] {
		d := &descs[i]
		at := (tail + uint32(i)) & mask
		bufs[at], lens[at] = d.Buf, d.PktLen
		bytes += uint64(d.PktLen)
	}
	relaxed.Store32(&q.tail, q.tail+uint32(n))
	q.waiting += bytes
	return n
}

// Len returns how many packets wait.
func (q *ReceiveQueue) Len() int { return int(q.tail - q.head) }

// Run fills r with the oldest packets that lie in one piece, at most max of
// them. The port's answer goes to Done.
func (q *ReceiveQueue) Run(r *pktio.TxRun, max int) {
	n := q.tail - q.head
	if n > q.highWater {
		relaxed.Store32(&q.highWater, n)
	}
	start := q.head & q.mask
	n = min(n, q.depth-start, uint32(max))
	*r = pktio.TxRun{Bufs: address(&q.bufs[start]), Port: q.Port, Queue: q.Queue, N: uint16(n)}
}

// Done removes the n oldest packets, which the port has taken, and returns
// their bytes.
func (q *ReceiveQueue) Done(n int) uint64 {
	bytes := q.waiting
	if uint32(n) < q.tail-q.head {
		bytes = 0
		for i := range uint32(n) {
			bytes += uint64(q.lens[(q.head+i)&q.mask])
		}
	}
	relaxed.Store32(&q.head, q.head+uint32(n))
	q.waiting -= bytes
	relaxed.Store64(&q.sent, q.sent+uint64(n))
	relaxed.Store64(&q.sentBytes, q.sentBytes+bytes)
	return bytes
}

// Drain empties the queue, handing each packet to free.
func (q *ReceiveQueue) Drain(free func(buf uint64)) {
	for ; q.head != q.tail; relaxed.Store32(&q.head, q.head+1) {
		free(q.bufs[q.head&q.mask])
	}
	q.waiting = 0
}
