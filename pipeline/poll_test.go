package pipeline

import (
	"strings"
	"testing"
	"time"

	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/internal/simport"
	"github.com/nitrod/nitrod/policy"
	"pgregory.net/rapid"
)

// machine is a bed whose first lcore polls on a CPU that takes time: for each
// round, for each packet, and to wake. Frames come while it works and rests.
// Time is simulated, so that nothing depends on the real machine.
type machine struct {
	*bed
	w          *Worker
	interrupts bool

	every  time.Duration // between two frames; 0: none come
	frame  []byte
	next   int64 // ns: the next frame
	came   int
	missed int

	armed bool
	woken bool
}

const (
	roundCost  = 300 * time.Nanosecond
	packetCost = 60 * time.Nanosecond
	wakeCost   = 10 * time.Microsecond
)

// machineIO is the lcore's IO, with a CPU under it.
type machineIO struct {
	pktio.IO
	m *machine
}

func (io machineIO) Rx(descs []pktio.Desc) int {
	n := io.IO.Rx(descs)
	io.m.pass(roundCost + time.Duration(n)*packetCost)
	return n
}

func (io machineIO) Wake()            { io.m.woken = true }
func (io machineIO) Interrupts() bool { return io.m.interrupts }
func (io machineIO) Arm(on bool)      { io.m.armed = on }

func (io machineIO) Idle(how pktio.Rest, d time.Duration) (woken bool) {
	m := io.m
	end := m.clock.ns + int64(d)
	switch {
	case how != pktio.RestPause && m.woken:
		end, woken = m.clock.ns, true
	case how == pktio.RestInterrupt && m.armed && m.every != 0 && m.next < end:
		end, woken = max(m.clock.ns, m.next), true
	}
	m.woken = false
	if how == pktio.RestInterrupt {
		m.armed = false
	}
	m.pass(time.Duration(end - m.clock.ns))
	if how != pktio.RestPause {
		m.pass(wakeCost)
	}
	return woken
}

// pass lets time pass, in which frames come.
func (m *machine) pass(d time.Duration) {
	m.clock.advance(d)
	for m.every != 0 && m.next <= m.clock.ns {
		m.came++
		if !m.ports[m.eni("web")].Inject(0, m.frame) {
			m.missed++
		}
		m.next += int64(m.every)
	}
}

func newMachine(t *testing.T, poll PollConfig, interrupts bool) *machine {
	m := &machine{interrupts: interrupts}
	m.bed = newBed(t, bedOptions{
		port: func(string) simport.PortConfig {
			return simport.PortConfig{Sink: func(int) simport.Sink { return func([]byte) {} }}
		},
	})
	m.w = m.engine.Worker(0)
	m.w.io = machineIO{m.w.io, m}
	m.w.poll, m.engine.cfg.Poll = newPoller(&poll, m.w.io), poll
	if err := m.engine.SetCoalesce(poll.Coalesce); err != nil {
		t.Fatal(err)
	}
	m.frame = m.udp("web", "app", 5000, 80)
	return m
}

// run lets the lcore live for d, as Worker.run does.
func (m *machine) run(d time.Duration) {
	for end := m.clock.ns + int64(d); m.clock.ns < end; {
		m.w.rest(m.w.Round())
	}
}

// step begins to send frames, one each so often.
func (m *machine) step(every time.Duration) { m.every, m.next = every, m.clock.ns+int64(every) }

const testSleep = 100 * time.Microsecond

// rests are all the ways in which an lcore may rest.
var rests = []struct {
	name       string
	poll       PollConfig
	interrupts bool
}{
	{"spin", PollConfig{Mode: PollSpin}, false},
	{"pause", PollConfig{Mode: PollPause}, false},
	{"sleep", PollConfig{Mode: PollSleep, Sleep: testSleep}, false},
	{"interrupt", PollConfig{Mode: PollInterrupt}, true},
	{"adaptive", PollConfig{Mode: PollAdaptive, Sleep: testSleep}, false},
	{"adaptive, interrupts", PollConfig{Mode: PollAdaptive, Sleep: testSleep}, true},
	{"gather 64 us", PollConfig{Mode: PollAdaptive, Sleep: testSleep, Coalesce: CoalesceConfig{RxUsecs: 64, TxUsecs: 64}}, true},
	{"gather, DIM", PollConfig{Mode: PollAdaptive, Sleep: testSleep, Coalesce: CoalesceConfig{Adaptive: true}}, true},
	{"pause, gather, DIM", PollConfig{Mode: PollPause, Sleep: testSleep, Coalesce: CoalesceConfig{Adaptive: true}}, false},
}

// A queue of default depth loses nothing when a load comes out of nothing, or
// out of a light load, that fills it in no less than the longest sleep and what
// it takes to wake: 8.5 million frames a second here.
func TestStepToFullLoad(t *testing.T) {
	full := (testSleep + 2*wakeCost) / simport.DefaultDepth
	for _, c := range rests {
		for _, light := range []time.Duration{0, 3 * time.Microsecond, 40 * time.Microsecond, 700 * time.Microsecond} {
			m := newMachine(t, c.poll, c.interrupts)
			m.run(2 * time.Millisecond)
			m.step(light)
			m.run(20 * time.Millisecond)
			m.step(full)
			m.run(3 * time.Millisecond)
			m.every = 0
			m.run(time.Millisecond)
			if s := m.settle(); m.missed != 0 || int(s.Tx) != m.came || s.Dropped() != 0 {
				t.Errorf("%s, after a frame each %v: %d frames came, %d were missed, %d dropped, %d sent", c.name, light, m.came, m.missed, s.Dropped(), s.Tx)
			}
		}
	}
}

// The bound is one: a sleep four times as long loses frames of that load.
func TestStepBeyondTheQueue(t *testing.T) {
	m := newMachine(t, PollConfig{Mode: PollSleep, Sleep: 4 * testSleep}, false)
	m.run(2 * time.Millisecond)
	m.step((testSleep + 2*wakeCost) / simport.DefaultDepth)
	m.run(3 * time.Millisecond)
	if m.missed == 0 {
		t.Error("a queue took more than it holds")
	}
}

// With interrupts an idle lcore sleeps nearly always, and the first packet is
// delayed by no more than it takes to wake. Without, the sleep is the bound.
func TestIdleLcore(t *testing.T) {
	for _, c := range rests[2:6] {
		m := newMachine(t, c.poll, c.interrupts)
		m.run(10 * time.Millisecond)
		before := m.w.poll.rests.asleep
		m.run(time.Second)
		share := float64(m.w.poll.rests.asleep-before) / float64(time.Second)
		want, worst := 0.98, testSleep+wakeCost
		if c.interrupts {
			want, worst = 0.9999, wakeCost
		}
		if share < want {
			t.Errorf("%s: an idle lcore is asleep for %.2f %% of its time", c.name, 100*share)
		}
		for range 50 {
			m.run(5*time.Millisecond + 7*time.Microsecond)
			rx := m.w.counters.local[countRx]
			m.step(777 * time.Microsecond)
			came := m.next
			for m.w.counters.local[countRx] == rx {
				m.w.rest(m.w.Round())
			}
			m.every = 0
			if delay := time.Duration(m.w.now - came); delay > worst+2*roundCost {
				t.Errorf("%s: a packet after idle time was taken after %v", c.name, delay)
			}
		}
	}
}

// The longer it has been idle the longer a lcore rests, within its bounds.
func TestRestsGrow(t *testing.T) {
	for _, c := range rests[:6] {
		p := &newMachine(t, c.poll, c.interrupts).w.poll
		before := rest{}
		for idle := int64(0); idle < int64(time.Second); idle += 1 + idle/50 {
			r := p.idle(idle)
			if r.ns < before.ns || r.how < before.how {
				t.Fatalf("%s: after %d ns a rest of %+v, before %+v", c.name, idle, r, before)
			}
			if idle < spinFor && r.how != pktio.RestNone {
				t.Fatalf("%s: rests after %d ns", c.name, idle)
			}
			before = r
		}
		want := map[string]rest{
			"spin": {}, "pause": {pktio.RestPause, shortPause}, "sleep": {pktio.RestSleep, int64(testSleep)},
			"interrupt": {pktio.RestInterrupt, longRest}, "adaptive": {pktio.RestSleep, int64(testSleep)},
			"adaptive, interrupts": {pktio.RestInterrupt, longRest},
		}[c.name]
		if before != want {
			t.Errorf("%s: after a second a rest of %+v, want %+v", c.name, before, want)
		}
	}
}

// An lcore does not rest while it holds what it can carry on with, and no longer
// than until the first of what it holds is due.
func TestRestUntil(t *testing.T) {
	b := newBed(t, bedOptions{
		port:   func(string) simport.PortConfig { return simport.PortConfig{TxDepth: 2} },
		config: func(c *Config) { c.SlowPathBudget = 1 },
	})
	w := b.engine.Worker(0)
	want := func(what string, until int64) {
		t.Helper()
		if got := w.restUntil(); got != until {
			t.Errorf("with %s it may rest until %d, want %d; it is %d", what, got, until, w.now)
		}
	}
	want("nothing", forever)
	for port := range uint16(3) {
		b.inject("web", b.udp("web", "app", 5000+port, 80))
	}
	w.Round()
	want("packets that wait for the slow path", w.now)
	w.Round()
	w.Round()
	want("a packet that the device has not taken", w.now)
	b.received("app")
	w.Round()
	want("nothing any more", forever)

	datagram := b.datagram(false, 1, 2000)
	b.inject("web", datagram[1])
	w.Round()
	want("a fragment that waits for its first", w.now+int64(DefaultFragments.Hold))
	b.inject("web", datagram[0])
	w.Round()
	want("a fragment whose first has come", w.now)
	b.received("app")
	b.settle()
	want("nothing again", forever)

	b.policy(func(o *policy.Objects) { o.ENIs[0].Out = waiting(8 * mbit) })
	b.inject("web", b.sized(1, 0, 1500), b.sized(1, 1, 1000))
	b.settle()
	if x := b.limited(); x != 1 {
		t.Fatalf("%d packets wait for limits, want 1", x)
	}
	due := int64(slotOf(w.now+986_000) << slotShift) // 14 of the burst of 1514 bytes are left
	want("a packet that waits for a limit", due-worthSleep)
	b.clock.ns = due
	w.now = due
	if w.restUntil() > due {
		t.Error("it would rest although a packet is due")
	}
	b.received("app")
	b.settle()
	want("nothing in the end", forever)
}

// A packet that waits for a limit leaves in its slot, however its lcore rests
// meanwhile, and it does rest.
func TestRestsWhileLimitsHold(t *testing.T) {
	for _, c := range rests {
		if c.poll.Coalesce != (CoalesceConfig{}) {
			continue // they hold packets back by themselves
		}
		m := newMachine(t, c.poll, c.interrupts)
		m.policy(func(o *policy.Objects) { o.ENIs[0].Out = waiting(mbit) })
		m.run(3 * time.Millisecond)
		m.inject("web", m.sized(1, 0, 1514), m.sized(1, 1, 1000))
		sent, rests := m.clock.ns, m.w.poll.rests
		due := int64(0)
		for m.clock.ns < sent+int64(20*time.Millisecond) {
			m.w.rest(m.w.Round())
			if due == 0 && m.limited() == 1 {
				due = m.w.now + 8_000_000
			}
			if due != 0 && m.limited() == 0 {
				break
			}
		}
		late := m.clock.ns - due
		if due == 0 || late < 0 || late > 1<<slotShift+int64(wakeCost+5*time.Microsecond) {
			t.Errorf("%s: the packet was due at %d and left %d ns late", c.name, due, late)
		}
		rested := m.w.poll.rests.asleep + m.w.poll.rests.paused - rests.asleep - rests.paused
		if mode := c.poll.Mode; (mode == PollSpin) != (rested == 0) || mode != PollSpin && rested < 7_000_000 {
			t.Errorf("%s: of 8 ms it rested for %d ns", c.name, rested)
		}
	}
}

// What next says is when the next packet is due, or where that is far off, a time
// before.
func TestWheelNext(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, err := newWheel(8, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := w.release(); err != nil {
				t.Error(err)
			}
		}()
		now := rapid.Int64Range(1, 1<<40).Draw(t, "now")
		first := uint64(forever)
		for id := range uint64(rapid.IntRange(1, 4).Draw(t, "packets")) {
			slot := w.place(now+rapid.OneOf(rapid.Int64Range(2000, 100_000), rapid.Int64Range(1, 130_000_000)).Draw(t, "wait"), now, id<<16, true)
			if slot == 0 || w.full(slot, 0) {
				continue
			}
			w.put(slot, id<<16, 0, 0)
			first = min(first, slot)
		}
		if w.n == 0 {
			return
		}
		due, next := int64(first<<slotShift), w.next()
		if far := due - now; next > due || far < 8_000_000 && next != due || next < min(due, now+8_000_000) {
			t.Fatalf("at %d the next packet is due at %d, and next says %d", now, due, next)
		}
	})
}

// Who puts something on a ring to an lcore that sleeps wakes it, once; and an
// lcore that is about to sleep sees what was put there before.
func TestWakesWhoSleeps(t *testing.T) {
	b := newBed(t, bedOptions{lcores: 2, objects: openObjects(), config: func(c *Config) {
		c.Poll = PollConfig{Mode: PollSleep, Sleep: testSleep}
	}})
	first, second := b.engine.Worker(0), b.engine.Worker(1)
	woken := make([]int, 2)
	for i, w := range b.engine.workers {
		w.io = &countedWakes{w.io, &woken[i]}
	}
	send := func() {
		for port := range uint16(64) { // flows of both lcores
			b.inject("web", b.udp("web", "app", 1000+port, 80))
		}
		for range 4 {
			first.Round()
		}
	}
	send()
	if woken[1] != 0 {
		t.Errorf("an lcore that does not sleep was woken %d times", woken[1])
	}
	for range 4 {
		second.Round()
	}
	// It has announced that it will sleep, and looks for the last time.
	second.poll.dozing.Store(true)
	if second.restUntil() <= second.now {
		t.Fatal("it has work before there is any")
	}
	send()
	if woken[1] != 1 {
		t.Errorf("an lcore that sleeps was woken %d times, want 1", woken[1])
	}
	second.poll.dozing.Store(true)
	if second.restUntil() > second.now {
		t.Error("it would sleep with packets on a ring to it")
	}
	b.settle()
}

type countedWakes struct {
	pktio.IO
	n *int
}

func (io *countedWakes) Wake() { *io.n++ }

// Between two rounds that find packets lie as many microseconds as are set,
// unless there are more than a round takes.
func TestGatherBeforeReceive(t *testing.T) {
	m := newMachine(t, PollConfig{Mode: PollAdaptive, Sleep: testSleep, Coalesce: CoalesceConfig{RxUsecs: 64}}, true)
	m.run(2 * time.Millisecond)
	m.step(5 * time.Microsecond)
	m.run(5 * time.Millisecond)
	begin, rounds := m.w.counters.local[countRx], 0
	for end := m.clock.ns + int64(50*time.Millisecond); m.clock.ns < end; {
		n := m.w.Round()
		if n != 0 {
			rounds++
		}
		m.w.rest(n)
	}
	packets := int(m.w.counters.local[countRx] - begin)
	if each := float64(packets) / float64(rounds); each < 64/5 || each > 18 {
		t.Errorf("%d packets in %d rounds", packets, rounds)
	}
	if got := m.w.poll.coalescer.rx; got != 64_000 {
		t.Errorf("packets gather for %d ns", got)
	}
}

// DIM finds that longer is better where a load does not depend on it, and the
// longest sleep bounds it.
func TestGatherAdaptively(t *testing.T) {
	m := newMachine(t, PollConfig{Mode: PollAdaptive, Sleep: testSleep, Coalesce: CoalesceConfig{Adaptive: true}}, true)
	if got := m.w.poll.coalescer.rx; got != 8_000 {
		t.Errorf("it begins with %d ns, want DIM's start, 8 us", got)
	}
	m.step(time.Microsecond)
	longest := int64(0)
	for range 400 {
		m.run(time.Millisecond)
		longest = max(longest, m.w.poll.coalescer.rx)
	}
	if longest != int64(testSleep) {
		t.Errorf("packets gathered for at most %d ns, want the longest sleep, %v", longest, testSleep)
	}
	m.stats()
	m.w.poll.publish()
	if p := m.engine.Polling(0); int64(p.RxUsecs) != m.w.poll.coalescer.rx/1000 || !p.Interrupts {
		t.Errorf("readers see %+v", p)
	}
}

// A packet for a device is sent when tx_usecs have passed since it came, or with
// the burst that it is the first of.
func TestGatherBeforeSend(t *testing.T) {
	b := newBed(t, bedOptions{config: func(c *Config) {
		c.Poll = PollConfig{Mode: PollSpin, Coalesce: CoalesceConfig{TxUsecs: 50}}
	}})
	w := b.engine.Worker(0)
	round := func(wait time.Duration, want uint64, what string) {
		t.Helper()
		b.clock.advance(wait)
		for range 2 {
			w.Round()
		}
		if got := w.counters.local[countTx]; got != want {
			t.Errorf("%s: %d packets were sent, want %d", what, got, want)
		}
	}
	start := b.clock.ns
	b.inject("web", b.udp("web", "app", 5000, 80))
	round(0, 0, "just come")
	if got := w.restUntil(); got != start+50_000 {
		t.Errorf("the lcore may rest for %d ns, want 50 us", got-start)
	}
	b.inject("web", b.udp("web", "app", 5000, 80))
	round(49*time.Microsecond, 0, "before the time")
	b.stats()
	round(time.Microsecond, 2, "at the time")
	if got := w.restUntil(); got != forever {
		t.Errorf("with nothing held back it may rest until %d", got)
	}
	for range 32 {
		b.inject("web", b.udp("web", "app", 5000, 80))
	}
	round(time.Microsecond, 34, "a burst")
	b.settle()
}

// Moderation changes while packets wait: shorter, and they leave with the next round;
// none, and nothing waits; and a change of policy leaves it alone.
func TestSetCoalesce(t *testing.T) {
	b := newBed(t, bedOptions{config: func(c *Config) {
		c.Poll = PollConfig{Mode: PollPause, Coalesce: CoalesceConfig{TxUsecs: 500}}
	}})
	w := b.engine.Worker(0)
	sent := uint64(0)
	round := func(want uint64, what string) {
		t.Helper()
		for range 2 {
			w.Round()
		}
		if sent += want; w.counters.local[countTx] != sent {
			t.Errorf("%s: %d packets are sent in all, want %d", what, w.counters.local[countTx], sent)
		}
	}
	set := func(c CoalesceConfig) {
		t.Helper()
		if err := b.engine.SetCoalesce(c); err != nil {
			t.Fatal(err)
		}
	}
	packet := func() { b.inject("web", b.udp("web", "app", 5000, 80)) }

	packet()
	round(0, "for half a millisecond")
	b.clock.advance(20 * time.Microsecond)
	set(CoalesceConfig{TxUsecs: 20})
	round(1, "after a change to 20 us")
	b.policy(func(o *policy.Objects) { o.ENIs[0].MTU = 1400 })
	packet()
	round(0, "after a change of policy")
	set(CoalesceConfig{RxUsecs: 30})
	round(1, "after a change to none")
	if got := w.restUntil(); got != forever {
		t.Errorf("with nothing held back it may rest until %d", got)
	}
	packet()
	round(1, "without any")
	if p := b.engine.Polling(0); p.TxUsecs != 0 || p.AdaptiveRx {
		t.Errorf("it polls as %+v", p)
	}
	if got := w.poll.coalescer.between(1, 32, w.now); got.ns != 30_000 {
		t.Errorf("packets gather for %d ns, want 30 us", got.ns)
	}
	for _, bad := range []CoalesceConfig{{TxUsecs: -1}, {RxUsecs: MaxCoalesce + 1}, {Adaptive: true, RxUsecs: 1}} {
		if err := b.engine.SetCoalesce(bad); err == nil || b.engine.Coalesce() != (CoalesceConfig{RxUsecs: 30}) {
			t.Errorf("%+v: %v, in force is %+v", bad, err, b.engine.Coalesce())
		}
	}
	b.settle()
}

func TestPollRefuses(t *testing.T) {
	for _, c := range []struct {
		poll PollConfig
		want string
	}{
		{PollConfig{Mode: PollInterrupt}, "interrupts"},
		{PollConfig{Mode: PollSleep}, "longest sleep"},
		{PollConfig{Mode: PollAdaptive}, "longest sleep"},
		{PollConfig{Mode: PollSpin, Coalesce: CoalesceConfig{RxUsecs: 1}}, "spins"},
		{PollConfig{Mode: PollSpin, Coalesce: CoalesceConfig{Adaptive: true}}, "spins"},
		{PollConfig{Mode: PollPause, Coalesce: CoalesceConfig{TxUsecs: -1}}, "below zero"},
	} {
		pool := simport.NewPool(64, simport.DefaultSlotSize)
		port := simport.NewPort(pool, simport.PortConfig{})
		if err := c.poll.check([]pktio.IO{simport.NewIO(pool, []simport.Queue{{Port: port}})}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.poll, err, c.want)
		}
		pool.Close()
	}
}
