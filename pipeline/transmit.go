package pipeline

import (
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/rings"
)

// maxRun is how many packets one queue may give to its port in a round.
const maxRun = 256

// destQueue is one ENI's receive queue as a worker sees it: its own, or that of
// the lcore that serves it.
type destQueue struct {
	queue *rings.ReceiveQueue // nil if another lcore serves it
	owner uint16
	eni   uint16
	dirty bool
}

// sendItem is a packet on its way to the lcore that serves its queue.
type sendItem struct {
	buf  uint64
	dest uint32 // index in Worker.out
	len  uint32
}

// transmit is the stage that queues packets for their receivers and gives to the
// devices what they take. One call into the devices sends and frees everything
// of the round.
func (w *Worker) transmit() {
	b := &w.burst
	remote := false
	metas, descs := b.meta[:b.n], b.desc[:b.n]
	for i := range metas {
		m, d := &metas[i], &descs[i]
		switch m.Verdict {
		case VerdictForward, VerdictAnswer:
			dest := w.eniQueue[m.Egress] + uint32(m.Queue)
			q := &w.out[dest]
			switch {
			case q.queue == nil:
				remote = w.sendAway(i, dest, q.owner) || remote
			case !q.queue.Push(d.Buf, d.PktLen):
				w.dropAt(i, drop.TxQueueFull)
			case !q.dirty:
				w.markDirty(dest)
			}
		case VerdictConsume:
			w.counters.local[countConsumed]++
			w.free(d.Buf)
		}
	}
	if remote {
		w.resize()
		for _, r := range w.sendOut {
			if r != nil {
				r.Publish()
			}
		}
	}
	w.collect()
	w.sendAll()
}

// resize gives the devices what they have to know of this round's answers before
// another lcore may send one of them.
func (w *Worker) resize() {
	f := &w.flush
	if len(f.Resizes) != 0 {
		f.Runs = f.Runs[:0]
		w.io.Tx(f)
		f.Frees, f.Resizes = f.Frees[:0], f.Resizes[:0]
	}
}

// sendAway gives packet i to the lcore that serves its queue, and reports
// whether there was room on the ring.
func (w *Worker) sendAway(i int, dest uint32, owner uint16) bool {
	d := &w.burst.desc[i]
	if !w.sendOut[owner].Put(&sendItem{d.Buf, dest, d.PktLen}) {
		w.dropAt(i, drop.EgressRingFull)
		return false
	}
	return true
}

func (w *Worker) markDirty(dest uint32) {
	if q := &w.out[dest]; !q.dirty {
		q.dirty = true
		w.dirty = append(w.dirty, dest)
	}
}

// collect queues what other lcores have for the queues that this one serves.
func (w *Worker) collect() {
	for _, r := range w.sendIn {
		if r == nil {
			continue
		}
		for range 2 * pktio.MaxBurst {
			it := r.Peek()
			if it == nil {
				break
			}
			q := &w.out[it.dest]
			if q.queue.Push(it.buf, it.len) {
				w.markDirty(it.dest)
			} else {
				w.countDrop(q.eni, drop.TxQueueFull)
				w.free(it.buf)
			}
			r.Advance()
		}
		r.Release()
	}
}

// sendAll gives the devices a run of every queue that holds something, together
// with all that is to be freed.
func (w *Worker) sendAll() {
	f := &w.flush
	if len(w.dirty) == 0 && len(f.Frees) == 0 {
		return
	}
	f.Runs = f.Runs[:len(w.dirty)]
	for i, dest := range w.dirty {
		w.out[dest].queue.Run(&f.Runs[i], maxRun)
	}
	w.io.Tx(f)
	keep := w.dirty[:0]
	for i, dest := range w.dirty {
		q := &w.out[dest]
		sent := int(f.Runs[i].Sent)
		w.countTx(q.eni, uint64(sent), q.queue.Done(sent))
		if q.queue.Len() > 0 {
			keep = append(keep, dest)
		} else {
			q.dirty = false
		}
	}
	w.dirty = keep
	f.Frees, f.Resizes = f.Frees[:0], f.Resizes[:0]
}

// free gives a packet's buffer back with the next call into the devices.
func (w *Worker) free(buf uint64) {
	w.flush.Frees = append(w.flush.Frees, buf) // room for a round's worst case: see newWorker
}
