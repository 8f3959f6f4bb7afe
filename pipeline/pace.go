package pipeline

import (
	"errors"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/pipeline/pacer"
	"github.com/nitrod/nitrod/pipeline/shaper"
	"github.com/nitrod/nitrod/policy"
)

// A receive queue may space out what it gives to its guest (docs/semantics.md S6.5):
// before the queue stands a pacer, at the lcore that serves the queue. What other
// lcores have for it comes with the hash of its flow, on a ring of its own beside
// that of the packets. Queues that were never paced pay one test of a flag a run.

// eniPacing is the pacers of an ENI's queues, and how they space packets out now.
type eniPacing struct {
	queues   []*pacer.Pacer // by receive queue; nil if the ENI never had any
	settings *pacer.Settings
}

// pacingOf returns the pacing of all ENIs, or nil if none has or had any. Pacers are
// made with the first policy that asks for them, and stay.
//
// Thread-safety: under Engine.changing.
func (e *Engine) pacingOf(snap *policy.Snapshot) ([]eniPacing, error) {
	for i := range snap.ENIs {
		p := &snap.Limits[i].Pacing
		if snap.ENIs[i].Dead() || !p.Paces() {
			continue
		}
		if e.pacers == nil {
			e.pacers = make([][]*pacer.Pacer, len(e.guests))
		}
		if err := e.makePacers(uint16(i), p.Packets); err != nil {
			return nil, err
		}
	}
	if e.pacers == nil {
		return nil, nil
	}
	all := make([]eniPacing, len(e.pacers))
	for i := range min(len(all), len(snap.ENIs)) {
		all[i].queues = e.pacers[i]
		if r := &snap.ENIs[i]; !r.Dead() && snap.Limits[i].Pacing.Paces() {
			all[i].settings = paceSettings(&snap.Limits[i].Pacing, int(r.MTU))
		}
	}
	return all, nil
}

// makePacers gives an ENI's queues their pacers, unless they have them.
func (e *Engine) makePacers(eni uint16, packets int) error {
	if made := e.pacers[eni]; made != nil {
		if made[0].Capacity() != packets {
			return errors.New("pipeline: ENI " + e.guests[eni].id + " has room for another number of packets that wait for their pace than its queues were given")
		}
		return nil
	}
	queues := make([]*pacer.Pacer, e.guests[eni].queues)
	for q := range queues {
		var err error
		if queues[q], err = pacer.New(packets); err != nil {
			for _, p := range queues[:q] {
				_ = p.Free()
			}
			return err
		}
	}
	e.pacers[eni] = queues
	return nil
}

func paceSettings(p *policy.Pacing, mtu int) *pacer.Settings {
	frame := mtu + ethHeader
	rate := func(bits uint64) shaper.Rate { return shaper.NewBandwidth(bits, p.Burst(bits, frame), 0, 1) }
	return &pacer.Settings{
		Rate: rate(p.Rate), FlowRate: rate(p.FlowRate), Quantum: int32(frame),
		Packets: p.Packets, FlowPackets: p.FlowPackets, Delay: int64(p.Delay),
	}
}

// pacingChanged takes up the pacing of a new view.
func (w *Worker) pacingChanged() {
	adopted := 0
	for eni := range w.view.pacing {
		p := &w.view.pacing[eni]
		for q := range p.queues {
			dest := w.eniQueue[eni] + uint32(q)
			d := &w.out[dest]
			d.paced = true
			if d.queue != nil {
				if d.pacer == nil {
					d.adopt(p.queues[q])
					adopted++
				}
				d.pacer.Set(p.settings)
			}
		}
	}
	if adopted != 0 { // what they may drop in a round is freed with it
		frees := make([]uint64, len(w.flush.Frees), cap(w.flush.Frees)+adopted*maxRun)
		copy(frees, w.flush.Frees)
		w.flush.Frees = frees
	}
}

// sendPaced is send for a queue that is paced, or was. places are those of the
// packets; the last one is also of all behind it.
func (w *Worker) sendPaced(descs []pktio.Desc, places []uint64, dest uint32) (remote bool) {
	q := &w.out[dest]
	for i := range descs {
		d, flow := &descs[i], places[min(i, len(places)-1)]
		if q.queue != nil {
			w.pacePacket(dest, flow, pacer.Packet{Buf: d.Buf, Len: d.PktLen})
			continue
		}
		if !w.sendOut[q.owner].Put(&sendItem{d.Buf, dest | withFlow, d.PktLen}) {
			w.refuse(d, q.eni, drop.EgressRingFull)
			continue
		}
		// As many of these as of packets are under way at the most: there is room.
		w.flowOut[q.owner].Put(&flow)
		remote = true
	}
	return remote
}

// withFlow marks in sendItem.dest a packet whose flow is on the ring beside.
const withFlow = 1 << 31

// collectPaced takes a packet that comes with its flow. The lcore that sent it may
// have taken up a view with a pacer before this one.
func (w *Worker) collectPaced(from int, it *sendItem) {
	dest, flow := it.dest&^withFlow, *w.flowIn[from].Peek()
	w.flowIn[from].Advance()
	if w.out[dest].pacer == nil {
		w.queuePacket(dest, it.buf, it.len)
		return
	}
	w.pacePacket(dest, flow, pacer.Packet{Buf: it.buf, Len: it.len})
}

// pacePacket puts a packet into a queue's pacer, or into the queue itself where
// nothing is spaced out any more.
func (w *Worker) pacePacket(dest uint32, flow uint64, k pacer.Packet) {
	q := &w.out[dest]
	if q.pacer.Idle() {
		q.pacer.Pass()
		w.queuePacket(dest, k.Buf, k.Len)
		return
	}
	reason := drop.PacingQueueFull
	switch q.pacer.Push(flow, k, w.now) {
	case pacer.Taken:
		if !q.waits {
			q.waits = true
			w.paced = append(w.paced, dest)
		}
		w.touchQueue(dest)
		return
	case pacer.FlowFull:
		reason = drop.PacingFlowFull
	}
	w.touchQueue(dest)
	w.countDrop(q.eni, reason)
	w.free(k.Buf)
}

// queuePacket puts a packet into a queue that this lcore serves.
func (w *Worker) queuePacket(dest uint32, buf uint64, n uint32) {
	q := &w.out[dest]
	if q.queue.Push(buf, n) {
		w.markDirty(dest)
		return
	}
	w.countDrop(q.eni, drop.TxQueueFull)
	w.free(buf)
}

// pace gives to the queues what may leave their pacers, of each as much as its port
// takes in a round, and drops what has waited for too long.
func (w *Worker) pace() {
	keep := w.paced[:0]
	for _, dest := range w.paced {
		q := &w.out[dest]
		n := 0
		for ; n < maxRun; n++ {
			k, late := q.pacer.Late(w.now)
			if !late {
				break
			}
			w.countDrop(q.eni, drop.PacingTooLate)
			w.free(k.Buf)
		}
		for ; n < maxRun; n++ {
			k, leaves := q.pacer.Next(w.now)
			if !leaves {
				break
			}
			w.queuePacket(dest, k.Buf, k.Len)
		}
		w.released += n
		if q.waits = q.pacer.Len() != 0; q.waits {
			keep = append(keep, dest)
		}
	}
	w.paced = keep
}

// paceDue returns when a packet may leave a pacer next, in ns.
func (w *Worker) paceDue() int64 {
	at := int64(forever)
	for _, dest := range w.paced {
		at = min(at, w.out[dest].pacer.Due())
	}
	return at
}
