package pipeline

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/internal/simport"
	"github.com/nitrod/nitrod/policy"
	"pgregory.net/rapid"
)

// numbered is a UDP packet of flow number flow with a sequence number.
func (b *bed) numbered(flow, seq int) []byte {
	p := binary.BigEndian.AppendUint32(nil, uint32(flow))
	return b.frame("web", b.ip("web", "app"), packet.UDP{SrcPort: uint16(10000 + flow), DstPort: 80},
		packet.Payload(binary.BigEndian.AppendUint32(p, uint32(seq))))
}

// inOrder checks that each flow's packets among frames continue next, by one.
func inOrder(t tb, frames [][]byte, next map[int]int) {
	t.Helper()
	for _, f := range frames {
		p := f[len(f)-8:]
		flow, seq := int(binary.BigEndian.Uint32(p)), int(binary.BigEndian.Uint32(p[4:]))
		if seq != next[flow] {
			t.Fatalf("flow %d: packet %d after packet %d", flow, seq, next[flow]-1)
		}
		next[flow]++
	}
}

// Flows interleaved at will, rounds in between at will, and a slow path that has
// time for few: every flow keeps its order and nothing is lost, also where a
// flow is installed while its packets wait, where its entry is evicted, and where
// a change of policy sends all flows back to the slow path.
func TestOrderWhileWaiting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBed(t, bedOptions{slots: 1024, config: func(c *Config) {
			c.SlowPathBudget = rapid.SampledFrom([]int{1, 2, 5, 64}).Draw(t, "budget")
			c.Burst = rapid.SampledFrom([]int{1, 8, 32, 64}).Draw(t, "burst")
			c.Flows = rapid.SampledFrom([]int{16, 4096}).Draw(t, "flows")
		}})
		sent, next := map[int]int{}, map[int]int{}
		total := 0
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			for range rapid.IntRange(0, 6).Draw(t, "packets") {
				flow := rapid.IntRange(0, 60).Draw(t, "flow")
				for range rapid.IntRange(1, 3).Draw(t, "run") {
					b.inject("web", b.numbered(flow, sent[flow]))
					sent[flow]++
					total++
				}
			}
			if rapid.IntRange(0, 4).Draw(t, "policy") == 0 {
				b.policy(func(o *policy.Objects) { o.ENIs[2].MTU ^= 1 })
			}
			for range rapid.IntRange(0, 2).Draw(t, "rounds") {
				b.engine.workers[0].Round()
			}
			b.stats()
			inOrder(t, b.received("app"), next)
		}
		s := b.settle()
		inOrder(t, b.received("app"), next)
		if s.Tx != uint64(total) {
			t.Fatalf("%d of %d packets came", s.Tx, total)
		}
	})
}

// A packet whose flow was installed meanwhile still waits behind the older ones
// of its flow.
func TestInstalledFlowWaitsBehindItsOlderPackets(t *testing.T) {
	b := newBed(t, bedOptions{config: func(c *Config) { c.SlowPathBudget = 1 }})
	b.inject("web", b.numbered(0, 0), b.numbered(1, 0), b.numbered(2, 0), b.numbered(2, 1), b.numbered(1, 1), b.numbered(0, 1))
	w := b.engine.workers[0]
	w.Round()
	if w.waiting.n != 4 { // flow 0 was decided, and its second packet is a hit
		t.Fatalf("%d packets wait, want 4", w.waiting.n)
	}
	b.inject("web", b.numbered(1, 2), b.numbered(0, 2), b.numbered(2, 2))
	w.Round() // takes flow 1's first from the queue: its second waits on, so the third must
	if got := w.counters.local[countWaited]; got != 6 {
		t.Fatalf("%d packets have waited, want 6", got)
	}
	b.settle()
	next := map[int]int{}
	inOrder(t, b.received("app"), next)
	if next[0] != 3 || next[1] != 3 || next[2] != 3 {
		t.Errorf("of the flows came %v", next)
	}
}

func TestWaitingRefusedPacketIsDropped(t *testing.T) {
	b := newBed(t, bedOptions{config: func(c *Config) { c.SlowPathBudget = 1 }})
	for i := range 5 {
		b.inject("web", b.udp("web", "app", uint16(1000+i), 9999))
	}
	b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.SecurityGroupIn: 5})
}

func TestOneSlowPathRunPerNewFlow(t *testing.T) {
	b := newBed(t, bedOptions{})
	for seq := range 8 {
		b.inject("web", b.numbered(1, seq), b.numbered(2, seq))
		b.inject("web", b.udp("web", "app", 7, 9999)) // a flow that is refused
	}
	b.engine.workers[0].Round()
	if s := b.stats(); s.SlowPath != 3 || s.FlowHits != 21 || s.Rounds != 1 {
		t.Errorf("slow path %d, hits %d in %d rounds; want 3 and 21 in 1", s.SlowPath, s.FlowHits, s.Rounds)
	}
}

// A close is seen by the packets behind it in its own burst: the port may be
// used again at once, by a new session.
func TestCloseWithinBurst(t *testing.T) {
	const s, a, f, r = conntrack.SYN, conntrack.ACK, conntrack.FIN, conntrack.RST
	open := []sent{{"web", s}, {"app", s | a}, {"web", a}}
	for name, end := range map[string][]sent{
		"reset":          {{"web", r | a}},
		"peer's reset":   {{"app", r}},
		"closed in turn": {{"web", f | a}, {"app", f | a}, {"web", a}},
		"both at once":   {{"web", f | a}, {"app", f | a}, {"app", a}, {"web", a}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, bedOptions{})
			b.together(open...)
			b.settle()
			old := b.onlySession()
			if old.State() != conntrack.Established {
				t.Fatalf("state %v", old.State())
			}
			b.together(append(slices.Clone(end), sent{"web", s})...)
			b.engine.workers[0].Round()
			after := b.stats()
			if after.Sessions != 2 || after.SessionsLive != 1 || after.Dropped() != 0 {
				t.Fatalf("%d sessions were begun, %d live, %d packets dropped; want 2, 1, 0", after.Sessions, after.SessionsLive, after.Dropped())
			}
			if got := b.onlySession(); got.State() != conntrack.SynSent || got.Packets(0) != 1 || got.Incarnation() == old.Incarnation() {
				t.Errorf("the new session is %v with %d packets", got.State(), got.Packets(0))
			}
		})
	}
}

// sent is a segment of the connection between web and app.
type sent struct {
	from  string
	flags uint8
}

// dialogue is where the two ends of that connection stand: the numbers of the
// next octet of each.
type dialogue struct{ web, app uint32 }

// said is a segment as the two ends send it who have heard all that was said
// before; pushed it carries data. A SYN begins with other numbers.
func (b *bed) said(p sent) []byte {
	to, own, other := "app", &b.dialogue.web, b.dialogue.app
	tcp := packet.TCP{SrcPort: 40000, DstPort: 80, Flags: p.flags}
	if p.from == "app" {
		to, own, other = "web", &b.dialogue.app, b.dialogue.web
		tcp.SrcPort, tcp.DstPort = 80, 40000
	}
	if p.flags&conntrack.SYN != 0 {
		*own += 0x7fff_0000
	}
	if tcp.Seq = *own; p.flags&conntrack.ACK != 0 {
		tcp.Ack = other
	}
	var data packet.Payload
	if p.flags&conntrack.PSH != 0 {
		data = packet.Payload("data")
	}
	*own += uint32(len(data))
	if p.flags&(conntrack.SYN|conntrack.FIN) != 0 {
		*own++
	}
	return b.frame(p.from, b.ip(p.from, to), tcp, data)
}

// together lets both guests send so that all of it lies in one burst, in this
// very order.
func (b *bed) together(segments ...sent) {
	w := b.engine.workers[0]
	script := &scriptedIO{IO: w.io}
	for _, p := range segments {
		b.inject(p.from, b.said(p))
		script.order = append(script.order, simport.NewIO(b.pool, []simport.Queue{{Port: b.ports[b.eni(p.from)]}}))
	}
	w.io = script
}

// scriptedIO receives from several ports in a given order, once.
type scriptedIO struct {
	pktio.IO
	order []*simport.IO
}

func (io *scriptedIO) Rx(descs []pktio.Desc) int {
	n := 0
	for _, from := range io.order {
		n += from.Rx(descs[n : n+1])
	}
	io.order = nil
	return n + io.IO.Rx(descs[n:])
}

// onlySession returns a copy of the one session there is.
func (b *bed) onlySession() conntrack.Session {
	b.t.Helper()
	var all []conntrack.Session
	b.engine.EachSession(func(_ int, s *conntrack.Session) bool {
		all = append(all, *s)
		return true
	})
	if len(all) != 1 {
		b.t.Fatalf("there are %d sessions", len(all))
	}
	return all[0]
}

func TestSlowPathQueueOverflows(t *testing.T) {
	b := newBed(t, bedOptions{config: func(c *Config) { c.SlowPathBudget, c.SlowPathQueue = 1, 32 }}) // an ENI may have three: an eighth of what they leave free
	for i := range 20 {
		b.inject("web", b.numbered(i, 0))
	}
	b.engine.workers[0].Round()
	b.wantDrops(b.stats(), map[drop.Reason]uint64{drop.SlowPathQueueFull: 16})
	if s := b.settle(); s.Tx != 4 || s.Waited != 3 {
		t.Errorf("%d packets came and %d waited, want 4 and 3", s.Tx, s.Waited)
	}
}

// A packet that its flow's entry cannot decide waits, and then the entry must not
// let the flow's next packet pass: here a SYN that uses the port of a closed
// connection again, and what is sent right behind it.
func TestEntryDoesNotOvertake(t *testing.T) {
	const s, a, f = conntrack.SYN, conntrack.ACK, conntrack.FIN
	b := newBed(t, bedOptions{config: func(c *Config) { c.SlowPathBudget = 1 }})
	b.together(sent{"web", s}, sent{"app", s | a}, sent{"web", f | a}, sent{"app", f | a}, sent{"web", a})
	b.settle()
	b.received("app")
	b.inject("web", b.numbered(1, 0)) // takes the round's time
	b.inject("web", b.tcp("web", "app", 40000, 80, s), b.tcp("web", "app", 40000, 80, a), b.tcp("web", "app", 40000, 80, a|conntrack.PSH))
	b.wantDrops(b.settle(), nil)
	var flags []uint8
	for _, frame := range b.received("app")[1:] {
		l, err := packet.Locate(frame)
		if err != nil {
			t.Fatal(err)
		}
		flags = append(flags, packet.TCPHeader(frame[l.L4:]).Flags())
	}
	if want := []uint8{s, a, a | conntrack.PSH}; !slices.Equal(flags, want) {
		t.Errorf("segments came with flags %x, want %x", flags, want)
	}
}
