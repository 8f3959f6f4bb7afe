package pipeline

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/simport"
	"github.com/nitrod/nitrod/policy"
	"pgregory.net/rapid"
)

// genRSS draws a way to spread over queues.
func genRSS(t tb, rt *rapid.T, queues int) RSS {
	table, err := hash.NewIndirectionTable(1<<rapid.IntRange(0, 7).Draw(rt, "size"), queues)
	if err != nil {
		t.Fatal(err)
	}
	entries := table.Entries()
	for i := range entries {
		entries[i] = uint16(rapid.IntRange(0, queues-1).Draw(rt, "entry"))
	}
	if table, err = table.WithEntries(entries); err != nil {
		t.Fatal(err)
	}
	return RSS{
		CRC32: rapid.Bool().Draw(rt, "crc32"), Key: hash.RandomKey(),
		Mode: hash.Mode(rapid.IntRange(0, 4).Draw(rt, "mode")), Table: table,
	}
}

// genSteer draws a rule for app that often takes packets of bed.numbered.
func genSteer(rt *rapid.T, queues int) Steer {
	port := uint16(10000 + rapid.IntRange(0, 20).Draw(rt, "port"))
	return Steer{"app", hash.SteerRule{
		Location: uint32(rapid.IntRange(0, 3).Draw(rt, "location")),
		Queue:    uint16(rapid.IntRange(0, queues-1).Draw(rt, "queue")),
		Type:     rapid.SampledFrom([]hash.FlowType{hash.FlowIPv4UDP, hash.FlowIPv4UDP, hash.FlowIPv4TCP, hash.FlowIPv6UDP}).Draw(rt, "type"),
		SrcPort:  port, SrcPortMask: rapid.SampledFrom([]uint16{0xffff, 1, 3, 0}).Draw(rt, "mask"),
	}}
}

func queuesBed(t tb, lcores, queues, depth, txDepth int) *bed {
	o := defaultObjects()
	for i := range o.ENIs {
		o.ENIs[i].Queues = queues
	}
	return newBed(t, bedOptions{
		lcores: lcores, objects: o, depth: depth, slots: 2048,
		port: func(string) simport.PortConfig { return simport.PortConfig{TxDepth: txDepth} },
	})
}

// slowReader is the guest of app, behind a port that takes one packet of each
// queue in a round.
type slowReader struct {
	b    *bed
	next map[int]int
	got  int
}

// read takes what one round gave to the port, from a queue on: of each queue one
// packet, so that a flow that is in two queues at once shows as a gap.
func (r *slowReader) read(t tb, first int) {
	queues := int(r.b.record("app").Queues)
	for i := range queues {
		r.b.ports[r.b.eni("app")].Drain((first+i)%queues, func(f []byte) {
			r.got++
			inOrder(t, [][]byte{f}, r.next)
		})
	}
}

// Flows at will, on several lcores, to a guest that reads slowly, some of them
// held back by a limit, while the table, the function, the key and the rules
// change at will: no flow is reordered and nothing is lost. Once all is quiet every change ends, and flows
// go where explain says.
func TestChangesOfQueuesKeepTheOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const queues = 4
		b := queuesBed(rt, rapid.IntRange(1, 3).Draw(rt, "lcores"), queues, 256, 1)
		if rapid.Bool().Draw(rt, "limited") {
			b.policy(func(o *policy.Objects) { o.ENIs[0].Out = waiting(100 * mbit) }) // 5 us a packet
		}
		r := slowReader{b: b, next: map[int]int{}}
		sent := map[int]int{}
		total, changes := 0, 0
		changed := func(err error) {
			switch err {
			case nil:
				changes++
			case ErrQueueBusy, hash.ErrSteerTaken, hash.ErrSteerUnused:
			default:
				rt.Fatal(err)
			}
		}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			for range rapid.IntRange(0, 4).Draw(rt, "packets") {
				flow := rapid.IntRange(0, 20).Draw(rt, "flow")
				for range rapid.IntRange(1, 3).Draw(rt, "run") {
					if sent[flow]-r.next[flow] < 100 {
						b.inject("web", b.numbered(flow, sent[flow]))
						sent[flow]++
						total++
					}
				}
			}
			switch rapid.IntRange(0, 7).Draw(rt, "change") {
			case 0:
				changed(b.engine.SetRSS("app", genRSS(rt, rt, queues)))
			case 1:
				changed(b.engine.AddSteering(genSteer(rt, queues)))
			case 2:
				changed(b.engine.RemoveSteering("app", uint32(rapid.IntRange(0, 3).Draw(rt, "remove"))))
			case 3:
				b.policy(func(o *policy.Objects) { o.ENIs[2].MTU ^= 1 })
			}
			for range rapid.IntRange(0, 4).Draw(rt, "rounds") {
				b.clock.advance(time.Duration(rapid.IntRange(0, 20).Draw(rt, "us")) * time.Microsecond)
				b.engine.workers[rapid.IntRange(0, len(b.engine.workers)-1).Draw(rt, "worker")].Round()
				r.read(rt, rapid.IntRange(0, queues-1).Draw(rt, "first"))
			}
		}
		for range 1000 {
			for _, w := range b.engine.workers {
				b.clock.advance(5 * time.Microsecond)
				w.Round()
				r.read(rt, 0)
			}
		}
		if r.got != total {
			rt.Fatalf("%d of %d packets came", r.got, total)
		}
		if b.engine.QueuesMoving("app") {
			rt.Fatalf("after %d changes and quiet the last one is still under way", changes)
		}
		agrees(rt, b)
	})
}

// agrees checks that flows come to the queues that explain says, and that the
// flow cache says so too.
func agrees(t tb, b *bed) {
	t.Helper()
	app := b.eni("app")
	for flow := range 21 {
		f := b.numbered(flow, 0)
		want := b.engine.Explain(b.eni("web"), f).Queue
		b.inject("web", f)
		b.engine.Settle()
		b.clock.advance(time.Millisecond) // for limits
		b.engine.Settle()
		for q := range int(b.record("app").Queues) {
			n := 0
			b.ports[app].Drain(q, func([]byte) { n++ })
			if n != 0 && q != int(want) || n == 0 && q == int(want) {
				t.Fatalf("flow %d: %d packets in queue %d, want one in queue %d", flow, n, q, want)
			}
		}
	}
}

// A rule's queue, a table's queue and the errors, one after the other.
func TestSteeringAtRunTime(t *testing.T) {
	b := queuesBed(t, 1, 4, 256, 256)
	rule := Steer{"app", hash.SteerRule{Location: 2, Queue: 3, Type: hash.FlowIPv4UDP, SrcPort: 10007, SrcPortMask: 0xffff}}
	queueOf := func() uint8 { return b.engine.Explain(b.eni("web"), b.numbered(7, 0)).Queue }
	table, err := hash.NewIndirectionTable(128, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.engine.SetRSS("app", RSS{Table: table}); err != nil {
		t.Fatal(err)
	}
	if err := b.engine.AddSteering(rule); err != ErrQueueBusy {
		t.Fatalf("during a change: %v", err)
	}
	ended(b)
	if q := queueOf(); q != 0 {
		t.Fatalf("a table of queue 0 gives queue %d", q)
	}
	if err := b.engine.AddSteering(rule); err != nil {
		t.Fatal(err)
	}
	ended(b)
	if q := queueOf(); q != 3 {
		t.Fatalf("the rule gives queue %d", q)
	}
	agrees(t, b)
	far := rule
	far.Rule.Location, far.Rule.Queue = 1, 4
	beyond := rule
	beyond.Rule.Location = 4
	for name, c := range map[string]struct {
		got, want error
	}{
		"taken":           {b.engine.AddSteering(rule), hash.ErrSteerTaken},
		"no such queue":   {b.engine.AddSteering(far), ErrQueueRange},
		"table full":      {b.engine.AddSteering(beyond), hash.ErrSteerIndex},
		"no ENI":          {b.engine.AddSteering(Steer{ENI: "nobody"}), ErrQueueENI},
		"nothing there":   {b.engine.RemoveSteering("app", 1), hash.ErrSteerUnused},
		"beyond":          {b.engine.RemoveSteering("app", 6), hash.ErrSteerIndex},
		"table of others": {b.engine.SetRSS("app", RSS{Table: tableOf(t, 5)}), ErrQueueRange},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	if b.engine.QueuesMoving("app") {
		t.Error("a refused change is under way")
	}
	if err := b.engine.RemoveSteering("app", 2); err != nil {
		t.Fatal(err)
	}
	ended(b)
	if q := queueOf(); q != 0 || b.engine.SteeringOf("app").Len() != 0 {
		t.Fatalf("without the rule: queue %d", q)
	}
}

func tableOf(t tb, queues int) hash.IndirectionTable {
	t.Helper()
	table, err := hash.NewIndirectionTable(128, queues)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// A group of flows moves only when what it had in the old queue has left, on
// each lcore: here the port takes nothing for a while.
func TestAFlowStaysWhileItsQueueIsFull(t *testing.T) {
	for _, lcores := range []int{1, 2, 3} {
		b := queuesBed(t, lcores, 4, 256, 1)
		if err := b.engine.SetRSS("app", RSS{Table: tableOf(t, 1)}); err != nil {
			t.Fatal(err)
		}
		ended(b)
		for seq := range 6 {
			b.inject("web", b.numbered(1, seq))
		}
		rounds(b)
		table, err := tableOf(t, 1).WithEntries(slices.Repeat([]uint16{3}, 128))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.engine.SetRSS("app", RSS{Table: table}); err != nil {
			t.Fatal(err)
		}
		for seq := range 3 {
			b.inject("web", b.numbered(1, 6+seq))
			rounds(b)
		}
		port := b.ports[b.eni("app")]
		count := func(q int) (n int) { port.Drain(q, func([]byte) { n++ }); return n }
		if n := count(3); n != 0 {
			t.Fatalf("%d lcores: %d packets overtook those in queue 0", lcores, n)
		}
		old := 0
		for range 20 {
			old += count(0)
			rounds(b)
		}
		if old != 9 {
			t.Fatalf("%d lcores: %d packets came by the old queue, want 9", lcores, old)
		}
		b.inject("web", b.numbered(1, 9))
		rounds(b)
		if n := count(3); n != 1 {
			t.Fatalf("%d lcores: %d packets came by the new queue, want 1", lcores, n)
		}
	}
}

// A packet that waits for a limit while its flow moves leaves by the new queue
// like the younger ones, which would else overtake it.
func TestWhatWaitsForALimitMoves(t *testing.T) {
	b := queuesBed(t, 1, 4, 256, 256)
	b.policy(func(o *policy.Objects) { o.ENIs[0].Out = waiting(mbit) })
	if err := b.engine.SetRSS("app", RSS{Table: tableOf(t, 1)}); err != nil {
		t.Fatal(err)
	}
	ended(b)
	for seq := range 60 { // the burst, and some that wait for more than 10 ms
		b.inject("web", b.numbered(1, seq))
	}
	if s := b.settle(); s.Held() == 0 {
		t.Fatal("no packet waits")
	}
	b.received("app")
	table, err := tableOf(t, 1).WithEntries(slices.Repeat([]uint16{3}, 128))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.engine.SetRSS("app", RSS{Table: table}); err != nil {
		t.Fatal(err)
	}
	ended(b)
	b.clock.advance(50 * time.Millisecond)
	b.settle()
	old, moved := 0, 0
	b.ports[b.eni("app")].Drain(0, func([]byte) { old++ })
	b.ports[b.eni("app")].Drain(3, func([]byte) { moved++ })
	if old != 0 || moved == 0 {
		t.Fatalf("after the change %d packets came by the old queue and %d by the new one", old, moved)
	}
}

// A plan may have an ENI that was not there when the engine began.
func TestForeseeANewENI(t *testing.T) {
	b := newBed(t, bedOptions{})
	o := defaultObjects()
	e := o.ENIs[0]
	e.ID, e.MAC, e.Addresses, e.Prefixes, e.Queues = "new", [6]byte{2, 0, 0, 0, 0, 0x77}, []netip.Addr{netip.MustParseAddr("10.0.1.77")}, nil, 4
	o.ENIs = append(o.ENIs, e)
	next, err := policy.Compile(o, b.snap)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.engine.Foresee(next); err != nil {
		t.Fatal(err)
	}
}

// ended lets the lcores run until the change of app's queues has ended.
func ended(b *bed) {
	b.t.Helper()
	for range 100 {
		if !b.engine.QueuesMoving("app") {
			return
		}
		b.settle()
	}
	b.t.Fatal("the change does not end")
}

// rounds lets every lcore run a few times.
func rounds(b *bed) {
	for range 4 {
		for _, w := range b.engine.workers {
			w.Round()
		}
	}
}
