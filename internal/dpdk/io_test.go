package dpdk

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nitrod/nitrod/internal/pktio"
)

func TestNullPortGivesAndTakes(t *testing.T) {
	pool := smallPool(t)
	p := mustOpen(t, PortConfig{Device: uniqueName("net_null") + ",size=100", Pool: pool})
	io := mustIO(t, pool, p)
	descs := make([]pktio.Desc, pktio.MaxBurst)
	n := io.Rx(descs)
	if n != DefaultBurst {
		t.Fatalf("one poll of one queue gave %d packets, want a burst of %d", n, DefaultBurst)
	}
	for i, d := range descs[:n] {
		want := pktio.Desc{Buf: d.Buf, Data: d.Data, Len: 100, PktLen: 100, Port: p.ID(), Segs: 1}
		if diff := cmp.Diff(want, d); diff != "" || d.Buf == 0 || d.Data == 0 {
			t.Fatalf("descriptor %d (-want +got):\n%s", i, diff)
		}
	}
	if pool.InUse() < n {
		t.Errorf("%d packets are in hand, and the pool counts %d", n, pool.InUse())
	}
	send(t, io, p, 0, descs[:n]...)
	s, err := p.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if s.RxPackets != uint64(n) || s.TxPackets != uint64(n) {
		t.Errorf("the port counted %d in and %d out, want %d", s.RxPackets, s.TxPackets, n)
	}
}

func TestRxStopsAtTheArraysEnd(t *testing.T) {
	pool := smallPool(t)
	p := mustOpen(t, PortConfig{Device: uniqueName("net_null"), Pool: pool, RxQueues: 4})
	io := mustIO(t, pool, p)
	descs := make([]pktio.Desc, pktio.MaxBurst)
	first := make(map[uint16]int)
	for range 4 {
		n := io.Rx(descs[:40])
		if n != 40 {
			t.Fatalf("%d packets, want 40", n)
		}
		for _, d := range descs[:n] {
			first[d.Queue]++
		}
		free(descs[:n]...)
	}
	for q := range uint16(4) {
		if first[q] == 0 {
			t.Errorf("queue %d was never reached: %v", q, first)
		}
	}
	if n := io.Rx(nil); n != 0 {
		t.Errorf("no room gave %d packets", n)
	}
}

func TestRxTakesTurns(t *testing.T) {
	pool := smallPool(t)
	p := mustOpen(t, PortConfig{Device: uniqueName("net_null"), Pool: pool, RxQueues: 3})
	io := mustIO(t, pool, p)
	descs := make([]pktio.Desc, pktio.MaxBurst)
	counts := make([]int, 3)
	for range 300 {
		n := io.Rx(descs[:DefaultBurst])
		counts[descs[0].Queue] += n
		free(descs[:n]...)
	}
	for q, n := range counts {
		if n != 100*DefaultBurst {
			t.Errorf("queue %d gave %d packets of %d", q, n, 300*DefaultBurst)
		}
	}
}

// loop is a net_ring port whose transmit queues come back as receive queues.
func loop(t testing.TB, pool *Pool, queues int, mtu int) *Port {
	t.Helper()
	return mustOpen(t, PortConfig{Device: uniqueName("net_ring"), Pool: pool, RxQueues: queues, TxQueues: queues, MTU: mtu})
}

func TestRingPortKeepsOrderPerQueue(t *testing.T) {
	pool := smallPool(t)
	p := loop(t, pool, 3, 0)
	io := mustIO(t, pool, p)
	for q := range 3 {
		var packets []pktio.Desc
		for i := range 20 {
			packets = append(packets, packet(t, pool, frame(60+i, q)))
		}
		send(t, io, p, q, packets...)
	}
	next := make([]int, 3)
	for _, d := range receive(t, io, 60) {
		want := frame(60+next[d.Queue], int(d.Queue))
		if !bytes.Equal(mustBytes(t, d), want) {
			t.Errorf("queue %d gave a wrong packet at place %d", d.Queue, next[d.Queue])
		}
		next[d.Queue]++
		free(d)
	}
}

func TestAllocResizeSend(t *testing.T) {
	pool := smallPool(t)
	p := loop(t, pool, 1, 0)
	io := mustIO(t, pool, p)
	descs := make([]pktio.Desc, 5)
	if n := io.Alloc(descs); n != len(descs) {
		t.Fatalf("%d packets allocated, want %d", n, len(descs))
	}
	bufs := newOffHeap(t, 5)
	flush := pktio.Flush{Runs: []pktio.TxRun{{Bufs: addressOf(bufs), Port: p.ID(), N: 4}}}
	for i, d := range descs {
		if d.Len != DataRoomStandard || d.PktLen != 0 || d.Segs != 1 {
			t.Errorf("a fresh packet is %+v", d)
		}
		copy(bytesAt(d.Data, 100+i), frame(100+i, i))
		bufs[i] = d.Buf
		flush.Resizes = append(flush.Resizes, pktio.Resize{Buf: d.Buf, Len: uint32(100 + i)})
	}
	flush.Frees = []uint64{descs[4].Buf}
	io.Tx(&flush)
	if flush.Runs[0].Sent != 4 {
		t.Fatalf("%d packets sent, want 4", flush.Runs[0].Sent)
	}
	for i, d := range receive(t, io, 4) {
		if !bytes.Equal(mustBytes(t, d), frame(100+i, i)) {
			t.Errorf("packet %d changed on its way", i)
		}
		free(d)
	}
}

func TestResizeBeyondTheRoomIsCounted(t *testing.T) {
	pool := smallPool(t)
	io := mustIO(t, pool)
	d := packet(t, pool, frame(60, 0))
	io.Tx(&pktio.Flush{Resizes: []pktio.Resize{{Buf: d.Buf, Len: DataRoomStandard + 1}}})
	if got := len(mustBytes(t, d)); got != 60 || io.Stats().BadResizes != 1 {
		t.Errorf("the packet has %d bytes, %d resizes were refused; want 60 and 1", got, io.Stats().BadResizes)
	}
	io.Tx(&pktio.Flush{Resizes: []pktio.Resize{{Buf: d.Buf, Len: DataRoomStandard}}})
	if got := len(mustBytes(t, d)); got != DataRoomStandard {
		t.Errorf("the packet has %d bytes, want all its room, %d", got, DataRoomStandard)
	}
	free(d)
}

func TestSentSaysWhatTheDeviceTook(t *testing.T) {
	pool := smallPool(t)
	ring, err := NewRing(RingConfig{Name: uniqueName("r"), Size: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ring.Close)
	p, err := OpenRingPort(PortConfig{Device: uniqueName("x"), Pool: pool}, []*Ring{ring}, []*Ring{ring})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	io := mustIO(t, pool, p)
	var packets []pktio.Desc
	for i := range 12 {
		packets = append(packets, packet(t, pool, frame(60, i)))
	}
	if sent := trySend(t, io, p, 0, packets...); sent != 8 {
		t.Errorf("a ring of 8 took %d packets", sent)
	}
	free(receive(t, io, 8)...)
}

func TestAllocFromAnEmptyPool(t *testing.T) {
	pool := testPool(t, PoolConfig{Count: 10})
	io := mustIO(t, pool)
	descs := make([]pktio.Desc, 16)
	if n := io.Alloc(descs); n != 10 {
		t.Errorf("a pool of 10 gave %d packets", n)
	}
	free(descs[:10]...)
}

func TestIdleQueuesAreStillPolled(t *testing.T) {
	pool := smallPool(t)
	const queues = 12
	p := loop(t, pool, queues, 0)
	io := mustIO(t, pool, p)
	descs := make([]pktio.Desc, pktio.MaxBurst)
	quiet := func(rounds int) {
		for range rounds {
			if n := io.Rx(descs); n != 0 {
				t.Fatalf("%d packets from nowhere", n)
			}
		}
	}
	for q := range queues {
		quiet(idleAfter + 1)
		send(t, io, p, q, packet(t, pool, frame(60, q)))
		rounds := 0
		for n := 0; n == 0; rounds++ {
			if n = io.Rx(descs); n != 0 {
				free(descs[:n]...)
			}
		}
		if rounds > idleEvery {
			t.Errorf("queue %d was polled after %d rounds, the bound is %d", q, rounds, idleEvery)
		}
	}
	quiet(idleAfter + 1)
	for q := range queues {
		send(t, io, p, q, packet(t, pool, frame(60, q)))
	}
	io.Idle(pktio.RestSleep, 1)
	n := io.Rx(descs)
	if n != queues {
		t.Errorf("after Idle one round found %d packets, want %d", n, queues)
	}
	free(descs[:n]...)
}

func TestNewIORefuses(t *testing.T) {
	pool := smallPool(t)
	p := mustOpen(t, PortConfig{Device: uniqueName("net_null"), Pool: pool})
	_, err := NewIO(nil, nil, 0)
	wantError(t, err, "pool")
	_, err = NewIO(pool, nil, pktio.MaxBurst+1)
	wantError(t, err, "burst")
	_, err = NewIO(pool, []RxQueue{{Port: p, Queue: 1}}, 0)
	wantError(t, err, "queue 1", p.Name())
}

func TestHotCallsDoNotAllocate(t *testing.T) {
	pool := smallPool(t)
	p := mustOpen(t, PortConfig{Device: uniqueName("net_null"), Pool: pool})
	io := mustIO(t, pool, p)
	descs := make([]pktio.Desc, pktio.MaxBurst)
	bufs := newOffHeap(t, pktio.MaxBurst)
	f := &pktio.Flush{Runs: make([]pktio.TxRun, 1), Frees: make([]uint64, 0, 4)}
	var stats IOStats
	round := func() {
		n := io.Rx(descs)
		f.Frees = f.Frees[:0]
		for i, d := range descs[:n] {
			if i < 4 {
				f.Frees = append(f.Frees, d.Buf)
			} else {
				bufs[i-4] = d.Buf
			}
		}
		f.Runs[0] = pktio.TxRun{Bufs: addressOf(bufs), Port: p.ID(), N: uint16(n - 4)}
		io.Tx(f)
		k := io.Alloc(descs[:2])
		FreeBurst([]uint64{descs[0].Buf, descs[1].Buf}[:k])
		io.Idle(pktio.RestSleep, 1)
		stats = io.Stats()
	}
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("a round allocates %v times, stats %+v", n, stats)
	}
}
