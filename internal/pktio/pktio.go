// Package pktio is the contract between the pipeline and what moves packets
// for it: DPDK (internal/dpdk) or memory (internal/simport).
package pktio

import "time"

// Desc describes one received packet. It holds integers only, so that an array
// of them can be filled by C without the runtime walking it, and it is laid
// out for that: 32 bytes, the same on both sides (internal/dpdk asserts it).
//
// Ownership: whoever holds the Desc owns the packet and must give it back
// exactly once, by a TxRun that the port accepts or in Flush.Frees.
type Desc struct {
	Buf    uint64 // opaque handle of the packet (an mbuf's address)
	Data   uint64 // address of the first byte, outside the Go heap
	Len    uint32 // bytes that lie contiguous at Data (the first segment)
	PktLen uint32 // bytes of the whole packet
	Port   uint16 // port on which it came
	Queue  uint16 // receive queue of that port
	Segs   uint16 // number of segments
	Flags  uint16 // reserved, zero
}

// MaxBurst is the largest number of packets in one round of an lcore.
const MaxBurst = 64

// TxRun asks for N packets to be sent on one transmit queue, in order.
type TxRun struct {
	Bufs  uint64 // address of N handles (uint64 each), outside the Go heap
	Port  uint16
	Queue uint16
	N     uint16
	Sent  uint16 // out: how many the device took; the rest stay with the caller
}

// Resize sets the length of a single-segment packet that was rewritten in
// place, before it is sent.
type Resize struct {
	Buf uint64
	Len uint32
	_   uint32
}

// Flush is everything that an lcore gives back to the devices in one round.
type Flush struct {
	Runs    []TxRun
	Frees   []uint64
	Resizes []Resize
}

// IO moves bursts for one lcore, over all the queues that this lcore owns.
//
// Thread-safety: an IO belongs to one lcore. Rx and Tx cross into C once each
// at most, whatever the number of ports.
type IO interface {
	// Rx fills descs from the receive queues of the lcore, in turn and at most
	// a burst from each, and returns how many it filled.
	Rx(descs []Desc) int
	// Tx applies f.Resizes, sends f.Runs (setting Sent in each) and frees f.Frees.
	Tx(f *Flush)
	// Alloc fills descs with fresh packets of length 0 and returns how many it
	// could. Desc.Len is the room there is for data.
	Alloc(descs []Desc) int
	// Read copies bytes of a packet that the caller owns, from offset on, to to,
	// across its segments, and returns how many there were. It is for what lies
	// behind Desc.Len; one call each.
	Read(buf uint64, offset uint32, to []byte) int
	// Idle lets the lcore rest for d at most, and reports whether something other
	// than the time has ended it. Its next Rx looks at every queue.
	Idle(how Rest, d time.Duration) (woken bool)
	// Wake ends an Idle under way that is not a pause, or else the next one. Any
	// goroutine may call it.
	Wake()
	// Interrupts reports whether a packet in any of the lcore's receive queues ends
	// a RestInterrupt. That is so where there are none.
	Interrupts() bool
	// Arm tells the devices to interrupt with the next packet, or not to. Whoever
	// arms them must look once more for what came before, and then rest; the end
	// of a RestInterrupt disarms them.
	Arm(on bool)
}

// Rest is how an lcore rests.
type Rest uint8

// The ways to rest.
const (
	RestNone      Rest = iota
	RestPause          // on its CPU, which it does not give away
	RestSleep          // off its CPU; Wake ends it
	RestInterrupt      // off its CPU; Wake ends it, and so does a packet where devices have interrupts
)

func (r Rest) String() string {
	return [...]string{"poll", "pause", "sleep", "interrupt"}[r]
}

// MinRoom is how many bytes every single-segment packet's buffer has room for,
// from Desc.Data on, whatever its length: an answer is written over a question.
const MinRoom = 1024
