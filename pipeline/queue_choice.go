package pipeline

import "github.com/nitrod/nitrod/hash"

// receiveSide is an ENI's choice of receive queue: by the steering rules, and
// what none of them takes by RSS (docs/semantics.md S5.7, S5.8). Immutable but
// for move.
type receiveSide struct {
	function hash.RSSFunction
	table    hash.IndirectionTable
	rules    *hash.SteeringTable // nil if none is the ENI's
	byClass  bool                // some rule compares the traffic class, so that a flow's packets may part
	move     *queueMove          // the change that is under way; nil if there is none
	load     *bucketLoad         // counts by entry; nil if nobody wants to know
}

// queue returns the receive queue for a packet. Of a fragment only the addresses
// count, so that all of a datagram come to one queue.
func (r *receiveSide) queue(eni uint16, k *hash.FlowKey, tos uint8, fragment bool) uint8 {
	if r.rules != nil {
		if q, _, ok := r.steered(eni, k, tos, fragment); ok {
			return uint8(q)
		}
	}
	if fragment {
		return uint8(r.table.Entry(r.function.HashAddrs(k)))
	}
	return uint8(r.table.Entry(r.function.Hash(k)))
}

// steered returns what the rules say of a packet. Rules for TCP or UDP take no
// fragments: ours, since ENA's documents do not say.
func (r *receiveSide) steered(eni uint16, k *hash.FlowKey, tos uint8, fragment bool) (queue uint16, location uint32, ok bool) {
	if r.rules == nil {
		return 0, 0, false
	}
	if fragment {
		whole := hash.FlowKey{Src: k.Src, Dst: k.Dst, Tail: hash.Tail(0, 0, k.ENI(), 0, k.Flags())}
		k = &whole
	}
	return r.rules.Match(eni, k, tos)
}

// queueOf returns the receive queue of an ENI for a packet that is no fragment.
// While the ENI's queues change its flows may still go by the old one.
func (v *view) queueOf(eni uint16, k *hash.FlowKey, tos uint8) uint8 {
	return v.rss[eni].queue(eni, k, tos, false)
}

// queueFor is the receive queue in which a packet goes now.
func (w *Worker) queueFor(eni uint16, k *hash.FlowKey, tos uint8, fragment bool) uint8 {
	r := &w.view.rss[eni]
	q := r.queue(eni, k, tos, fragment)
	if r.move != nil {
		return w.ordered(eni, r.move, q, k, tos, fragment)
	}
	return q
}

// chooseAgain gives packet i the queue in which it goes now. It has waited since
// it was given one.
func (w *Worker) chooseAgain(i int) {
	m, key := &w.burst.meta[i], &w.burst.keys[i]
	if m.class == classICMPError { // its key is of what it quotes
		w.query.Key = outerKey(w.burst.frame(i), m)
		key = &w.query.Key
	}
	m.Queue = w.queueFor(m.Egress, key, m.TOS, m.Flags&flagFragment != 0)
}
