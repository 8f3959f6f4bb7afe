package pipeline

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/drop"
)

// bytesTwin is an extent as a set of bytes.
type bytesTwin struct {
	has map[uint32]bool
	end uint32
}

func (b *bytesTwin) add(from, to uint32, last bool) drop.Reason {
	had := 0
	for i := from; i < to; i++ {
		if b.has[i] {
			had++
		}
	}
	for i := range b.has {
		if last && i >= to {
			return drop.FragmentPastEnd
		}
	}
	switch {
	case b.end != 0 && (to > b.end || last && to != b.end):
		return drop.FragmentPastEnd
	case had == int(to-from):
		return drop.FragmentDuplicate
	case had != 0:
		return drop.FragmentOverlap
	}
	if last {
		b.end = to
	}
	for i := from; i < to; i++ {
		b.has[i] = true
	}
	return drop.Unset
}

// spans counts the runs of bytes.
func (b *bytesTwin) spans() (n uint32) {
	for i := range b.has {
		if i == 0 || !b.has[i-1] {
			n++
		}
	}
	return n
}

func TestExtentTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x extent
		twin := bytesTwin{has: map[uint32]bool{}}
		scale := rapid.SampledFrom([]uint32{10, 60, 200}).Draw(t, "scale")
		for range rapid.IntRange(1, 80).Draw(t, "fragments") {
			from := rapid.Uint32Range(0, scale).Draw(t, "from")
			to := from + rapid.Uint32Range(1, 6).Draw(t, "length")
			last := rapid.IntRange(0, 20).Draw(t, "last") == 0
			before := x
			got := x.add(from, to, last)
			if got == drop.FragmentTooManyGaps {
				if before.n != maxSpans {
					t.Fatalf("too many gaps with %d spans", before.n)
				}
			} else if want := twin.add(from, to, last); got != want {
				t.Fatalf("[%d, %d) last=%t: %v, the twin says %v", from, to, last, got, want)
			}
			if got != drop.Unset && x != before {
				t.Fatalf("%v changed the extent", got)
			}
			if x.n != twin.spans() || x.end != twin.end {
				t.Fatalf("%d spans to %d, the twin has %d to %d", x.n, x.end, twin.spans(), twin.end)
			}
			for i := range x.spans[:x.n] {
				for b := x.spans[i] >> 16; b < x.spans[i]&0xffff; b++ {
					if !twin.has[b] {
						t.Fatalf("the span %#x has byte %d, which did not come", x.spans[i], b)
					}
				}
			}
			if want := twin.end != 0 && len(twin.has) == int(twin.end); x.complete() != want {
				t.Fatalf("complete is %t", x.complete())
			}
			var copied extent
			copied.store(&x)
			var read extent
			read.load(&copied)
			if read.n != x.n || read.end != x.end || [maxSpans]uint32(read.spans) != copied.spans {
				t.Fatal("what was stored is not what is loaded")
			}
		}
	})
}

// The longest datagram in fragments for an MTU of 1,500 fits in any order: one
// that leaves the most gaps is every other fragment first.
func TestExtentHoldsTheLongestDatagram(t *testing.T) {
	const step = 1480
	var x extent
	for _, first := range []uint32{0, step} {
		for from := first; from < maxDatagram-20; from += 2 * step {
			to := min(from+step, maxDatagram-20)
			if r := x.add(from, to, to == maxDatagram-20); r != drop.Unset {
				t.Fatalf("[%d, %d): %v", from, to, r)
			}
		}
	}
	if !x.complete() {
		t.Error("all came, and it is not complete")
	}
}
