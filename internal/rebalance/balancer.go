package rebalance

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nitrod/nitrod/pipeline"
)

// Mode says what a balancer does about queues that carry unevenly.
type Mode string

// The values of Mode.
const (
	Off     Mode = "off"     // does not measure
	Propose Mode = "propose" // measures, and says what it would do
	On      Mode = "on"      // does it
)

// Settings are those of an ENI. They are slow on purpose: a table that changes
// with every wave of traffic helps nobody.
type Settings struct {
	Mode      Mode
	Interval  time.Duration // over which is measured
	Threshold float64       // percent that a queue carries above the mean, from which on they are uneven
	Patience  int           // intervals in a row that must be uneven
	Pause     time.Duration // after a change, before the next
	MinRate   uint64        // packets a second of the ENI, below which it does not matter
}

// What a plan aims at, in shares of the threshold: so far below it that the same
// load does not ask for the next change, and no change that hardly helps.
const (
	targetShare = 0.5
	gainShare   = 0.25
)

// Engine is what a balancer needs of a pipeline.Engine.
type Engine interface {
	// MeasureBuckets begins or ends the count of an ENI's packets by entry.
	MeasureBuckets(eni string, on bool) error
	// Buckets returns what was counted since it began.
	Buckets(eni string) (pipeline.Buckets, error)
	// MoveBuckets changes the table from one to another, without reordering a flow.
	MoveBuckets(eni string, from, to []uint16) error
}

// State is where a balancer stands with an ENI.
type State string

// The states.
const (
	StateOff       State = "off"
	StateMeasuring State = "measuring" // the first interval since the start, or since the table changed
	StateQuiet     State = "quiet"     // less than the least rate
	StateEven      State = "even"
	StateUneven    State = "uneven" // not for long enough yet
	StateStuck     State = "stuck"  // uneven, and no entry can be moved that helps
	StateProposed  State = "uneven, and a change is proposed"
	StateResting   State = "uneven, and the last change is too recent"
	StateChanged   State = "changed"
)

// Status is what a balancer knows of an ENI.
type Status struct {
	ENI      string
	Settings Settings
	State    State
	Queues   []uint64 // packets a second in the last interval
	Excess   float64  // percent that the fullest is above the mean
	Proposal []Move   // that it would make, or could not; packets are those of the intervals that led to it
	After    float64  // percent above the mean with the proposal
	Changes  int      // that it made
	Last     []Move   // the last of them
	LastAt   time.Time
	Err      error // of the last attempt
}

// Balancer balances the queues of ENIs.
//
// Thread-safety: all methods, any goroutine; Run once.
type Balancer struct {
	engine Engine

	mu    sync.Mutex
	enis  map[string]*watched
	woken chan struct{}
}

// watched is an ENI.
type watched struct {
	Status
	due   time.Time
	from  time.Time         // when last was read
	last  *pipeline.Buckets // nil: nothing was read yet
	above int               // intervals in a row
	sum   Load              // of these
	rest  time.Time
}

// New returns a balancer that Run sets going.
func New(engine Engine) *Balancer {
	return &Balancer{engine: engine, enis: map[string]*watched{}, woken: make(chan struct{}, 1)}
}

// Set changes an ENI's settings. What was measured is forgotten.
//
// Errors: that of MeasureBuckets.
func (b *Balancer) Set(eni string, s Settings) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.engine.MeasureBuckets(eni, s.Mode != Off); err != nil {
		return err
	}
	e := &watched{Status: Status{ENI: eni, Settings: s, State: StateOff}}
	if s.Mode != Off {
		e.State = StateMeasuring
	}
	if was := b.enis[eni]; was != nil {
		e.Changes, e.Last, e.LastAt, e.rest = was.Changes, was.Last, was.LastAt, was.rest
	}
	b.enis[eni] = e
	select {
	case b.woken <- struct{}{}:
	default:
	}
	return nil
}

// ErrNoBalancer is returned for an ENI that has none.
var ErrNoBalancer = errors.New("rebalance: there is no such ENI")

// SetMode changes an ENI's mode alone. Errors: ErrNoBalancer, and those of Set.
func (b *Balancer) SetMode(eni string, m Mode) error {
	if m != Off && m != Propose && m != On {
		return fmt.Errorf("the mode is off, propose or on, not %q", m)
	}
	b.mu.Lock()
	e := b.enis[eni]
	b.mu.Unlock()
	if e == nil {
		return ErrNoBalancer
	}
	s := e.Settings
	s.Mode = m
	return b.Set(eni, s)
}

// Status returns what is known of all ENIs, by their names.
func (b *Balancer) Status() []Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]Status, 0, len(b.enis))
	for _, e := range b.enis {
		all = append(all, e.Status)
	}
	slices.SortFunc(all, func(a, b Status) int {
		if a.ENI < b.ENI {
			return -1
		}
		return 1
	})
	return all
}

// Run ticks until stop is closed. While no ENI is measured it does nothing.
func (b *Balancer) Run(stop <-chan struct{}) {
	for {
		var timer <-chan time.Time
		if next := b.Tick(time.Now()); !next.IsZero() {
			timer = time.After(time.Until(next))
		}
		select {
		case <-stop:
			return
		case <-b.woken:
		case <-timer:
		}
	}
}

// Tick does what is due at a time, and returns when something is due next, or the
// zero time.
func (b *Balancer) Tick(now time.Time) (next time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.enis {
		if e.Settings.Mode == Off {
			continue
		}
		if !now.Before(e.due) {
			e.due = now.Add(e.Settings.Interval)
			b.step(e, now)
		}
		if next.IsZero() || e.due.Before(next) {
			next = e.due
		}
	}
	return next
}

// step looks at what an ENI received since the last step.
func (b *Balancer) step(e *watched, now time.Time) {
	counts, err := b.engine.Buckets(e.ENI)
	if e.Err = err; err != nil {
		e.restart(nil, now)
		return
	}
	l, ok := e.since(&counts)
	seconds := now.Sub(e.from).Seconds()
	if !ok || seconds <= 0 {
		e.restart(&counts, now)
		return
	}
	e.last, e.from = &counts, now
	queues := l.Queues(l.Table)
	e.Queues, e.Excess = make([]uint64, len(queues)), Excess(queues)
	total := 0.0
	for q, n := range queues {
		total += float64(n) / seconds
		e.Queues[q] = uint64(float64(n) / seconds)
	}
	switch {
	case total < float64(e.Settings.MinRate):
		e.calm(StateQuiet)
	case e.Excess <= e.Settings.Threshold:
		e.calm(StateEven)
	default:
		switch e.State {
		case StateStuck, StateProposed, StateResting: // it is no news
		default:
			e.State = StateUneven
		}
		if e.add(&l); e.above >= e.Settings.Patience {
			b.act(e, now)
		}
	}
}

// act makes a plan of all uneven intervals together, and does what the mode says.
func (b *Balancer) act(e *watched, now time.Time) {
	sum := e.sum
	e.forget()
	e.Proposal = Plan(&sum, e.Settings.Threshold*targetShare, e.Settings.Threshold*gainShare)
	table := Apply(sum.Table, e.Proposal)
	e.After = Excess(sum.Queues(table))
	switch {
	case len(e.Proposal) == 0:
		e.State = StateStuck
	case e.Settings.Mode == Propose:
		e.State = StateProposed
	case now.Before(e.rest):
		e.State = StateResting
	default:
		if e.Err = b.engine.MoveBuckets(e.ENI, sum.Table, table); e.Err != nil {
			e.State = StateResting // another change is under way, or was made meanwhile
			return
		}
		e.Changes++
		e.Last, e.LastAt, e.rest = e.Proposal, now, now.Add(e.Settings.Pause)
		e.restart(nil, now)
		e.State = StateChanged
	}
}

// since returns what came between the last reading and this one. It is not known
// if there was none, or the table has changed meanwhile.
func (e *watched) since(now *pipeline.Buckets) (Load, bool) {
	was := e.last
	if was == nil || !slices.Equal(was.Table, now.Table) || len(was.Fixed) != len(now.Fixed) || was.Count != now.Count {
		return Load{}, false
	}
	l := Load{Table: now.Table, Entries: slices.Clone(now.Entries), Fixed: slices.Clone(now.Fixed)}
	for i := range l.Entries {
		l.Entries[i] -= was.Entries[i]
	}
	for i := range l.Fixed {
		l.Fixed[i] -= was.Fixed[i]
	}
	return l, true
}

// add adds an uneven interval to those in a row.
func (e *watched) add(l *Load) {
	if e.above == 0 {
		e.sum = *l
	} else {
		for i, n := range l.Entries {
			e.sum.Entries[i] += n
		}
		for i, n := range l.Fixed {
			e.sum.Fixed[i] += n
		}
	}
	e.above++
}

func (e *watched) forget() { e.above, e.sum = 0, Load{} }

// calm notes that there is nothing to do.
func (e *watched) calm(s State) {
	e.forget()
	e.State, e.Proposal, e.After = s, nil, 0
}

// restart begins to measure anew with counts, or with the next reading.
func (e *watched) restart(counts *pipeline.Buckets, now time.Time) {
	e.forget()
	e.last, e.from = counts, now
	e.State, e.Proposal, e.After, e.Queues, e.Excess = StateMeasuring, nil, 0, nil, 0
}
