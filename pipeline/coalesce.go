package pipeline

import (
	"errors"
	"sync/atomic"

	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/internal/relaxed"
	"github.com/nitrod/nitrod/pipeline/dim"
)

// CoalesceConfig says for how long an lcore lets packets gather, where that
// spares it work: the zero value not at all.
type CoalesceConfig struct {
	RxUsecs  int  // after a round that emptied the devices' queues, until the next
	TxUsecs  int  // from the first packet for a device, until it is sent
	Adaptive bool // instead of RxUsecs, what package dim finds
}

// MaxCoalesce is the longest time for which packets may gather, in microseconds.
const MaxCoalesce = 1000

func (c *CoalesceConfig) check(mode PollMode) error {
	switch {
	case c.RxUsecs < 0 || c.TxUsecs < 0:
		return errors.New("pipeline: packets gather for a time below zero")
	case c.RxUsecs > MaxCoalesce || c.TxUsecs > MaxCoalesce:
		return errors.New("pipeline: packets gather for longer than a millisecond")
	case c.Adaptive && c.RxUsecs != 0:
		return errors.New("pipeline: an lcore that finds itself for how long packets gather is not told how long")
	case mode == PollSpin && (c.Adaptive || c.RxUsecs != 0):
		return errors.New("pipeline: an lcore that spins does not let packets gather before it takes them")
	}
	return nil
}

// SetCoalesce changes the moderation of all lcores, while packets flow. Those that
// are held back for longer than the new setting has it leave with the lcore's next
// round. Errors: a setting that makes no sense, or none with the engine's poll mode;
// then nothing has changed.
//
// Thread-safety: any goroutine.
func (e *Engine) SetCoalesce(c CoalesceConfig) error {
	if err := c.check(e.cfg.Poll.Mode); err != nil {
		return err
	}
	e.changing.Lock()
	defer e.changing.Unlock()
	next := *e.view.Load()
	next.coalesce = c
	e.view.Store(&next)
	return nil
}

// Coalesce returns the moderation in force. Thread-safety: any goroutine.
func (e *Engine) Coalesce() CoalesceConfig { return e.view.Load().coalesce }

// coalescer is an lcore's moderation.
//
// Thread-safety: one owner, the lcore, but for shown.
type coalescer struct {
	config   CoalesceConfig
	pauses   bool  // it never sleeps
	rx, tx   int64 // ns; rx is the profile's where it is adaptive
	longest  int64 // ns of an adaptive rest
	adaptive bool
	tuner    dim.Tuner
	counted  dim.Sample
	shown    int64 // ns: rx as others see it
	since    int64 // ns: when the first packet was held back; 0 if none is
}

func newCoalescer(c *PollConfig) coalescer {
	k := coalescer{pauses: c.Mode == PollPause, longest: int64(c.Sleep)}
	k.set(c.Coalesce)
	return k
}

// set puts a setting in force, unless it is already.
func (c *coalescer) set(to CoalesceConfig) {
	if c.config == to {
		return
	}
	c.config = to
	c.rx, c.tx, c.adaptive = int64(to.RxUsecs)*1000, int64(to.TxUsecs)*1000, to.Adaptive
	if c.tx == 0 {
		c.since = 0
	}
	if c.adaptive {
		c.tuner, c.counted = dim.New(), dim.Sample{}
		c.rx = c.profile()
	}
}

// profile returns the time that the tuner's profile stands for, in ns. Devices
// that are polled do not say how many packets they have, and no packet ends this
// rest: so it is as long as any other such rest at most.
func (c *coalescer) profile() int64 {
	return min(int64(dim.Profiles[c.tuner.Profile()])*1000, c.longest)
}

// between returns how the lcore rests after a round with n packets at now, so
// that others gather. Where a round took as many as it may there are more
// already.
func (c *coalescer) between(n, burst int, now int64) rest {
	if c.rx == 0 || n == 0 {
		return rest{}
	}
	if c.adaptive {
		c.tune(n, now)
	}
	if n >= burst {
		return rest{}
	}
	how := pktio.RestSleep
	if c.pauses || c.rx < worthSleep {
		how = pktio.RestPause
	}
	return rest{how, c.rx}
}

// tune counts a round that found packets as an event.
func (c *coalescer) tune(n int, now int64) {
	c.counted.Time = now
	c.counted.Packets += uint64(n)
	c.counted.Events++
	if c.tuner.Note(c.counted) {
		c.rx = c.profile()
	}
}

// holds reports whether packets for devices wait for more: none of the queues
// has a burst yet, and the first packet is not due.
func (c *coalescer) holds(w *Worker) bool {
	if c.tx == 0 || len(w.dirty) == 0 {
		return false
	}
	if c.since == 0 {
		c.since = w.now
	}
	if w.now-c.since < c.tx {
		full := false
		for _, dest := range w.dirty {
			full = full || w.out[dest].queue.Len() >= w.engine.cfg.Burst
		}
		if !full {
			return true
		}
	}
	c.since = 0
	return false
}

// sendDue returns when the packets for devices are to be sent.
func (c *coalescer) sendDue(now int64) int64 {
	if c.since == 0 {
		return now
	}
	return c.since + c.tx
}

func (c *coalescer) publish() {
	if c.shown != c.rx {
		relaxed.StoreInt64(&c.shown, c.rx)
	}
}

// usecs returns for how long packets gather now before they are taken.
func (c *coalescer) usecs() int { return int(atomic.LoadInt64(&c.shown) / 1000) }
