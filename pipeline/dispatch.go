package pipeline

import (
	"github.com/nitrod/nitrod/internal/drop"
)

// dispatch is the stage that gives each packet to the lcore that owns its flow.
//
// The owner is found by the shard of the key: Toeplitz over the sorted
// endpoints, so that both directions of a flow, and the ICMP errors about it,
// have one owner. The host's steering rules come before it, and are alike. Fragments take two steps: those of a datagram meet at the
// owner of their address pair, which completes the keys of the later ones from
// the first, and sends them on; so do ICMP errors that quote a later fragment.
// With a single lcore only that remains.
func (w *Worker) dispatch() {
	b := &w.burst
	w.fragments = false
	if len(w.handed) <= 1 {
		for i := range b.n {
			if b.meta[i].Flags&(flagFragment|flagQuotedLater) != 0 {
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
		w.fragments = w.fragments || m.Flags&flagFragment != 0
		if m.Flags&(flagFragment|flagQuotedLater) != 0 && m.Flags&flagResolved == 0 {
			if i >= w.parsed && m.Flags&flagFragment != 0 && !w.fragmentAllowed(i) {
				continue
			}
			// Whoever sees the fragments of one address pair sees all of a datagram.
			if !single {
				if owner := w.engine.pairOwner(k); owner != w.id {
					handedOver = w.handOver(i, owner) || handedOver
					continue
				}
			}
			if m.Flags&flagFragment == 0 {
				w.quotedFragment(i)
			} else if !w.admitFragment(i) {
				continue
			}
			if !single {
				w.shards[i] = w.engine.sharder.Shard(k) // the ports are new
			}
		}
		if !single {
			// A packet that was handed to this lcore stays, whatever the table
			// says by now: its flow's older packets are here.
			owner := w.id
			if i >= w.parsed || m.Flags&flagResolved != 0 {
				owner, _ = w.engine.ownerOf(k, w.shards[i])
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
		for i, r := range w.handed {
			if r != nil {
				r.Publish()
				if r.Len() != 0 {
					w.wake(i)
				}
			}
		}
	}
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
