// Package dim finds out how long packets are best left to gather before they
// are taken, as dynamic interrupt moderation (DIM) does it for interrupts, which
// ENA's driver uses.
//
// It climbs a hill: it tries the neighbouring profile, goes on in that direction
// while things get better, and turns where they do not. Better are more bytes a
// second; with the same bytes more packets; with the same packets fewer events.
// On the top, and when it has gone to and fro for long, it parks until things
// change or a while has passed.
package dim

// Profiles are how long each profile lets packets gather, in microseconds
// (docs/semantics.md S5.6), the shortest first.
var Profiles = [...]int{1, 8, 64, 128, 256}

const (
	// Start is the profile at the beginning.
	Start = 1
	// Packets is how many packets end the gathering, whatever the profile.
	Packets = 256
	// Events is the length of a window: what two profiles are judged by.
	Events = 64

	significant = 10                // percent by which two rates must differ
	tiredAfter  = 2 * len(Profiles) // steps after which it rests
)

// Sample is what was counted since the beginning, and when.
type Sample struct {
	Time                   int64 // ns
	Packets, Bytes, Events uint64
}

type state uint8

const (
	onTop   state = iota // parked: the neighbours are worse
	tired                // parked: no direction is better for long
	longer               // going to longer profiles
	shorter              // going to shorter ones
)

// Tuner chooses the profile.
//
// Thread-safety: none; it belongs to one lcore.
type Tuner struct {
	profile int
	state   state
	longer  int // steps since the last turn or park
	shorter int
	tired   int // steps since it was last on top; when tired, windows left to rest
	begin   Sample
	begun   bool
	before  rates // of the last window
}

// New returns a tuner at the profile that is the start.
func New() Tuner { return Tuner{profile: Start} }

// Profile returns the index in Profiles of the one in force.
func (t *Tuner) Profile() int { return t.profile }

// Note takes what has been counted by now, and reports whether it was the end of
// a window that has changed the profile. Its cost is a comparison but at the end
// of a window.
func (t *Tuner) Note(s Sample) bool {
	if !t.begun {
		t.begin, t.begun = s, true
		return false
	}
	if s.Events-t.begin.Events < Events || s.Time <= t.begin.Time {
		return false
	}
	now := ratesOf(&t.begin, &s)
	t.begin = s
	return t.decide(now)
}

// rates are per second.
type rates struct{ bytes, packets, events float64 }

func ratesOf(from, to *Sample) rates {
	perSecond := 1e9 / float64(to.Time-from.Time)
	return rates{
		float64(to.Bytes-from.Bytes) * perSecond,
		float64(to.Packets-from.Packets) * perSecond,
		float64(to.Events-from.Events) * perSecond,
	}
}

// compare is above zero where now is better than before, below where it is
// worse.
func (now *rates) compare(before *rates) int {
	if c := compare(now.bytes, before.bytes); c != 0 {
		return c
	}
	if c := compare(now.packets, before.packets); c != 0 {
		return c
	}
	return -compare(now.events, before.events)
}

// compare orders two rates, of which the second is the measure of what is
// significant.
func compare(a, b float64) int {
	switch limit := b * significant / 100; {
	case a-b > limit:
		return 1
	case b-a > limit:
		return -1
	}
	return 0
}

func (t *Tuner) decide(now rates) bool {
	profile, state := t.profile, t.state
	switch t.state {
	case onTop:
		if now.compare(&t.before) != 0 {
			t.leave()
		}
	case tired:
		if t.tired--; t.tired == 0 {
			t.leave()
		}
	default:
		t.climb(&now)
	}
	// While it stays on the top, what the top is like does not change by small
	// and smaller steps.
	if state != onTop || t.state != onTop {
		t.before = now
	}
	return t.profile != profile
}

// climb goes on in the direction in which things got better, or turns.
func (t *Tuner) climb(now *rates) {
	if now.compare(&t.before) <= 0 {
		t.turn()
	}
	switch {
	case t.top():
		t.park(onTop)
	case t.tired == tiredAfter:
		t.park(tired)
	case !t.step():
		t.park(onTop)
	}
}

func (t *Tuner) turn() {
	if t.state == longer {
		t.state, t.shorter = shorter, 0
	} else {
		t.state, t.longer = longer, 0
	}
}

// top reports whether it has come several steps, and one step back: the profile
// before this was too far.
func (t *Tuner) top() bool {
	if t.state == longer {
		return t.shorter > 1 && t.longer == 1
	}
	return t.longer > 1 && t.shorter == 1
}

// step takes the next profile in the direction, and reports whether there is one.
func (t *Tuner) step() bool {
	switch {
	case t.state == longer && t.profile < len(Profiles)-1:
		t.profile++
		t.longer++
	case t.state == shorter && t.profile > 0:
		t.profile--
		t.shorter++
	default:
		return false
	}
	t.tired++
	return true
}

func (t *Tuner) park(s state) {
	t.state, t.longer, t.shorter = s, 0, 0
	if s == onTop {
		t.tired = 0
	}
}

// leave takes up climbing, towards shorter profiles where there are any.
func (t *Tuner) leave() {
	t.state = shorter
	if t.profile == 0 {
		t.state = longer
	}
	t.step()
}
