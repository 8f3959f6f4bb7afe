package pipeline

import (
	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/pipeline/flowcache"
)

// dispatch is the stage that gives each packet to the lcore that owns its flow.
//
// The owner is found by the shard of the key: Toeplitz over the sorted
// endpoints, so that both directions of a flow, and the ICMP errors about it,
// have one owner. Fragments take two steps: those of a datagram meet at the
// owner of their address pair, which completes the keys of the later ones from
// the first, and sends them on. With a single lcore only that remains.
func (w *Worker) dispatch() {
	b := &w.burst
	if len(w.handed) <= 1 {
		for i := range b.n {
			if b.meta[i].Flags&flagFragment != 0 {
				w.dispatchSlowly()
				return
			}
		}
		return
	}
	w.dispatchSlowly()
}

func (w *Worker) dispatchSlowly() {
	b := &w.burst
	single := len(w.handed) <= 1
	if !single {
		w.engine.sharder.ShardBurst(b.keys[:b.n], w.shards[:b.n])
	}
	to, handedOver := 0, false
	for i := range b.n {
		m, k := &b.meta[i], &b.keys[i]
		if m.Flags&(flagFragment|flagResolved) == flagFragment {
			if i >= w.parsed && !w.fragmentAllowed(i) {
				continue
			}
			// Whoever sees the fragments of one address pair sees all of a datagram.
			if owner := w.pairOwner(k); owner != w.id {
				handedOver = w.handOver(i, owner) || handedOver
				continue
			}
			if r := w.frags.resolve(m, k, w.now); r != drop.Unset {
				w.dropAt(i, r)
				continue
			}
			m.Flags |= flagResolved
			b.places[i] = flowcache.Place(w.engine.hasher.Hash(k, uint32(m.VPC)), k) // the ports are new
			if !single {
				w.shards[i] = w.engine.sharder.Shard(k)
			}
		}
		if !single {
			// A packet that was handed to this lcore stays, whatever the table
			// says by now: its flow's older packets are here.
			owner := w.id
			if i >= w.parsed || m.Flags&flagResolved != 0 {
				owner = int(w.engine.owners[w.shards[i]])
			}
			if owner != w.id {
				handedOver = w.handOver(i, owner) || handedOver
				continue
			}
		}
		b.move(to, i)
		to++
	}
	b.n = to
	if handedOver {
		for _, r := range w.handed {
			if r != nil {
				r.Publish()
			}
		}
	}
}

// pairOwner returns the lcore at which the fragments between two addresses meet.
func (w *Worker) pairOwner(k *hash.FlowKey) int {
	if len(w.handed) <= 1 {
		return w.id
	}
	pair := *k
	pair.Tail &= 0xffffffff // no ports
	return int(w.engine.owners[w.engine.sharder.Shard(&pair)])
}

// handOver puts packet i on the ring to another lcore, or drops it.
func (w *Worker) handOver(i, lcore int) bool {
	var it item
	w.burst.take(i, &it)
	if !w.handed[lcore].Put(&it) {
		w.dropAt(i, drop.HandoverRingFull)
		return false
	}
	w.counters.local[countHandedOut]++
	return true
}
