package profile

import "github.com/nitrod/nitrod/hash"

// Flows is how many flows a table holds.
const Flows = 64

// table is the Space-Saving summary (Metwally, Agrawal, El Abbadi: Efficient
// computation of frequent and top-k elements in data streams, ICDT 2005). A flow
// that is not in the full table takes the place of the one with the least load and
// inherits that load as the bound of its own error. So for every flow in it
// Load - Over is no more than its true load and Load no less, and a flow whose true
// load exceeds 1/Flows of all is in it.
//
// Both look-ups are scans over one kind of word, of as many lines as are cheaper
// than an index that has to be kept.
type table struct {
	n     int
	tags  [Flows]uint32
	loads [Flows]uint64 // of flows: Flow.Load
	flows [Flows]Flow   // but for Load
}

// tag is what keys are told apart by before they are compared.
func tag(k *hash.FlowKey) uint32 {
	const odd = 0x9e3779b97f4a7c15
	return uint32((k.Src.Lo*odd ^ k.Dst.Lo ^ k.Src.Hi ^ k.Dst.Hi<<1 ^ k.Tail>>8) * odd >> 32)
}

func (t *table) add(p *Packet, load uint64) {
	id := tag(p.Key)
	for i, other := range t.tags[:t.n] {
		if other == id && t.flows[i].Key.Equal(p.Key) {
			t.loads[i] += load
			t.flows[i].count(p)
			return
		}
	}
	i, over := t.n, uint64(0)
	if t.n < Flows {
		t.n++
	} else {
		i = t.least()
		over = t.loads[i]
	}
	t.tags[i], t.loads[i] = id, over+load
	f := &t.flows[i]
	f.Key, f.Packets, f.Bytes, f.Over = *p.Key, 0, 0, over
	f.count(p)
}

// least returns where the flow with the least load is.
func (t *table) least() int {
	at, least := 0, t.loads[0]
	for i, load := range t.loads[1:] {
		if load < least {
			at, least = i+1, load
		}
	}
	return at
}

func (f *Flow) count(p *Packet) {
	f.Packets += uint64(p.Weight)
	f.Bytes += uint64(p.Weight) * uint64(p.Length)
	f.Place = p.Place
}
