package conntrack

import (
	"slices"

	"pgregory.net/rapid"
)

// path is two ends with a session between them.
type path struct {
	ends    [2]end
	session Session
	state   State // the session's; None while there is none
	from    int   // the session's originator
	seen    seen
	past    [2][]segment // tracked, under way to the other end
	refused bool         // what must not be refused
	heard   [2]uint32    // the first numbers of the two ends that the session goes by
	open    bool         // let everything through

	connects [2]int // how often an end may still open a connection
}

// track takes the next segment of an end past the session and reports whether
// it was let through.
func (p *path) track(from int) (ok bool, s segment, next State) {
	e := &p.ends[from]
	s, e.out = e.out[0], e.out[1:]
	if p.open {
		p.past[from] = append(p.past[from], s)
		return true, s, None
	}
	g := s.tracked()
	if p.state == None {
		return p.begin(from, s), s, p.state
	}
	dir := from ^ p.from
	next, standing := p.session.Judge(dir, &g, false)
	if next == Renew {
		return p.begin(from, s), s, p.state
	}
	if s.flags&SYN != 0 && standing >= Inside {
		p.heard[from] = s.iss
		if s.flags&ACK != 0 {
			p.heard[1-from] = s.irs
		}
	}
	if standing == Outside {
		p.refused = p.refused || !p.mayRefuse(from, s)
		return false, s, next
	}
	p.session.Take(dir, &g, standing)
	p.session.enter(next, 0)
	p.state = next
	if standing != Aside {
		p.seen.add(from, s)
	}
	p.past[from] = append(p.past[from], s)
	return true, s, next
}

// begin makes a session, if the segment is one that does.
func (p *path) begin(from int, s segment) bool {
	state := Initial(protoTCP, s.flags, false)
	if state == None {
		return false
	}
	g := s.tracked()
	p.session.publish(&New{State: state})
	p.session.Begin(&g)
	p.from, p.state = from, state
	p.seen.begin(from, s)
	p.heard[from], p.heard[1-from] = s.iss, 0
	p.past[from] = append(p.past[from], s)
	return true
}

// tracked is the segment as the session sees it.
func (s *segment) tracked() Segment {
	g := Segment{Seq: s.seq, Ack: s.ack, Window: window, Flags: s.flags, Scale: NoScale}
	g.Payload = uint16(s.length - g.length())
	return g
}

// mayRefuse reports whether a packet may be lost at the session. An end that has
// reset the connection, and at once answers a SYN from before that, is not
// believed; its peer's next SYN makes all well again. And of an end that has
// begun anew, and whose SYN or SYN-ACK was lost on its way here, one cannot know
// the numbers; it repeats it.
func (p *path) mayRefuse(from int, s segment) bool {
	return p.seen.reset && p.seen.resetBy == from^p.from ||
		s.iss != 0 && (s.iss != p.heard[from] || s.irs != p.heard[1-from])
}

func (p *path) deliver(from int) {
	s := p.past[from][0]
	p.past[from] = p.past[from][1:]
	p.ends[1-from].receive(s)
}

// settled stops all losses, has both applications close, and reports whether
// both ends come to rest.
func (p *path) settled() bool {
	for round := range 12 {
		if !p.drained() {
			return false
		}
		if p.ends[0].phase == closed && p.ends[1].phase == closed {
			return true
		}
		for i := range p.ends {
			switch e := &p.ends[i]; {
			case e.phase == synSent || e.phase == timeWait:
				e.forget()
			case e.phase != closed && e.una == e.iss && round > 5: // SYN-ACKs are not repeated for long
				e.forget()
			case e.canClose():
				e.close(false)
			case e.canRepeat():
				e.repeat()
			case e.phase != closed:
				e.probe()
			}
		}
	}
	return false
}

// drained delivers all that is under way, and reports whether it ends: ends
// that disagree can answer each other for ever.
func (p *path) drained() bool {
	for range 200 {
		idle := true
		for i := range p.ends {
			if len(p.ends[i].out) > 0 {
				p.track(i)
				idle = false
			}
			if len(p.past[i]) > 0 {
				p.deliver(i)
				idle = false
			}
		}
		if idle {
			return true
		}
	}
	return false
}

// without is a copy of the path that lets everything through.
func (p *path) without() *path {
	c := *p
	c.open = true
	for i := range p.ends {
		c.ends[i].out = slices.Clone(p.ends[i].out)
		c.ends[i].units = slices.Clone(p.ends[i].units)
		c.past[i] = slices.Clone(p.past[i])
	}
	return &c
}

// works reports whether end 0, having forgotten what was, gets a connection to
// end 1 that carries data both ways, without losses but repeating itself.
func (p *path) works() bool {
	if !p.drained() {
		return false
	}
	p.ends[0].forget()
	p.ends[0].connect()
	for range 12 {
		if !p.drained() {
			return false
		}
		a, b := &p.ends[0], &p.ends[1]
		if a.phase == established && b.phase == established && a.una == a.nxt && b.una == b.nxt {
			if a.nxt-a.iss > 1 && b.nxt-b.iss > 1 {
				return true
			}
			a.write()
			b.write()
			continue
		}
		for i := range p.ends {
			switch e := &p.ends[i]; {
			case i == 0 && e.phase == closed:
				e.connect()
			case e.canRepeat():
				e.repeat()
			case e.phase == closeWait:
				e.close(false)
			}
		}
	}
	return false
}

// canConnect reports whether an end may open a connection. It must not before
// the packets of its last one are gone (RFC 9293, 3.4.3: the quiet time).
func (p *path) canConnect(i int) bool {
	if p.connects[i] == 0 || p.ends[i].phase != closed {
		return false
	}
	underWay := len(p.ends[0].out) + len(p.ends[1].out) + len(p.past[0]) + len(p.past[1])
	return p.ends[i].iss == 0 || underWay == 0
}

// An event is what can happen on a path, to one of its ends.
type event struct {
	name string
	can  func(i int) bool
	do   func(i int)
}

// How ends may end a connection before its time.
type trouble uint8

const (
	patience trouble = iota // they do not
	aborts                  // by giving up a SYN, or by a reset
	crashes                 // also without a word
)

// events are all that can happen. What moves packets on comes twice, so that
// they get somewhere.
func (p *path) events(kind trouble) []event {
	is := func(can func(*end) bool) func(int) bool {
		return func(i int) bool { return can(&p.ends[i]) }
	}
	do := func(f func(*end)) func(int) {
		return func(i int) { f(&p.ends[i]) }
	}
	out := func(i int) bool { return len(p.ends[i].out) > 0 }
	past := func(i int) bool { return len(p.past[i]) > 0 }
	track := event{"track", out, func(i int) { p.track(i) }}
	deliver := event{"deliver", past, p.deliver}
	all := []event{
		track, track, deliver, deliver,
		{"lose before", out, func(i int) { p.ends[i].out = p.ends[i].out[1:] }},
		{"lose behind", past, func(i int) { p.past[i] = p.past[i][1:] }},
		{"connect", p.canConnect, func(i int) {
			p.connects[i]--
			p.ends[i].connect()
		}},
		{"write", is((*end).canWrite), do((*end).write)},
		{"close", is((*end).canClose), do(func(e *end) { e.close(false) })},
		{"write and close", is((*end).canWrite), do(func(e *end) { e.close(true) })},
		{"repeat", is((*end).canRepeat), do((*end).repeat)},
		{"probe", is((*end).synced), do((*end).probe)},
		{"leave", is(func(e *end) bool { return e.phase == timeWait }), do((*end).forget)},
	}
	if kind >= aborts {
		all = append(all,
			event{"give up", is(func(e *end) bool { return e.phase == synSent }), do((*end).forget)},
			event{"abort", is(func(e *end) bool { return e.phase > synSent && e.phase != timeWait }), do((*end).abort)})
	}
	if kind == crashes {
		all = append(all, event{"crash", is(func(e *end) bool { return e.phase != closed }), do((*end).forget)})
	}
	return all
}

// dice are evenly spread numbers below 128; rapid's own ranges prefer small ones.
var dice = rapid.Custom(func(t *rapid.T) (n int) {
	for range 7 {
		n <<= 1
		if rapid.Bool().Draw(t, "bit") {
			n |= 1
		}
	}
	return n
})

// run lets things happen in any order, with check after each.
func (p *path) run(t *rapid.T, kind trouble, check func()) {
	type choice struct{ event, end int }
	all := p.events(kind)
	var can []choice
	for range 100 + dice.Draw(t, "more steps") {
		can = can[:0]
		for n := range all {
			for i := range p.ends {
				if all[n].can(i) {
					can = append(can, choice{n, i})
				}
			}
		}
		if len(can) == 0 {
			return
		}
		c := can[dice.Draw(t, "event")*len(can)>>7]
		before := p.state
		if e := all[c.event]; e.name == "track" {
			s := p.ends[c.end].out[0]
			e.do(c.end)
			t.Logf("end %d sends %s %+v: %v -> %v, windows %x", c.end, flagText(s.flags), s, before, p.state, p.session.seq)
		} else {
			e.do(c.end)
			t.Logf("end %d: %s", c.end, e.name)
		}
		check()
	}
}
