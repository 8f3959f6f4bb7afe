package microburst

import (
	"runtime"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/hash"
)

// numbered is an event all of whose fields say n.
func numbered(n uint64) Event {
	e := Event{
		ENI: uint16(n), Queue: uint16(n), Start: int64(n), Length: int64(n), Bytes: n, Packets: n, Drops: n,
		PeakRate: n, Second: n, Depth: uint32(n), Ring: uint32(n), Step: int64(n),
	}
	for i := range e.Shape {
		e.Shape[i] = uint32(n) + uint32(i)
	}
	for i := range e.Flows {
		v := n + uint64(i)
		e.Flows[i] = Flow{hash.FlowKey{Src: hash.Addr{Hi: v, Lo: v + 1}, Dst: hash.Addr{Hi: v + 2, Lo: v + 3}, Tail: v + 4}, v + 5}
	}
	return e
}

// The log keeps the last events, whole.
func TestLogTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 9).Draw(t, "size")
		m := Monitor{log: newLog(size)}
		n := rapid.IntRange(0, 30).Draw(t, "events")
		for i := range n {
			e := numbered(uint64(i) << 20)
			m.log.write(&e)
		}
		var got []Event
		m.Events(func(e *Event) bool { got = append(got, *e); return true })
		if len(got) != min(n, size) {
			t.Fatalf("%d of %d events are kept, want %d", len(got), n, size)
		}
		for i := range got {
			if want := numbered(uint64(n-1-i) << 20); got[i] != want {
				t.Fatalf("event %d is %+v, want %+v", i, got[i], want)
			}
		}
	})
}

// Who reads while the lcore writes finds events whole or not at all.
func TestLogWhileWritten(t *testing.T) {
	m := Monitor{log: newLog(4)}
	const events = 5000
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range uint64(events) {
			e := numbered(i)
			m.log.write(&e)
			if i%64 == 0 {
				runtime.Gosched()
			}
		}
	})
	for done := false; !done; {
		last := ^uint64(0)
		m.Events(func(e *Event) bool {
			if *e != numbered(e.Bytes) {
				t.Errorf("half an event: %+v", e)
			}
			if e.Bytes >= last {
				t.Errorf("event %d after %d", e.Bytes, last)
			}
			last = e.Bytes
			done = done || e.Bytes == events-1
			return true
		})
		runtime.Gosched()
	}
	wg.Wait()
}

// The sketch against a map: a flow with more than an eighth of the weight is
// there, none has less than it should and more than an eighth too much.
func TestSketchTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s sketch
		weights, total := map[uint64]uint64{}, uint64(0)
		for range rapid.IntRange(1, 200).Draw(t, "samples") {
			flow, w := rapid.Uint64Range(1, 20).Draw(t, "flow"), rapid.Uint64Range(1, 1000).Draw(t, "weight")
			if rapid.Bool().Draw(t, "large") {
				flow = 1
			}
			s.add(&hash.FlowKey{Tail: flow}, w)
			weights[flow] += w
			total += w
		}
		found := map[uint64]uint64{}
		for _, it := range s.items[:s.n] {
			found[it.key.Tail] = it.weight
		}
		for flow, w := range weights {
			got, ok := found[flow]
			if !ok && w > total/sketched {
				t.Fatalf("flow %d with %d of %d is missing", flow, w, total)
			}
			if ok && (got < w || got > w+total/sketched) {
				t.Fatalf("flow %d with %d of %d is taken for %d", flow, w, total, got)
			}
		}
		e := Event{Bytes: 2 * total}
		s.largest(&e)
		for i, f := range e.Flows {
			if i >= s.n {
				if f != (Flow{}) {
					t.Fatalf("flow %d of %d is %+v", i, s.n, f)
				}
				continue
			}
			if want := 2 * found[f.Key.Tail]; f.Bytes > want || f.Bytes+1 < want || i > 0 && f.Bytes > e.Flows[i-1].Bytes {
				t.Fatalf("the flows are %+v of %v", e.Flows, found)
			}
		}
	})
}
