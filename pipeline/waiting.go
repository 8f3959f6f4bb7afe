package pipeline

import (
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/pipeline/flowcache"
)

// waitQueue holds the packets for which the slow path had no time in their
// round, in the order in which they came. A packet of a flow that has one
// waiting waits behind it, even if the flow cache knows the flow by then: such
// an entry is marked as queued (flowcache.Entry.Queued). Established flows
// have no mark, so that they pass by however long the queue is.
//
// Limits: a fixed number of packets. One ENI may have as many as an eighth of
// what is free, so that however many guests flood it there is room for the first
// packets of another one; what is beyond is dropped and counted.
// The flows in the queue are told by 16 bits of their hash: a new flow that
// shares them with a waiting one may wait longer than it need, never out of its
// order.
type waitQueue struct {
	items   []item
	head, n int
	flows   [1 << 16]uint32 // waiting packets by hash
	enis    []uint32        // waiting packets by ENI
	share   int             // packets to retry in the next round
}

// Bounds of waitQueue.share.
const (
	minRetry = 16
	maxRetry = pktio.MaxBurst
)

func newWaitQueue(capacity, enis int) waitQueue {
	return waitQueue{items: make([]item, capacity), enis: make([]uint32, enis), share: maxRetry}
}

func (q *waitQueue) slot(hash uint64) *uint32 { return &q.flows[hash>>16%uint64(len(q.flows))] }

// holds reports whether a packet with this flow hash may be waiting.
func (q *waitQueue) holds(hash uint64) bool { return q.n != 0 && *q.slot(hash) != 0 }

// full reports whether there is no room for a packet of an ENI.
func (q *waitQueue) full(eni uint16) bool {
	return q.n == len(q.items) || int(q.enis[eni]) >= max(1, (len(q.items)-q.n)/8)
}

// push returns the slot at the end for the caller to fill.
func (q *waitQueue) push(hash uint64, eni uint16) *item {
	*q.slot(hash)++
	q.enis[eni]++
	it := &q.items[(q.head+q.n)%len(q.items)]
	q.n++
	return it
}

// at returns the packet with i others before it.
func (q *waitQueue) at(i int) *item { return &q.items[(q.head+i)%len(q.items)] }

// remove takes the n oldest packets out.
func (q *waitQueue) remove(n int) {
	for range n {
		m := &q.items[q.head].meta
		*q.slot(m.Hash)--
		q.enis[m.ENI]--
		q.head = (q.head + 1) % len(q.items)
		q.n--
	}
}

// retry carries packets from the waiting queue through the stages, before any
// younger ones: those for which the flow cache has an entry by now, and as many
// of the others as the slow path has time for. When that time is over the rest
// stays where it is. It returns how many went.
func (w *Worker) retry() int {
	q, b := &w.waiting, &w.burst
	n := min(q.n, q.share)
	if n == 0 {
		return 0
	}
	for i := range n {
		b.put(i, q.at(i))
	}
	b.n = n
	w.retrying = true
	w.lookup()
	done := w.decideAgain()
	w.retrying = false
	q.remove(done)
	// A queue full of flows that all need the slow path is not looked up in
	// vain, and one full of known flows empties quickly.
	if done == n {
		q.share = min(2*q.share, maxRetry)
	} else {
		q.share = max(done, minRetry)
	}
	b.n = done
	w.profile()
	w.tally()
	w.limit()
	w.rewrite()
	w.transmit()
	return done
}

// decideAgain is decide for packets that have waited: it stops at the first one
// for which there is no time again, and returns how many were before it.
func (w *Worker) decideAgain() int {
	b := &w.burst
	w.changed = false
	for i := range b.n {
		if !w.sharesRefusal(i) && !w.hit(i) && !w.judge(i) {
			return i
		}
	}
	return b.n
}

// wait puts packet i at the end of the waiting queue.
func (w *Worker) wait(i int) {
	m, k := &w.burst.meta[i], &w.burst.keys[i]
	if w.waiting.full(m.ENI) {
		w.dropAt(i, drop.SlowPathQueueFull)
		return
	}
	// An entry that cannot decide this packet must not decide the next either.
	if id := w.cache.Find(m.Hash, k); id != flowcache.None {
		w.cache.SetQueued(w.cache.At(id), true)
	}
	w.burst.take(i, w.waiting.push(m.Hash, m.ENI)) // still undecided
	m.Verdict = VerdictHold
	w.counters.local[countWaited]++
}
