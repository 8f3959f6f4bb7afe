package pipeline

import (
	"slices"
	"sync/atomic"

	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/internal/relaxed"
	"github.com/nitrod/nitrod/pipeline/pacer"
	"github.com/nitrod/nitrod/rings"
)

// This file counts by queue, and shows the queues of an ENI to readers.

// SendCounts is what came on one of the queues with which a guest sends.
type SendCounts struct{ Packets, Bytes uint64 }

// sendCounters are an lcore's SendCounts, of all ports' queues in a row.
type sendCounters struct {
	first     []uint32 // by port, and one more
	local     []SendCounts
	published []SendCounts
	isDirty   []bool
	dirty     []uint32
}

// newSendCounters makes counters for ports whose numbers are at most highest.
func newSendCounters(ports []Port, highest int) sendCounters {
	c := sendCounters{first: make([]uint32, highest+2)}
	for i := range ports {
		c.first[ports[i].Port+1] = uint32(ports[i].sendQueues())
	}
	for i := range highest + 1 {
		c.first[i+1] += c.first[i]
	}
	n := c.first[highest+1]
	c.local, c.published = make([]SendCounts, n), make([]SendCounts, n)
	c.isDirty, c.dirty = make([]bool, n), make([]uint32, 0, n)
	return c
}

// sendQueues returns the number of the device's receive queues.
func (p *Port) sendQueues() int {
	if p.Polled == nil {
		return p.Queues
	}
	return len(p.Polled)
}

// add counts packets of a port's queue. A port or queue that belongs to nobody is
// not counted.
func (c *sendCounters) add(port, queue uint16, packets, bytes uint64) {
	if int(port)+1 >= len(c.first) {
		return
	}
	at := c.first[port] + uint32(queue)
	if at >= c.first[port+1] {
		return
	}
	if !c.isDirty[at] {
		c.isDirty[at] = true
		c.dirty = append(c.dirty, at)
	}
	c.local[at].Packets += packets
	c.local[at].Bytes += bytes
}

func (c *sendCounters) publish() {
	for _, at := range c.dirty {
		c.isDirty[at] = false
		relaxed.Store64(&c.published[at].Packets, c.local[at].Packets)
		relaxed.Store64(&c.published[at].Bytes, c.local[at].Bytes)
	}
	c.dirty = c.dirty[:0]
}

// load returns what is published of a port's queue.
func (c *sendCounters) load(port uint16, queue int) SendCounts {
	p := &c.published[c.first[port]+uint32(queue)]
	return SendCounts{atomic.LoadUint64(&p.Packets), atomic.LoadUint64(&p.Bytes)}
}

// countSent counts what the devices gave in this round: for the queues by which
// it came, and for the ENIs that sent it. A device gives a run of each queue.
func (w *Worker) countSent(descs []pktio.Desc) {
	for len(descs) > 0 {
		port, queue := descs[0].Port, descs[0].Queue
		n, bytes := 0, uint64(0)
		for n < len(descs) && descs[n].Port == port && descs[n].Queue == queue {
			bytes += uint64(descs[n].PktLen)
			n++
		}
		w.sent.add(port, queue, uint64(n), bytes)
		w.countRx(w.portOwner(port), uint64(n), bytes)
		descs = descs[n:]
	}
}

// touchQueue notes that a receive queue has news for its readers.
func (w *Worker) touchQueue(dest uint32) {
	if q := &w.out[dest]; !q.stale {
		q.stale = true
		w.stale = append(w.stale, dest)
	}
}

// publishQueues publishes what has changed. A queue with something to send stays
// on the list: it changes without being touched.
func (w *Worker) publishQueues() {
	w.sent.publish()
	keep := w.stale[:0]
	for _, dest := range w.stale {
		q := &w.out[dest]
		q.queue.Publish()
		if q.pacer != nil {
			q.pacer.Publish()
		}
		if q.stale = q.dirty || q.waits; q.stale {
			keep = append(keep, dest)
		}
	}
	w.stale = keep
}

// ReceiveRing is one of the queues with which a guest receives.
type ReceiveRing struct {
	rings.ReceiveCounts
	Depth  int
	Lcore  int   // that serves it
	Device int   // transmit queue of the port's device by which its packets leave
	Pace   *Pace // nil if what it receives is not spaced out, and never was
}

// Pace is how a receive queue spaces packets out, in bits a second, and what it has
// counted.
type Pace struct {
	Rate, FlowRate uint64 // 0: none
	pacer.Counts
}

// SendRing is one of the queues with which a guest sends: a receive queue of the
// port's device.
type SendRing struct {
	SendCounts
	Depth int // packets that may wait there for the lcore, or 0 where that is not known
	Lcore int // that polls it, or -1 where that is not known
}

// Rings returns the queues of an ENI, in their order, as far as the lcores have
// published of them. An ENI without a port has none.
func (e *Engine) Rings(eni uint16) (receive []ReceiveRing, send []SendRing) {
	at := slices.IndexFunc(e.ports, func(p Port) bool { return p.ENI == eni })
	if at < 0 {
		return nil, nil
	}
	first := e.workers[0].eniQueue[eni]
	for q := range uint32(e.guests[eni].queues) {
		owner := int(e.workers[0].out[first+q].owner)
		r := e.workers[owner].out[first+q].queue
		receive = append(receive, ReceiveRing{r.Published(), r.Depth(), owner, int(r.Queue), e.Pace(eni, int(q))})
	}
	p := &e.ports[at]
	for q := range p.sendQueues() {
		ring := SendRing{Depth: p.SendDepth, Lcore: -1}
		if p.Polled != nil {
			ring.Lcore = int(p.Polled[q])
		}
		for _, w := range e.workers {
			c := w.sent.load(p.Port, q)
			ring.Packets += c.Packets
			ring.Bytes += c.Bytes
		}
		send = append(send, ring)
	}
	return receive, send
}

// Pace returns how a receive queue of an ENI spaces packets out, as far as its lcore
// has published it, or nil if it never has.
func (e *Engine) Pace(eni uint16, queue int) *Pace {
	v := e.view.Load()
	if v.pacing == nil || v.pacing[eni].queues == nil {
		return nil
	}
	p := &v.snap.Limits[eni].Pacing
	return &Pace{p.Rate, p.FlowRate, v.pacing[eni].queues[queue].Published()}
}
