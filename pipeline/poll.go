package pipeline

import (
	"errors"
	"math"
	"sync/atomic"
	"time"

	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/internal/relaxed"
)

// PollMode is what an lcore does when it finds nothing to do.
type PollMode uint8

// The poll modes.
const (
	PollSpin      PollMode = iota // it polls without a pause
	PollPause                     // it stays on its CPU and pauses there
	PollSleep                     // it sleeps for a bounded time
	PollInterrupt                 // it sleeps until something comes; every device must have interrupts
	PollAdaptive                  // the longer it has been idle the longer it rests, and by interrupts where all its devices have them
)

func (m PollMode) String() string {
	return [...]string{"spin", "pause", "sleep", "interrupt", "adaptive"}[m]
}

// PollConfig says how the lcores poll.
type PollConfig struct {
	Mode     PollMode
	Sleep    time.Duration // the longest sleep that no packet ends
	Coalesce CoalesceConfig
}

// Of a rest.
const (
	spinFor    = 50_000    // ns without work before the first rest
	shortPause = 2_000     // ns of a rest with PollPause
	worthSleep = 20_000    // ns: a shorter rest is a pause, since to sleep and to wake take as long
	longRest   = 5_000_000 // ns of the longest rest: what tidy does is spread over its runs
)

func (c *PollConfig) check(ios []pktio.IO) error {
	if c.Sleep <= 0 && (c.Mode == PollSleep || c.Mode == PollAdaptive) {
		return errors.New("pipeline: a polling mode that sleeps needs a longest sleep")
	}
	if c.Mode == PollInterrupt {
		for _, io := range ios {
			if !io.Interrupts() {
				return errors.New("pipeline: to poll by interrupts, every device must have them")
			}
		}
	}
	return c.Coalesce.check(c.Mode)
}

// poller decides when an lcore rests, and counts how it has rested.
//
// Thread-safety: one owner, the lcore, but for dozing and what is published.
type poller struct {
	config     PollConfig
	interrupts bool // all devices of the lcore have them

	worked int64 // ns: when the lcore last had something to do
	armed  bool  // the devices have been told to end a rest
	rests  restCounts
	shown  restCounts

	coalescer coalescer

	_      [64]byte
	dozing atomic.Bool // asleep, or about to be: who has something for the lcore wakes it
	_      [64]byte
}

// restCounts are how an lcore has rested since start.
type restCounts struct {
	mode   uint64 // the pktio.Rest in force
	pauses uint64
	sleeps uint64
	woken  uint64 // sleeps that a packet or another lcore ended
	paused uint64 // ns
	asleep uint64 // ns
}

func newPoller(c *PollConfig, io pktio.IO) poller {
	return poller{config: *c, interrupts: io.Interrupts(), coalescer: newCoalescer(c)}
}

// rest is a choice: how an lcore rests, and for how long at most.
type rest struct {
	how pktio.Rest
	ns  int64
}

// idle returns how to rest after idle ns without work.
func (p *poller) idle(idle int64) rest {
	if idle < spinFor {
		return rest{}
	}
	longest := int64(p.config.Sleep)
	switch p.config.Mode {
	case PollPause:
		return rest{pktio.RestPause, shortPause}
	case PollSleep:
		return rest{pktio.RestSleep, longest}
	case PollInterrupt:
		return rest{pktio.RestInterrupt, longRest}
	case PollAdaptive:
		if p.interrupts {
			return rest{pktio.RestInterrupt, longRest}
		}
		// What a rest may add to the delay of a packet is small beside the time
		// for which none came.
		if ns := min(idle/4, longest); ns < min(worthSleep, longest) {
			return rest{pktio.RestPause, ns}
		} else {
			return rest{pktio.RestSleep, ns}
		}
	}
	return rest{}
}

// forever is a time that does not come.
const forever = math.MaxInt64

// restUntil returns until when the lcore may rest, in ns of its clock, whatever
// comes from outside: now or before where it holds something that it can carry
// on with, else the time at which the first of what it holds is due.
//
// What an lcore keeps for later belongs here: with every queue of an lcore that
// this does not know of, packets would wait for an lcore that sleeps.
func (w *Worker) restUntil() int64 {
	if w.waiting.n != 0 || w.frags.ready.front != noSlot || w.pendingFromOthers() {
		return w.now
	}
	until := int64(forever)
	if len(w.dirty) != 0 {
		until = w.poll.coalescer.sendDue(w.now)
	}
	if w.limits.wheel.n != 0 {
		until = min(until, w.limits.wheel.next()-worthSleep) // it is awake when that is due
	}
	if len(w.paced) != 0 {
		until = min(until, w.paceDue()-worthSleep)
	}
	if at := w.frags.due.front; at != noSlot {
		until = min(until, w.frags.datagrams[at].giveUp)
	}
	return until
}

// pendingFromOthers reports whether other lcores have put something on the rings
// to this one.
func (w *Worker) pendingFromOthers() bool {
	for i := range w.in {
		if w.in[i] != nil && (w.in[i].Peek() != nil || w.sendIn[i].Peek() != nil) {
			return true
		}
	}
	return false
}

// rest lets the lcore rest after a round with n packets, as its polling mode
// and what it holds allow.
func (w *Worker) rest(n int) {
	p := &w.poll
	if n != 0 {
		p.worked = w.now
		w.disarm()
	}
	r := p.coalescer.between(n, w.engine.cfg.Burst, w.now)
	if r.how == pktio.RestNone {
		r = p.idle(w.now - p.worked)
	}
	switch {
	case r.how == pktio.RestNone:
		p.rests.mode = uint64(pktio.RestNone)
	case r.how == pktio.RestInterrupt && !p.armed:
		// What came before the devices were armed ends no rest: one round more.
		w.io.Arm(true)
		p.armed = true
	case r.how == pktio.RestPause:
		w.pause(r)
	default:
		w.sleep(r)
	}
}

func (w *Worker) disarm() {
	if w.poll.armed {
		w.io.Arm(false)
		w.poll.armed = false
	}
}

func (w *Worker) pause(r rest) {
	if r.ns = min(r.ns, w.restUntil()-w.now); r.ns <= 0 {
		return
	}
	w.io.Idle(r.how, time.Duration(r.ns))
	w.poll.rests.mode = uint64(r.how)
	w.poll.rests.pauses++
	w.poll.rests.paused += w.rested()
}

// sleep gives the CPU away. Another lcore that puts something on a ring to this
// one either sees that it dozes and wakes it, or has done so before restUntil
// looks.
func (w *Worker) sleep(r rest) {
	p := &w.poll
	p.dozing.Store(true)
	if r.ns = min(r.ns, w.restUntil()-w.now); r.ns > 0 && !w.engine.stopping.Load() {
		woken := w.io.Idle(r.how, time.Duration(r.ns))
		p.armed = p.armed && r.how != pktio.RestInterrupt
		p.rests.mode = uint64(r.how)
		p.rests.sleeps++
		if woken {
			p.rests.woken++
		}
		p.rests.asleep += w.rested()
	}
	p.dozing.Store(false)
}

// rested returns how long the rest was that has just ended. A chosen rest is no
// gap between polls.
func (w *Worker) rested() uint64 {
	before := w.now
	w.now = w.clock.Now()
	return uint64(w.now - before)
}

// wake ends the sleep of another lcore, for which there is something on a ring.
func (w *Worker) wake(lcore int) {
	o := w.engine.workers[lcore]
	if o.poll.dozing.Load() && o.poll.dozing.CompareAndSwap(true, false) {
		o.io.Wake()
	}
}

// publish makes the counts visible to readers.
func (p *poller) publish() {
	p.coalescer.publish()
	from, to := &p.rests, &p.shown
	if *from == *to {
		return
	}
	relaxed.Store64(&to.mode, from.mode)
	relaxed.Store64(&to.pauses, from.pauses)
	relaxed.Store64(&to.sleeps, from.sleeps)
	relaxed.Store64(&to.woken, from.woken)
	relaxed.Store64(&to.paused, from.paused)
	relaxed.Store64(&to.asleep, from.asleep)
}

// Polling is how an lcore polls, and how it has rested since start.
type Polling struct {
	Mode           PollMode
	Interrupts     bool       // all devices of the lcore have them
	Rest           pktio.Rest // the last one; RestNone if there was work since
	Pauses, Sleeps uint64
	Woken          uint64        // sleeps that a packet or another lcore ended
	Paused, Asleep time.Duration // in all
	RxUsecs        int           // for which packets gather now before they are taken
	TxUsecs        int           // for which packets for devices may be held back
	AdaptiveRx     bool          // the lcore finds RxUsecs itself
}

// Polling returns how lcore i polls.
func (e *Engine) Polling(i int) Polling {
	p := &e.workers[i].poll
	c, moderation := &p.shown, e.Coalesce()
	return Polling{
		Mode: p.config.Mode, TxUsecs: moderation.TxUsecs, AdaptiveRx: moderation.Adaptive,
		Interrupts: p.interrupts, Rest: pktio.Rest(atomic.LoadUint64(&c.mode)),
		Pauses: atomic.LoadUint64(&c.pauses), Sleeps: atomic.LoadUint64(&c.sleeps), Woken: atomic.LoadUint64(&c.woken),
		Paused: time.Duration(atomic.LoadUint64(&c.paused)), Asleep: time.Duration(atomic.LoadUint64(&c.asleep)),
		RxUsecs: p.coalescer.usecs(),
	}
}
