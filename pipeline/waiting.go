package pipeline

// waitQueue holds the packets for which the slow path had no time in their
// round, in the order in which they came. A packet of a flow that has one
// waiting must wait behind it, even if the flow cache knows the flow by then.
//
// Limits: a fixed number of packets; beyond it they are dropped and counted. A
// flow is told by 12 bits of its hash, so that now and then one waits that need
// not: that costs it a round, never its place.
type waitQueue struct {
	items   []item
	head, n int
	flows   [4096]uint16 // waiting packets by hash
}

func newWaitQueue(capacity int) waitQueue { return waitQueue{items: make([]item, capacity)} }

func (q *waitQueue) slot(hash uint64) *uint16 { return &q.flows[hash>>20%uint64(len(q.flows))] }

// holds reports whether a packet with this flow hash must wait.
func (q *waitQueue) holds(hash uint64) bool { return *q.slot(hash) != 0 }

// full reports whether there is no room.
func (q *waitQueue) full() bool { return q.n == len(q.items) }

// push returns the slot at the end for the caller to fill.
func (q *waitQueue) push(hash uint64) *item {
	*q.slot(hash)++
	it := &q.items[(q.head+q.n)%len(q.items)]
	q.n++
	return it
}

// pop returns the oldest packet; it is valid until the next push.
func (q *waitQueue) pop() *item {
	it := &q.items[q.head]
	*q.slot(it.meta.Hash)--
	q.head = (q.head + 1) % len(q.items)
	q.n--
	return it
}
