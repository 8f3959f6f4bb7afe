package pipeline

import (
	"math/bits"
	"sync/atomic"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/internal/relaxed"
)

// The counters of an lcore, besides the drops by reason.
const (
	countRounds = iota
	countRx
	countOriginated
	countTx
	countConsumed
	countHits            // packets that the flow cache decided
	countSlowPath        // packets that the slow path decided
	countWaited          // packets that waited for the slow path
	countRedecided       // flows judged anew after a change of policy
	countSessions        // sessions begun
	countExpired         // sessions that ended by idle time
	countEvicted         // flow-cache entries that made room for others
	countFragmented      // packets sent in pieces
	countICMPErrors      // messages about packets that cannot go on
	countFragmentsWaited // that came before the first one of their datagram
	countHandedOut
	countHandedIn
	countBusy   // nanoseconds of rounds that had work
	countDrops  // the first of drop.Count
	numCounters = countDrops + int(drop.Count)
)

// counters are one lcore's. The lcore counts in local and publishes from time
// to time, so that no packet costs an atomic operation.
type counters struct {
	local     [numCounters]uint64
	_         [64]byte
	published [numCounters]uint64
	_         [64]byte
}

func (c *counters) publish() {
	for i, v := range c.local {
		if c.published[i] != v {
			relaxed.Store64(&c.published[i], v)
		}
	}
}

func (c *counters) load(i int) uint64 { return atomic.LoadUint64(&c.published[i]) }

// ENICounts is what an ENI sent and received, as its guest sees it: rx is what
// the guest receives.
type ENICounts struct {
	RxPackets, RxBytes uint64
	TxPackets, TxBytes uint64
	Drops              uint64 // of what it sent, or was to receive: the sum of the next three
	RxOverruns         uint64 // that it was to receive: its receive ring was full
	RxDrops            uint64 // that it was to receive, for another reason
	TxDrops            uint64 // that it sent
	PPSExceeded        uint64 // ENA's pps_allowance_exceeded: fragments beyond its rate
	ConntrackExceeded  uint64 // ENA's conntrack_allowance_exceeded, at the end that had no room
	LinkLocalExceeded  uint64 // ENA's linklocal_allowance_exceeded
	Fragments          uint64 // that it sent, beyond its rate or not
	LinkLocal          uint64 // packets that it sent to link-local services, beyond its rate or not
	Opened             uint64 // tracked connections that it began
	Accepted           uint64 // tracked connections that others began to it
}

// eniCounters are an lcore's counts by ENI.
type eniCounters struct {
	local     []ENICounts
	published []ENICounts
	isDirty   []bool
	dirty     []uint16
}

func newENICounters(n int) eniCounters {
	return eniCounters{make([]ENICounts, n), make([]ENICounts, n), make([]bool, n), make([]uint16, 0, n)}
}

func (c *eniCounters) touch(eni uint16) *ENICounts {
	if !c.isDirty[eni] {
		c.isDirty[eni] = true
		c.dirty = append(c.dirty, eni)
	}
	return &c.local[eni]
}

func (c *eniCounters) publish() {
	for _, eni := range c.dirty {
		c.isDirty[eni] = false
		from, to := &c.local[eni], &c.published[eni]
		relaxed.Store64(&to.RxPackets, from.RxPackets)
		relaxed.Store64(&to.RxBytes, from.RxBytes)
		relaxed.Store64(&to.TxPackets, from.TxPackets)
		relaxed.Store64(&to.TxBytes, from.TxBytes)
		relaxed.Store64(&to.RxOverruns, from.RxOverruns)
		relaxed.Store64(&to.RxDrops, from.RxDrops)
		relaxed.Store64(&to.TxDrops, from.TxDrops)
		relaxed.Store64(&to.PPSExceeded, from.PPSExceeded)
		relaxed.Store64(&to.ConntrackExceeded, from.ConntrackExceeded)
		relaxed.Store64(&to.LinkLocalExceeded, from.LinkLocalExceeded)
		relaxed.Store64(&to.Fragments, from.Fragments)
		relaxed.Store64(&to.LinkLocal, from.LinkLocal)
		relaxed.Store64(&to.Opened, from.Opened)
		relaxed.Store64(&to.Accepted, from.Accepted)
	}
	c.dirty = c.dirty[:0]
}

// addTo adds what is published of an ENI to sum.
func (c *eniCounters) addTo(sum *ENICounts, eni int) {
	p := &c.published[eni]
	sum.RxPackets += atomic.LoadUint64(&p.RxPackets)
	sum.RxBytes += atomic.LoadUint64(&p.RxBytes)
	sum.TxPackets += atomic.LoadUint64(&p.TxPackets)
	sum.TxBytes += atomic.LoadUint64(&p.TxBytes)
	overruns, rx, tx := atomic.LoadUint64(&p.RxOverruns), atomic.LoadUint64(&p.RxDrops), atomic.LoadUint64(&p.TxDrops)
	sum.RxOverruns += overruns
	sum.RxDrops += rx
	sum.TxDrops += tx
	sum.Drops += overruns + rx + tx
	sum.PPSExceeded += atomic.LoadUint64(&p.PPSExceeded)
	sum.ConntrackExceeded += atomic.LoadUint64(&p.ConntrackExceeded)
	sum.LinkLocalExceeded += atomic.LoadUint64(&p.LinkLocalExceeded)
	sum.Fragments += atomic.LoadUint64(&p.Fragments)
	sum.LinkLocal += atomic.LoadUint64(&p.LinkLocal)
	sum.Opened += atomic.LoadUint64(&p.Opened)
	sum.Accepted += atomic.LoadUint64(&p.Accepted)
}

// countRx counts a run of packets that an ENI sent.
func (w *Worker) countRx(eni uint16, packets, bytes uint64) {
	if eni != noENI && packets != 0 {
		c := w.eniCounts.touch(eni)
		c.TxPackets += packets
		c.TxBytes += bytes
		w.poll.coalescer.counted.Bytes += bytes
	}
}

// countTx counts packets that an ENI's port took.
func (w *Worker) countTx(eni uint16, packets, bytes uint64) {
	if packets != 0 {
		w.counters.local[countTx] += packets
		c := w.eniCounts.touch(eni)
		c.RxPackets += packets
		c.RxBytes += bytes
	}
}

func (w *Worker) countDrop(eni uint16, r drop.Reason) {
	w.counters.local[countDrops+int(r)]++
	if eni != noENI {
		c := w.eniCounts.touch(eni)
		switch {
		case r == drop.TxQueueFull:
			c.RxOverruns++
		case ofReceiver[r]:
			c.RxDrops++
		default:
			c.TxDrops++
		}
	}
}

// refuse drops a packet that has no slot of its own yet.
func (w *Worker) refuse(d *pktio.Desc, eni uint16, r drop.Reason) {
	w.countDrop(eni, r)
	w.free(d.Buf)
}

// ofReceiver tells the reasons of the ingress half.
var ofReceiver = func() (t [drop.Count]bool) {
	for r := range t {
		t[r] = drop.Reason(r).Info().Half == drop.HalfIngress
	}
	return t
}()

// dropAt drops packet i: against the ENI that was to receive it if the reason is
// of the ingress half, else against the one that sent it.
func (w *Worker) dropAt(i int, r drop.Reason) {
	m := &w.burst.meta[i]
	eni := m.ENI
	if m.Egress != noENI && ofReceiver[r] {
		eni = m.Egress
	}
	m.Verdict, m.Reason = VerdictDrop, r
	if m.Flags&flagFragment != 0 {
		w.noteRefusal(i, r)
	}
	w.countDrop(eni, r)
	w.free(w.burst.desc[i].Buf)
}

// gapHistogram counts the gaps between polls by length: four buckets to each
// power of two of nanoseconds.
type gapHistogram struct {
	local     [gapBuckets]uint64
	published [gapBuckets]uint64
	max       int64
	maxShown  int64
	started   bool
	due       int // runs of tidy until the next publication
}

const (
	gapBuckets = 160
	gapSub     = 4
)

func (g *gapHistogram) note(gap int64) {
	if !g.started { // the first round follows none
		g.started = true
		return
	}
	g.local[gapBucket(uint64(gap))]++
	if gap > g.max {
		g.max = gap
	}
}

func gapBucket(ns uint64) int {
	if ns < gapSub {
		return int(ns)
	}
	e := bits.Len64(ns) - 3
	return min((e+1)*gapSub+int(ns>>e)&(gapSub-1), gapBuckets-1)
}

// gapUpper returns the first gap in nanoseconds that is above a bucket.
func gapUpper(bucket int) uint64 {
	if bucket < gapSub {
		return uint64(bucket) + 1
	}
	e := bucket/gapSub - 1
	return uint64(bucket%gapSub+gapSub+1) << e
}

func (g *gapHistogram) publish() {
	for i, v := range g.local {
		if g.published[i] != v {
			relaxed.Store64(&g.published[i], v)
		}
	}
	relaxed.StoreInt64(&g.maxShown, g.max)
}
