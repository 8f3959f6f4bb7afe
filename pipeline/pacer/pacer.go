// Package pacer spaces out the packets of one queue: so that together they keep a
// rate, each flow among them another one, and flows that want more than there is
// share it evenly, as the queueing discipline fq does for a host.
//
// Each flow's packets wait in a list of their own. Flows whose next packet may
// leave take turns, by deficit round robin: in every other turn one that has just
// begun, if there is one, so that a flow of few packets hardly waits. A flow whose
// next packet is ahead of the flow's rate stands on a timing wheel meanwhile, by
// the time at which it may leave, as in Carousel (SIGCOMM 2017). So the cost of a
// packet does not depend on how many flows there are.
//
// The caller passes the time in. Nothing here reads a clock, allocates once a Pacer
// is made, or waits.
package pacer

import (
	"github.com/nitrod/nitrod/internal/hugemem"
	"github.com/nitrod/nitrod/pipeline/shaper"
)

// Settings say how a Pacer spaces packets out.
type Settings struct {
	Rate     shaper.Rate // of all packets together; the zero value is none
	FlowRate shaper.Rate // of each flow; the zero value is none
	// Quantum is how many bytes a flow sends in its turn: at least as many as the
	// largest packet has, or the cost of a packet would not be bounded.
	Quantum     int32
	Packets     int   // that may wait, at most the capacity of the Pacer
	FlowPackets int   // of a flow that may wait, at least 1
	Delay       int64 // ns for which a packet may wait
}

// Packet is a packet that waits, or has waited.
type Packet struct {
	Buf uint64
	Len uint32 // bytes
}

// Verdict says what became of a packet.
type Verdict uint8

// The verdicts.
const (
	Taken    Verdict = iota // it waits here now
	FlowFull                // as many packets of its flow wait as may
	Full                    // as many packets wait as may, or as many flows are under way
)

// Pacer holds the packets of one queue until their times have come.
//
// Packets of a flow leave in the order in which they came, and none later than
// Settings.Delay after that. In any stretch of t seconds no more leaves than
// rate * t and a burst, of all together and of each flow (see shaper.Clock). To
// hold a flow to its rate it is remembered for a while after its last packet; if
// there are as many such flows as there is room for, the oldest is forgotten and
// finds a full burst again.
//
// Thread-safety: it belongs to the lcore that serves the queue. Any goroutine may
// call Published. The memory is off the heap.
//
// Limits: a fixed number of packets, and twice as many flows.
type Pacer struct {
	settings Settings
	on       bool

	packets []packet
	free    uint32 // packet, first of a list, by next
	used    uint32 // packets at and above were never used
	n       int    // packets that wait
	flows   flowTable
	wheel   wheel
	clock   shaper.Clock // of Settings.Rate
	ready   int64        // ns: no packet leaves before, as far as is known

	begun  list // flows in their first turn
	others list // that have had one
	favour bool // the next turn is one of begun's
	spent  bool // something has left in this turn
	active int  // flows in both, and on the wheel

	oldest, newest uint32 // packets, by when they came
	filled         uint32

	counts    Counts
	published Counts
	block     *hugemem.Block[packet]
}

// none is the number of no packet and of no flow. Numbers begin at 1, so that
// memory of zeros names none.
const none = 0

// packet is a packet in the lists of its flow and of all packets.
type packet struct {
	buf          uint64
	came         int64 // ns
	len          uint32
	flow         uint32
	next         uint32 // of its flow
	older, newer uint32
	number       uint32 // as Filled counts
}

// New returns a Pacer with room for capacity packets, which spaces nothing out
// until Set is called.
func New(capacity int) (*Pacer, error) {
	p := &Pacer{}
	var err error
	if p.block, err = hugemem.Alloc[packet](capacity + 1); err != nil {
		return nil, err
	}
	p.packets, p.used = p.block.Items, 1
	if p.flows, err = newFlowTable(2 * capacity); err == nil {
		p.wheel, err = newWheel()
	}
	if err != nil {
		_ = p.Free()
		return nil, err
	}
	return p, nil
}

// Free gives the memory back, not the packets: see Drop.
func (p *Pacer) Free() error {
	p.packets = nil
	err := p.block.Free()
	if e := p.flows.release(); err == nil {
		err = e
	}
	if e := p.wheel.release(); err == nil {
		err = e
	}
	return err
}

// Capacity returns how many packets there is room for.
func (p *Pacer) Capacity() int { return len(p.packets) - 1 }

// Set changes how packets are spaced out from now on; nil lets all go at once. A
// flow on the wheel still waits for the time that it was given.
func (p *Pacer) Set(s *Settings) {
	p.on = s != nil
	if p.on {
		p.settings = *s
	} else {
		p.settings = Settings{Quantum: maxQuantum}
	}
	p.ready = 0
}

// maxQuantum is beyond the longest packet.
const maxQuantum = 1 << 20

// Idle reports whether a packet that comes need not pass through here: nothing is
// to be spaced out, and none waits before it.
func (p *Pacer) Idle() bool { return !p.on && p.n == 0 }

// Len returns how many packets wait.
func (p *Pacer) Len() int { return p.n }

// Push takes a packet of a flow, told by its hash, that comes at now, in ns. What
// it does not take stays with the caller, and is counted here.
func (p *Pacer) Push(flow uint64, k Packet, now int64) Verdict {
	if p.n >= p.limit() {
		p.counts.Full++
		return Full
	}
	id := p.flows.find(flow)
	if id == none {
		if id = p.flows.add(flow); id == none {
			p.counts.Full++
			return Full
		}
		p.flows.at(id).credit = p.settings.Quantum
	}
	f := p.flows.at(id)
	if p.on && f.n >= uint32(p.settings.FlowPackets) {
		p.counts.FlowFull++
		return FlowFull
	}
	p.append(id, f, k, now)
	if f.state == flowIdle {
		p.flows.idle.remove(&p.flows, id)
		f.state = flowWaits
		p.begun.push(&p.flows, id)
		p.active++
	}
	p.ready = 0
	return Taken
}

// Begin makes Filled go on from a number. It is for a Pacer without packets.
func (p *Pacer) Begin(filled uint32) { p.filled = filled }

// Pass counts a packet in Filled that goes to the queue by another way.
func (p *Pacer) Pass() { p.filled++ }

// Filled returns how many packets have come, modulo 2^32, and Oldest how many of
// them came before the oldest that waits: all where none does.
func (p *Pacer) Filled() uint32 { return p.filled }

// Oldest is explained at Filled.
func (p *Pacer) Oldest() uint32 {
	if p.oldest == none {
		return p.filled
	}
	return p.packets[p.oldest].number
}

// limit returns how many packets may wait. Without settings those that came while
// there were some leave, and others behind them, as far as there is room.
func (p *Pacer) limit() int {
	if p.on {
		return min(p.settings.Packets, p.Capacity())
	}
	return p.Capacity()
}

// append puts a packet at the end of its flow, and of all.
func (p *Pacer) append(id uint32, f *flow, k Packet, now int64) {
	at := p.free
	if at != none {
		p.free = p.packets[at].next
	} else {
		at = p.used
		p.used++
	}
	x := &p.packets[at]
	x.buf, x.came, x.len, x.flow, x.next, x.older, x.newer, x.number = k.Buf, now, k.Len, id, none, p.newest, none, p.filled
	if f.n == 0 {
		f.first = at
	} else {
		p.packets[f.last].next = at
	}
	f.last = at
	f.n++
	if p.newest == none {
		p.oldest = at
	} else {
		p.packets[p.newest].newer = at
	}
	p.newest = at
	p.filled++
	p.n++
	p.counts.HighWater = max(p.counts.HighWater, uint64(p.n))
}

// take takes the first packet out of a flow.
func (p *Pacer) take(f *flow) *packet {
	at := f.first
	x := &p.packets[at]
	f.first = x.next
	f.n--
	if x.older == none {
		p.oldest = x.newer
	} else {
		p.packets[x.older].newer = x.newer
	}
	if x.newer == none {
		p.newest = x.older
	} else {
		p.packets[x.newer].older = x.older
	}
	x.next, p.free = p.free, at
	p.n--
	return x
}

// Late returns the oldest packet, which the caller owns then, if it has waited for
// longer than a packet may at now.
func (p *Pacer) Late(now int64) (Packet, bool) {
	if !p.on || p.oldest == none || now-p.packets[p.oldest].came <= p.settings.Delay {
		return Packet{}, false
	}
	p.counts.Late++
	return p.Drop(), true
}

// Drop takes the oldest packet out, of a Pacer that has some.
func (p *Pacer) Drop() Packet {
	f := p.flows.at(p.packets[p.oldest].flow) // whose oldest packet it is
	x := p.take(f)
	return Packet{x.buf, x.len}
}

// Next returns the next packet that may leave at now, which the caller owns then,
// if there is one.
func (p *Pacer) Next(now int64) (Packet, bool) {
	if now < p.ready {
		return Packet{}, false
	}
	for range wakes {
		if !p.wake(now) {
			break
		}
	}
	for {
		turn := p.turn(now)
		if turn == nil {
			return Packet{}, false
		}
		id := turn.first
		f := p.flows.at(id)
		if f.n == 0 {
			p.pop(turn)
			p.ends(turn, id, now)
			continue
		}
		size := p.packets[f.first].len
		var cost, all shaper.Cost
		if r := &p.settings.FlowRate; r.Limits() {
			cost = r.Cost(size)
			if at, _ := f.clock.Departure(r, cost, now); at > now {
				p.pop(turn)
				p.wheel.put(&p.flows, id, at, now)
				continue
			}
		}
		if f.credit <= 0 {
			f.credit += p.settings.Quantum
			p.pop(turn)
			p.others.push(&p.flows, id)
			continue
		}
		if r := &p.settings.Rate; r.Limits() {
			all = r.Cost(size)
			if at, _ := p.clock.Departure(r, all, now); at > now {
				p.ready = at
				return Packet{}, false
			}
		}
		p.clock.Charge(all)
		f.clock.Charge(cost)
		f.credit -= int32(size)
		p.spent = true
		x := p.take(f)
		p.count(x, now)
		return Packet{x.buf, x.len}, true
	}
}

// wakes is how many flows come off the wheel with a packet, so that however many
// are due at once, none of them waits for all.
const wakes = 4

// wake lets a flow take turns again whose time on the wheel has come, if there is
// one.
func (p *Pacer) wake(now int64) bool {
	id := p.wheel.due(&p.flows, now)
	if id != none {
		p.others.push(&p.flows, id)
	}
	return id != none
}

// turn returns the list whose first flow's turn it is, or nil if there is none.
func (p *Pacer) turn(now int64) *list {
	switch {
	case p.begun.first != none && (p.favour || p.others.first == none):
		return &p.begun
	case p.others.first != none || p.wake(now):
		return &p.others
	}
	return nil
}

// pop takes the first flow out of a list whose turn it was. It was none if nothing
// left.
func (p *Pacer) pop(turn *list) {
	turn.pop(&p.flows)
	if p.spent {
		p.favour, p.spent = turn == &p.others, false
	}
}

// ends takes a flow without packets out of a turn. One that has just begun comes
// among the others first, or by being brief again and again it would have more turns
// than they; unless there are so many that new ones would find no room.
func (p *Pacer) ends(turn *list, id uint32, now int64) {
	if turn == &p.begun && p.active <= p.Capacity() {
		p.others.push(&p.flows, id)
		return
	}
	p.flows.at(id).state = flowIdle
	p.flows.idle.push(&p.flows, id)
	p.active--
	for range 2 { // so that those that are remembered become fewer
		oldest := p.flows.idle.first
		if oldest == none || p.settings.FlowRate.Limits() && !p.flows.at(oldest).clock.Full(now) {
			return
		}
		p.flows.forget(oldest)
	}
}

// Due returns when there is something to do next, in ns, as far as is known: now
// or before if at once, and a time that does not come if no packet waits.
func (p *Pacer) Due() int64 {
	if p.n == 0 {
		return never
	}
	at := p.ready
	if p.begun.first == none && p.others.first == none {
		at = p.wheel.next()
	}
	if p.on {
		at = min(at, p.packets[p.oldest].came+p.settings.Delay+1)
	}
	return at
}

const never = 1<<63 - 1
