package pacer

import (
	"math/bits"

	"github.com/nitrod/nitrod/internal/hugemem"
	"github.com/nitrod/nitrod/pipeline/shaper"
)

// flow is a flow that has packets waiting, or had some of late.
type flow struct {
	hash        uint64
	clock       shaper.Clock
	first, last uint32 // packets
	n           uint32 // of them
	credit      int32  // bytes that it may send in this turn
	next, prev  uint32 // in a list of flows; prev only in that of idle ones
	chain       uint32 // next flow with the same place in the index
	state       flowState
}

type flowState uint8

const (
	flowIdle  flowState = iota // it has no packets, and is in flowTable.idle
	flowWaits                  // it takes turns, or stands on the wheel
)

// flowTable finds flows by their hashes.
//
// Limits: a fixed number of flows, idle ones among them.
type flowTable struct {
	flows []flow
	index []uint32 // first flow of a chain, by hash
	shift uint8    // makes a place in the index of a hash
	free  uint32   // first of a list, by next
	used  uint32   // flows at and above were never used
	idle  idleList // by when they became idle

	flowBlock  *hugemem.Block[flow]
	indexBlock *hugemem.Block[uint32]
}

func newFlowTable(capacity int) (t flowTable, err error) {
	if t.flowBlock, err = hugemem.Alloc[flow](capacity + 1); err != nil {
		return t, err
	}
	width := bits.Len(uint(capacity))
	if t.indexBlock, err = hugemem.Alloc[uint32](1 << width); err != nil {
		_ = t.release()
		return t, err
	}
	t.flows, t.index, t.shift, t.used = t.flowBlock.Items, t.indexBlock.Items, uint8(64-width), 1
	return t, nil
}

func (t *flowTable) release() (err error) {
	if t.flowBlock != nil {
		err = t.flowBlock.Free()
	}
	if t.indexBlock != nil {
		if e := t.indexBlock.Free(); err == nil {
			err = e
		}
	}
	*t = flowTable{}
	return err
}

func (t *flowTable) at(id uint32) *flow { return &t.flows[id] }

// place returns where the chain of a hash begins. Hashes are taken to be spread
// evenly already, if not in the bits that count here.
func (t *flowTable) place(hash uint64) *uint32 {
	return &t.index[hash*0x9e3779b97f4a7c15>>t.shift]
}

// find returns the flow with a hash, or none.
func (t *flowTable) find(hash uint64) uint32 {
	id := *t.place(hash)
	for id != none && t.flows[id].hash != hash {
		id = t.flows[id].chain
	}
	return id
}

// add adds a flow, which is idle. Where there is no room it takes the place of the
// one that has been idle for longest, and returns none if none is idle.
func (t *flowTable) add(hash uint64) uint32 {
	if t.free == none && int(t.used) == len(t.flows) {
		if t.idle.first == none {
			return none
		}
		t.forget(t.idle.first)
	}
	id := t.free
	if id != none {
		t.free = t.flows[id].next
	} else {
		id = t.used
		t.used++
	}
	head := t.place(hash)
	t.flows[id] = flow{hash: hash, chain: *head}
	*head = id
	t.idle.push(t, id)
	return id
}

// forget removes an idle flow.
func (t *flowTable) forget(id uint32) {
	t.idle.remove(t, id)
	f := &t.flows[id]
	at := t.place(f.hash)
	for *at != id {
		at = &t.flows[*at].chain
	}
	*at = f.chain
	f.next, t.free = t.free, id
}

// list is a list of flows, first in, first out.
type list struct{ first, last uint32 }

func (l *list) push(t *flowTable, id uint32) {
	t.flows[id].next = none
	if l.first == none {
		l.first = id
	} else {
		t.flows[l.last].next = id
	}
	l.last = id
}

// pop takes the first flow out of a list that has some.
func (l *list) pop(t *flowTable) uint32 {
	id := l.first
	l.first = t.flows[id].next
	return id
}

// idleList is a list of flows from which any may be taken.
type idleList struct{ list }

func (l *idleList) push(t *flowTable, id uint32) {
	t.flows[id].prev = none
	if l.first != none {
		t.flows[id].prev = l.last
	}
	l.list.push(t, id)
}

func (l *idleList) remove(t *flowTable, id uint32) {
	f := &t.flows[id]
	if f.prev == none {
		l.first = f.next
	} else {
		t.flows[f.prev].next = f.next
	}
	if f.next == none {
		l.last = f.prev
	} else {
		t.flows[f.next].prev = f.prev
	}
}
