package pipeline

import "github.com/nitrod/nitrod/internal/pktio"

// This file is for packets that nitrod makes in buffers of its own, in the place
// of one that came: fragments of it, or a message about it. They leave when and
// where that packet would have, so that the order of what is sent stays.

const (
	// spareChunk is how many fresh buffers are taken at a time. What a round has
	// left of them it gives back: none is held from one round to the next.
	spareChunk = 16
	// maxMade bounds the packets made in one round, so that what the worker keeps
	// for them is made once. It is eight for each packet of a burst: as many as
	// AWS's largest packets give fragments of the smallest MTU of the file.
	maxMade = 8 * pktio.MaxBurst
)

// made are the packets made in this round, in the order of the burst's packets
// in whose place they stand.
type made struct {
	descs  []pktio.Desc
	slots  []uint8 // of the burst
	spares [spareChunk]pktio.Desc
	left   int // of spares
}

func newMade() made {
	return made{descs: make([]pktio.Desc, 0, maxMade), slots: make([]uint8, 0, maxMade)}
}

// newPacket takes a fresh buffer for a packet that stands in the place of packet
// i. Its Len is the room there is. It reports false where none is to be had.
func (w *Worker) newPacket(i int) (*pktio.Desc, bool) {
	p := &w.made
	if len(p.descs) == maxMade {
		return nil, false
	}
	if p.left == 0 {
		if p.left = w.io.Alloc(p.spares[:]); p.left == 0 {
			return nil, false
		}
	}
	p.left--
	p.descs = append(p.descs, p.spares[p.left])
	p.slots = append(p.slots, uint8(i))
	return &p.descs[len(p.descs)-1], true
}

// finish sets the length of a packet that has been made, which counts as
// originated.
func (w *Worker) finish(d *pktio.Desc, n int) {
	d.Len, d.PktLen = uint32(n), uint32(n)
	w.flush.Resizes = append(w.flush.Resizes, pktio.Resize{Buf: d.Buf, Len: uint32(n)})
	w.counters.local[countOriginated]++
}

// unmake gives back the n packets that were made last, before they are finished.
func (w *Worker) unmake(n int) {
	p := &w.made
	keep := len(p.descs) - n
	for i := keep; i < len(p.descs); i++ {
		w.free(p.descs[i].Buf)
	}
	p.descs, p.slots = p.descs[:keep], p.slots[:keep]
}

// madeFor returns the packets that stand in the place of packet i, given that at
// of those made come before them.
func (p *made) madeFor(i, at int) []pktio.Desc {
	end := at
	for end < len(p.slots) && int(p.slots[end]) == i {
		end++
	}
	return p.descs[at:end]
}

// clearMade ends the round of what was made: all of it has been sent on its way.
func (w *Worker) clearMade() {
	p := &w.made
	p.descs, p.slots = p.descs[:0], p.slots[:0]
	for ; p.left > 0; p.left-- {
		w.free(p.spares[p.left-1].Buf)
	}
}
