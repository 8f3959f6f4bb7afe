package pipeline

import (
	"time"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/internal/prefetch"
	"github.com/nitrod/nitrod/pipeline/flowcache"
	"github.com/nitrod/nitrod/pipeline/microburst"
	"github.com/nitrod/nitrod/pipeline/profile"
	"github.com/nitrod/nitrod/pipeline/shaper"
	"github.com/nitrod/nitrod/policy"
	"github.com/nitrod/nitrod/rings"
)

// noENI is the index of no ENI.
const noENI = ^uint16(0)

// Worker is one lcore's pipeline: it owns the flow cache and the sessions of
// its shards, and carries a burst of packets through all stages before it takes
// the next.
//
// Thread-safety: Round is called by one goroutine, the lcore. Everything in a
// Worker is that goroutine's own, but for the published counters and what the
// flow cache and the session table offer to readers.
type Worker struct {
	engine *Engine
	id     int
	io     pktio.IO
	clock  Clock

	// Read once per round.
	now      int64  // ns
	millis   uint32 // of the sessions' clock
	tick     uint16 // of the flow cache's clock
	view     *view
	choosing bool               // queues are chosen packet by packet, whatever the flow cache says
	moving   bool               // some change of queues is under way
	enis     []policy.ENIRecord // of view

	burst     burst
	hashed    int  // packets below have their place
	parsed    int  // packets below are parsed already
	budget    int  // slow-path runs left in this round
	collected int  // packets taken from other lcores to send
	released  int  // packets that have left the pacers
	changed   bool // the flow cache has changed since lookup
	retrying  bool // the burst comes from the waiting queue
	fragments bool // there may be some in the burst

	redecision redecision
	touched    []touchedBucket // whose packets of this round go by an old queue

	cache           *flowcache.Cache
	sessions        *conntrack.Table
	limits          limiter
	waiting         waitQueue
	frags           fragStore
	refusals        fragRefusals
	fragShares      []shaper.Share // by ENI
	linkLocalShares []shaper.Share // by ENI
	portENI         []uint16
	in              []*rings.SPSC[item] // from each other lcore; nil from itself
	handed          []*rings.SPSC[item] // to each other lcore
	shards          [pktio.MaxBurst]uint16

	out      []destQueue // every ENI's receive queues
	dirty    []uint32    // those of out with something to send
	eniQueue []uint32    // first index in out of each ENI
	sendIn   []*rings.SPSC[sendItem]
	sendOut  []*rings.SPSC[sendItem]
	flowIn   []*rings.SPSC[uint64] // the flows of packets on sendIn that have withFlow
	flowOut  []*rings.SPSC[uint64]
	paced    []uint32 // those of out whose pacers hold something
	flush    pktio.Flush
	made     made
	advert   advertiser
	monitor  *microburst.Monitor // of the queues that this worker serves; nil if they are not measured
	lastSent []uint32            // by index in out: the flow-cache entry of a packet that went to another lcore's queue; others read it
	remote   flowcache.Entry     // a copy of another lcore's
	random   uint32
	pick     uint32         // of tally
	told     []shaper.Share // by ENI: of the router's complaints

	// Of the slow path: the packet that it is asked about, what connection
	// tracking says of that, and what policy does. They are here because copying
	// them costs more than what is done with them.
	query     policy.Query
	admission admission
	decision  policy.Decision

	counters  counters
	eniCounts eniCounters
	sent      sendCounters
	stale     []uint32 // those of out of which something new is to be published
	gaps      gapHistogram
	nextTidy  int64
	worked    int               // packets that the last round had work with
	heavy     *profile.Recorder // nil: not looked for
	lines     prefetch.Lines
	poll      poller
}

// Round does everything once: it takes a burst in, carries it through the
// stages, and gives to the devices what is to be sent. It returns how many
// packets it had work with; none means that the lcore may pause.
func (w *Worker) Round() int {
	w.begin()
	n := 0
	if w.limits.wheel.n != 0 {
		n = w.depart() // what waited for limits
	}
	n += w.retry() // what waited for the slow path
	n += w.receive()
	w.parse()
	w.dispatch()
	w.lookup()
	w.decide() // slow path and track, packet by packet, in order
	w.profile()
	w.tally()
	w.limit()
	w.rewrite()
	w.transmit()
	if w.moving {
		w.moveQueues()
	}
	w.tidy()
	w.worked = n + w.collected + w.released
	return w.worked
}

// begin reads the clock and the policy once for the whole round.
func (w *Worker) begin() {
	now := w.clock.Now()
	w.gaps.note(now - w.now)
	if w.worked != 0 {
		w.counters.local[countBusy] += uint64(now - w.now)
	}
	w.now = now
	if w.monitor != nil {
		w.monitor.At(now)
	}
	w.tick, w.millis = uint16(now>>tickShift), conntrack.Millis(now)
	w.budget, w.collected, w.released = w.engine.cfg.SlowPathBudget, 0, 0
	if v := w.engine.view.Load(); v != w.view {
		same := w.view != nil && w.view.snap == v.snap
		w.view, w.enis = v, v.snap.ENIs
		if !same {
			w.policyChanged()
			w.pacingChanged()
		}
		w.queuesChanged()
		w.poll.coalescer.set(v.coalesce)
	}
	if len(w.touched) != 0 {
		w.mark()
	}
	w.counters.local[countRounds]++
}

// tickShift makes ticks of the flow cache's clock from nanoseconds: 1.07 s.
const tickShift = 30

// Clock gives monotonic time in nanoseconds.
type Clock interface{ Now() int64 }

// MonotonicClock is the machine's clock, counted from when it was made.
type MonotonicClock struct{ start time.Time }

// NewMonotonicClock returns a clock that starts at one second, so that no time
// is zero.
func NewMonotonicClock() *MonotonicClock {
	return &MonotonicClock{time.Now().Add(-time.Second)}
}

// Now returns nanoseconds since just before the clock was made.
func (c *MonotonicClock) Now() int64 { return int64(time.Since(c.start)) }

// run calls Round until the engine stops, and rests between rounds as the
// polling mode says.
func (w *Worker) run() {
	for !w.engine.stopping.Load() {
		w.rest(w.Round())
	}
	w.disarm()
	w.engine.polling.Done()
	w.engine.polling.Wait() // nobody puts anything on a ring any more
	w.drain()
}
