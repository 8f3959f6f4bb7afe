package dim

import (
	"testing"

	"pgregory.net/rapid"
)

// load is a device whose rates depend on the profile.
type load struct {
	tuner  Tuner
	sample Sample
	rates  func(profile int) rates
}

func newLoad(f func(profile int) rates) *load {
	l := &load{tuner: New(), rates: f}
	l.tuner.Note(l.sample)
	return l
}

// window lets one window pass under the profile in force.
func (l *load) window() bool {
	r := l.rates(l.tuner.Profile())
	ns := float64(Events) / r.events * 1e9
	l.sample.Time += int64(ns)
	l.sample.Events += Events
	l.sample.Packets += uint64(r.packets * ns / 1e9)
	l.sample.Bytes += uint64(r.bytes * ns / 1e9)
	return l.tuner.Note(l.sample)
}

// settle lets windows pass until the profile has not changed for ten of them,
// and returns it.
func (l *load) settle(t rapid.TB) int {
	t.Helper()
	for quiet, n := 0, 0; n < 1000; n++ {
		if l.window() {
			quiet = 0
		} else if quiet++; quiet == 10 {
			return l.tuner.Profile()
		}
	}
	t.Fatalf("the profile is not at rest after 1000 windows: %+v", l.tuner)
	return 0
}

const packets, bytes, events = 1e6, 1e9, 1e4

// hill halves the bytes with each profile away from the top. The events must not
// count beside that.
func hill(p, top int) rates {
	r := rates{bytes, packets, events}
	for range max(top-p, p-top) {
		r.bytes /= 2
		r.events *= 3
	}
	return r
}

// More bytes a second are better, whatever else: the top of the hill is found
// wherever it is, and kept. The hill is steep, so that no step is in vain.
func TestFindsTheTop(t *testing.T) {
	for top := range Profiles {
		l := newLoad(func(p int) rates { return hill(p, top) })
		if got := l.settle(t); got != top {
			t.Errorf("the top is profile %d, found %d", top, got)
		}
		if got := l.settle(t); got != top {
			t.Errorf("the top %d was left for %d", top, got)
		}
	}
}

// Where longer gathering changes nothing but the number of events, the longest
// is best.
func TestFewerEventsAreBetter(t *testing.T) {
	l := newLoad(func(p int) rates { return rates{bytes, packets, events / float64(Profiles[p])} })
	if got := l.settle(t); got != len(Profiles)-1 {
		t.Errorf("ended at profile %d", got)
	}
}

// A load that answers to each microsecond with less, as one connection that
// waits for answers does, gets the shortest.
func TestLatencyBoundLoad(t *testing.T) {
	l := newLoad(func(p int) rates {
		round := 5 + float64(Profiles[p]) // us
		return rates{1e9 / round, 1e6 / round, 1e6 / round}
	})
	if got := l.settle(t); got != 0 {
		t.Errorf("ended at profile %d", got)
	}
}

// On the top nothing happens while nothing changes by more than a tenth; the
// first greater change is answered by a step.
func TestParksUntilThingsChange(t *testing.T) {
	factor := 1.0
	l := newLoad(func(p int) rates {
		r := hill(p, 2)
		r.bytes *= factor
		return r
	})
	l.settle(t)
	for _, f := range []float64{1.09, 0.91, 1.05, 1.0} {
		factor = f
		if l.window(); l.tuner.Profile() != 2 || l.tuner.state != onTop {
			t.Fatalf("a change by less than a tenth, to %v, ended the park", f)
		}
	}
	factor = 1.2
	if !l.window() || l.tuner.Profile() != 1 {
		t.Errorf("a change by a fifth left profile %d", l.tuner.Profile())
	}
}

// A load to which the profiles make no difference tires the tuner after so many
// steps to and fro; it rests for as many windows, and then tries again.
func TestTires(t *testing.T) {
	l := newLoad(func(int) rates { return rates{bytes, packets, events} })
	steps := 0
	for l.tuner.state != tired {
		if steps > tiredAfter {
			t.Fatal("it never tired")
		}
		if l.window() {
			steps++
		}
	}
	rested := 0
	for l.tuner.state == tired {
		l.window()
		rested++
	}
	if steps != tiredAfter || rested != tiredAfter {
		t.Errorf("it rested for %d windows after %d steps, want %d", rested, steps, tiredAfter)
	}
}

// A window is 64 events: before, nothing changes. A step is one profile, and
// none leads out of the list. With whatever rates.
func TestStepsOfOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tuner := New()
		var s Sample
		tuner.Note(s)
		begin := s
		for range rapid.IntRange(1, 400).Draw(t, "notes") {
			s.Time += rapid.Int64Range(0, 1_000_000).Draw(t, "ns")
			s.Events += rapid.Uint64Range(0, 40).Draw(t, "events")
			s.Packets += rapid.Uint64Range(0, 10_000).Draw(t, "packets")
			s.Bytes += rapid.Uint64Range(0, 10_000_000).Draw(t, "bytes")
			before := tuner.Profile()
			changed := tuner.Note(s)
			p := tuner.Profile()
			if p < 0 || p >= len(Profiles) || p-before > 1 || before-p > 1 || changed != (p != before) {
				t.Fatalf("from profile %d to %d, said to have changed: %v", before, p, changed)
			}
			if s.Events-begin.Events < Events {
				if changed {
					t.Fatalf("it changed after %d events", s.Events-begin.Events)
				}
			} else if s.Time > begin.Time {
				begin = s
			}
		}
	})
}

// What is better is told by bytes, then packets, then fewer events, and only a
// difference above a tenth counts.
func TestCompare(t *testing.T) {
	before := rates{1000, 1000, 1000}
	for _, c := range []struct {
		now  rates
		want int
	}{
		{rates{1000, 1000, 1000}, 0},
		{rates{1101, 1, 1e9}, 1},
		{rates{899, 1e9, 1}, -1},
		{rates{1100, 1101, 1e9}, 1},
		{rates{900, 899, 1}, -1},
		{rates{1100, 900, 899}, 1},
		{rates{1100, 900, 1101}, -1},
		{rates{1050, 950, 950}, 0},
	} {
		if got := c.now.compare(&before); got != c.want {
			t.Errorf("%v after %v is %d, want %d", c.now, before, got, c.want)
		}
	}
	if got := (&rates{1, 0, 0}).compare(&rates{}); got != 1 {
		t.Errorf("something after nothing is %d", got)
	}
}
