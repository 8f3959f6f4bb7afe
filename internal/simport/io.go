package simport

import (
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/nitrod/nitrod/internal/pktio"
)

// Burst is the number of packets that one round takes from one queue at most,
// as a DPDK driver's burst.
const Burst = 32

// Queue names a receive queue that an lcore owns.
type Queue struct {
	Port  *Port
	Queue int
}

// IO moves packets for one lcore. It implements pktio.IO.
//
// Thread-safety: belongs to one lcore.
type IO struct {
	pool   *Pool
	ports  []*Port
	queues []Queue
	next   int // queue at which the next round begins
	cache  cache
	wake   chan struct{}
}

var _ pktio.IO = (*IO)(nil)

// NewIO makes the IO of an lcore that polls queues, in turn, and sends to any
// port of the pool.
func NewIO(pool *Pool, queues []Queue) *IO {
	for _, q := range queues {
		if q.Port.pool != pool || q.Queue < 0 || q.Queue >= len(q.Port.rx) {
			panic(fmt.Sprintf("simport: port %d has no receive queue %d on this pool", q.Port.id, q.Queue))
		}
	}
	return &IO{pool: pool, ports: slices.Clone(pool.ports), queues: slices.Clone(queues), cache: newCache(pool), wake: make(chan struct{}, 1)}
}

// Rx implements pktio.IO.
func (io *IO) Rx(descs []pktio.Desc) int {
	n := 0
	for k := range io.queues {
		at := io.next + k
		if at >= len(io.queues) {
			at -= len(io.queues)
		}
		q := io.queues[at]
		rx := &q.Port.rx[q.Queue]
		got := 0
		room := descs[n:min(len(descs), n+Burst)]
		if rx.source != nil {
			got = io.generate(rx, q, room)
		} else {
			got = io.poll(rx, q, room)
		}
		if got > 0 {
			n += got
			rx.in.add(uint64(got), totalBytes(room[:got]))
		}
	}
	if io.next++; io.next >= len(io.queues) {
		io.next = 0
	}
	return n
}

func (io *IO) poll(rx *rxQueue, q Queue, room []pktio.Desc) int {
	for n := range room {
		i, ok := rx.ring.pop()
		if !ok {
			return n
		}
		io.pool.move(i, slotQueued, slotOwned, "receive")
		io.describe(&room[n], i, q)
	}
	return len(room)
}

func (io *IO) generate(rx *rxQueue, q Queue, room []pktio.Desc) int {
	for n := range room {
		i, ok := io.cache.get(slotOwned)
		if !ok {
			rx.in.missed.Add(1)
			return n
		}
		size := rx.source(io.pool.bytes(i))
		if size == 0 {
			io.cache.put(i, slotOwned, "free")
			return n
		}
		io.pool.setLen(i, uint32(size))
		io.describe(&room[n], i, q)
	}
	return len(room)
}

func (io *IO) describe(d *pktio.Desc, i uint32, q Queue) {
	s := &io.pool.slots[i]
	*d = pktio.Desc{
		Buf:    handle(i),
		Data:   io.pool.address(i),
		Len:    s.first,
		PktLen: s.len,
		Port:   q.Port.id,
		Queue:  uint16(q.Queue),
		Segs:   1,
	}
	if s.first != s.len {
		d.Segs = 2
	}
}

func totalBytes(descs []pktio.Desc) uint64 {
	var sum uint64
	for i := range descs {
		sum += uint64(descs[i].PktLen)
	}
	return sum
}

// Tx implements pktio.IO. It panics on a packet that the caller does not own,
// on a port or queue that does not exist, and on a length that does not fit.
func (io *IO) Tx(f *pktio.Flush) {
	for _, r := range f.Resizes {
		i := io.pool.index(r.Buf)
		s := &io.pool.slots[i]
		if st := s.state.Load(); st != slotOwned || s.first != s.len || int(r.Len) > io.pool.slotSize {
			panic(fmt.Sprintf("simport: resize packet %#x to %d bytes: it is %s, %d of its %d bytes contiguous", r.Buf, r.Len, slotStates[st], s.first, s.len))
		}
		io.pool.setLen(i, r.Len)
	}
	for k := range f.Runs {
		io.send(&f.Runs[k])
	}
	for _, h := range f.Frees {
		io.cache.put(io.pool.index(h), slotOwned, "free")
	}
}

func (io *IO) send(r *pktio.TxRun) {
	if int(r.Port) >= len(io.ports) || int(r.Queue) >= len(io.ports[r.Port].tx) {
		panic(fmt.Sprintf("simport: send to port %d queue %d, which does not exist", r.Port, r.Queue))
	}
	q := &io.ports[r.Port].tx[r.Queue]
	r.Sent = 0
	var bytes uint64
	for _, h := range r.Handles() {
		i := io.pool.index(h)
		size := io.pool.slots[i].len
		if q.sink != nil {
			q.sink(io.pool.bytes(i)[:size])
			io.cache.put(i, slotOwned, "send")
		} else {
			if q.ring.len() >= int(q.ring.size) {
				q.out.missed.Add(uint64(r.N - r.Sent))
				break
			}
			io.pool.move(i, slotOwned, slotQueued, "send")
			q.ring.push(i)
		}
		r.Sent++
		bytes += uint64(size)
	}
	if r.Sent > 0 {
		q.out.add(uint64(r.Sent), bytes)
	}
}

// Alloc implements pktio.IO.
func (io *IO) Alloc(descs []pktio.Desc) int {
	for n := range descs {
		i, ok := io.cache.get(slotOwned)
		if !ok {
			return n
		}
		io.pool.setLen(i, 0)
		descs[n] = pktio.Desc{Buf: handle(i), Data: io.pool.address(i), Len: uint32(io.pool.slotSize), Segs: 1}
	}
	return len(descs)
}

// Read implements pktio.IO. It panics on a packet that the caller does not own.
func (io *IO) Read(buf uint64, offset uint32, to []byte) int {
	i := io.pool.index(buf)
	s := &io.pool.slots[i]
	if st := s.state.Load(); st != slotOwned {
		panic(fmt.Sprintf("simport: read packet %#x: it is %s", buf, slotStates[st]))
	}
	if offset >= s.len {
		return 0
	}
	return copy(to, io.pool.bytes(i)[offset:s.len])
}

// Idle implements pktio.IO. It gives the goroutine's thread away in any case.
func (io *IO) Idle(how pktio.Rest, d time.Duration) (woken bool) {
	if how == pktio.RestPause {
		runtime.Gosched()
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-io.wake:
		return true
	case <-timer.C:
		return false
	}
}

// Wake implements pktio.IO.
func (io *IO) Wake() {
	select {
	case io.wake <- struct{}{}:
	default: // one wakes as well as two
	}
}

// Interrupts implements pktio.IO: ports in memory have none.
func (io *IO) Interrupts() bool { return len(io.queues) == 0 }

// Arm implements pktio.IO.
func (io *IO) Arm(bool) {}
