package pacer

import (
	"slices"
	"strconv"

	"github.com/nitrod/nitrod/pipeline/shaper"
)

// twin does what a Pacer does with slices, looking through all of them each time.
type twin struct {
	capacity      int
	on            bool
	s             Settings
	packets       []*twinPacket // by when they came
	begun, others []*twinFlow
	idle          []*twinFlow
	wheel         []twinSlot // in the order in which they came
	clock         shaper.Clock
	ready         int64
	filled        uint32
	favour, spent bool
}

type twinPacket struct {
	Packet
	came int64
	flow *twinFlow
	n    uint32 // of all that came
}

type twinFlow struct {
	hash   uint64
	clock  shaper.Clock
	credit int32
}

type twinSlot struct {
	slot int64
	flow *twinFlow
}

func (w *twin) set(s *Settings) {
	w.on, w.ready = s != nil, 0
	if w.s = (Settings{Quantum: maxQuantum}); w.on {
		w.s = *s
	}
}

// since returns how many packets came with the oldest that waits, and after it.
func (w *twin) since(filled uint32) uint32 {
	if len(w.packets) == 0 {
		return 0
	}
	return filled - w.packets[0].n
}

func (w *twin) active() int { return len(w.begun) + len(w.others) + len(w.wheel) }

// of returns the packets of a flow.
func (w *twin) of(f *twinFlow) (all []*twinPacket) {
	for _, k := range w.packets {
		if k.flow == f {
			all = append(all, k)
		}
	}
	return all
}

func (w *twin) find(hash uint64) (f *twinFlow, idle bool) {
	for i, list := range [][]*twinFlow{w.idle, w.begun, w.others} {
		for _, f := range list {
			if f.hash == hash {
				return f, i == 0
			}
		}
	}
	for _, s := range w.wheel {
		if s.flow.hash == hash {
			return s.flow, false
		}
	}
	return nil, false
}

func (w *twin) push(hash uint64, k Packet, now int64) Verdict {
	if len(w.packets) >= w.capacity || w.on && len(w.packets) >= w.s.Packets {
		return Full
	}
	f, idle := w.find(hash)
	if f == nil {
		if w.active()+len(w.idle) == 2*w.capacity {
			if len(w.idle) == 0 {
				return Full
			}
			w.idle = w.idle[1:]
		}
		f, idle = &twinFlow{hash: hash, credit: w.s.Quantum}, true
		w.idle = append(w.idle, f)
	}
	if w.on && len(w.of(f)) >= w.s.FlowPackets {
		return FlowFull
	}
	if idle {
		w.idle = slices.DeleteFunc(w.idle, func(o *twinFlow) bool { return o == f })
		w.begun = append(w.begun, f)
	}
	w.packets = append(w.packets, &twinPacket{k, now, f, w.filled})
	w.filled++
	w.ready = 0
	return Taken
}

func (w *twin) take(k *twinPacket) Packet {
	w.packets = slices.DeleteFunc(w.packets, func(o *twinPacket) bool { return o == k })
	return k.Packet
}

func (w *twin) late(now int64) (Packet, bool) {
	if !w.on || len(w.packets) == 0 || now-w.packets[0].came <= w.s.Delay {
		return Packet{}, false
	}
	return w.take(w.packets[0]), true
}

// wake moves the flow with the earliest slot among the others, if that has come.
func (w *twin) wake(now int64) bool {
	at := -1
	for i, s := range w.wheel {
		if s.slot <= now>>slotShift && (at < 0 || s.slot < w.wheel[at].slot) {
			at = i
		}
	}
	if at < 0 {
		return false
	}
	w.others = append(w.others, w.wheel[at].flow)
	w.wheel = slices.Delete(w.wheel, at, at+1)
	return true
}

func (w *twin) next(now int64) (Packet, bool) {
	if now < w.ready {
		return Packet{}, false
	}
	for range wakes {
		w.wake(now)
	}
	for {
		if len(w.begun)+len(w.others) == 0 && !w.wake(now) {
			return Packet{}, false
		}
		turn, begun := &w.others, len(w.begun) > 0 && (w.favour || len(w.others) == 0)
		if begun {
			turn = &w.begun
		}
		f := (*turn)[0]
		over := func() {
			if *turn = (*turn)[1:]; w.spent {
				w.favour, w.spent = !begun, false
			}
		}
		waits := w.of(f)
		if len(waits) == 0 {
			many := w.active() > w.capacity
			if over(); begun && !many {
				w.others = append(w.others, f)
				continue
			}
			w.idle = append(w.idle, f)
			for range 2 {
				if len(w.idle) > 0 && (!w.s.FlowRate.Limits() || w.idle[0].clock.Full(now)) {
					w.idle = w.idle[1:]
				}
			}
			continue
		}
		k := waits[0]
		each, all := w.s.FlowRate.Cost(k.Len), w.s.Rate.Cost(k.Len)
		if w.s.FlowRate.Limits() {
			if at, _ := f.clock.Departure(&w.s.FlowRate, each, now); at > now {
				over()
				w.wheel = append(w.wheel, twinSlot{(at + 1<<slotShift - 1) >> slotShift, f})
				continue
			}
		}
		if f.credit <= 0 {
			f.credit += w.s.Quantum
			over()
			w.others = append(w.others, f)
			continue
		}
		if w.s.Rate.Limits() {
			if at, _ := w.clock.Departure(&w.s.Rate, all, now); at > now {
				w.ready = at
				return Packet{}, false
			}
			w.clock.Charge(all)
		}
		if w.s.FlowRate.Limits() {
			f.clock.Charge(each)
		}
		f.credit -= int32(k.Len)
		w.spent = true
		return w.take(k), true
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
