package hash

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"testing"

	"github.com/zeebo/xxh3"
	"pgregory.net/rapid"
)

// canonical is the form that FlowHasher describes, written out as bytes.
func canonical(k *FlowKey, scope uint32) []byte {
	src := append(input(k, false)[:addrLen(k)], byte(k.SrcPort()>>8), byte(k.SrcPort()))
	dst := append(slices.Clone(input(k, false)[addrLen(k):]), byte(k.DstPort()>>8), byte(k.DstPort()))
	if slices.Compare(src, dst) > 0 {
		src, dst = dst, src
	}
	var words []uint64
	if n := addrLen(k); n == 4 {
		lo := uint64(binary.BigEndian.Uint32(src))<<16 | uint64(binary.BigEndian.Uint16(src[4:]))
		hi := uint64(binary.BigEndian.Uint32(dst))<<16 | uint64(binary.BigEndian.Uint16(dst[4:]))
		words = []uint64{lo, hi, uint64(scope)<<8 | uint64(k.Proto())}
	} else {
		be := binary.BigEndian
		words = []uint64{
			be.Uint64(src), be.Uint64(src[8:]), be.Uint64(dst), be.Uint64(dst[8:]),
			uint64(be.Uint16(src[16:]))<<16 | uint64(be.Uint16(dst[16:])),
			uint64(scope)<<8 | uint64(k.Proto()),
		}
	}
	var b []byte
	for _, w := range words {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return b
}

func addrLen(k *FlowKey) int {
	if k.IsIPv6() {
		return 16
	}
	return 4
}

func TestFlowHasherTwin(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			seed := rapid.Uint64().Draw(t, "seed")
			keys := rapid.SliceOfN(genKey(), 0, 40).Draw(t, "flows")
			switch rapid.IntRange(0, 2).Draw(t, "families") {
			case 0:
				keys = slices.DeleteFunc(keys, func(k FlowKey) bool { return k.IsIPv6() })
			case 1:
				keys = slices.DeleteFunc(keys, func(k FlowKey) bool { return !k.IsIPv6() })
			}
			n := len(keys)
			scopes := rapid.SliceOfN(rapid.Uint32(), n, n).Draw(t, "scopes")
			f := NewFlowHasher(seed)
			out := make([]uint64, n+1)
			out[n] = 0xdeadbeef
			f.HashBurst(keys, scopes, out)
			for i := range keys {
				want := xxh3.HashSeed(canonical(&keys[i], scopes[i]), seed)
				back := reversed(keys[i])
				if one, rev := f.Hash(&keys[i], scopes[i]), f.Hash(&back, scopes[i]); out[i] != want || one != want || rev != want {
					t.Fatalf("flow %d: %#x in the burst, %#x alone, %#x backwards, want %#x", i, out[i], one, rev, want)
				}
			}
			if out[n] != 0xdeadbeef {
				t.Fatal("wrote behind the last key")
			}
		})
	})
}

// Two different flows do not share a form: what the hash leaves out is only
// the direction, the ENI and KeyRouted.
func TestFlowHasherDistinguishes(t *testing.T) {
	f := NewFlowHasher(1)
	a := keyOf(t, "10.0.0.1:1000", "10.0.0.2:2000", 6)
	variants := map[string]FlowKey{
		"ports exchanged": keyOf(t, "10.0.0.1:2000", "10.0.0.2:1000", 6),
		"protocol":        keyOf(t, "10.0.0.1:1000", "10.0.0.2:2000", 17),
		"port":            keyOf(t, "10.0.0.1:1001", "10.0.0.2:2000", 6),
		"address":         keyOf(t, "10.0.0.3:1000", "10.0.0.2:2000", 6),
		"IPv6":            keyOf(t, "[::a00:1]:1000", "[::a00:2]:2000", 6),
	}
	want := f.Hash(&a, 7)
	for name, k := range variants {
		if f.Hash(&k, 7) == want {
			t.Errorf("%s does not matter", name)
		}
	}
	if f.Hash(&a, 8) == want {
		t.Error("the scope does not matter")
	}
	if NewFlowHasher(2).Hash(&a, 7) == want {
		t.Error("the seed does not matter")
	}
}

// Every bit of the hash flips for about half of the flows when one bit of
// input does: of 4096 flows, 2048 with a standard deviation of 32.
func TestFlowHasherAvalanche(t *testing.T) {
	f := NewFlowHasher(0x1234567890abcdef)
	for _, family := range families[:2] {
		keys := randomKeys(4096, family.share)
		for _, bit := range []int{0, 15, 16, 31} {
			var flips [64]int
			for i := range keys {
				k := keys[i]
				k.Src.Lo ^= 1 << bit
				for d := f.Hash(&keys[i], 1) ^ f.Hash(&k, 1); d != 0; d &= d - 1 {
					flips[bits.TrailingZeros64(d)]++
				}
			}
			for i, n := range flips {
				if n < 2048-6*32 || n > 2048+6*32 {
					t.Errorf("%s: address bit %d flips hash bit %d for %d of 4096 flows", family.name, bit, i, n)
				}
			}
		}
	}
}

func TestFlowHasherNoAllocation(t *testing.T) {
	f := NewFlowHasher(RandomSeed())
	eachPath(t, func(t *testing.T) {
		keys := randomKeys(benchBurst+3, 4)
		scopes, out := make([]uint32, len(keys)), make([]uint64, len(keys))
		if n := testing.AllocsPerRun(100, func() { f.HashBurst(keys, scopes, out) }); n != 0 {
			t.Errorf("HashBurst allocates %v times", n)
		}
	})
}

func BenchmarkFlowHasherBurst(b *testing.B) {
	h := NewFlowHasher(RandomSeed())
	eachPath(b, func(b *testing.B) {
		for _, f := range families {
			b.Run(f.name, func(b *testing.B) {
				keys := randomKeys(64*benchBurst, f.share)
				var scopes [benchBurst]uint32
				var out [benchBurst]uint64
				i := 0
				for b.Loop() {
					h.HashBurst(keys[i:i+benchBurst], scopes[:], out[:])
					i = (i + benchBurst) % len(keys)
				}
				perKey(b, benchBurst)
			})
		}
	})
}
