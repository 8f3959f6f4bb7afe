package mapping

import (
	"testing"

	"pgregory.net/rapid"
)

// genAddress draws addresses that lie together, as those of a subnet do, and
// some from anywhere.
var genAddress = rapid.OneOf(rapid.Uint32Range(0x0a000100, 0x0a0001ff), rapid.Uint32Range(1, 1<<32-1))

func TestNATEqualsMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 200).Draw(t, "pairs")
		private := rapid.SliceOfNDistinct(genAddress, n, n, rapid.ID).Draw(t, "private")
		public := rapid.SliceOfNDistinct(genAddress, n, n, rapid.ID).Draw(t, "public")
		var pairs []Pair
		out, back := map[uint32]uint32{}, map[uint32]uint32{}
		for i := range private {
			pairs = append(pairs, Pair{private[i], public[i]})
			out[private[i]], back[public[i]] = public[i], private[i]
		}
		nat := NewNAT(pairs)
		for _, a := range append(append(private, public...), genAddress.Draw(t, "other"), 0) {
			want, known := out[a]
			if got, ok := nat.Public(a); got != want || ok != known {
				t.Fatalf("Public(%#x) = %#x, %v, want %#x, %v", a, got, ok, want, known)
			}
			want, known = back[a]
			if got, ok := nat.Private(a); got != want || ok != known {
				t.Fatalf("Private(%#x) = %#x, %v, want %#x, %v", a, got, ok, want, known)
			}
		}
	})
}

func TestNATDoesNotAllocate(t *testing.T) {
	nat := NewNAT([]Pair{{1, 2}, {3, 4}})
	if n := testing.AllocsPerRun(100, func() {
		nat.Public(3)
		nat.Private(9)
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkNAT(b *testing.B) {
	var pairs []Pair
	for i := range uint32(1000) {
		pairs = append(pairs, Pair{0x0a000000 + i, 0xcb007100 + i})
	}
	nat := NewNAT(pairs)
	i := uint32(0)
	for b.Loop() {
		nat.Public(0x0a000000 + i%1000)
		i++
	}
}
