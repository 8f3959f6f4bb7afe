package dpdk

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/pktio"
)

func TestJumboThroughARingPort(t *testing.T) {
	pool := smallPool(t)
	p := loop(t, pool, 1, 9001)
	io := mustIO(t, pool, p)
	send(t, io, p, 0, packet(t, pool, frame(9015, 1)))
	d := receive(t, io, 1)[0]
	if d.Segs != 5 || d.PktLen != 9015 || d.Len != DataRoomStandard {
		t.Errorf("9015 bytes came as %d segments, %d bytes of %d in the first", d.Segs, d.Len, d.PktLen)
	}
	if !bytes.Equal(mustBytes(t, d), frame(9015, 1)) {
		t.Error("the frame changed on its way")
	}
	free(d)
}

func TestHeadersComeInTheFirstSegment(t *testing.T) {
	pool := smallPool(t)
	p := loop(t, pool, 1, 0)
	io := mustIO(t, pool, p)
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.IntRange(1, 6000).Draw(rt, "size")
		first := rapid.IntRange(1, 400).Draw(rt, "first segment")
		in, err := PacketFromBytes(pool, frame(max(size, 14), size)[:size], first)
		if err != nil {
			rt.Fatal(err)
		}
		send(t, io, p, 0, in)
		d := receive(t, io, 1)[0]
		if d.Len < uint32(min(size, headerBytes)) {
			rt.Errorf("the first segment has %d bytes of %d", d.Len, size)
		}
		if !bytes.Equal(mustBytes(t, d), frame(max(size, 14), size)[:size]) || d.PktLen != uint32(size) {
			rt.Error("the packet changed")
		}
		if !bytes.Equal(bytesAt(d.Data, int(d.Len)), mustBytes(t, d)[:d.Len]) {
			rt.Error("the data address is not the first segment's")
		}
		free(d)
		if n := pool.InUse(); n != 0 {
			rt.Fatalf("%d segments leaked", n)
		}
	})
}

func TestPortWithoutChains(t *testing.T) {
	small := smallPool(t)
	p := loop(t, small, 1, 0)
	setPortFlags(p, portNoChainsTx)
	io := mustIO(t, small, p)
	chain := func(size int) pktio.Desc {
		d, err := PacketFromBytes(small, frame(size, size), 60)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	// The middle one fits no segment: it is dropped, and holds nobody up.
	send(t, io, p, 0, chain(1500), chain(3000), packet(t, small, frame(70, 70)), chain(200))
	for i, size := range []int{1500, 70, 200} {
		d := receive(t, io, 1)[0]
		if d.Segs != 1 || !bytes.Equal(mustBytes(t, d), frame(size, size)) {
			t.Errorf("packet %d came with %d segments, or changed", i, d.Segs)
		}
		free(d)
	}
	if s := io.Stats(); s.TxLinearised != 2 || s.TxUnchained != 1 {
		t.Errorf("%d were linearised, %d dropped; want 2 and 1", s.TxLinearised, s.TxUnchained)
	}
}

func TestChainMovesToALargerSegment(t *testing.T) {
	small := smallPool(t)
	large := testPool(t, PoolConfig{Count: 255, DataRoom: DataRoomJumbo})
	p := loop(t, small, 1, 0)
	setPortFlags(p, portNoChainsTx)
	io := mustIO(t, large, p)
	send(t, io, p, 0, packet(t, small, frame(9000, 2)))
	d := receive(t, io, 1)[0]
	if d.Segs != 1 || !bytes.Equal(mustBytes(t, d), frame(9000, 2)) {
		t.Errorf("the packet has %d segments, or changed", d.Segs)
	}
	free(d)
}

func TestTxFreesWholeChains(t *testing.T) {
	pool := smallPool(t)
	io := mustIO(t, pool)
	d := packet(t, pool, frame(9000, 1))
	if pool.InUse() != 5 {
		t.Fatalf("9000 bytes take %d segments, want 5", pool.InUse())
	}
	io.Tx(&pktio.Flush{Frees: []uint64{d.Buf}})
	if pool.InUse() != 0 {
		t.Errorf("%d segments were not freed", pool.InUse())
	}
}

func TestReadAcrossSegments(t *testing.T) {
	pool := smallPool(t)
	io := mustIO(t, pool)
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.IntRange(14, 6000).Draw(rt, "size")
		whole := frame(size, size)
		d, err := PacketFromBytes(pool, whole, rapid.IntRange(1, 400).Draw(rt, "first segment"))
		if err != nil {
			rt.Fatal(err)
		}
		from := rapid.IntRange(0, size+10).Draw(rt, "from")
		to := make([]byte, rapid.IntRange(0, 3000).Draw(rt, "bytes"))
		n := io.Read(d.Buf, uint32(from), to)
		if want := whole[min(from, size):min(from+len(to), size)]; !bytes.Equal(to[:n], want) {
			rt.Errorf("%d bytes from %d of %d: got %d, not what is there", len(to), from, size, n)
		}
		free(d)
	})
}
