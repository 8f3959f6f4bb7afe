package pacer

import (
	"math/bits"

	"github.com/nitrod/nitrod/internal/hugemem"
)

// Sizes of a wheel: a slot is 1.024 us, the horizon 33.6 ms. A flow that has to
// wait for longer, at some Mbps, is looked at again then.
const (
	slotShift  = 10
	wheelSlots = 1 << 15
)

// wheel holds flows until a time: each slot is a list of them.
type wheel struct {
	slots    []list
	occupied []uint64 // by slot, one bit
	n        int
	cursor   uint64 // slots up to this one are empty

	slotBlock     *hugemem.Block[list]
	occupiedBlock *hugemem.Block[uint64]
}

func newWheel() (w wheel, err error) {
	if w.slotBlock, err = hugemem.Alloc[list](wheelSlots); err != nil {
		return w, err
	}
	if w.occupiedBlock, err = hugemem.Alloc[uint64](wheelSlots / 64); err != nil {
		_ = w.release()
		return w, err
	}
	w.slots, w.occupied = w.slotBlock.Items, w.occupiedBlock.Items
	return w, nil
}

func (w *wheel) release() (err error) {
	if w.slotBlock != nil {
		err = w.slotBlock.Free()
	}
	if w.occupiedBlock != nil {
		if e := w.occupiedBlock.Free(); err == nil {
			err = e
		}
	}
	*w = wheel{}
	return err
}

// put lets a flow wait until at, which is after now, both in ns. It never wakes
// early, but where at is beyond the horizon.
func (w *wheel) put(t *flowTable, id uint32, at, now int64) {
	if w.n == 0 {
		w.cursor = uint64(now) >> slotShift
	}
	slot := min(uint64(at+1<<slotShift-1)>>slotShift, w.cursor+wheelSlots-1)
	w.slots[slot%wheelSlots].push(t, id)
	w.occupied[slot%wheelSlots/64] |= 1 << (slot % 64)
	w.n++
}

// due takes a flow out whose time has come at now, or returns none.
func (w *wheel) due(t *flowTable, now int64) uint32 {
	today := uint64(now) >> slotShift
	if w.n == 0 || w.cursor >= today {
		return none
	}
	slot := w.occupiedFrom(w.cursor+1, today)
	if slot > today {
		w.cursor = today
		return none
	}
	w.cursor = slot - 1
	l := &w.slots[slot%wheelSlots]
	id := l.pop(t)
	if l.first == none {
		w.occupied[slot%wheelSlots/64] &^= 1 << (slot % 64)
	}
	w.n--
	return id
}

// next returns the time of the first slot with flows, in ns, or never.
func (w *wheel) next() int64 {
	if w.n == 0 {
		return never
	}
	return int64(w.occupiedFrom(w.cursor+1, w.cursor+wheelSlots) << slotShift)
}

// occupiedFrom returns the first occupied slot from one on, or one beyond last.
func (w *wheel) occupiedFrom(slot, last uint64) uint64 {
	for slot <= last {
		if bit := w.occupied[slot%wheelSlots/64] >> (slot % 64); bit != 0 {
			return slot + uint64(bits.TrailingZeros64(bit))
		}
		slot = (slot | 63) + 1
	}
	return slot
}
