package pipeline

import "github.com/nitrod/nitrod/pipeline/pacer"

// A change of queues (queue_move.go) waits until the packets of a flow have left
// their old queue. Where that is paced, it counts the packets as they come to the
// pacer, which lets them go in another order: all before one have left when the oldest
// in the pacer is younger, and what was in the queue by then has left.

// pacedExit is how far a paced queue has been seen to have sent what came.
type pacedExit struct {
	sent   uint32 // what came before has left
	passed uint32 // what came before has passed the pacer, as long as waits
	filled uint32 // and is in the queue below this
	waits  bool
}

// filled returns how many packets ever came, modulo 2^32, to a queue that this lcore
// serves, and left how many of them, in that order, have left or were dropped.
func (q *destQueue) filled() uint32 {
	if q.pacer == nil {
		return q.queue.Filled()
	}
	return q.pacer.Filled()
}

// left is explained at filled.
func (q *destQueue) left() uint32 {
	if q.pacer == nil {
		return q.queue.Left()
	}
	x := &q.exit
	for range 2 { // what has just been seen to pass may have left as well
		if !x.waits {
			x.passed, x.filled, x.waits = q.pacer.Oldest(), q.queue.Filled(), true
		}
		if int32(q.queue.Left()-x.filled) < 0 {
			break
		}
		x.sent, x.waits = x.passed, false
	}
	return x.sent
}

// adopt puts a pacer before the queue. It goes on counting where the queue is.
func (q *destQueue) adopt(p *pacer.Pacer) {
	q.pacer = p
	p.Begin(q.queue.Filled())
	q.exit = pacedExit{sent: q.queue.Left()}
}
