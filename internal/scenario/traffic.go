package scenario

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/internal/packet/text"
	"github.com/nitrod/nitrod/pipeline/microburst"
)

// Of traffic.
const (
	maxTraffic = 500_000               // packets in a step, so that a scenario ends soon
	fine       = 10 * time.Microsecond // how finely time passes while packets wait
	coarse     = 50 * time.Microsecond // how finely it passes while the last ones leave
	tolerance  = 0.02                  // of rates
)

// measured is what guests receive of a step's traffic.
type measured struct {
	open  bool // within the time of the traffic
	bytes map[string]int
	flows map[string]map[string]int // by ENI and flow
	count map[string]int64          // packets, also of what leaves after that
}

func (m *measured) note(eni string, queue int, frame []byte) {
	m.count[eni]++
	if !m.open {
		return
	}
	m.bytes[eni] += len(frame)
	m.bytes[eni+"/"+strconv.Itoa(queue)] += len(frame)
	p := text.Decode(frame)
	flow := strings.Join([]string{p.Src.String(), p.Dst.String(), strconv.Itoa(int(p.Proto)), strconv.Itoa(int(p.SrcPort)), strconv.Itoa(int(p.DstPort))}, " ")
	if m.flows[eni] == nil {
		m.flows[eni] = map[string]int{}
	}
	m.flows[eni][flow] += len(frame)
}

// sender sends the packets of a stream in their time.
type sender struct {
	at     string   // ENI
	frames [][]byte // by flow
	burst  int
	turn   int     // which flow sends next
	next   float64 // ns since the beginning
	every  float64 // ns between two turns
}

// senders makes the senders of a step's streams.
func (r *run) senders(st *step) []*sender {
	var out []*sender
	packets := 0.0
	for i := range st.Traffic {
		t := &st.Traffic[i]
		for _, l := range t.Packet.all {
			s := &sender{burst: t.Burst}
			for n := range t.Flows {
				p := r.packet(l, r.repetition(l, n))
				s.at, s.frames = p.At, append(s.frames, p.Frame())
			}
			if size := len(s.frames[0]); size > slotSize {
				r.broken(l.line, l.column, "the frame has %d bytes, and a port here carries %d", size, slotSize)
			}
			s.every = float64(8*len(s.frames[0])*s.burst) * 1e9 / (float64(t.Rate) / float64(len(t.Packet.all)))
			packets += float64(st.For) / s.every * float64(s.burst)
			out = append(out, s)
		}
	}
	if packets > maxTraffic {
		r.broken(st.Pos.Line, st.Pos.Column, "the step's traffic has %.0f packets; %d are the most", packets, maxTraffic)
	}
	return out
}

// traffic lets guests send for the time of the step.
func (r *run) traffic(st *step) {
	all := r.senders(st)
	r.measured = &measured{open: true, bytes: map[string]int{}, flows: map[string]map[string]int{}, count: map[string]int64{}}
	start, end := r.ns, r.ns+int64(st.For)
	for r.ns < end {
		next := float64(end - start)
		for _, s := range all {
			if s.next <= float64(r.ns-start) {
				r.turn(st, s)
			}
			next = min(next, s.next)
		}
		r.settle()
		t := start + int64(math.Ceil(next))
		if r.engine.InHand() != 0 {
			t = min(t, r.ns+int64(fine))
		}
		r.ns = min(max(t, r.ns), end)
	}
	r.settle()
	r.measured.open = false
	for r.engine.InHand() != 0 {
		r.ns += int64(coarse)
		r.settle()
	}
}

// turn sends what a sender has for its next turn.
func (r *run) turn(st *step, s *sender) {
	for range s.burst {
		if !r.ports[r.net.index[s.at]].Inject(0, s.frames[s.turn]) {
			r.broken(st.Pos.Line, st.Pos.Column, "more than %d packets come at once", slots)
		}
		r.packets++
	}
	s.turn = (s.turn + 1) % len(s.frames)
	s.next += s.every
}

// compareRates compares what guests received of the step's traffic.
func (r *run) compareRates(st *step) {
	seconds := st.For.Seconds()
	wrong := func(bytes int, want config.BitRate) (got config.BitRate, ok bool) {
		got = config.BitRate(float64(bytes) * 8 / seconds)
		return got, math.Abs(float64(got-want)) > tolerance*float64(want)
	}
	for _, w := range st.Rates.all {
		r.known(w)
		if got, bad := wrong(r.measured.bytes[w.name], w.bits); bad {
			r.fail(w.line, r.came(), "%s receives %v, want %v", w.name, got, w.bits)
		}
	}
	for _, w := range st.FlowRates.all {
		r.known(w)
		if len(r.measured.flows[w.name]) == 0 {
			r.fail(w.line, r.came(), "%s receives no flow", w.name)
		}
		for flow, bytes := range r.measured.flows[w.name] {
			if got, bad := wrong(bytes, w.bits); bad {
				r.fail(w.line, r.came(), "%s receives %v of flow %s, want %v", w.name, got, flow, w.bits)
				break
			}
		}
	}
	for _, c := range st.Receive.all {
		if got := r.measured.count[c.name]; got != c.n {
			r.fail(c.line, r.came(), "%s receives %d packets, want %d", c.name, got, c.n)
		}
	}
}

// came lists what guests received, by ENI and queue.
func (r *run) came() []string {
	var out []string
	for name, bytes := range r.measured.bytes {
		out = append(out, name+" receives "+config.BitRate(float64(bytes)*8/r.step.For.Seconds()).String())
	}
	slices.Sort(out)
	return out
}

// known wants a name to be that of an ENI, or of one with a queue.
func (r *run) known(w rate) {
	eni, queue, _ := strings.Cut(w.name, "/")
	if _, ok := r.net.Guest(eni); !ok {
		r.broken(w.line, w.column, "there is no ENI %q", eni)
	}
	if n, err := strconv.Atoi(queue); queue != "" && (err != nil || n < 0 || n >= int(r.snap.ENIs[r.net.index[eni]].Queues)) {
		r.broken(w.line, w.column, "ENI %s has no receive queue %q", eni, queue)
	}
}

// comparePeaks compares the fullest windows of 10 us.
func (r *run) comparePeaks(st *step) {
	if !st.Peaks.given {
		return
	}
	peaks := map[uint16]config.BitRate{}
	r.engine.EachQueue(func(_ int, s *microburst.Stats) bool {
		peaks[s.ENI] = max(peaks[s.ENI], config.BitRate(s.Peaks[0].Rate(int64(fine))))
		return true
	})
	for _, w := range st.Peaks.all {
		if _, ok := r.net.Guest(w.name); !ok {
			r.broken(w.line, w.column, "there is no ENI %q", w.name)
		}
		if got := peaks[r.net.index[w.name]]; got < w.bits {
			r.fail(w.line, nil, "the fullest window of %s has %v, want %v at least", w.name, got, w.bits)
		}
	}
}
