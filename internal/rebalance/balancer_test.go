package rebalance

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/nitrod/nitrod/pipeline"
	"pgregory.net/rapid"
)

// fakeEngine has one ENI, e, and counts what a test says.
type fakeEngine struct {
	counts   pipeline.Buckets
	measured bool
	moves    int
	err      error // of MoveBuckets
}

func newFake(entries, queues int) *fakeEngine {
	f := &fakeEngine{counts: pipeline.Buckets{
		Table: make([]uint16, entries), Entries: make([]uint64, entries), Fixed: make([]uint64, queues),
	}}
	for i := range f.counts.Table {
		f.counts.Table[i] = uint16(i % queues)
	}
	return f
}

func (f *fakeEngine) MeasureBuckets(eni string, on bool) error {
	if eni != "e" {
		return pipeline.ErrQueueENI
	}
	if on && !f.measured {
		f.counts.Count++
		clear(f.counts.Entries)
	}
	f.measured = on
	return nil
}

func (f *fakeEngine) Buckets(string) (pipeline.Buckets, error) {
	if !f.measured {
		return pipeline.Buckets{}, pipeline.ErrNotMeasured
	}
	c := f.counts
	c.Table, c.Entries, c.Fixed = slices.Clone(c.Table), slices.Clone(c.Entries), slices.Clone(c.Fixed)
	return c, nil
}

func (f *fakeEngine) MoveBuckets(_ string, from, to []uint16) error {
	if f.err != nil {
		return f.err
	}
	if !slices.Equal(from, f.counts.Table) {
		return pipeline.ErrTableChanged
	}
	f.moves++
	f.counts.Table = slices.Clone(to)
	return nil
}

// clocked is a balancer of the fake's ENI whose time a test owns. An interval is a
// second.
type clocked struct {
	t tb
	*fakeEngine
	b   *Balancer
	now time.Time
}

type tb interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func newClocked(t tb, f *fakeEngine, s Settings) *clocked {
	t.Helper()
	c := &clocked{t, f, New(f), time.Unix(1_000_000, 0)}
	if err := c.b.Set("e", s); err != nil {
		t.Fatal(err)
	}
	c.b.Tick(c.now) // the first reading
	return c
}

// second lets packets come, an interval go by, and the balancer look.
func (c *clocked) second(packets ...uint64) Status {
	for e, n := range packets {
		c.counts.Entries[e] += n
	}
	c.now = c.now.Add(time.Second)
	c.b.Tick(c.now)
	return c.b.Status()[0]
}

func on() Settings {
	return Settings{Mode: On, Interval: time.Second, Threshold: 25, Patience: 3, Pause: 10 * time.Second, MinRate: 100}
}

func (c *clocked) want(s Status, state State, moves int) {
	c.t.Helper()
	if s.State != state || c.moves != moves || s.Changes != moves {
		c.t.Fatalf("state %q after %d changes, want %q after %d: %+v", s.State, c.moves, state, moves, s)
	}
}

// Two elephants that share a queue part, after as many intervals as was said, and
// then all is even.
func TestElephantsPart(t *testing.T) {
	c := newClocked(t, newFake(4, 2), on())
	c.want(c.second(500, 5, 490, 5), StateUneven, 0)
	c.want(c.second(500, 5, 490, 5), StateUneven, 0)
	s := c.second(500, 5, 490, 5)
	c.want(s, StateChanged, 1)
	if len(s.Last) != 1 || s.Last[0] != (Move{2, 0, 1, 3 * 490}) || !s.LastAt.Equal(c.now) {
		t.Errorf("moved %+v at %v", s.Last, s.LastAt)
	}
	c.want(c.second(500, 5, 490, 5), StateMeasuring, 1)
	for range 100 {
		s = c.second(500, 5, 490, 5)
		c.want(s, StateEven, 1)
	}
	if !slices.Equal(s.Queues, []uint64{500, 500}) || s.Excess != 0 {
		t.Errorf("the queues carry %v, %v%% above the mean", s.Queues, s.Excess)
	}
}

func TestProposeChangesNothing(t *testing.T) {
	settings := on()
	settings.Mode = Propose
	c := newClocked(t, newFake(4, 2), settings)
	for range 3 {
		c.second(500, 5, 490, 5)
	}
	for range 20 { // the proposal stands while the load does
		s := c.second(500, 5, 490, 5)
		c.want(s, StateProposed, 0)
		if len(s.Proposal) != 1 || s.Proposal[0].Entry != 2 || s.After > 1 {
			t.Fatalf("proposed %+v, to come to %v%%", s.Proposal, s.After)
		}
	}
	s := c.second(250, 250, 250, 250)
	c.want(s, StateEven, 0)
	if s.Proposal != nil {
		t.Errorf("proposed %+v to even queues", s.Proposal)
	}
	// Allowed, it does what it proposed.
	if err := c.b.SetMode("e", On); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		c.second(500, 5, 490, 5)
	}
	if c.moves != 1 || c.counts.Table[2] != 1 {
		t.Errorf("%d changes, to %v", c.moves, c.counts.Table)
	}
}

// A short wave, too few packets, and what cannot be helped change nothing.
func TestNothingToDo(t *testing.T) {
	c := newClocked(t, newFake(4, 2), on())
	for range 20 {
		c.want(c.second(500, 5, 490, 5), StateUneven, 0)
		c.want(c.second(500, 5, 490, 5), StateUneven, 0)
		c.want(c.second(250, 250, 250, 250), StateEven, 0)
	}
	for range 20 {
		c.want(c.second(50, 0, 49, 0), StateQuiet, 0)
	}
	for range 3 {
		c.second(900, 5, 0, 5) // one elephant
	}
	for range 20 {
		c.want(c.second(900, 5, 0, 5), StateStuck, 0)
	}
}

// After a change there is none for the pause, whatever comes.
func TestPause(t *testing.T) {
	c := newClocked(t, newFake(4, 2), on())
	for c.moves == 0 {
		c.second(500, 5, 490, 5)
	}
	at := c.now
	for c.moves == 1 {
		// The elephants are where the first change has put them together again.
		s := c.second(100, 490, 490, 5)
		if len(s.Proposal) != 0 && s.State != StateResting && c.moves == 1 {
			t.Fatalf("state %q: %+v", s.State, s)
		}
		if c.now.Sub(at) > time.Minute {
			t.Fatal("no second change in a minute")
		}
	}
	if rest := c.now.Sub(at); rest < 10*time.Second {
		t.Errorf("the next change came after %v", rest)
	}
}

// Somebody else changes the table, or is changing it: what was measured is of no
// use, and nothing is done by it.
func TestOthersChangeTheTable(t *testing.T) {
	c := newClocked(t, newFake(4, 2), on())
	c.second(500, 5, 490, 5)
	c.second(500, 5, 490, 5)
	c.counts.Table = []uint16{1, 0, 1, 0}
	c.want(c.second(500, 5, 490, 5), StateMeasuring, 0)
	c.want(c.second(500, 5, 490, 5), StateUneven, 0)
	c.err = pipeline.ErrQueueBusy
	c.second(500, 5, 490, 5)
	if s := c.second(500, 5, 490, 5); s.State != StateResting || !errors.Is(s.Err, pipeline.ErrQueueBusy) {
		t.Fatalf("%+v", s)
	}
	c.err = nil
	for range 3 {
		c.second(500, 5, 490, 5)
	}
	c.want(c.b.Status()[0], StateChanged, 1)
	c.counts.Count++ // the counters began anew
	clear(c.counts.Entries)
	c.want(c.second(), StateMeasuring, 1)
}

func TestModes(t *testing.T) {
	f := newFake(4, 2)
	b := New(f)
	if err := b.Set("nobody", on()); !errors.Is(err, pipeline.ErrQueueENI) {
		t.Errorf("no ENI: %v", err)
	}
	if err := b.SetMode("e", On); !errors.Is(err, ErrNoBalancer) {
		t.Errorf("no balancer: %v", err)
	}
	off := on()
	off.Mode = Off
	if err := b.Set("e", off); err != nil || f.measured {
		t.Errorf("off: %v, measured %v", err, f.measured)
	}
	if next := b.Tick(time.Unix(1, 0)); !next.IsZero() {
		t.Errorf("off, it is due at %v", next)
	}
	if err := b.SetMode("e", "auto"); err == nil {
		t.Error("a mode that there is not was accepted")
	}
	if err := b.SetMode("e", Propose); err != nil || !f.measured {
		t.Errorf("propose: %v, measured %v", err, f.measured)
	}
	if next := b.Tick(time.Unix(1, 0)); !next.Equal(time.Unix(2, 0)) {
		t.Errorf("it is due at %v", next)
	}
	if err := b.SetMode("e", Off); err != nil || f.measured {
		t.Errorf("off again: %v, measured %v", err, f.measured)
	}
}

// A load that stays the same but for noise is changed for a few times, each of
// which takes a share from the fullest queue, and then left alone: there is no
// flapping. One that lies just at the threshold may be changed for late.
func TestNoFlapping(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		queues := rapid.IntRange(2, 8).Draw(t, "queues")
		const entries = 64
		c := newClocked(t, newFake(entries, queues), on())
		var mean [entries]float64
		for e := range mean {
			mean[e] = rapid.OneOf(rapid.Float64Range(0, 100), rapid.Float64Range(0, 10_000)).Draw(t, "mean")
		}
		noise := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		run := func(seconds int) {
			packets := make([]uint64, entries)
			for range seconds {
				for e := range packets {
					packets[e] = uint64(mean[e] * (0.98 + 0.04*noise.Float64()))
				}
				c.second(packets...)
			}
		}
		run(1200)
		if c.moves > 5 {
			t.Fatalf("%d changes in 1,200 seconds of the same load", c.moves)
		}
		if s := c.b.Status()[0]; s.Excess > 25*1.1 && s.State != StateStuck && s.State != StateUneven {
			t.Fatalf("left at %v%%: %+v", s.Excess, s)
		}
	})
}

// A load that turns over with every interval, which no table can follow, makes no
// more changes than the pause allows.
func TestRestless(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		settings := on()
		settings.Patience = rapid.IntRange(1, 5).Draw(t, "patience")
		c := newClocked(t, newFake(8, 4), settings)
		noise := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		for range 300 {
			packets := make([]uint64, 8)
			for range 3 {
				packets[noise.IntN(8)] += 5000
			}
			c.second(packets...)
		}
		if c.moves > 30 {
			t.Fatalf("%d changes in 300 seconds, with a pause of 10", c.moves)
		}
	})
}
