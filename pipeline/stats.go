package pipeline

import (
	"sync/atomic"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/hugemem"
	"github.com/nitrod/nitrod/pipeline/flowcache"
)

// Stats is what an lcore, or all of them together, have counted since start.
//
// The law of accounting: Rx + Originated = Tx + Consumed + the sum of Drops +
// Held, at every moment when nothing is under way. Held is what that law gives:
// packets in nitrod's queues and rings.
type Stats struct {
	Rounds     uint64
	BusyNS     uint64 // that rounds with work took
	Rx         uint64 // packets that came from devices
	Originated uint64 // packets that nitrod made: answers, ICMP errors, fragments
	Tx         uint64 // packets that devices took
	Consumed   uint64 // packets that were for nitrod itself, or went on as fragments
	Drops      [drop.Count]uint64

	FlowHits  uint64                     // packets decided by the flow cache
	SlowPath  uint64                     // packets decided by the slow path
	Waited    uint64                     // packets that had to wait for the slow path
	Redecided uint64                     // flows judged anew after a change of policy, by a packet or by the sweep
	Sessions  uint64                     // sessions begun
	Expired   uint64                     // sessions ended by idle time
	Early     [conntrack.NumKinds]uint64 // sessions ended early, by kind
	Evicted   uint64                     // flow-cache entries that made room for others
	HandOver  uint64                     // packets handed from one lcore to another

	FragmentsWaited uint64 // fragments that had to wait for the first one of their datagram

	Fragmented uint64 // packets that were too long for their receiver and went in pieces
	ICMPErrors uint64 // messages to senders about packets that could not go on

	FlowsLive    uint64
	SessionsLive uint64
}

// Dropped returns the sum of all drops.
func (s *Stats) Dropped() uint64 {
	sum := uint64(0)
	for _, n := range s.Drops {
		sum += n
	}
	return sum
}

// Held returns how many packets are in nitrod's queues and rings.
func (s *Stats) Held() int64 {
	return int64(s.Rx + s.Originated - s.Tx - s.Consumed - s.Dropped())
}

// Lcore returns the counters of lcore i.
func (e *Engine) Lcore(i int) Stats {
	w := e.workers[i]
	c := &w.counters
	s := Stats{
		Rounds: c.load(countRounds), BusyNS: c.load(countBusy), Rx: c.load(countRx), Originated: c.load(countOriginated),
		Tx: c.load(countTx), Consumed: c.load(countConsumed),
		FlowHits: c.load(countHits), SlowPath: c.load(countSlowPath), Waited: c.load(countWaited), Redecided: c.load(countRedecided),
		FragmentsWaited: c.load(countFragmentsWaited), Sessions: c.load(countSessions), Expired: c.load(countExpired), Evicted: c.load(countEvicted),
		HandOver: c.load(countHandedOut), Fragmented: c.load(countFragmented), ICMPErrors: c.load(countICMPErrors),
		FlowsLive: uint64(w.cache.Len()), SessionsLive: uint64(w.sessions.Len()),
	}
	for r := range s.Drops {
		s.Drops[r] = c.load(countDrops + r)
	}
	for k := range s.Early {
		s.Early[k] = w.sessions.EndedEarly(conntrack.Kind(k))
	}
	return s
}

// Total returns the counters of all lcores together.
func (e *Engine) Total() Stats {
	var sum Stats
	for i := range e.workers {
		s := e.Lcore(i)
		sum.Rounds += s.Rounds
		sum.BusyNS += s.BusyNS
		sum.Rx += s.Rx
		sum.Originated += s.Originated
		sum.Tx += s.Tx
		sum.Consumed += s.Consumed
		for r, n := range s.Drops {
			sum.Drops[r] += n
		}
		sum.FlowHits += s.FlowHits
		sum.SlowPath += s.SlowPath
		sum.Waited += s.Waited
		sum.Redecided += s.Redecided
		sum.FragmentsWaited += s.FragmentsWaited
		sum.Sessions += s.Sessions
		sum.Expired += s.Expired
		for k, n := range s.Early {
			sum.Early[k] += n
		}
		sum.Evicted += s.Evicted
		sum.HandOver += s.HandOver
		sum.Fragmented += s.Fragmented
		sum.ICMPErrors += s.ICMPErrors
		sum.FlowsLive += s.FlowsLive
		sum.SessionsLive += s.SessionsLive
	}
	return sum
}

// ENI returns what an ENI has sent and received.
func (e *Engine) ENI(eni uint16) ENICounts {
	var sum ENICounts
	for _, w := range e.workers {
		if int(eni) < len(w.eniCounts.published) {
			w.eniCounts.addTo(&sum, int(eni))
		}
	}
	return sum
}

// Gaps describes the times between two polls of an lcore, in nanoseconds. The
// quantiles are upper bounds, at most a quarter too high.
type Gaps struct {
	Count                uint64
	P50, P99, P9999, Max uint64
}

// Gaps returns the gaps between the polls of lcore i since start.
func (e *Engine) Gaps(i int) Gaps {
	h := &e.workers[i].gaps
	var counts [gapBuckets]uint64
	g := Gaps{Max: uint64(atomic.LoadInt64(&h.maxShown))}
	for b := range counts {
		counts[b] = atomic.LoadUint64(&h.published[b])
		g.Count += counts[b]
	}
	quantile := func(num, den uint64) uint64 {
		if g.Count == 0 {
			return 0
		}
		need, seen := (g.Count*num+den-1)/den, uint64(0)
		for b, n := range counts {
			if seen += n; seen >= need {
				return min(gapUpper(b), max(g.Max, 1))
			}
		}
		return g.Max
	}
	g.P50, g.P99, g.P9999 = quantile(50, 100), quantile(99, 100), quantile(9999, 10000)
	return g
}

// Memory says what kind of memory the tables of all lcores lie in: the worst
// kind where they differ.
func (e *Engine) Memory() hugemem.Kind {
	kind := hugemem.KindHuge
	for _, w := range e.workers {
		kind = min(kind, w.cache.Memory(), w.sessions.Memory())
	}
	return kind
}

// Now returns the time of the engine's clock, to which the times in sessions
// refer.
func (e *Engine) Now() int64 { return e.cfg.Clock.Now() }

// Tick returns the time of the flow cache's clock.
func (e *Engine) Tick() uint16 { return uint16(e.Now() >> tickShift) }

// TickNanoseconds is the length of a tick.
const TickNanoseconds = 1 << tickShift

// EachSession calls f with a copy of every live session, lcore by lcore, until f
// returns false. Sessions that begin meanwhile may be left out.
func (e *Engine) EachSession(f func(lcore int, s *conntrack.Session) bool) {
	var s conntrack.Session
	for i, w := range e.workers {
		for id := range w.sessions.High() {
			if w.sessions.Read(id, &s) && !s.Over(e.Now()) && !f(i, &s) {
				return
			}
		}
	}
}

// EachFlow calls f with a copy of every flow-cache entry, lcore by lcore, until
// f returns false.
func (e *Engine) EachFlow(f func(lcore int, entry *flowcache.Entry) bool) {
	var entry flowcache.Entry
	for i, w := range e.workers {
		for id := range w.cache.High() {
			if w.cache.Read(id, &entry) && !f(i, &entry) {
				return
			}
		}
	}
}

// Allowances returns the tracked-connection counters of the instances.
func (e *Engine) Allowances() *conntrack.Allowances { return e.allowances }
