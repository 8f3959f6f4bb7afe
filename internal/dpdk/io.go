package dpdk

/*
#include "nd.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"github.com/nitrod/nitrod/internal/pktio"
)

// DefaultBurst is the most packets taken from one queue in one poll.
const DefaultBurst = 32

// RxQueue names a receive queue of a port.
type RxQueue struct {
	Port  *Port
	Queue int
}

// IOStats count what IO does to packets besides moving them.
type IOStats struct {
	RxCompleted  uint64 // partial checksums completed in software
	RxPulledUp   uint64 // chains whose headers were brought into the first segment
	RxBadCsum    uint64 // dropped: a partial checksum that cannot be completed
	RxOversized  uint64 // dropped: a segment left to us to cut, which nobody negotiated
	TxLinearised uint64 // chains copied into one segment, for a port that takes no chains
	TxUnchained  uint64 // dropped: a chain too long for one segment, on such a port
	BadResizes   uint64 // resizes beyond the packet's room; each is a defect of the caller
}

// IO moves bursts for one lcore (pktio.IO).
//
// Rx polls the lcore's queues in turn. A queue that gave nothing 256 times in a
// row is idle: it is polled once in 32 rounds, until a packet comes, so a round
// with 1,000 idle queues makes 32 polls for them. The delay of a first packet
// is bounded by that many rounds; after Idle, the next Rx polls every queue.
// A packet in several segments comes with its first 256 bytes in the first
// one, where there is room.
//
// Thread-safety: an IO belongs to one lcore; Stats may be called from
// anywhere. Its ports and its pool must outlive it.
type IO struct {
	h C.nd_handle
}

var _ pktio.IO = (*IO)(nil)

// NewIO makes the IO of one lcore. Alloc takes packets from pool. burst is the
// most packets taken from one queue in one poll, at most pktio.MaxBurst; 0 is
// DefaultBurst. A queue must not be given to two lcores.
func NewIO(pool *Pool, queues []RxQueue, burst int) (*IO, error) {
	if pool == nil {
		return nil, errors.New("dpdk: an IO needs a pool")
	}
	if burst == 0 {
		burst = DefaultBurst
	}
	if burst < 0 || burst > pktio.MaxBurst {
		return nil, fmt.Errorf("dpdk: a burst of %d packets; 1 to %d are possible", burst, pktio.MaxBurst)
	}
	list := make([]C.struct_nd_queue, len(queues), len(queues)+1)
	for i, q := range queues {
		if q.Port == nil || q.Queue < 0 || q.Queue >= q.Port.RxQueues() {
			return nil, fmt.Errorf("dpdk: queue %d of %v: there is no such receive queue", q.Queue, q.Port)
		}
		list[i] = C.struct_nd_queue{port: C.uint16_t(q.Port.id), queue: C.uint16_t(q.Queue)}
	}
	io := new(IO)
	err := check(C.nd_io_create(pool.h, unsafe.SliceData(list), C.uint32_t(len(list)), C.uint32_t(burst), &io.h))
	if err != nil {
		return nil, fmt.Errorf("dpdk: IO of %d queues: %w", len(queues), err)
	}
	return io, nil
}

// Close frees what the IO itself holds, which is no packet.
func (io *IO) Close() {
	C.nd_io_free(io.h)
	io.h = 0
}

// Rx fills descs and returns how many it filled.
func (io *IO) Rx(descs []pktio.Desc) int {
	return int(C.nd_io_rx(io.h, cDescs(descs), C.uint32_t(len(descs))))
}

// Tx applies f.Resizes, sends f.Runs, setting Sent in each, and frees f.Frees.
func (io *IO) Tx(f *pktio.Flush) {
	C.nd_io_tx(io.h,
		(*C.struct_nd_run)(unsafe.Pointer(unsafe.SliceData(f.Runs))), C.uint32_t(len(f.Runs)),
		(*C.uint64_t)(unsafe.SliceData(f.Frees)), C.uint32_t(len(f.Frees)),
		(*C.struct_nd_resize)(unsafe.Pointer(unsafe.SliceData(f.Resizes))), C.uint32_t(len(f.Resizes)))
}

// Alloc fills descs with fresh packets of length 0 and returns how many it
// could; Len is the room for data.
func (io *IO) Alloc(descs []pktio.Desc) int {
	return int(C.nd_io_alloc(io.h, cDescs(descs), C.uint32_t(len(descs))))
}

// Read copies bytes of a packet, from offset on, to to, across its segments, and
// returns how many there were.
func (io *IO) Read(buf uint64, offset uint32, to []byte) int {
	if len(to) == 0 {
		return 0
	}
	return int(C.nd_read(C.uint64_t(buf), C.uint32_t(offset), (*C.uint8_t)(unsafe.SliceData(to)), C.uint32_t(len(to))))
}

// Idle rests for d at most. A signal to the thread ends it too.
func (io *IO) Idle(how pktio.Rest, d time.Duration) (woken bool) {
	return d > 0 && C.nd_io_idle(io.h, C.uint32_t(how), C.uint64_t(d.Nanoseconds())) != 0
}

// Wake ends an Idle under way that is no pause, or the next one, by a system
// call.
func (io *IO) Wake() { C.nd_io_wake(io.h) }

// Interrupts reports whether all of the lcore's queues have interrupts that were
// asked for as their ports were opened.
func (io *IO) Interrupts() bool { return C.nd_io_interrupts(io.h) != 0 }

// Arm enables the queues' interrupts, or disables them. net_tap's queues need
// none of it: what wakes is that their descriptors can be read.
func (io *IO) Arm(on bool) {
	c := C.int(0)
	if on {
		c = 1
	}
	C.nd_io_arm(io.h, c)
}

// Stats returns the counters.
func (io *IO) Stats() IOStats {
	var s C.struct_nd_io_stats
	C.nd_io_get_stats(io.h, &s)
	return IOStats{
		RxCompleted:  uint64(s.rx_completed),
		RxPulledUp:   uint64(s.rx_pulled_up),
		RxBadCsum:    uint64(s.rx_bad_csum),
		RxOversized:  uint64(s.rx_oversized),
		TxLinearised: uint64(s.tx_linearised),
		TxUnchained:  uint64(s.tx_unchained),
		BadResizes:   uint64(s.bad_resizes),
	}
}

func cDescs(descs []pktio.Desc) *C.struct_nd_desc {
	return (*C.struct_nd_desc)(unsafe.Pointer(unsafe.SliceData(descs)))
}

// The two sides agree on every size and offset, or this does not compile.
const (
	_ = -(unsafe.Sizeof(pktio.Desc{}) ^ unsafe.Sizeof(C.struct_nd_desc{}))
	_ = -(unsafe.Offsetof(pktio.Desc{}.Buf) ^ unsafe.Offsetof(C.struct_nd_desc{}.buf))
	_ = -(unsafe.Offsetof(pktio.Desc{}.Data) ^ unsafe.Offsetof(C.struct_nd_desc{}.data))
	_ = -(unsafe.Offsetof(pktio.Desc{}.Len) ^ unsafe.Offsetof(C.struct_nd_desc{}.len))
	_ = -(unsafe.Offsetof(pktio.Desc{}.PktLen) ^ unsafe.Offsetof(C.struct_nd_desc{}.pkt_len))
	_ = -(unsafe.Offsetof(pktio.Desc{}.Port) ^ unsafe.Offsetof(C.struct_nd_desc{}.port))
	_ = -(unsafe.Offsetof(pktio.Desc{}.Queue) ^ unsafe.Offsetof(C.struct_nd_desc{}.queue))
	_ = -(unsafe.Offsetof(pktio.Desc{}.Segs) ^ unsafe.Offsetof(C.struct_nd_desc{}.segs))
	_ = -(unsafe.Offsetof(pktio.Desc{}.Flags) ^ unsafe.Offsetof(C.struct_nd_desc{}.flags))

	_ = -(unsafe.Sizeof(pktio.TxRun{}) ^ unsafe.Sizeof(C.struct_nd_run{}))
	_ = -(unsafe.Offsetof(pktio.TxRun{}.Bufs) ^ unsafe.Offsetof(C.struct_nd_run{}.bufs))
	_ = -(unsafe.Offsetof(pktio.TxRun{}.Port) ^ unsafe.Offsetof(C.struct_nd_run{}.port))
	_ = -(unsafe.Offsetof(pktio.TxRun{}.Queue) ^ unsafe.Offsetof(C.struct_nd_run{}.queue))
	_ = -(unsafe.Offsetof(pktio.TxRun{}.N) ^ unsafe.Offsetof(C.struct_nd_run{}.n))
	_ = -(unsafe.Offsetof(pktio.TxRun{}.Sent) ^ unsafe.Offsetof(C.struct_nd_run{}.sent))

	_ = -(unsafe.Sizeof(pktio.Resize{}) ^ unsafe.Sizeof(C.struct_nd_resize{}))
	_ = -(unsafe.Offsetof(pktio.Resize{}.Buf) ^ unsafe.Offsetof(C.struct_nd_resize{}.buf))
	_ = -(unsafe.Offsetof(pktio.Resize{}.Len) ^ unsafe.Offsetof(C.struct_nd_resize{}.len))

	_ = -(uint(pktio.RestPause) ^ C.ND_REST_PAUSE)
	_ = -(uint(pktio.RestSleep) ^ C.ND_REST_SLEEP)
	_ = -(uint(pktio.RestInterrupt) ^ C.ND_REST_INTERRUPT)

	_ = uint(pktio.MaxBurst - C.ND_MAX_BURST)
	_ = uint(C.ND_MAX_BURST - pktio.MaxBurst)
)

// The rules that IO's description states.
const (
	idleAfter   = C.ND_IDLE_AFTER
	idleEvery   = C.ND_IDLE_EVERY
	headerBytes = C.ND_HEADER_BYTES
)
