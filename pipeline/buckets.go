package pipeline

import (
	"errors"
	"slices"
	"sync/atomic"
	"syscall"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/relaxed"
	"github.com/nitrod/nitrod/policy"
)

// This file counts what an ENI receives by each entry of its indirection table,
// where that is asked for, and changes the table by what was found.

// bucketLoad counts the packets of one ENI. Each lcore has counters of its own.
type bucketLoad struct {
	entries int
	counts  [][]uint64 // by lcore: of each entry, then of each queue what steering rules lead there
}

func newBucketLoad(entries, queues, lcores int) *bucketLoad {
	l := &bucketLoad{entries: entries, counts: make([][]uint64, lcores)}
	for i := range l.counts {
		l.counts[i] = make([]uint64, entries+queues)
	}
	return l
}

// tally is the stage that counts by entry. It looks at one packet of the round, at
// random, and counts it for all of them: what each of many rounds adds may be wrong,
// their sum is not, and a round has one hash to compute. It comes when the packets
// have their verdicts. ICMP errors are left out, and pieces that nitrod itself makes
// of a packet count as the packet.
func (w *Worker) tally() {
	b := &w.burst
	if !w.view.tallied || b.n == 0 {
		return
	}
	w.pick = w.pick*1664525 + 1013904223 // a sequence modulo 2^32 of full length
	i := int(uint64(w.pick) * uint64(b.n) >> 32)
	m := &b.meta[i]
	if m.Verdict != VerdictForward || m.class != classFlow {
		return
	}
	r := &w.view.rss[m.Egress]
	if r.load == nil {
		return
	}
	at := r.bucket(m.Egress, &b.keys[i], m.TOS, m.Flags&flagFragment != 0)
	c := &r.load.counts[w.id][at]
	relaxed.Store64(c, *c+uint64(b.n))
}

// bucket returns the counter of a packet: that of its entry, or of the queue to
// which a steering rule leads it. It is the choice of queue.
func (r *receiveSide) bucket(eni uint16, k *hash.FlowKey, tos uint8, fragment bool) int {
	if q, _, ok := r.steered(eni, k, tos, fragment); ok {
		return r.load.entries + int(q)
	}
	h := uint32(0)
	if fragment {
		h = r.function.HashAddrs(k)
	} else {
		h = r.function.Hash(k)
	}
	return int(h & uint32(r.load.entries-1))
}

// Buckets is what an ENI received since its counting began, in packets.
type Buckets struct {
	Table   []uint16 // of now: queue by entry
	Entries []uint64 // by entry
	Fixed   []uint64 // by queue: what steering rules led there
	Count   uint64   // which counting it is: another number where it began anew
}

// Errors of counting by entry.
var (
	ErrNotMeasured  = errors.New("pipeline: the ENI's packets are not counted by entry")
	ErrTableChanged = queueError{"pipeline: the indirection table is another one by now", syscall.EBUSY}
)

// measured is the ENIs that count. Engine.changing guards it.
type measured struct {
	loads map[string]*bucketLoad
	begun map[string]uint64
}

// loadOf returns an ENI's counters for a table, which are new where it has another
// size than before, or nil.
func (e *Engine) loadOf(id string, eni uint16, table *hash.IndirectionTable) *bucketLoad {
	was := e.measured.loads[id]
	if was == nil || was.entries == table.Len() {
		return was
	}
	return e.startLoad(id, eni, table)
}

func (e *Engine) startLoad(id string, eni uint16, table *hash.IndirectionTable) *bucketLoad {
	if e.measured.loads == nil {
		e.measured = measured{map[string]*bucketLoad{}, map[string]uint64{}}
	}
	l := newBucketLoad(table.Len(), int(e.guests[eni].queues), e.lcores)
	e.measured.loads[id] = l
	e.measured.begun[id]++
	return l
}

// MeasureBuckets begins or ends counting an ENI's packets by entry. To begin what
// has begun, or end what has ended, changes nothing. Errors: ErrQueueENI.
//
// Thread-safety: any goroutine, as of all exported methods in this file.
func (e *Engine) MeasureBuckets(id string, on bool) error {
	e.changing.Lock()
	defer e.changing.Unlock()
	v := e.view.Load()
	eni, ok := v.snap.ENIByID(id)
	if !ok {
		return ErrQueueENI
	}
	if (v.rss[eni].load != nil) == on {
		return nil
	}
	next := *v
	next.rss = slices.Clone(v.rss)
	r := &next.rss[eni]
	r.load = nil
	if on {
		r.load = e.startLoad(id, eni, &r.table)
	} else {
		delete(e.measured.loads, id)
	}
	next.tallied = tallies(next.rss)
	e.view.Store(&next)
	return nil
}

func tallies(sides []receiveSide) bool {
	return slices.ContainsFunc(sides, func(r receiveSide) bool { return r.load != nil })
}

// Buckets returns what an ENI received by each entry. Errors: ErrQueueENI,
// ErrNotMeasured.
func (e *Engine) Buckets(id string) (Buckets, error) {
	e.changing.Lock()
	defer e.changing.Unlock()
	v := e.view.Load()
	eni, ok := v.snap.ENIByID(id)
	if !ok {
		return Buckets{}, ErrQueueENI
	}
	r := &v.rss[eni]
	if r.load == nil {
		return Buckets{}, ErrNotMeasured
	}
	sum := make([]uint64, len(r.load.counts[0]))
	for _, counts := range r.load.counts {
		for i := range counts {
			sum[i] += atomic.LoadUint64(&counts[i])
		}
	}
	return Buckets{r.table.Entries(), sum[:r.load.entries], sum[r.load.entries:], e.measured.begun[id]}, nil
}

// MoveBuckets changes an ENI's indirection table from one to another, as SetRSS
// does. Errors: those of SetRSS, and ErrTableChanged if from is not what is in
// force; then nothing has changed.
func (e *Engine) MoveBuckets(id string, from, to []uint16) error {
	return e.changeQueues(id, func(_ *policy.Snapshot, _ *policy.ENIInfo, eni uint16) error {
		r := e.queues.spread[id].RSS
		if !slices.Equal(r.Table.Entries(), from) {
			return ErrTableChanged
		}
		var err error
		if r.Table, err = r.Table.WithEntries(to); err != nil {
			return err
		}
		if err := checkTable(&r.Table, e.guests[eni].queues); err != nil {
			return err
		}
		e.queues.spread[id] = newSpread(&r)
		return nil
	})
}
