package packet_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/packet"
)

// slowSum is RFC 1071 to the letter: word by word, carry around at once.
func slowSum(b []byte) uint16 {
	var s uint32
	for i := 0; i < len(b); i += 2 {
		w := uint32(b[i]) << 8
		if i+1 < len(b) {
			w |= uint32(b[i+1])
		}
		if s += w; s > 0xffff {
			s -= 0xffff
		}
	}
	return uint16(s)
}

func TestSumExample(t *testing.T) {
	// The numbers of RFC 1071 section 3.
	b := []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}
	if got := packet.Sum(b); got != 0xddf2 {
		t.Errorf("Sum = %#04x, want 0xddf2", got)
	}
	if got := packet.Checksum(b); got != 0x220d {
		t.Errorf("Checksum = %#04x, want 0x220d", got)
	}
}

func TestSumTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "bytes")
		if got, want := packet.Sum(b), slowSum(b); got != want {
			t.Fatalf("Sum(%x) = %#04x, want %#04x", b, got, want)
		}
	})
}

// Carries are rare in random input; all ones make one at every step.
func TestSumCarries(t *testing.T) {
	for n := range 300 {
		for _, fill := range []byte{0x00, 0x01, 0x80, 0xfe, 0xff} {
			b := make([]byte, n)
			for i := range b {
				b[i] = fill
			}
			if got, want := packet.Sum(b), slowSum(b); got != want {
				t.Fatalf("Sum of %d bytes %#02x = %#04x, want %#04x", n, fill, got, want)
			}
		}
	}
}

func TestAddJoinsParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "bytes")
		cut := rapid.IntRange(0, len(b)/2).Draw(t, "cut") * 2
		if got, want := packet.Add(packet.Sum(b[:cut]), packet.Sum(b[cut:])), slowSum(b); got != want {
			t.Fatalf("sum in two parts %#04x, want %#04x", got, want)
		}
	})
}

func TestUpdateTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// A real header never sums to zero: some word of it is not zero.
		b := rapid.SliceOfN(rapid.Byte(), 40, 80).Draw(t, "bytes")
		b[0] |= 1
		old := ^slowSum(b)
		var got uint16
		switch width := rapid.SampledFrom([]int{2, 4, 16}).Draw(t, "width"); width {
		case 2:
			to := rapid.Uint16().Draw(t, "to")
			got = packet.Update16(old, binary.BigEndian.Uint16(b[8:]), to)
			binary.BigEndian.PutUint16(b[8:], to)
		case 4:
			to := rapid.Uint32().Draw(t, "to")
			got = packet.Update32(old, binary.BigEndian.Uint32(b[8:]), to)
			binary.BigEndian.PutUint32(b[8:], to)
		case 16:
			hi, lo := rapid.Uint64().Draw(t, "hi"), rapid.Uint64().Draw(t, "lo")
			got = packet.Update128(old, binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:]), hi, lo)
			binary.BigEndian.PutUint64(b[8:], hi)
			binary.BigEndian.PutUint64(b[16:], lo)
		}
		if want := ^slowSum(b); got != want {
			t.Fatalf("updated to %#04x, computed anew %#04x", got, want)
		}
	})
}

// The case that RFC 1624 was written for: the old equation gave 0xffff.
func TestUpdateRFC1624(t *testing.T) {
	if got := packet.Update16(0xdd2f, 0x5555, 0x3285); got != 0x0000 {
		t.Errorf("Update16 = %#04x, want 0", got)
	}
}

// Every TTL, with many identifications so that the checksum takes many values,
// 0 and 0xffff among them.
func TestDecrementTTL(t *testing.T) {
	frame := packet.Build(packet.IPv4{Src: packet.MustIP("10.0.0.4"), Dst: packet.MustIP("10.0.1.4")})
	h := packet.IPv4Header(frame)
	for ttl := 1; ttl <= 255; ttl++ {
		for id := 0; id <= 0xffff; id += 7 {
			h[8] = byte(ttl)
			binary.BigEndian.PutUint16(h[4:], uint16(id))
			h.UpdateChecksum()
			h.DecrementTTL()
			got := h.Checksum()
			h.UpdateChecksum()
			if got != h.Checksum() || int(h.TTL()) != ttl-1 {
				t.Fatalf("ttl %d id %#x: checksum %#04x, want %#04x; ttl now %d", ttl, id, got, h.Checksum(), h.TTL())
			}
		}
	}
}

func TestSetAddresses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := packet.IPv4Header(packet.Build(packet.IPv4{Src: packet.MustIP("10.0.0.4"), Dst: packet.MustIP("10.0.1.4")}))
		src, dst := rapid.Uint32().Draw(t, "src"), rapid.Uint32().Draw(t, "dst")
		h.SetSrc(src)
		h.SetDst(dst)
		if h.Src() != src || h.Dst() != dst || !h.ChecksumOK() {
			t.Fatalf("src %#x dst %#x checksum ok %t", h.Src(), h.Dst(), h.ChecksumOK())
		}
	})
}

func BenchmarkSum(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{20, 64, 576, 1500, 9000} {
		buf := make([]byte, size)
		for i := range buf {
			buf[i] = byte(rng.Uint32())
		}
		b.Run(sizeName(size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for range b.N {
				sink += packet.Sum(buf)
			}
		})
		b.Run(sizeName(size)+"/twin", func(b *testing.B) {
			b.SetBytes(int64(size))
			for range b.N {
				sink += slowSum(buf)
			}
		})
	}
}

func BenchmarkDecrementTTL(b *testing.B) {
	h := packet.IPv4Header(packet.Build(packet.IPv4{Src: packet.MustIP("10.0.0.4"), Dst: packet.MustIP("10.0.1.4")}))
	for range b.N {
		h.DecrementTTL()
	}
}

var sink uint16
