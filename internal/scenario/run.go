package scenario

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/internal/control"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/packet/text"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/internal/simport"
	"github.com/nitrod/nitrod/internal/wiring"
	"github.com/nitrod/nitrod/pipeline"
	"github.com/nitrod/nitrod/policy"
)

const (
	// maxTable bounds the tables of a scenario's engine, unless its file asks
	// for less: a thousand scenarios shall not need a host's memory.
	maxTable = 1 << 16
	// slots is how many packets there can be at once, and slotSize how long one
	// can be: a jumbo frame.
	slots    = 16384
	slotSize = 9216
	// taken is how many packets a guest takes before it is looked at again.
	taken = 64
	// tick is how finely time passes at the end of advance, and settled how long
	// that lasts: in it every table is looked at once (pipeline's tidy).
	tick    = 10 * time.Millisecond
	settled = 1200 * time.Millisecond
)

// run is one run of a scenario: an engine between ports in memory.
//
// Thread-safety: none. It is the engine's clock and drives its lcores.
type run struct {
	s      *Scenario
	lcores int
	slow   bool // every packet takes the slow path

	ns     int64
	tree   *config.Tree
	cfg    *config.Config
	snap   *policy.Snapshot
	net    *guests
	pool   *simport.Pool
	ports  []*simport.Port // by ENI
	engine *pipeline.Engine
	before pipeline.Stats // when the step began

	failures []Failure
	seen     []string // of each step, in a form that runs can be compared by
	packets  int

	step     *step
	sent     []*sending
	received []arrival
	measured *measured // of the step's traffic
}

// sending is a packet that was sent, and what became of it.
type sending struct {
	text    string
	line    int
	at      string
	frame   []byte
	x       *control.Explanation // before it was sent; nil in a burst
	dropped string               // the reason, where it is known
	arrived []string             // the ENIs that received something when it was sent
}

// arrival is a packet that a guest received.
type arrival struct {
	eni   string
	frame []byte
	by    *sending // what was sent last, if it was sent alone
}

func newRun(s *Scenario, lcores int, slow bool) *run {
	return &run{s: s, lcores: lcores, slow: slow, ns: int64(time.Second)}
}

// name says how the run differs from the others.
func (r *run) name() string {
	how := "by the flow cache"
	if r.slow {
		how = "every packet on the slow path"
	}
	if r.lcores == 1 {
		return "1 lcore, " + how
	}
	return strconv.Itoa(r.lcores) + " lcores, " + how
}

// Now implements pipeline.Clock.
func (r *run) Now() int64 { return r.ns }

// broken ends a run whose file is at fault.
type broken struct{ error }

func (r *run) broken(line, column int, format string, args ...any) {
	panic(broken{config.Errors{&policy.Error{Pos: policy.Pos{File: r.s.File, Line: line, Column: column}, Msg: fmt.Sprintf(format, args...)}}})
}

// all runs all steps. The error is one of the file.
func (r *run) all() (err error) {
	defer func() {
		if p := recover(); p != nil {
			b, ok := p.(broken)
			if !ok {
				panic(p)
			}
			err = b.error
		}
		if r.engine != nil {
			r.close(err == nil)
		}
	}()
	r.start()
	for i := range r.s.doc.Steps {
		if r.do(&r.s.doc.Steps[i]); len(r.failures) > 0 {
			break // what follows is a consequence
		}
	}
	return nil
}

// fail notes that something is not as the scenario says.
func (r *run) fail(line int, details []string, format string, args ...any) {
	r.failures = append(r.failures, Failure{Line: line, Step: r.step.Name, Text: fmt.Sprintf(format, args...), Details: details})
}

// load reads a configuration that the scenario names or holds.
func (r *run) load(src *source) {
	tree := config.NewTree(r.s.File, src.node)
	if src.file != "" {
		path := src.file
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(r.s.File), path)
		}
		data, err := readFile(path)
		if err != nil {
			r.broken(src.line, 1, "the configuration cannot be read: %v", err)
		}
		if tree, err = config.ReadTree(path, data); err != nil {
			panic(broken{err})
		}
	}
	r.put(tree)
}

// put compiles a configuration.
func (r *run) put(tree *config.Tree) {
	cfg, err := tree.Config()
	if err != nil {
		panic(broken{err})
	}
	snap, err := policy.Compile(&cfg.Objects, r.snap)
	if err != nil {
		panic(broken{err})
	}
	r.tree, r.cfg, r.snap = tree, cfg, snap
	r.net = newGuests(snap, r.net)
}

// start makes the engine.
func (r *run) start() {
	r.load(&r.s.doc.Config)
	c := wiring.EngineConfig(r.cfg)
	c.AdvertEvery = 0 // nobody would expect what routers say unasked while time goes by
	c.Flows, c.Sessions, c.Clock = min(c.Flows, maxTable), min(c.Sessions, maxTable), r
	r.pool = simport.NewPool(slots, slotSize)
	queues := make([][]simport.Queue, r.lcores)
	var attached []pipeline.Port
	next := 0
	for i := range r.snap.ENIs {
		n := int(r.snap.ENIs[i].Queues)
		p := simport.NewPort(r.pool, simport.PortConfig{RxQueues: n, TxQueues: n, RxDepth: slots, TxDepth: taken})
		r.ports = append(r.ports, p)
		port := wiring.Port(r.cfg, i, &r.snap.ENIs[i])
		port.ENI, port.Port, port.Queues = uint16(i), p.ID(), n
		attached = append(attached, port)
		for q := range n {
			queues[next%r.lcores] = append(queues[next%r.lcores], simport.Queue{Port: p, Queue: q})
			next++
		}
	}
	var ios []pktio.IO
	for _, q := range queues {
		ios = append(ios, simport.NewIO(r.pool, q))
	}
	engine, err := pipeline.New(c, r.snap, attached, ios)
	if err != nil {
		r.pool.Close()
		r.broken(r.s.doc.Config.line, 1, "%v", err)
	}
	r.engine = engine
	r.before = engine.Total()
}

// close ends the engine. Every packet must be accounted for and given back.
func (r *run) close(check bool) {
	r.engine.Drain()
	held := r.engine.Total()
	for _, p := range r.ports {
		p.Discard()
	}
	if check {
		if n := held.Held(); n != 0 {
			r.fail(r.step.Pos.Line, nil, "after the end %d packets are unaccounted for", n)
		}
		if n := r.pool.InUse(); n != 0 {
			r.fail(r.step.Pos.Line, nil, "after the end %d packets were never given back", n)
		}
	}
	if err := r.engine.Free(); err != nil && check {
		r.fail(r.step.Pos.Line, nil, "the tables could not be freed: %v", err)
	}
	r.pool.Close()
}

// do does one step and compares what is to be seen of it.
func (r *run) do(st *step) {
	r.step, r.sent, r.received, r.measured = st, nil, nil, nil
	r.before = r.engine.Total()
	for _, id := range st.Stalled {
		if _, ok := r.net.Guest(id); !ok {
			r.broken(st.Pos.Line, st.Pos.Column, "there is no ENI %q", id)
		}
	}
	r.change(st)
	if st.Advance > 0 {
		r.advance(st.Advance)
	}
	if st.Traffic != nil {
		r.traffic(st)
	}
	r.send(st)
	r.settle()
	r.law(st)
	r.compare(st)
	r.note()
}

// change puts another policy in force.
func (r *run) change(st *step) {
	tree := r.tree
	if st.Config.given() {
		r.load(&st.Config)
	}
	if st.Change.node != nil {
		changed, err := tree.Change(r.s.File, st.Change.node)
		if err != nil {
			panic(broken{err})
		}
		tree = changed
	}
	for _, p := range st.Remove.all {
		less, ok := tree.Remove(p.name, p.value)
		if !ok {
			r.broken(p.line, p.column, "%s has no object %q to remove", p.name, p.value)
		}
		tree = less
	}
	if tree != r.tree && !st.Config.given() {
		r.put(tree)
	}
	if r.snap != r.engine.Policy() {
		if err := r.engine.SetPolicy(r.snap); err != nil {
			r.broken(st.Pos.Line, st.Pos.Column, "the policy cannot be put in force: %v", err)
		}
		r.settle()
	}
}

// advance lets time pass: at once, and at the end so that all that is due is
// done.
func (r *run) advance(d time.Duration) {
	end := r.ns + int64(d)
	if jump := end - int64(settled); jump > r.ns {
		r.ns = jump
		r.settle()
	}
	for r.ns < end {
		r.ns = min(end, r.ns+int64(tick))
		r.settle()
	}
}

// settle lets the lcores run until nothing moves, while guests take what they
// are sent.
func (r *run) settle() {
	for {
		r.engine.Settle()
		if !r.take() {
			return
		}
	}
}

// take lets guests take packets, and reports whether there were any.
func (r *run) take() bool {
	any := false
	for i, p := range r.ports {
		id := r.snap.ENI(uint16(i)).ID
		if id == "" {
			for name, index := range r.net.index {
				if int(index) == i {
					id = name
				}
			}
		}
		if slices.Contains(r.step.Stalled, id) {
			continue
		}
		for q := range int(max(1, r.snap.ENIs[i].Queues)) {
			p.Drain(q, func(f []byte) {
				any = true
				if r.measured != nil {
					r.measured.note(id, q, f)
					return
				}
				if !unasked(f) || r.step != nil && r.step.wantsAdverts() {
					r.received = append(r.received, arrival{eni: id, frame: slices.Clone(f)})
				}
			})
		}
	}
	return any
}

// unasked reports whether a frame is a router advertisement to all nodes, which
// comes from time to time.
func unasked(frame []byte) bool {
	p := text.Decode(frame)
	return p.Kind == text.IPv6 && p.Proto == packet.ProtoICMPv6 && p.Type == packet.ICMPv6RouterAdvert && p.Dst == allNodes
}

var allNodes = netip.MustParseAddr("ff02::1")

// wantsAdverts reports whether the step says something of advertisements.
func (st *step) wantsAdverts() bool {
	return slices.ContainsFunc(st.Expect.all, func(l line) bool { return strings.Contains(l.text, allNodes.String()) })
}

// packet reads a packet's text for sending.
func (r *run) packet(l line, t string) *text.Packet {
	p, err := text.Parse(t, "", r.net)
	if err != nil {
		r.badText(l, err)
	}
	return p
}

func (r *run) badText(l line, err error) {
	var e *text.Error
	if errors.As(err, &e) {
		r.broken(l.line, l.column+e.Column-1, "%s", e.Msg)
	}
	r.broken(l.line, l.column, "%v", err)
}

// counted finds where a text counts repetitions.
var counted = regexp.MustCompile(`([0-9a-fA-F.:]*[0-9a-fA-F])\+n\b`)

// repetition returns the text of repetition n.
func (r *run) repetition(l line, n int) string {
	return counted.ReplaceAllStringFunc(l.text, func(s string) string {
		s = strings.TrimSuffix(s, "+n")
		if v, err := strconv.ParseUint(s, 10, 32); err == nil {
			return strconv.FormatUint(v+uint64(n), 10)
		}
		a, err := netip.ParseAddr(s)
		if err != nil {
			r.broken(l.line, l.column, "+n counts numbers and addresses, not %q", s)
		}
		for range n {
			a = a.Next()
		}
		if !a.IsValid() {
			r.broken(l.line, l.column, "%s has no %d addresses after it", s, n)
		}
		return a.String()
	})
}

// send sends the step's packets.
func (r *run) send(st *step) {
	for n := range st.Repeat {
		for _, l := range st.Send.all {
			t := r.repetition(l, n)
			if at, frames, ok := r.pcap(l, t, "the ENI that sends it"); ok {
				for i, f := range frames {
					r.one(st, &sending{text: fmt.Sprintf("%s, frame %d", t, i+1), line: l.line, at: at, frame: f}, 0)
				}
				continue
			}
			p := r.packet(l, t)
			r.one(st, &sending{text: t, line: l.line, at: p.At, frame: p.Frame()}, p.Split)
		}
	}
	if st.Burst && r.slow {
		r.engine.ForgetFlows()
	}
}

// pcap reads `ENI pcap FILE` and returns the frames of the file.
func (r *run) pcap(l line, t, want string) (eni string, frames [][]byte, ok bool) {
	words := strings.Fields(t)
	if len(words) != 3 || words[1] != "pcap" {
		return "", nil, false
	}
	if _, known := r.net.Guest(words[0]); !known {
		r.broken(l.line, l.column, "there is no ENI %q; a file's frames are written as %s, pcap and the path", words[0], want)
	}
	path := words[2]
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(r.s.File), path)
	}
	frames, err := simport.ReadPcapFile(path)
	if err != nil {
		r.broken(l.line, l.column, "%v", err)
	}
	return words[0], frames, true
}

// one sends a packet and, but for a burst, carries it to its end.
func (r *run) one(st *step, s *sending, split int) {
	if len(s.frame) > slotSize {
		r.broken(s.line, 1, "the frame has %d bytes, and a port here carries %d", len(s.frame), slotSize)
	}
	if split == 0 {
		split = len(s.frame)
	}
	r.packets++
	r.sent = append(r.sent, s)
	if !st.Burst {
		s.x = r.explain(s.at, s.frame)
		if r.slow {
			r.engine.ForgetFlows()
		}
	}
	before, had := r.engine.Total(), len(r.received)
	if !r.ports[r.net.index[s.at]].InjectSplit(0, s.frame, split) {
		r.broken(s.line, 1, "a burst has at most %d packets", slots)
	}
	if st.Burst {
		return
	}
	r.settle()
	now := r.engine.Total()
	for reason := range now.Drops {
		if now.Drops[reason] != before.Drops[reason] {
			s.dropped = drop.Reason(reason).String()
		}
	}
	for i := range r.received[had:] {
		a := &r.received[had+i]
		a.by = s
		s.arrived = append(s.arrived, a.eni)
	}
}

// explain asks the engine what it would do with a frame.
func (r *run) explain(at string, frame []byte) *control.Explanation {
	x, err := control.Explain(r.engine, &control.ExplainRequest{ENI: at, Frame: hex.EncodeToString(frame)})
	if err != nil {
		return nil // of an ENI that is gone
	}
	return x
}

// law checks that every packet is accounted for.
func (r *run) law(st *step) {
	s, hand := r.engine.Total(), r.engine.InHand()
	if s.Held() != int64(hand) {
		r.fail(st.Pos.Line, nil, "the law of accounting does not hold: rx %d + originated %d is not tx %d + consumed %d + dropped %d + held %d",
			s.Rx, s.Originated, s.Tx, s.Consumed, s.Dropped(), hand)
	}
}

// note keeps what the step showed, for comparison with other runs.
func (r *run) note() {
	if r.measured != nil { // what comes of traffic is right to two percent, and so no run is like another
		r.seen = append(r.seen, "")
		return
	}
	var b strings.Builder
	now := r.engine.Total()
	byENI := map[string][]string{}
	for _, a := range r.received {
		byENI[a.eni] = append(byENI[a.eni], a.eni+" receives "+text.PrintReceived(a.frame, a.eni, r.net))
	}
	var all []string
	for _, list := range byENI {
		all = append(all, list...)
	}
	slices.Sort(all)
	for reason := range now.Drops {
		if n := now.Drops[reason] - r.before.Drops[reason]; n != 0 {
			all = append(all, fmt.Sprintf("%d dropped for %s", n, drop.Reason(reason)))
		}
	}
	fmt.Fprintf(&b, "%s", strings.Join(all, "\n"))
	if len(all) == 0 {
		b.WriteString("nothing is received and nothing dropped")
	}
	r.seen = append(r.seen, b.String())
}
