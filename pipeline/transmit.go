package pipeline

import (
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/pipeline/microburst"
	"github.com/nitrod/nitrod/pipeline/pacer"
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
	stale bool              // what is published of it is to be renewed
	watch *microburst.Queue // measures it; nil if another lcore serves it, or nothing is measured
	pacer *pacer.Pacer      // before it; nil if there is none, or another lcore serves it
	paced bool              // there is a pacer: packets go there by sendPaced
	waits bool              // there is something in the pacer
	exit  pacedExit
}

// sendItem is a packet on its way to the lcore that serves its queue.
type sendItem struct {
	buf  uint64
	dest uint32 // index in Worker.out, and perhaps withFlow
	len  uint32
}

// transmit is the stage that queues packets for their receivers and gives to the
// devices what they take. One call into the devices sends and frees everything
// of the round.
func (w *Worker) transmit() {
	b := &w.burst
	remote, made := false, 0
	for i := 0; i < b.n; {
		m := &b.meta[i]
		switch m.Verdict {
		case VerdictForward, VerdictAnswer:
			dest := w.destOf(m)
			end := i + 1
			for end < b.n && b.meta[end].Verdict == VerdictForward && w.destOf(&b.meta[end]) == dest {
				end++
			}
			if w.out[dest].paced {
				if w.sendPaced(b.desc[i:end], b.places[i:end], dest) {
					remote = true
					w.noteSent(dest, end-1)
				}
			} else if w.send(b.desc[i:end], dest) {
				remote = true
				w.noteSent(dest, end-1)
			}
			i = end
			continue
		case VerdictReplaced:
			descs := w.made.madeFor(i, made)
			if dest := w.destOf(m); w.out[dest].paced {
				remote = w.sendPaced(descs, b.places[i:i+1], dest) || remote
			} else {
				remote = w.send(descs, dest) || remote
			}
			made += len(descs)
		case VerdictConsume:
			w.counters.local[countConsumed]++
			w.free(b.desc[i].Buf)
		}
		i++
	}
	if remote {
		w.resize()
		for i, r := range w.sendOut {
			if r != nil {
				w.flowOut[i].Publish() // before the packets to which they belong
				r.Publish()
				if r.Len() != 0 {
					w.wake(i)
				}
			}
		}
	}
	w.clearMade()
	w.collect()
	if len(w.paced) != 0 {
		w.pace()
	}
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

// destOf returns the index in Worker.out of the queue to which a packet goes.
func (w *Worker) destOf(m *Meta) uint32 { return w.eniQueue[m.Egress] + uint32(m.Queue) }

// send queues packets for one receive queue, or gives them to the lcore that
// serves it, and reports whether it did that.
func (w *Worker) send(descs []pktio.Desc, dest uint32) (remote bool) {
	q := &w.out[dest]
	if q.queue != nil {
		for i := q.queue.PushBurst(descs); i < len(descs); i++ {
			w.refuse(&descs[i], q.eni, drop.TxQueueFull)
		}
		if !q.dirty && q.queue.Len() > 0 {
			w.markDirty(dest)
		}
		return false
	}
	for i := range descs {
		d := &descs[i]
		if w.sendOut[q.owner].Put(&sendItem{d.Buf, dest, d.PktLen}) {
			remote = true
		} else {
			w.refuse(d, q.eni, drop.EgressRingFull)
		}
	}
	return remote
}

func (w *Worker) markDirty(dest uint32) {
	if q := &w.out[dest]; !q.dirty {
		q.dirty = true
		w.dirty = append(w.dirty, dest)
		w.touchQueue(dest)
	}
}

// collect queues what other lcores have for the queues that this one serves.
func (w *Worker) collect() {
	for from, r := range w.sendIn {
		if r == nil {
			continue
		}
		for range 2 * pktio.MaxBurst {
			it := r.Peek()
			if it == nil {
				break
			}
			if it.dest&withFlow != 0 {
				w.collectPaced(from, it)
			} else {
				if p := w.out[it.dest].pacer; p != nil { // the other lcore does not know of it yet
					p.Pass()
				}
				w.queuePacket(it.dest, it.buf, it.len)
			}
			r.Advance()
			w.collected++
		}
		w.flowIn[from].Release() // before the packets: see sendPaced
		r.Release()
	}
}

// sendAll gives the devices a run of every queue that holds something, together
// with all that is to be freed.
func (w *Worker) sendAll() {
	f := &w.flush
	if len(w.dirty) == 0 && len(f.Frees) == 0 && len(f.Resizes) == 0 {
		return
	}
	if w.poll.coalescer.holds(w) {
		f.Runs = f.Runs[:0]
		w.io.Tx(f)
		f.Frees, f.Resizes = f.Frees[:0], f.Resizes[:0]
		return
	}
	f.Runs = f.Runs[:len(w.dirty)]
	for i, dest := range w.dirty {
		q := &w.out[dest]
		q.queue.Run(&f.Runs[i], maxRun)
		if q.watch != nil {
			w.observe(q, dest)
		}
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
