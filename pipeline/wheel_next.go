package pipeline

import "math/bits"

// nextLookahead is how many words of slots next looks at: 8.4 ms, longer than an
// lcore rests at a time, and some 50 ns.
const nextLookahead = 128

// next returns when the first packet of a wheel that is not empty is due, in ns;
// or, where that is far off, a time before which none is.
func (w *wheel) next() int64 {
	slot := w.cursor + 1
	for range nextLookahead {
		if word := w.occupied[slot%wheelSlots/64] >> (slot % 64); word != 0 {
			slot += uint64(bits.TrailingZeros64(word))
			break
		}
		slot = (slot | 63) + 1
	}
	return int64(slot << slotShift)
}
