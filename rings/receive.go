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
// lcores hand that lcore their packets by an SPSC ring. Any goroutine may call
// Published.
//
// Limits: the depth is AWS's receive ring, 256 to 16384 and a power of two
// (docs/semantics.md, rings); a full queue refuses, which ENA calls an overrun.
type ReceiveQueue struct {
	Port, Queue uint16 // where the port takes the packets

	// Counters since start. Sent and SentBytes are what the port accepted.
	Sent      uint64
	SentBytes uint64
	Overruns  uint64
	HighWater uint32

	depth      uint32
	mask       uint32
	head, tail uint32
	waiting    uint64 // bytes in the queue
	bufs       []uint64
	lens       []uint32
	bufBlock   *hugemem.Block[uint64]
	lenBlock   *hugemem.Block[uint32]

	_         [64]byte
	published ReceiveCounts
}

// ReceiveCounts is what others may know of a receive queue. Counters are since
// start.
type ReceiveCounts struct {
	Packets, Bytes uint64 // that the port accepted
	Overruns       uint64 // packets for which there was no room
	Waiting        uint64 // packets in the queue
	HighWater      uint64 // the most packets that ever waited
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
		q.Overruns++
		return false
	}
	i := q.tail & q.mask
	q.bufs[i], q.lens[i] = buf, n
	q.tail++
	q.waiting += uint64(n)
	return true
}

// PushBurst appends packets in order and returns how many there was room for.
// Those the queue owns; the others are counted as overruns and stay with the
// caller.
func (q *ReceiveQueue) PushBurst(descs []pktio.Desc) int {
	n := min(len(descs), int(q.depth-(q.tail-q.head)))
	q.Overruns += uint64(len(descs) - n)
	bufs, lens, mask, tail, bytes := q.bufs, q.lens, q.mask, q.tail, uint64(0)
	for i := range descs[:n] {
		d := &descs[i]
		at := (tail + uint32(i)) & mask
		bufs[at], lens[at] = d.Buf, d.PktLen
		bytes += uint64(d.PktLen)
	}
	q.tail += uint32(n)
	q.waiting += bytes
	return n
}

// Filled returns how many packets were ever pushed, and Left how many of them
// have left; both modulo 2^32.
func (q *ReceiveQueue) Filled() uint32 { return q.tail }

// Left is explained at Filled.
func (q *ReceiveQueue) Left() uint32 { return q.head }

// Len returns how many packets wait.
func (q *ReceiveQueue) Len() int { return int(q.tail - q.head) }

// Run fills r with the oldest packets that lie in one piece, at most max of
// them. The port's answer goes to Done.
func (q *ReceiveQueue) Run(r *pktio.TxRun, max int) {
	n := q.tail - q.head
	if n > q.HighWater {
		q.HighWater = n
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
	q.head += uint32(n)
	q.waiting -= bytes
	q.Sent += uint64(n)
	q.SentBytes += bytes
	return bytes
}

// Publish makes the queue's counters visible to Published.
func (q *ReceiveQueue) Publish() {
	p := &q.published
	relaxed.Store64(&p.Packets, q.Sent)
	relaxed.Store64(&p.Bytes, q.SentBytes)
	relaxed.Store64(&p.Overruns, q.Overruns)
	relaxed.Store64(&p.Waiting, uint64(q.tail-q.head))
	relaxed.Store64(&p.HighWater, uint64(q.HighWater))
}

// Published returns the counters as the queue's lcore published them last, each
// for itself.
func (q *ReceiveQueue) Published() ReceiveCounts {
	p := &q.published
	return ReceiveCounts{
		Packets: atomic.LoadUint64(&p.Packets), Bytes: atomic.LoadUint64(&p.Bytes), Overruns: atomic.LoadUint64(&p.Overruns),
		Waiting: atomic.LoadUint64(&p.Waiting), HighWater: atomic.LoadUint64(&p.HighWater),
	}
}

// Depth returns how many packets may wait.
func (q *ReceiveQueue) Depth() int { return int(q.depth) }

// Drain empties the queue, handing each packet to free.
func (q *ReceiveQueue) Drain(free func(buf uint64)) {
	for ; q.head != q.tail; q.head++ {
		free(q.bufs[q.head&q.mask])
	}
	q.waiting = 0
}
