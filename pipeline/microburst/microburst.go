// Package microburst measures what happens to a receive queue between two
// looks at its counters: bytes and packets in windows of 10 us, 100 us and 1 ms,
// how the queue fills, and bursts as events.
//
// It is told once per round of an lcore and queue what the queue's counters are
// by then, never of a packet. The time of a packet is that of the round in which
// it was queued, so what it finds is exact to the length of a round.
//
// A window of 10 us is hot if its bytes reach the threshold, if the ring filled
// to its share, or if something was dropped. A burst is hot windows that follow
// each other. Where the queue was quiet for a window's length before or after,
// the packets in the window next to them belong to it as well, and it begins and
// ends with its first and last packets; else it begins and ends with a window.
// So start and length are right to within one window, and the bytes of a burst
// between pauses are exact.
package microburst

import (
	"errors"
	"math/bits"
	"time"
)

// Window is the length of the shortest windows, in nanoseconds.
const Window = 10_000

// NumWindows is how many lengths of windows there are.
const NumWindows = 3

// Lengths are the lengths of the windows, in nanoseconds. They begin at
// multiples of themselves on the engine's clock.
var Lengths = [NumWindows]int64{Window, 10 * Window, 100 * Window}

const (
	// MaxLength is where a burst is cut, so that a queue overloaded for ever is
	// reported too: what lasts longer goes on as another one.
	MaxLength = 1_000_000_000
	// maxStall is how long the lcore may have looked elsewhere without a burst
	// being taken to have ended meanwhile.
	maxStall = 1_000_000
	// samplePart is the part of the threshold from which on flows are noted:
	// before it is known whether the window becomes hot.
	samplePart = 4
	// sampleEvery is the mean time from one sample to the next. Each is between half
	// of it and half as much again, so that no rhythm of the traffic is met.
	sampleEvery = 4000
	// samplesOfAll is how many samples a burst has by about any moment of it: the
	// longer it lasts already, the longer it is until the next one.
	samplesOfAll = 256
)

// Config says what a burst is.
type Config struct {
	On        bool
	Rate      uint64        // bits per second in a window that make it hot
	RingShare int           // percent of the ring's depth that make it hot, 1 to 100
	MinLength time.Duration // of an event, unless something was dropped in it
	Events    int           // how many each lcore keeps
}

// DefaultConfig is the configuration file's default.
var DefaultConfig = Config{On: true, Rate: 5_000_000_000, RingShare: 50, MinLength: 30 * time.Microsecond, Events: 256}

// Check returns an error if nothing can be measured by c.
func (c *Config) Check() error {
	switch {
	case !c.On:
	case c.bytes() == 0:
		return errors.New("microburst: the rate is less than a byte in 10 us")
	case c.RingShare < 1 || c.RingShare > 100:
		return errors.New("microburst: the share of the ring is not from 1 to 100 percent")
	case c.Events < 1:
		return errors.New("microburst: no event is kept")
	}
	return nil
}

// bytes returns what a window at the rate carries.
func (c *Config) bytes() uint64 { return c.Rate / (8 * uint64(time.Second) / Window) }

// Monitor measures the queues that one lcore serves.
//
// Thread-safety: At, Tidy, Publish and the queues' Note and Sample belong to the
// lcore. Stats and Events may be called from any goroutine.
//
// Limits: it keeps Config.Events events; older ones make room for new ones. 1.7
// KiB for each queue, 0.4 KiB for each event.
type Monitor struct {
	threshold  uint64 // bytes in a window
	sampleFrom uint64 // bytes in a window
	share      uint32 // of the ring, percent
	minLength  int64

	now     int64
	at      [NumWindows]int64 // indices of the windows under way
	slot    int64             // of the second
	before  int64             // index of the last window before this one in which there was a round
	queues  []*Queue
	next    int // that Tidy looks at
	random  uint32
	log     log
	scratch Event
}

// New returns a monitor without queues.
func New(c Config) *Monitor {
	t := c.bytes()
	return &Monitor{
		threshold: t, sampleFrom: max(1, t/samplePart), share: uint32(c.RingShare), minLength: int64(c.MinLength),
		at: [NumWindows]int64{-1, -1, -1}, before: -1, log: newLog(c.Events),
	}
}

// At tells the time of a round, before its notes.
func (m *Monitor) At(now int64) {
	m.now = now
	if w := now / Window; w != m.at[0] {
		m.before = m.at[0]
		m.at = [NumWindows]int64{w, w / 10, w / 100}
		m.slot = w / slotWindows
	}
}

// Tidy looks at some of the queues, so that windows and bursts of queues without
// packets end, and publishes their figures. Called every 100 us, it comes to
// each queue 39 times a second or more often.
func (m *Monitor) Tidy() {
	for range min(len(m.queues), max(4, 1+len(m.queues)/256)) {
		if m.next++; m.next >= len(m.queues) {
			m.next = 0
		}
		m.queues[m.next].tidy()
	}
}

// Publish does for all queues what Tidy does for some.
func (m *Monitor) Publish() {
	for _, q := range m.queues {
		q.tidy()
	}
}

// NumQueues returns how many queues the monitor measures.
func (m *Monitor) NumQueues() int { return len(m.queues) }

// Queue is what is known of one queue.
type Queue struct {
	m     *Monitor
	eni   uint16
	queue uint16
	ring  uint32 // its depth
	full  uint32 // packets in it that make a window hot

	packets, bytes, drops uint64 // when it was last noted

	at       [NumWindows]int64 // indices of the windows under way
	slot     int64
	cur      sums // of the shortest one
	prev     sums // of the one that was closed last
	prevAt   int64
	lastAt   int64 // when something came last, or the ring was filled
	runStart int64 // when something came first after a pause of a window's length
	longer   [NumWindows]struct {
		at             int64
		bytes, packets uint64
	}

	second    second
	burst     burst
	flows     sketch
	unsampled uint64 // bytes since the last sample
	sampleAt  int64  // when the next one is due

	unpublished bool // a window has ended since the figures were published, or the average will change

	local     [numStats]uint64
	_         [64]byte
	published [numStats]uint64
}

// sums are what a window saw.
type sums struct {
	bytes, packets, drops uint64
	depth                 uint32 // greatest
}

// Add begins to measure a queue whose ring holds ring packets. It is called
// before the lcore runs.
func (m *Monitor) Add(eni, queue uint16, ring int) *Queue {
	q := &Queue{
		m: m, eni: eni, queue: queue, ring: uint32(ring), full: max(1, uint32(ring)*m.share/100),
		at: [NumWindows]int64{-1, -1, -1}, prevAt: -1, lastAt: -maxStall, runStart: -maxStall,
	}
	m.queues = append(m.queues, q)
	return q
}

// Note tells what a queue's counters are in this round: the packets and bytes
// that it ever took, those that it had no room for, and how many packets are in
// it. It reports whether it wants to know a flow (see Sample).
func (q *Queue) Note(packets, bytes, drops uint64, depth uint32) (wantsFlow bool) {
	m := q.m
	if q.at[0] != m.at[0] {
		q.roll()
	}
	n, b, d := packets-q.packets, bytes-q.bytes, drops-q.drops
	q.packets, q.bytes, q.drops = packets, bytes, drops
	if n|d != 0 || depth >= q.full {
		if q.burst.ending {
			q.finish(m.now-q.lastAt >= Window)
		}
		if m.now-q.lastAt >= Window {
			q.runStart = m.now
		}
		q.lastAt = m.now
		q.local[statFill+bucket(n)]++
	}
	q.local[statDepth+bucket(uint64(depth))]++
	c := &q.cur
	c.bytes += b
	c.packets += n
	c.drops += d
	c.depth = max(c.depth, depth)
	q.unsampled += b
	return n != 0 && m.now >= q.sampleAt && (c.bytes >= m.sampleFrom || q.burst.on)
}

// roll ends the window under way and begins that of now.
func (q *Queue) roll() {
	m := q.m
	q.close()
	// A window without any round says nothing about the queue: the lcore was
	// elsewhere, and what came meanwhile comes now.
	if q.burst.on && m.at[0] > q.at[0]+1 && (m.before > q.at[0] || m.now-q.lastAt >= maxStall) {
		q.finish(true)
	}
	q.at, q.slot, q.unpublished = m.at, m.slot, true
	q.cur = sums{}
}

// close adds the window under way to the longer ones and to the burst of which
// it is a part.
func (q *Queue) close() {
	c, b := &q.cur, &q.burst
	if q.burst.ending { // a window ago, and nothing has come since
		q.finish(true)
	}
	if c.bytes|c.drops != 0 || c.depth != 0 {
		q.sum(c)
	}
	hot := c.bytes >= q.m.threshold || c.depth >= q.full || c.drops != 0
	switch {
	case hot && b.on:
		b.add(q.at[0], c)
		if (q.at[0]+1)*Window-b.start >= MaxLength {
			q.finish(false)
		}
	case hot:
		q.begin()
	case b.on:
		b.tail, b.ending = *c, true
	default:
		q.flows.clear()
		q.unsampled = 0
	}
	q.prev, q.prevAt = *c, q.at[0]
}

// tidy ends what has ended since the last note, and publishes.
func (q *Queue) tidy() {
	m, idle := q.m, q.cur == (sums{}) && !q.burst.on
	if idle && !q.unpublished {
		return
	}
	if q.at[0] != m.at[0] {
		q.roll()
	}
	if q.burst.on && m.now-q.lastAt >= 2*Window {
		q.finish(true)
	}
	q.local[statPackets], q.local[statBytes], q.local[statDrops] = q.packets, q.bytes, q.drops
	q.local[statSecond] = q.second.average(m.slot, m.now)
	q.publish()
	q.unpublished = !idle || q.second.total != 0
}

// bucket is where a number is counted: 0 for 0, and i for what lies from 2^(i-1)
// to 2^i - 1.
func bucket(n uint64) int { return min(bits.Len64(n), NumBuckets-1) }
