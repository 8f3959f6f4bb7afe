package reload

import (
	"sync/atomic"
	"time"

	"github.com/nitrod/nitrod/internal/hugemem"
	"github.com/nitrod/nitrod/internal/pktio"
)

// ringDepth is how many frames the ring before the lcore holds, as the receive
// ring of a fast card does. What comes while it is full is lost.
const ringDepth = 4096

// noticeGap is the least gap between two polls after which the source asks the
// kernel whether the lcore's thread was kept from running.
const noticeGap = 50 * time.Microsecond

// frame is one of those that the source gives in turn.
type frame struct {
	bytes []byte // Ethernet, IPv4 without options; all are equally long
	port  uint16
}

// source is a pktio.IO that gives frames from memory at a fixed rate, whatever
// becomes of them: an open loop. No thread makes the frames: how many have come
// since the start is arithmetic, so that the source neither takes a processor
// from what it measures nor has stalls of its own. What was not fetched waits,
// and what finds ringDepth frames waiting is lost.
//
// Thread-safety: one lcore polls; another goroutine changes the phase.
type source struct {
	clock func() int64
	delay func() int64 // for how long the kernel has kept the polling thread from running, ns
	mem   *hugemem.Block[byte]
	slot  int
	size  int
	ether [][12]byte
	ttl   [][3]byte // TTL and checksum as they were
	ports []uint16
	at    int

	next atomic.Pointer[phase]
	now  *phase
	last int64 // time of the poll before
	held int64 // delay at the last look
}

// Where the rewriting stages change a frame.
const offTTL, offChecksum = 22, 24

func newSource(frames []frame, clock, delay func() int64) (*source, error) {
	s := &source{clock: clock, delay: delay, size: len(frames[0].bytes)}
	s.slot = (s.size + 63) &^ 63
	var err error
	if s.mem, err = hugemem.Alloc[byte](len(frames) * s.slot); err != nil {
		return nil, err
	}
	for i, f := range frames {
		copy(s.mem.Items[i*s.slot:], f.bytes)
		s.ether = append(s.ether, [12]byte(f.bytes))
		s.ttl = append(s.ttl, [3]byte{f.bytes[offTTL], f.bytes[offChecksum], f.bytes[offChecksum+1]})
		s.ports = append(s.ports, f.port)
	}
	s.now = &phase{}
	return s, nil
}

// phase is a stretch of time at one rate, and what became of its frames.
type phase struct {
	rate  float64 // frames a nanosecond; 0: none; negative: as fast as they are fetched
	start int64

	Taken, Missed uint64
	// A stall is a gap between two polls for at least half of which the kernel
	// kept the lcore's thread from running. Excused are those of Missed that
	// were lost by stalls.
	Excused  uint64
	Stalls   int
	Stalled  time.Duration // all of them together
	Waiting  int64         // the most frames that ever waited
	Worst    time.Duration // the longest gap that was no stall
	Duration time.Duration
	done     chan struct{}
}

// change begins a phase and returns the one before, once it has ended.
func (s *source) change(rate float64) *phase {
	p := &phase{rate: rate, done: make(chan struct{})}
	before := s.next.Swap(p)
	if before != nil {
		<-before.done
	}
	return before
}

// begin takes up a new phase, if there is one.
func (s *source) begin(now int64) {
	p := s.next.Load()
	if p == nil || p == s.now {
		return
	}
	before := s.now
	p.start, s.now, s.held = now, p, s.delay()
	s.last = now
	if before.done != nil {
		before.Duration = time.Duration(now - before.start)
		close(before.done)
	}
}

// Rx implements pktio.IO.
func (s *source) Rx(descs []pktio.Desc) int {
	now := s.clock()
	s.begin(now)
	p := s.now
	gap := time.Duration(now - s.last)
	s.last = now
	n := len(descs)
	if p.rate >= 0 {
		n = min(n, int(s.arrive(p, now, gap)))
	}
	base := startOf(s.mem.Items)
	for k := range descs[:n] {
		off := s.at * s.slot
		f := s.mem.Items[off : off+s.size]
		*(*[12]byte)(f) = s.ether[s.at]
		f[offTTL], f[offChecksum], f[offChecksum+1] = s.ttl[s.at][0], s.ttl[s.at][1], s.ttl[s.at][2]
		descs[k] = pktio.Desc{
			Buf: uint64(s.at) + 1, Data: base + uint64(off), Len: uint32(s.size), PktLen: uint32(s.size), Port: s.ports[s.at], Segs: 1,
		}
		if s.at++; s.at == len(s.ports) {
			s.at = 0
		}
	}
	p.Taken += uint64(n)
	return n
}

// arrive counts what has come by now, and loses what finds the ring full. It
// returns how many wait.
func (s *source) arrive(p *phase, now int64, gap time.Duration) int64 {
	waiting := int64(float64(now-p.start)*p.rate) - int64(p.Taken+p.Missed)
	lost := max(0, waiting-ringDepth)
	p.Missed += uint64(lost)
	stalled := false
	if gap > noticeGap {
		held := s.delay()
		stalled = time.Duration(held-s.held) >= gap/2
		s.held = held
	}
	if stalled {
		p.Excused += uint64(lost)
		p.Stalls++
		p.Stalled += gap
	} else {
		p.Worst = max(p.Worst, gap)
	}
	p.Waiting = max(p.Waiting, waiting-lost)
	return waiting - lost
}

// Tx implements pktio.IO: all is taken.
func (s *source) Tx(f *pktio.Flush) {
	for i := range f.Runs {
		f.Runs[i].Sent = f.Runs[i].N
	}
}

// Alloc implements pktio.IO: there is nothing to answer with.
func (s *source) Alloc([]pktio.Desc) int { return 0 }

// Idle implements pktio.IO: the source does not rest.
func (s *source) Idle(pktio.Rest, time.Duration) bool { return false }

// Wake implements pktio.IO.
func (s *source) Wake() {}

// Interrupts implements pktio.IO.
func (s *source) Interrupts() bool { return false }

// Arm implements pktio.IO.
func (s *source) Arm(bool) {}

// Read implements pktio.IO: nothing lies behind what the descriptors show.
func (s *source) Read(uint64, uint32, []byte) int { return 0 }
