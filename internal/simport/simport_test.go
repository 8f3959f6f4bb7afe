package simport

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/pktio"
)

// forwarder is the least that an lcore can be: it sends what it receives.
type forwarder struct {
	io    *IO
	descs []pktio.Desc
	mem   arena
	runs  []pktio.TxRun
	frees []uint64
	flush pktio.Flush
	// to says where a packet goes; ok false frees it.
	to func(d *pktio.Desc) (port, queue uint16, ok bool)
}

func newForwarder(t testing.TB, io *IO, to func(*pktio.Desc) (uint16, uint16, bool)) *forwarder {
	f := &forwarder{io: io, descs: make([]pktio.Desc, pktio.MaxBurst), mem: newArena(pktio.MaxBurst * 8),
		runs: make([]pktio.TxRun, 0, pktio.MaxBurst), frees: make([]uint64, 0, pktio.MaxBurst), to: to}
	t.Cleanup(f.mem.close)
	return f
}

// round does one burst and returns how many packets it received.
func (f *forwarder) round() int {
	n := f.io.Rx(f.descs)
	f.runs, f.frees = f.runs[:0], f.frees[:0]
	for i := range f.descs[:n] {
		d := &f.descs[i]
		binary.NativeEndian.PutUint64(f.mem.mem[i*8:], d.Buf)
		port, queue, ok := f.to(d)
		if !ok {
			f.frees = append(f.frees, d.Buf)
			continue
		}
		last := len(f.runs) - 1
		if last >= 0 && f.runs[last].Port == port && f.runs[last].Queue == queue &&
			f.runs[last].Bufs+uint64(f.runs[last].N)*8 == f.mem.base+uint64(i)*8 {
			f.runs[last].N++
			continue
		}
		f.runs = append(f.runs, pktio.TxRun{Bufs: f.mem.base + uint64(i)*8, Port: port, Queue: queue, N: 1})
	}
	f.flush = pktio.Flush{Runs: f.runs, Frees: f.frees}
	f.io.Tx(&f.flush)
	f.flush = pktio.Flush{Frees: f.frees[:0]}
	for i := range f.runs {
		r := &f.runs[i]
		f.flush.Frees = append(f.flush.Frees, r.Handles()[r.Sent:]...)
	}
	f.io.Tx(&f.flush)
	return n
}

func toPort(p *Port) func(*pktio.Desc) (uint16, uint16, bool) {
	return func(*pktio.Desc) (uint16, uint16, bool) { return p.ID(), 0, true }
}

func udpFrame(port uint16, size int) []byte {
	return packet.Build(
		packet.Ether{Dst: packet.MustMAC("02:00:00:00:00:02"), Src: packet.MustMAC("02:00:00:00:00:01")},
		packet.IPv4{Src: packet.MustIP("10.0.0.4"), Dst: packet.MustIP("10.0.1.4")},
		packet.UDP{SrcPort: port, DstPort: 9},
		packet.Fill(size-packet.EtherLen-packet.IPv4MinLen-packet.UDPLen))
}

func newPool(t testing.TB, slots, size int) *Pool {
	p := NewPool(slots, size)
	t.Cleanup(p.Close)
	return p
}

// checkEmpty asserts that every packet was given back.
func checkEmpty(t testing.TB, p *Pool) {
	t.Helper()
	if n := p.InUse(); n != 0 {
		t.Errorf("%d packets are in use, an lcore holds %#x", n, p.Leaks(8))
	}
}

func TestForward(t *testing.T) {
	pool := newPool(t, 256, 0)
	a := NewPort(pool, PortConfig{})
	b := NewPort(pool, PortConfig{})
	f := newForwarder(t, NewIO(pool, []Queue{{Port: a}}), toPort(b))
	var want [][]byte
	for i := range 100 {
		frame := udpFrame(uint16(i), 64+i)
		want = append(want, frame)
		if !a.Inject(0, frame) {
			t.Fatalf("frame %d was refused", i)
		}
	}
	if a.RxWaiting(0) != 100 || pool.InUse() != 100 {
		t.Errorf("%d wait, %d in use", a.RxWaiting(0), pool.InUse())
	}
	for f.round() > 0 {
	}
	var got [][]byte
	if n := b.Drain(0, func(frame []byte) { got = append(got, bytes.Clone(frame)) }); n != 100 {
		t.Errorf("drained %d", n)
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("frame %d came out as another: %s", i, packet.Summary(got[i]))
		}
	}
	var size uint64
	for _, w := range want {
		size += uint64(len(w))
	}
	if rx, tx, all := a.RxStats(0), b.TxStats(0), (QueueStats{Packets: 100, Bytes: size}); rx != all || tx != all {
		t.Errorf("rx %+v, tx %+v, want %+v", rx, tx, all)
	}
	checkEmpty(t, pool)
}

func TestDesc(t *testing.T) {
	pool := newPool(t, 8, JumboSlotSize)
	NewPort(pool, PortConfig{})
	p := NewPort(pool, PortConfig{RxQueues: 3})
	frame := udpFrame(1, 9014)
	p.Inject(2, frame)
	p.InjectSplit(2, frame, 20)
	io := NewIO(pool, []Queue{{p, 0}, {p, 2}})
	descs := make([]pktio.Desc, 4)
	if n := io.Rx(descs); n != 2 {
		t.Fatalf("received %d", n)
	}
	for i, first := range []uint32{9014, 20} {
		d := descs[i]
		want := pktio.Desc{Buf: d.Buf, Data: d.Data, Len: first, PktLen: 9014, Port: 1, Queue: 2, Segs: uint16(i + 1)}
		if d != want || d.Buf == 0 {
			t.Errorf("desc %+v, want %+v", d, want)
		}
		if !bytes.Equal(pktio.Bytes(d.Data, d.Len), frame[:first]) || !bytes.Equal(pool.Frame(d.Buf), frame) {
			t.Errorf("packet %d has other bytes", i)
		}
	}
	if got := pool.Leaks(1); len(got) != 1 || got[0] != descs[0].Buf && got[0] != descs[1].Buf {
		t.Errorf("leaks %#x, want one of %#x and %#x", got, descs[0].Buf, descs[1].Buf)
	}
	io.Tx(&pktio.Flush{Frees: []uint64{descs[0].Buf, descs[1].Buf}})
	checkEmpty(t, pool)
}

// All queues get their turn, whatever the first ones hold.
func TestRxRotates(t *testing.T) {
	pool := newPool(t, 1024, 0)
	p := NewPort(pool, PortConfig{RxQueues: 4})
	frame := udpFrame(1, 64)
	for q := range 4 {
		for range 128 {
			p.Inject(q, frame)
		}
	}
	io := NewIO(pool, []Queue{{p, 0}, {p, 1}, {p, 2}, {p, 3}})
	descs := make([]pktio.Desc, 2*Burst)
	seen := map[uint16]int{}
	for range 4 {
		n := io.Rx(descs)
		if n != 2*Burst {
			t.Fatalf("received %d", n)
		}
		frees := make([]uint64, n)
		for i, d := range descs[:n] {
			seen[d.Queue]++
			frees[i] = d.Buf
		}
		io.Tx(&pktio.Flush{Frees: frees})
	}
	for q := range uint16(4) {
		if seen[q] != 2*Burst {
			t.Errorf("queue %d gave %d packets, want %d", q, seen[q], 2*Burst)
		}
	}
	if p.Discard() != 4*128-8*Burst {
		t.Error("the rest was not discarded")
	}
	checkEmpty(t, pool)
}

func TestQueuesRefuse(t *testing.T) {
	pool := newPool(t, 40, 0)
	in := NewPort(pool, PortConfig{RxDepth: 10})
	out := NewPort(pool, PortConfig{TxDepth: 6})
	frame := udpFrame(1, 64)
	for i := range 12 {
		if got := in.Inject(0, frame); got != (i < 10) {
			t.Errorf("inject %d: %t", i, got)
		}
	}
	io := NewIO(pool, []Queue{{Port: in}})
	f := newForwarder(t, io, toPort(out))
	f.round()
	if f.runs[0].N != 10 || f.runs[0].Sent != 6 {
		t.Errorf("sent %d of %d, want 6 of 10", f.runs[0].Sent, f.runs[0].N)
	}
	if in.RxStats(0).Missed != 2 || out.TxStats(0).Missed != 4 || out.TxWaiting(0) != 6 {
		t.Errorf("rx missed %d, tx missed %d, %d wait", in.RxStats(0).Missed, out.TxStats(0).Missed, out.TxWaiting(0))
	}
	if out.DrainN(0, 4, func([]byte) {}) != 4 || out.Drain(0, func([]byte) {}) != 2 {
		t.Error("drained other than 4 and 2")
	}
	checkEmpty(t, pool)
}

// An empty pool refuses and recovers. With so few slots nothing hides in caches.
func TestPoolRunsDry(t *testing.T) {
	pool := newPool(t, 5, 0)
	p := NewPort(pool, PortConfig{})
	source := NewPort(pool, PortConfig{Source: func(int) Source { return Replay([][]byte{udpFrame(1, 64)}, true) }})
	io := NewIO(pool, []Queue{{Port: p}, {Port: source}})
	descs := make([]pktio.Desc, 8)
	if n := io.Alloc(descs); n != 5 || descs[4].Len != DefaultSlotSize || descs[4].PktLen != 0 || descs[4].Segs != 1 {
		t.Fatalf("allocated %d, the last %+v", n, descs[4])
	}
	if p.Inject(0, udpFrame(1, 64)) || p.RxStats(0).Missed != 1 {
		t.Error("a packet came from nowhere")
	}
	if n := io.Rx(descs[5:]); n != 0 || source.RxStats(0).Missed != 1 {
		t.Errorf("received %d", n)
	}
	io.Tx(&pktio.Flush{Frees: []uint64{descs[0].Buf, descs[1].Buf, descs[2].Buf, descs[3].Buf, descs[4].Buf}})
	checkEmpty(t, pool)
	if !p.Inject(0, udpFrame(1, 64)) || io.Rx(descs) != 5 {
		t.Error("the pool did not recover")
	}
}

// A packet that nitrod makes itself: allocated, written, resized, sent.
func TestOriginate(t *testing.T) {
	pool := newPool(t, 64, 0)
	p := NewPort(pool, PortConfig{})
	io := NewIO(pool, nil)
	descs := make([]pktio.Desc, 1)
	io.Alloc(descs)
	frame := udpFrame(7, 200)
	copy(pktio.Bytes(descs[0].Data, descs[0].Len), frame)
	mem := newArena(8)
	defer mem.close()
	binary.NativeEndian.PutUint64(mem.mem, descs[0].Buf)
	f := &pktio.Flush{Resizes: []pktio.Resize{{Buf: descs[0].Buf, Len: 200}}, Runs: []pktio.TxRun{{Bufs: mem.base, Port: p.ID(), N: 1}}}
	io.Tx(f)
	if f.Runs[0].Sent != 1 {
		t.Fatal("not sent")
	}
	p.Drain(0, func(got []byte) {
		if !bytes.Equal(got, frame) {
			t.Errorf("sent %s", packet.Summary(got))
		}
	})
	checkEmpty(t, pool)
}

func TestMisusePanics(t *testing.T) {
	for _, c := range []struct {
		name, want string
		f          func(pool *Pool, p *Port, io *IO, d pktio.Desc)
	}{
		{"free twice", "which is free", func(_ *Pool, _ *Port, io *IO, d pktio.Desc) {
			io.Tx(&pktio.Flush{Frees: []uint64{d.Buf, d.Buf}})
		}},
		{"free after send", "which is in a queue of a port", func(_ *Pool, p *Port, io *IO, d pktio.Desc) {
			run(io, p.ID(), 0, d.Buf)
			io.Tx(&pktio.Flush{Frees: []uint64{d.Buf}})
		}},
		{"send twice", "which is in a queue of a port", func(_ *Pool, p *Port, io *IO, d pktio.Desc) { run(io, p.ID(), 0, d.Buf, d.Buf) }},
		{"send after free", "which is free", func(_ *Pool, p *Port, io *IO, d pktio.Desc) {
			io.Tx(&pktio.Flush{Frees: []uint64{d.Buf}})
			run(io, p.ID(), 0, d.Buf)
		}},
		{"zero handle", "no handle", func(_ *Pool, _ *Port, io *IO, _ pktio.Desc) { io.Tx(&pktio.Flush{Frees: []uint64{0}}) }},
		{"foreign handle", "no handle", func(_ *Pool, _ *Port, io *IO, _ pktio.Desc) { io.Tx(&pktio.Flush{Frees: []uint64{1000}}) }},
		{"no such port", "does not exist", func(_ *Pool, _ *Port, io *IO, d pktio.Desc) { run(io, 9, 0, d.Buf) }},
		{"no such queue", "does not exist", func(_ *Pool, p *Port, io *IO, d pktio.Desc) { run(io, p.ID(), 9, d.Buf) }},
		{"resize beyond the slot", "resize", func(_ *Pool, _ *Port, io *IO, d pktio.Desc) {
			io.Tx(&pktio.Flush{Resizes: []pktio.Resize{{Buf: d.Buf, Len: DefaultSlotSize + 1}}})
		}},
		{"resize what is not owned", "resize", func(_ *Pool, _ *Port, io *IO, d pktio.Desc) {
			io.Tx(&pktio.Flush{Frees: []uint64{d.Buf}})
			io.Tx(&pktio.Flush{Resizes: []pktio.Resize{{Buf: d.Buf, Len: 1}}})
		}},
		{"inject too much", "for slots of", func(_ *Pool, p *Port, _ *IO, _ pktio.Desc) { p.Inject(0, make([]byte, DefaultSlotSize+1)) }},
		{"no such receive queue", "no receive queue", func(pool *Pool, p *Port, _ *IO, _ pktio.Desc) { NewIO(pool, []Queue{{p, 1}}) }},
		{"pool of nothing", "pool of", func(*Pool, *Port, *IO, pktio.Desc) { NewPool(0, 0) }},
		{"long frame from a file", "for slots of", func(*Pool, *Port, *IO, pktio.Desc) { Replay([][]byte{make([]byte, 65)}, false)(make([]byte, 64)) }},
		{"sequence without room", "sequence number", func(*Pool, *Port, *IO, pktio.Desc) { NewSequence([][]byte{udpFrame(1, 46)}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			pool := newPool(t, 64, 0)
			p := NewPort(pool, PortConfig{})
			io := NewIO(pool, []Queue{{Port: p}})
			descs := make([]pktio.Desc, 1)
			io.Alloc(descs)
			defer func() {
				if r, _ := recover().(string); !strings.Contains(r, c.want) {
					t.Errorf("panic %q, want one with %q", r, c.want)
				}
			}()
			c.f(pool, p, io, descs[0])
		})
	}
}

func run(io *IO, port, queue uint16, bufs ...uint64) {
	mem := newArena(8 * len(bufs))
	defer mem.close()
	for i, b := range bufs {
		binary.NativeEndian.PutUint64(mem.mem[8*i:], b)
	}
	io.Tx(&pktio.Flush{Runs: []pktio.TxRun{{Bufs: mem.base, Port: port, Queue: queue, N: uint16(len(bufs))}}})
}

// A queue is a bounded list, whatever its size.
func TestRingTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 40).Draw(t, "size")
		r := newRing(size)
		// Near the wrap of the counters as often as not.
		start := rapid.SampledFrom([]uint32{0, ^uint32(5)}).Draw(t, "start")
		r.head.Store(start)
		r.tail.Store(start)
		var twin []uint32
		for k := range rapid.IntRange(0, 200).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "push") {
				if got := r.push(uint32(k)); got != (len(twin) < size) {
					t.Fatalf("push into %d of %d: %t", len(twin), size, got)
				} else if got {
					twin = append(twin, uint32(k))
				}
			} else {
				v, ok := r.pop()
				if ok != (len(twin) > 0) || ok && v != twin[0] {
					t.Fatalf("pop %d %t from %v", v, ok, twin)
				}
				if ok {
					twin = twin[1:]
				}
			}
			if r.len() != len(twin) {
				t.Fatalf("length %d, want %d", r.len(), len(twin))
			}
		}
	})
}
