package simport

import (
	"runtime"
	"sync"
	"testing"

	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/packet/check"
	"github.com/nitrod/nitrod/internal/pktio"
)

func flows(n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = udpFrame(uint16(1000+i), 64)
	}
	return out
}

func TestSequence(t *testing.T) {
	tcp := packet.Build(packet.Ether{}, packet.IPv6{Src: packet.MustIP("fd00::1"), Dst: packet.MustIP("fd00::2")}, packet.TCP{}, packet.Fill(20))
	none := packet.Build(packet.Ether{}, packet.IPv4{}, packet.UDP{NoChecksum: true}, packet.Fill(20))
	s := NewSequence([][]byte{udpFrame(1, 64), tcp, none})
	src := s.SourceN(0, 1, 3000)
	buf := make([]byte, DefaultSlotSize)
	for {
		n := src(buf)
		if n == 0 {
			break
		}
		check.Any(t, buf[:n])
		if l, _ := packet.Locate(buf[:n]); l.EtherType == packet.EtherTypeIPv4 {
			check.IPv4(t, buf[:n])
		} else {
			check.IPv6(t, buf[:n])
		}
		s.Sink(buf[:n])
	}
	if got, want := s.Result(), (SequenceResult{Sent: 3000, Received: 3000}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestSequenceFindsFaults(t *testing.T) {
	s := NewSequence(flows(2))
	src := s.Source(1, 2) // the second flow alone
	var frames [][]byte
	for range 6 {
		buf := make([]byte, 64)
		src(buf)
		frames = append(frames, buf)
	}
	for _, i := range []int{0, 1, 4, 3, 3, 5} { // 2 is lost, then 3 comes late, twice
		s.Sink(frames[i])
	}
	s.Sink(udpFrame(9, 64))
	s.Sink([]byte{1})
	if got, want := s.Result(), (SequenceResult{Sent: 6, Received: 8, Lost: 3, Reordered: 2, Foreign: 2}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// Two lcores, each with its own flows and its own queues, and one goroutine
// that drains: no packet is lost, reordered or leaked.
func TestTwoLcores(t *testing.T) {
	const perCore = 20000
	pool := newPool(t, 2048, 0)
	s := NewSequence(flows(64))
	in := NewPort(pool, PortConfig{RxQueues: 2, Source: func(q int) Source { return s.SourceN(q, 2, perCore) }})
	out := NewPort(pool, PortConfig{TxQueues: 2, TxDepth: 256})
	var wg sync.WaitGroup
	for core := range 2 {
		f := newForwarder(t, NewIO(pool, []Queue{{in, core}}), nil)
		f.to = func(*pktio.Desc) (uint16, uint16, bool) { return out.ID(), uint16(core), true }
		wg.Go(func() {
			for {
				// A full queue would be loss, and this test is about none.
				if out.TxWaiting(core) > 128 {
					runtime.Gosched()
					continue
				}
				if n := f.round(); n == 0 && in.RxStats(core).Packets == perCore {
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	drained := 0
	for stop := false; !stop; {
		select {
		case <-done:
			stop = true
		default:
		}
		got := out.Drain(0, s.Sink) + out.Drain(1, s.Sink)
		if drained += got; got == 0 {
			runtime.Gosched()
		}
	}
	if got, want := s.Result(), (SequenceResult{Sent: 2 * perCore, Received: 2 * perCore}); got != want || drained != 2*perCore {
		t.Errorf("%+v, want %+v; drained %d", got, want, drained)
	}
	checkEmpty(t, pool)
}

// Packets that are freed elsewhere than they were allocated wander through the
// pool, and all come back.
func TestPoolShared(t *testing.T) {
	pool := newPool(t, 512, 64)
	const users, rounds = 4, 3000
	hand := make(chan uint32, 16)
	var wg sync.WaitGroup
	for u := range users {
		c := newCache(pool)
		wg.Go(func() {
			for range rounds {
				if u%2 == 0 {
					i, ok := c.get(slotOwned)
					if !ok {
						t.Error("pool is empty")
						i = 0
					}
					hand <- i
				} else {
					c.put(<-hand, slotOwned, "free")
				}
			}
		})
	}
	wg.Wait()
	checkEmpty(t, pool)
	// What is not in the caches of the four is in the pool, each slot once.
	seen := map[uint32]bool{}
	for _, i := range pool.free {
		if seen[i] {
			t.Fatalf("slot %d is free twice", i)
		}
		seen[i] = true
	}
	if len(seen) < pool.Slots()-users*pool.cacheMax {
		t.Errorf("%d of %d slots are in the pool", len(seen), pool.Slots())
	}
}

func TestNoAllocations(t *testing.T) {
	for _, slots := range []int{16, 1024} { // without and with caches
		pool := newPool(t, slots, 0)
		s := NewSequence(flows(8))
		gen := NewPort(pool, PortConfig{Source: func(int) Source { return s.Source(0, 1) }})
		quiet := NewPort(pool, PortConfig{})
		checked := NewPort(pool, PortConfig{Sink: func(int) Sink { return s.Sink }})
		plain := NewPort(pool, PortConfig{})
		f := newForwarder(t, NewIO(pool, []Queue{{Port: gen}, {Port: quiet}}), nil)
		turn := 0
		f.to = func(*pktio.Desc) (uint16, uint16, bool) {
			turn++
			if turn&1 == 0 {
				return checked.ID(), 0, true
			}
			return plain.ID(), 0, true
		}
		frame := udpFrame(1, 64)
		drop := func([]byte) {}
		if n := testing.AllocsPerRun(200, func() {
			quiet.Inject(0, frame)
			f.round()
			plain.Drain(0, drop)
		}); n != 0 {
			t.Errorf("%d slots: %v allocations per round", slots, n)
		}
		quiet.Discard()
		checkEmpty(t, pool)
	}
}

// What the ports themselves cost per packet, which is what is left to subtract
// from a pipeline's figure. One iteration is one packet.
func BenchmarkForward(b *testing.B) {
	for _, c := range []struct {
		name string
		flow int
	}{{"1flow", 1}, {"1000flows", 1000}} {
		b.Run(c.name, func(b *testing.B) {
			pool := newPool(b, 4096, 0)
			s := NewSequence(flows(c.flow))
			in := NewPort(pool, PortConfig{Source: func(int) Source { return s.Source(0, 1) }})
			out := NewPort(pool, PortConfig{Sink: func(int) Sink { return s.Sink }})
			f := newForwarder(b, NewIO(pool, []Queue{{Port: in}}), toPort(out))
			b.ReportAllocs()
			for n := 0; n < b.N; {
				n += f.round()
			}
			if r := s.Result(); r.Reordered+r.Lost+r.Foreign != 0 || r.Sent != r.Received {
				b.Errorf("%+v", r)
			}
		})
	}
}
