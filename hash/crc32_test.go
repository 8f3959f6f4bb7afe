package hash

import (
	"hash/crc32"
	"testing"

	"pgregory.net/rapid"
)

// RFC 3720 appendix B.4 has 32 zero bytes as 0x8a9136aa, which are the two
// addresses :: of an IPv6 packet that has no ports.
func TestCRC32Published(t *testing.T) {
	k := FlowKey{Tail: Tail(0, 0, 0, 47, KeyIPv6)}
	if got := (CRC32{}).Hash(&k); got != 0x8a9136aa {
		t.Errorf("got %#08x", got)
	}
	ones := Addr{1<<64 - 1, 1<<64 - 1}
	k.Src, k.Dst = ones, ones
	if got := (CRC32{}).HashAddrs(&k); got != 0x62a8ab43 {
		t.Errorf("got %#08x", got)
	}
}

func TestCRC32Twin(t *testing.T) {
	table := crc32.MakeTable(crc32.Castagnoli)
	rapid.Check(t, func(t *rapid.T) {
		init := rapid.Uint32().Draw(t, "init")
		k := genKey().Draw(t, "flow")
		c := NewCRC32(init)
		if got, want := c.Hash(&k), crc32.Update(init, table, input(&k, hasPorts(&k))); got != want {
			t.Fatalf("Hash %#08x, want %#08x", got, want)
		}
		if got, want := c.HashAddrs(&k), crc32.Update(init, table, input(&k, false)); got != want {
			t.Fatalf("HashAddrs %#08x, want %#08x", got, want)
		}
		f := rapid.SliceOfN(rapid.Byte(), 12, 12).Draw(t, "frame")
		if got, want := c.HashFrame([6]byte(f[:6]), [6]byte(f[6:])), crc32.Update(init, table, f); got != want {
			t.Fatalf("HashFrame %#08x, want %#08x", got, want)
		}
	})
}

func TestCRC32NoAllocation(t *testing.T) {
	keys := randomKeys(2, 2)
	var sum uint32
	if n := testing.AllocsPerRun(100, func() {
		for i := range keys {
			sum += CRC32{}.Hash(&keys[i])
		}
	}); n != 0 {
		t.Errorf("Hash allocates %v times", n)
	}
}

func BenchmarkCRC32(b *testing.B) {
	c := NewCRC32(1)
	for _, f := range families {
		b.Run(f.name, func(b *testing.B) {
			keys := randomKeys(64*benchBurst, f.share)
			var out [benchBurst]uint32
			i := 0
			for b.Loop() {
				for j := range out {
					out[j] = c.Hash(&keys[i+j])
				}
				i = (i + benchBurst) % len(keys)
			}
			perKey(b, benchBurst)
		})
	}
}
