package pipeline

import (
	"sync/atomic"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/relaxed"
)

// extent is which bytes of a datagram have come: disjoint spans in order, none
// touching the next, and the end of the datagram if its last fragment was among
// them.
//
// Limits: maxSpans spans. A datagram of 64 KiB in fragments of 1,480 bytes has
// 45, of which no order leaves more than 23 spans.
type extent struct {
	spans [maxSpans]uint32 // first byte (16) | byte behind the last (16)
	n     uint32
	end   uint32 // length of the datagram; 0 as long as it is not known
}

const maxSpans = 24

func spanOf(from, to uint32) uint32 { return from<<16 | to }

// add takes the bytes from from to to, the end of the datagram if last, or says
// why not: then nothing has changed.
func (x *extent) add(from, to uint32, last bool) drop.Reason {
	highest := uint32(0)
	if x.n != 0 {
		highest = x.spans[x.n-1] & 0xffff
	}
	if x.end != 0 && (to > x.end || last && to != x.end) || last && to < highest {
		return drop.FragmentPastEnd
	}
	at := uint32(0)
	for at < x.n && x.spans[at]&0xffff < from { // spans that end before it
		at++
	}
	// The next span may end where it begins, and the one after begin where it ends.
	next := at
	if next < x.n && x.spans[next]&0xffff == from {
		next++
	}
	if next < x.n && x.spans[next]>>16 < to {
		if x.spans[next]>>16 <= from && to <= x.spans[next]&0xffff {
			return drop.FragmentDuplicate
		}
		return drop.FragmentOverlap
	}
	if next > at {
		from = x.spans[at] >> 16
	}
	if next < x.n && x.spans[next]>>16 == to {
		to = x.spans[next] & 0xffff
		next++
	}
	if next == at { // it touches none
		if x.n == maxSpans {
			return drop.FragmentTooManyGaps
		}
		copy(x.spans[at+1:x.n+1], x.spans[at:x.n])
		x.n++
	} else {
		copy(x.spans[at+1:], x.spans[next:x.n])
		x.n -= next - at - 1
	}
	x.spans[at] = spanOf(from, to)
	if last {
		x.end = to
	}
	return drop.Unset
}

// complete reports whether all bytes have come.
func (x *extent) complete() bool {
	return x.end != 0 && x.n == 1 && x.spans[0] == spanOf(0, x.end)
}

// store makes x what from is, word by word, for load on other goroutines.
func (x *extent) store(from *extent) {
	for i := range from.spans[:from.n] {
		relaxed.Store32(&x.spans[i], from.spans[i])
	}
	relaxed.Store32(&x.n, from.n)
	relaxed.Store32(&x.end, from.end)
}

// load makes x what from is, while another goroutine may store to from: what
// comes of that must be checked.
func (x *extent) load(from *extent) {
	x.n, x.end = min(atomic.LoadUint32(&from.n), maxSpans), atomic.LoadUint32(&from.end)
	for i := range x.spans[:x.n] {
		x.spans[i] = atomic.LoadUint32(&from.spans[i])
	}
}
