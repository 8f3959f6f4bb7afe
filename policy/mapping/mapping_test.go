package mapping

import (
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func TestTableEqualsMap(t *testing.T) {
	addr := rapid.Custom(func(t *rapid.T) netip.Addr {
		b := [4]byte{10, 0, rapid.ByteRange(0, 2).Draw(t, "net"), rapid.Byte().Draw(t, "host")}
		if rapid.Bool().Draw(t, "v6") {
			return netip.AddrFrom16([16]byte{0xfd, 14: b[2], 15: b[3]})
		}
		return netip.AddrFrom4(b)
	})
	rapid.Check(t, func(t *rapid.T) {
		var table Table
		twin := map[netip.Addr]Entry{}
		for i, a := range rapid.SliceOf(addr).Draw(t, "addresses") {
			e := Entry{Kind: ENI, ENI: uint16(i), Groups: uint32(i) * 3, Subnet: 7}
			table.Insert(a, e)
			twin[a] = e
		}
		if table.Len() != len(twin) {
			t.Fatalf("Len() = %d, want %d", table.Len(), len(twin))
		}
		for range 20 {
			a := addr.Draw(t, "lookup")
			if got := table.Lookup(a); got != twin[a] {
				t.Fatalf("Lookup(%v) = %+v, want %+v", a, got, twin[a])
			}
		}
	})
}

func TestLookupDoesNotAllocate(t *testing.T) {
	var table Table
	a := netip.MustParseAddr("fd00::5")
	table.Insert(a, Entry{Kind: ENI, ENI: 3})
	if n := testing.AllocsPerRun(100, func() { table.Lookup(a) }); n != 0 {
		t.Fatalf("%v allocations per lookup", n)
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		b.Run(fmt.Sprintf("addresses=%d", n), func(b *testing.B) {
			var table Table
			for i := range n {
				table.Insert(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Entry{Kind: ENI, ENI: 1})
			}
			i := 0
			for b.Loop() {
				i = (i + 7919) % n
				table.Lookup(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
			}
		})
	}
}
