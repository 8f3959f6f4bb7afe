package pipeline

import (
	"slices"
	"testing"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/packet"
	"pgregory.net/rapid"
)

// What is counted by entry is what comes out of the queues, whatever the function,
// the table, the steering rules and the number of lcores: with one packet a round
// exactly.
func TestBucketsAreTheQueues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := openObjects()
		o.ENIs[2].Queues = rapid.IntRange(1, 5).Draw(t, "queues")
		b := newBed(t, bedOptions{lcores: rapid.IntRange(1, 3).Draw(t, "lcores"), objects: o})
		r, err := b.engine.RSSOf("app")
		if err != nil {
			t.Fatal(err)
		}
		r.CRC32 = rapid.Bool().Draw(t, "crc32")
		size := 1 << rapid.IntRange(0, 9).Draw(t, "log size")
		if r.Table, err = hash.NewIndirectionTable(size, o.ENIs[2].Queues); err != nil {
			t.Fatal(err)
		}
		if err := b.engine.SetRSS("app", r); err != nil {
			t.Fatal(err)
		}
		b.queuesMoved("app")
		if rapid.Bool().Draw(t, "steered") {
			rule := hash.SteerRule{Type: hash.FlowIPv4UDP, DstPort: 80, DstPortMask: 0xffff, Queue: uint16(o.ENIs[2].Queues - 1)}
			if err := b.engine.AddSteering(Steer{"app", rule}); err != nil {
				t.Fatal(err)
			}
			b.queuesMoved("app")
		}
		if err := b.engine.MeasureBuckets("app", true); err != nil {
			t.Fatal(err)
		}
		came := make([]uint64, o.ENIs[2].Queues)
		for n := range rapid.IntRange(1, 60).Draw(t, "packets") {
			sport, dport := rapid.Uint16Range(1, 40).Draw(t, "sport"), rapid.SampledFrom([]uint16{80, 443}).Draw(t, "dport")
			frames := [][]byte{b.udp("web", "app", sport, dport)}
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0:
				frames[0] = b.tcp("web", "app", sport, dport, packet.TCPSyn)
			case 1:
				frames[0] = b.ping("web", "app", 8, sport)
			case 2:
				frames[0] = b.frame("web", b.ip6("web", "app"), packet.UDP{SrcPort: sport, DstPort: dport}, packet.Payload("six"))
			case 3:
				frames = b.datagram(false, uint32(1000+n), 1000)
			}
			for _, f := range frames {
				b.inject("web", f)
				b.settle()
				for q := range came {
					came[q] += uint64(b.ports[b.eni("app")].Drain(q, func([]byte) {}))
				}
			}
		}
		got, err := b.engine.Buckets("app")
		if err != nil {
			t.Fatal(err)
		}
		sum := slices.Clone(got.Fixed)
		for e, n := range got.Entries {
			sum[got.Table[e]] += n
		}
		if !slices.Equal(sum, came) {
			t.Fatalf("the queues gave %v, the entries say %v", came, sum)
		}
	})
}

// queuesMoved lets a change of an ENI's queues come to its end.
func (b *bed) queuesMoved(eni string) {
	b.t.Helper()
	for n := 0; b.engine.QueuesMoving(eni); n++ {
		if b.settle(); n == 1000 {
			b.t.Fatal("a change of queues does not end")
		}
	}
}

// Of many rounds with many packets the sum by entry is close to what came, though
// only one packet of each is looked at.
func TestBucketsOfBursts(t *testing.T) {
	o := openObjects()
	o.ENIs[2].Queues = 4
	b := newBed(t, bedOptions{objects: o, config: func(c *Config) { c.SlowPathBudget = 32 }})
	r, err := b.engine.RSSOf("app")
	if err != nil {
		t.Fatal(err)
	}
	r.Key = hash.Key{0: 0x6d, 1: 0x5a, 5: 0x56, 9: 0xda, 13: 0x25} // the same flows in the same entries each time
	if err := b.engine.SetRSS("app", r); err != nil {
		t.Fatal(err)
	}
	b.queuesMoved("app")
	if err := b.engine.MeasureBuckets("app", true); err != nil {
		t.Fatal(err)
	}
	came := make([]uint64, r.Table.Len())
	w := b.engine.workers[0]
	for range 1000 {
		for i := range uint16(32) {
			port := 1000 + i*i%29*i // few flows, some with much more than others
			f := b.udp("web", "app", port, 80)
			k := hash.FlowKey{Src: hash.Addr{Lo: 0x0a00010a}, Dst: hash.Addr{Lo: 0x0a00020a}, Tail: hash.Tail(port, 80, b.eni("web"), 17, hash.KeyIPv4|hash.KeyRouted)}
			came[r.function().Hash(&k)&uint32(r.Table.Len()-1)]++
			b.inject("web", f)
		}
		w.Round()
		b.received("app")
	}
	got, err := b.engine.Buckets("app")
	if err != nil {
		t.Fatal(err)
	}
	for e, want := range came {
		// One of 32 is seen: five standard deviations, and some for small numbers.
		if off := float64(got.Entries[e]) - float64(want); off*off > 25*32*float64(want)+25*32*32 {
			t.Errorf("entry %d: %d counted, %d came", e, got.Entries[e], want)
		}
	}
}

func TestBucketsBeginAnew(t *testing.T) {
	b := newBed(t, bedOptions{objects: openObjects()})
	if err := b.engine.MeasureBuckets("nobody", true); err != ErrQueueENI {
		t.Errorf("of no ENI: %v", err)
	}
	if _, err := b.engine.Buckets("app"); err != ErrNotMeasured {
		t.Errorf("not measured: %v", err)
	}
	send := func() uint64 {
		t.Helper()
		b.inject("web", b.udp("web", "app", 1, 80))
		b.settle()
		got, err := b.engine.Buckets("app")
		if err != nil {
			t.Fatal(err)
		}
		sum := uint64(0)
		for _, n := range got.Entries {
			sum += n
		}
		return sum
	}
	for range 2 { // the second time it begins anew
		for range 2 { // which it does not while it is on
			if err := b.engine.MeasureBuckets("app", true); err != nil {
				t.Fatal(err)
			}
		}
		if n := send(); n != 1 {
			t.Errorf("%d packets counted, want 1", n)
		}
		if err := b.engine.MeasureBuckets("app", false); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.engine.MeasureBuckets("app", true); err != nil {
		t.Fatal(err)
	}
	send()
	b.policy(changes["rules removed"])
	b.policy(changes["rules restored"])
	if n := send(); n != 2 {
		t.Errorf("after a change of policy %d packets are counted, want 2", n)
	}

	before, err := b.engine.Buckets("app")
	if err != nil {
		t.Fatal(err)
	}
	to := slices.Clone(before.Table)
	to[0] = 1
	if err := b.engine.MoveBuckets("app", to, before.Table); err != ErrTableChanged {
		t.Errorf("from another table: %v", err)
	}
	if err := b.engine.MoveBuckets("app", before.Table, to); err != nil {
		t.Errorf("from this one: %v", err)
	}
	b.queuesMoved("app")
	if after, err := b.engine.Buckets("app"); err != nil || !slices.Equal(after.Table, to) || after.Count != before.Count {
		t.Errorf("after the change %v, counting %d, %v", after.Table, after.Count, err)
	}
	to[0] = 2
	if err := b.engine.MoveBuckets("app", slices.Concat([]uint16{1}, to[1:]), to); err != ErrQueueRange {
		t.Errorf("to a queue that there is not: %v", err)
	}
	r, err := b.engine.RSSOf("app")
	if err != nil {
		t.Fatal(err)
	}
	if r.Table, err = hash.NewIndirectionTable(8, 2); err != nil {
		t.Fatal(err)
	}
	if err := b.engine.SetRSS("app", r); err != nil {
		t.Fatal(err)
	}
	if after, err := b.engine.Buckets("app"); err != nil || len(after.Entries) != 8 || after.Count == before.Count {
		t.Errorf("after a change of size %d entries, counting %d, %v", len(after.Entries), after.Count, err)
	}
}
