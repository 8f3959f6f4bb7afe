package pipeline

import (
	"slices"
	"sync/atomic"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/pipeline/flowcache"
)

// A change of how an ENI chooses its queues sends flows to other queues than
// before. If a flow's packets still lay in the old queue, those in the new one
// would overtake them. So each lcore goes on to use the old queue for a flow
// until all that it had put there for it has left to the port, and only then the
// new one (docs/decisions/0027). Flows are followed in groups, by the old queue
// and some bits of their key; an lcore knows by itself what it put into a queue,
// since all packets of a flow pass through one lcore.

// moveGroups is how many groups the flows of one old queue form.
const moveGroups = 64

// queueMove is a change that is under way at an ENI.
type queueMove struct {
	old    receiveSide
	states []moveState // by lcore
	// drained tells lcores of the queues that others serve: by queue and lcore.
	drained []drainReport
}

// moveState is where one lcore stands with a change. It is the lcore's own, but
// for done.
type moveState struct {
	buckets []moveBucket // by old queue, moveGroups each
	begun   bool
	left    int    // groups that have not moved
	hand    int    // the next of them to look at
	entry   uint32 // the next flow-cache entry to look at, after them
	done    atomic.Bool
}

// moveBucket is a group of flows.
type moveBucket struct {
	dest  uint32 // the old queue, as an index in Worker.out
	mark  uint32 // how far that had been filled when the group's last packet was in it
	state moveProgress
}

// touchedBucket is a group with a packet in the round, of an ENI's change.
type touchedBucket struct {
	bucket *moveBucket
	move   *queueMove
	eni    uint16
}

type moveProgress uint8

const (
	moveWaits   moveProgress = iota // until what is below mark has left
	moveTouched                     // in this round by a packet, which is not in the queue yet
	moveDone                        // the group goes by the new queue
)

// drainReport is how far the lcore that serves a queue has sent what another
// lcore handed over on the ring between them.
type drainReport struct {
	passed atomic.Uint64 // reported, and the place in the ring below which all has left
	// The serving lcore's own: what it is waiting for.
	place, filled uint32
	waits         bool
}

// reported is the bit of passed that tells a report from none.
const reported = 1 << 32

func (e *Engine) newQueueMove(old *receiveSide, eni uint16) *queueMove {
	queues := int(e.guests[eni].queues)
	m := &queueMove{old: *old, states: make([]moveState, e.lcores), drained: make([]drainReport, queues*e.lcores)}
	m.old.move = nil
	for i := range m.states {
		m.states[i].buckets = make([]moveBucket, queues*moveGroups)
	}
	return m
}

// done reports whether all lcores have moved all flows.
func (m *queueMove) done() bool {
	for i := range m.states {
		if !m.states[i].done.Load() {
			return false
		}
	}
	return true
}

// queuesChanged begins the changes that a new view brings: what the lcore has
// put into the old queues until now has to leave first.
func (w *Worker) queuesChanged() {
	w.choosing, w.moving = w.view.parted, len(w.view.moving) != 0
	if w.moving { // other buckets may speak for a flow than did for what waits of it
		w.limits.wheel.strict = w.limits.wheel.last
	}
	for _, eni := range w.view.moving {
		move := w.view.rss[eni].move
		s := &move.states[w.id]
		w.choosing = w.choosing || !s.done.Load()
		if s.begun {
			continue
		}
		s.begun, s.left = true, len(s.buckets)
		for i := range s.buckets {
			b := &s.buckets[i]
			b.dest = w.eniQueue[eni] + uint32(i/moveGroups)
			b.mark = w.filled(b.dest)
		}
	}
}

// ordered returns the queue for a packet whose ENI's queues change: next, unless
// packets of its flow are in another one yet.
func (w *Worker) ordered(eni uint16, move *queueMove, next uint8, k *hash.FlowKey, tos uint8, fragment bool) uint8 {
	s := &move.states[w.id]
	if s.left == 0 {
		return next
	}
	old := move.old.queue(eni, k, tos, fragment)
	if old == next {
		return next
	}
	b := &s.buckets[int(old)*moveGroups+moveGroupOf(k)]
	switch b.state {
	case moveDone:
		return next
	case moveWaits:
		b.state = moveTouched
		w.touched = append(w.touched, touchedBucket{b, move, eni})
	}
	return old
}

// moveGroupOf spreads flows over groups. It need not be keyed: flows that share a
// group only wait for each other.
func moveGroupOf(k *hash.FlowKey) int {
	x := k.Src.Lo ^ k.Dst.Lo<<7 ^ k.Tail>>32
	return int(x * 0x9e3779b97f4a7c15 >> 58)
}

// mark notes, after a round, how far the old queues are filled with packets of
// the groups that had some in it, and moves those of which all have left. Groups
// move between rounds only: a round may send more than once, and what it sends
// last must not reach the guest beside what it sent first.
func (w *Worker) mark() {
	for i := range w.touched {
		t := &w.touched[i]
		b := t.bucket
		b.mark, b.state = w.filled(b.dest), moveWaits
		if w.hasLeft(t.eni, t.move, b) {
			b.state = moveDone
			t.move.states[w.id].left--
		}
	}
	w.touched = w.touched[:0]
}

// filled returns how many packets the lcore has ever put into a queue, or on the
// ring to the lcore that serves it; modulo 2^32.
func (w *Worker) filled(dest uint32) uint32 {
	q := &w.out[dest]
	if q.queue == nil {
		return w.sendOut[q.owner].Filled()
	}
	return q.filled()
}

// hasLeft reports whether all of a group's packets have left their queue.
func (w *Worker) hasLeft(eni uint16, move *queueMove, b *moveBucket) bool {
	q := &w.out[b.dest]
	if q.queue != nil {
		return int32(q.left()-b.mark) >= 0
	}
	report := move.drained[int(b.dest-w.eniQueue[eni])*w.engine.lcores+w.id].passed.Load()
	return report&reported != 0 && int32(uint32(report)-b.mark) >= 0
}

// moveSlice bounds the groups, and the flow-cache entries, that one round looks
// at besides those that have packets.
const moveSlice = 64

// moveQueues goes on with the changes that are under way, after what this round
// sends was sent.
func (w *Worker) moveQueues() {
	w.choosing, w.moving = w.view.parted, false
	for _, eni := range w.view.moving {
		move := w.view.rss[eni].move
		if move.done() {
			continue
		}
		w.moving = true
		w.reportDrained(eni, move)
		if s := &move.states[w.id]; !s.done.Load() {
			w.moveIdle(eni, move, s)
			w.choosing = true
			w.limits.wheel.strict = w.limits.wheel.last
		}
	}
}

// reportDrained tells the other lcores what of theirs has left the queues that
// this one serves.
func (w *Worker) reportDrained(eni uint16, move *queueMove) {
	for q := range int(w.engine.guests[eni].queues) {
		own := &w.out[w.eniQueue[eni]+uint32(q)]
		if own.queue == nil {
			continue
		}
		for from, ring := range w.sendIn {
			if ring == nil {
				continue
			}
			r := &move.drained[q*w.engine.lcores+from]
			if !r.waits {
				r.place, r.filled, r.waits = ring.Taken(), own.filled(), true
			}
			if int32(own.left()-r.filled) >= 0 {
				r.passed.Store(reported | uint64(r.place))
				r.waits = false
			}
		}
	}
}

// moveIdle moves groups without a packet of theirs. When all have moved it puts
// the new queues into the flow cache, and ends the change for this lcore.
func (w *Worker) moveIdle(eni uint16, move *queueMove, s *moveState) {
	for range min(moveSlice, len(s.buckets)) {
		if s.left == 0 {
			break
		}
		b := &s.buckets[s.hand]
		if s.hand++; s.hand == len(s.buckets) {
			s.hand = 0
		}
		if b.state == moveWaits && w.hasLeft(eni, move, b) {
			b.state = moveDone
			s.left--
		}
	}
	if s.left != 0 {
		return
	}
	for range moveSlice {
		if s.entry >= w.cache.High() {
			w.limits.rechosen = w.limits.wheel.last
			s.done.Store(true)
			return
		}
		w.renewQueue(eni, w.cache.At(s.entry))
		s.entry++
	}
}

// renewQueue gives a flow-cache entry the queue that its flow has now.
func (w *Worker) renewQueue(eni uint16, e *flowcache.Entry) {
	if e.Key.Tail == 0 || !e.Forward() || e.Egress() != eni {
		return
	}
	if q := w.view.queueOf(eni, &e.Key, 0); q != e.Queue() {
		w.cache.SetQueue(e, q)
	}
}

// receives sets an ENI's choice of queues, and what of its change is under way.
func (v *view) receives(eni uint16, side receiveSide, prev *view) {
	if prev != nil && int(eni) < len(prev.rss) && prev.rss[eni].move != nil && !prev.rss[eni].move.done() {
		side.move = prev.rss[eni].move
	}
	v.rss[eni] = side
	v.parted, v.tallied = v.parted || side.byClass, v.tallied || side.load != nil
	if side.move != nil {
		v.moving = append(v.moving, eni)
	}
}

// moveTo returns the view with another choice of queues for an ENI, and the
// change to it under way.
func (e *Engine) moveTo(v *view, eni uint16, side receiveSide) *view {
	next := *v
	next.rss = slices.Clone(v.rss)
	next.moving, next.parted = nil, false
	for i := range next.rss {
		r := &next.rss[i]
		if uint16(i) == eni {
			side.move = e.newQueueMove(r, eni)
			*r = side
		} else if r.move != nil && r.move.done() {
			r.move = nil
		}
		if r.move != nil {
			next.moving = append(next.moving, uint16(i))
		}
		next.parted = next.parted || r.byClass
	}
	return &next
}
