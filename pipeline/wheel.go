package pipeline

import (
	"math/bits"

	"github.com/nitrod/nitrod/internal/hugemem"
)

// Sizes of a wheel. A slot is 1 us; the horizon, 134 ms, is beyond the longest
// delay of any bucket (policy.MaxDelay).
const (
	slotShift   = 10
	wheelSlots  = 1 << 17
	noWheelItem = ^uint32(0)
	guardFlows  = 1 << 16
)

// wheel holds packets that limits have given a later time, until it has come: a
// timing wheel, of which each slot is a list in the order in which packets came.
// Since a bucket's times only grow, the packets of a flow leave in that order as
// long as the same buckets speak for them; where they do not, guard remembers
// when the last one of a flow leaves, and no younger one leaves before.
//
// Limits: a fixed number of packets, and a fixed horizon. One ENI may have as many
// packets here as there is room for others: one alone half of the room, two of them
// a third each, and so on, so that however many fill it there is room for those of
// another one. The guard tells flows by 16 bits of their hash: a flow that shares
// them with a waiting one may wait as long as that, but only after a change of
// policy or with its first packet, never out of its order.
//
// Thread-safety: it belongs to its lcore. The memory is off the heap, and costs
// none that is not touched.
type wheel struct {
	items    []item
	links    []wheelLink
	slots    []wheelSlot
	occupied []uint64 // by slot, one bit
	guard    []uint64 // by flow: the slot of its last packet
	enis     []uint32 // packets by the ENI that sent them
	free     uint32   // first of a list
	used     uint32   // items at and above were never used
	n        int
	cursor   uint64 // slots up to this one are empty
	last     uint64 // the highest slot in which a packet was put
	strict   uint64 // until that slot is empty, the guard speaks for all packets

	itemBlock     *hugemem.Block[item]
	linkBlock     *hugemem.Block[wheelLink]
	slotBlock     *hugemem.Block[wheelSlot]
	guardBlock    *hugemem.Block[uint64]
	occupiedBlock *hugemem.Block[uint64]
}

// wheelSlot is a list of items. Its memory begins as zeros, so that the indices
// are one higher than those of the items.
type wheelSlot struct{ first, last uint32 }

type wheelLink struct {
	next uint32
	_    uint32
	born uint64 // when the packet was put here, of both its ENIs
}

func newWheel(capacity, enis int) (w wheel, err error) {
	w.free, w.enis = noWheelItem, make([]uint32, enis)
	if w.itemBlock, err = hugemem.Alloc[item](capacity); err != nil {
		return w, err
	}
	if w.linkBlock, err = hugemem.Alloc[wheelLink](capacity); err == nil {
		if w.slotBlock, err = hugemem.Alloc[wheelSlot](wheelSlots); err == nil {
			if w.guardBlock, err = hugemem.Alloc[uint64](guardFlows); err == nil {
				w.occupiedBlock, err = hugemem.Alloc[uint64](wheelSlots / 64)
			}
		}
	}
	if err != nil {
		_ = w.release()
		return w, err
	}
	w.items, w.links, w.slots = w.itemBlock.Items, w.linkBlock.Items, w.slotBlock.Items
	w.guard, w.occupied = w.guardBlock.Items, w.occupiedBlock.Items
	return w, nil
}

// release gives the memory back, not the packets.
func (w *wheel) release() (first error) {
	note := func(err error) {
		if first == nil {
			first = err
		}
	}
	if w.itemBlock != nil {
		note(w.itemBlock.Free())
	}
	if w.linkBlock != nil {
		note(w.linkBlock.Free())
	}
	if w.slotBlock != nil {
		note(w.slotBlock.Free())
	}
	if w.guardBlock != nil {
		note(w.guardBlock.Free())
	}
	if w.occupiedBlock != nil {
		note(w.occupiedBlock.Free())
	}
	*w = wheel{free: noWheelItem}
	return first
}

// slotOf returns the first slot that begins no earlier than a time in ns.
func slotOf(at int64) uint64 { return uint64(at+1<<slotShift-1) >> slotShift }

func (w *wheel) flow(place uint64) *uint64 { return &w.guard[place>>16%guardFlows] }

// place returns the slot in which a packet has to wait that comes at now and may
// leave at a time, not before, or 0 if it need not wait. known says that the time
// is later than those of all older packets of its flow.
func (w *wheel) place(at, now int64, place uint64, known bool) uint64 {
	if w.n == 0 {
		if at <= now {
			return 0
		}
		w.cursor = uint64(now) >> slotShift
		return slotOf(at)
	}
	slot := uint64(0)
	if at > now || w.cursor < uint64(now)>>slotShift { // those that are due have not all left
		slot = slotOf(at)
	}
	if last := *w.flow(place); last > w.cursor && (last == w.cursor+1 || !known || w.cursor < w.strict) {
		slot = max(slot, last)
	}
	return slot
}

// full reports whether there is no room for a packet of an ENI in a slot.
func (w *wheel) full(slot uint64, eni uint16) bool {
	return int(w.enis[eni]) >= len(w.items)-w.n || slot-w.cursor >= wheelSlots
}

// put returns the place of an ENI's packet that waits in a slot for which there is
// room, for the caller to fill with one of that ENI.
func (w *wheel) put(slot, place, born uint64, eni uint16) *item {
	w.enis[eni]++
	id := w.free
	if id != noWheelItem {
		w.free = w.links[id].next
	} else {
		id = w.used
		w.used++
	}
	w.links[id] = wheelLink{next: noWheelItem, born: born}
	s := &w.slots[slot%wheelSlots]
	if s.first == 0 {
		s.first = id + 1
		w.occupied[slot%wheelSlots/64] |= 1 << (slot % 64)
	} else {
		w.links[s.last-1].next = id
	}
	s.last = id + 1
	w.n++
	w.last = max(w.last, slot)
	last := w.flow(place)
	*last = max(*last, slot)
	return &w.items[id]
}

// due returns the next packet whose time has come at now, in ns, and when its ENIs
// were born, or nil. It is valid until the next call of put.
func (w *wheel) due(now int64) (*item, uint64) {
	today := uint64(now) >> slotShift
	for w.n != 0 && w.cursor < today {
		next := w.cursor + 1
		if bit := w.occupied[next%wheelSlots/64] >> (next % 64); bit == 0 {
			w.cursor = min(next|63, today)
			continue
		} else if skip := uint64(bits.TrailingZeros64(bit)); skip != 0 {
			w.cursor = min(w.cursor+skip, today)
			continue
		}
		return w.take(next)
	}
	w.cursor = today
	return nil, 0
}

// take takes the first packet out of an occupied slot.
func (w *wheel) take(slot uint64) (*item, uint64) {
	s := &w.slots[slot%wheelSlots]
	id := s.first - 1
	l := &w.links[id]
	if l.next == noWheelItem {
		*s = wheelSlot{}
		w.occupied[slot%wheelSlots/64] &^= 1 << (slot % 64)
	} else {
		s.first = l.next + 1
	}
	born := l.born
	l.next, w.free = w.free, id
	w.n--
	it := &w.items[id]
	w.enis[it.meta.ENI]--
	return it, born
}

// any takes a packet out whose time has not come, of a wheel that is not empty.
func (w *wheel) any() *item {
	it, _ := w.due(int64(w.last << slotShift))
	return it
}
