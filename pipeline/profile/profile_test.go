package profile

import (
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/hash"
)

// key is that of flow n. Flows 2i and 2i+1 have one tag.
func key(n uint64) hash.FlowKey {
	return hash.FlowKey{Src: hash.Addr{Lo: n / 2}, Dst: hash.Addr{Lo: 7}, Tail: hash.Tail(1, 2, 3, 17, hash.KeyIPv4|uint8(n&1)<<7)}
}

// window ends one in which packets were noted, and reads it.
func window(t rapid.TB, r *Recorder, now int64) *Window {
	t.Helper()
	r.Tick(now)
	var w Window
	if !r.Read(&w) {
		t.Fatal("no window is published")
	}
	return &w
}

// TestTableTwin compares the table with exact counts: each flow's load lies within
// the bounds given, none that must be there is missing, and what is reported of
// packets and bytes is never more than came.
func TestTableTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := NewRecorder(1)
		r.Tick(1)
		for n := range int64(3) {
			typical := r.typical
			type count struct{ packets, bytes, load uint64 }
			exact, all := map[hash.FlowKey]count{}, count{}
			random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
			flows := rapid.IntRange(1, 5*Flows).Draw(t, "flows")
			skew := rapid.Float64Range(0.2, 8).Draw(t, "skew")
			for range rapid.IntRange(0, 3000).Draw(t, "packets") {
				id := uint64(math.Pow(random.Float64(), skew) * float64(flows))
				k := key(id)
				p := Packet{Key: &k, Length: uint32(60 + id*97%9000), Weight: 1 + random.Uint32N(256), Place: Place{Egress: uint16(id), Queue: uint8(id), Dropped: id%3 == 0}}
				r.Note(&p)
				weight := uint64(p.Weight)
				add := count{weight, weight * uint64(p.Length), weight * (uint64(p.Length) + typical)}
				c := exact[k]
				exact[k] = count{c.packets + add.packets, c.bytes + add.bytes, c.load + add.load}
				all = count{all.packets + add.packets, all.bytes + add.bytes, all.load + add.load}
			}
			w := window(t, r, 1+(n+1)*WindowLength)
			if w.Packets != all.packets || w.Bytes != all.bytes || w.Start != 1+n*WindowLength || w.End != w.Start+WindowLength {
				t.Fatalf("the window is %+v, want %+v", w.Totals, all)
			}
			found := map[hash.FlowKey]bool{}
			for i := range w.Flows[:w.N] {
				f := &w.Flows[i]
				c, id := exact[f.Key], f.Key.Src.Lo*2+uint64(f.Key.Flags()>>7)
				if found[f.Key] || f.Load < c.load || f.Load-f.Over > c.load || f.Packets > c.packets || f.Bytes > c.bytes {
					t.Fatalf("flow %d is %+v, exactly %+v", id, f, c)
				}
				if f.Over == 0 && (f.Packets != c.packets || f.Bytes != c.bytes) {
					t.Fatalf("flow %d was there from its first packet, and is %+v, exactly %+v", id, f, c)
				}
				if want := (Place{uint16(id), uint8(id), id%3 == 0}); f.Place != want {
					t.Fatalf("flow %d went to %+v, want %+v", id, f.Place, want)
				}
				found[f.Key] = true
			}
			for k, c := range exact {
				if c.load > all.load/Flows && !found[k] {
					t.Fatalf("a flow with %d of %d is missing", c.load, all.load)
				}
			}
			if want := min(len(exact), Flows); w.N != want {
				t.Fatalf("%d flows are published, want %d", w.N, want)
			}
		}
	})
}

// TestPickIsFair draws from bursts of all sizes: each packet must have the same
// chance, and what is looked at must stand for all that came.
func TestPickIsFair(t *testing.T) {
	for _, n := range []int{1, 2, 7, 8, 15, 32, 63, 64} {
		r := NewRecorder(uint64(n))
		const rounds = 400_000
		var at [MaxBurst]float64
		sum := 0.0
		for range rounds {
			if i, weight := r.Pick(n); weight != 0 {
				at[i] += float64(weight)
				sum += float64(weight)
			}
		}
		// A count of k looks has a deviation of its root; six of them are beyond chance,
		// and the seed is fixed.
		want := float64(rounds)
		for i := range n {
			if d := math.Abs(at[i]-want) / want; d > 6/math.Sqrt(rounds/float64(stride(n))) {
				t.Errorf("packet %d of bursts of %d counts %.0f times, came %d times", i, n, at[i], rounds)
			}
		}
		if d := math.Abs(sum/float64(n)-want) / want; d > 6/math.Sqrt(rounds*float64(n)/float64(stride(n))) {
			t.Errorf("bursts of %d count %.0f packets, were %d", n, sum, rounds*n)
		}
	}
}

func TestStride(t *testing.T) {
	for n, want := range map[int]uint32{0: 0, 1: 1, 3: 3, 4: 8, 7: 14, 8: 32, 15: 60, 16: 128, 31: 248, 32: 512, 63: 1008, 64: 2048} {
		if got := stride(n); got != want {
			t.Errorf("in a burst of %d a packet stands for %d, want %d", n, got, want)
		}
	}
}

// TestEstimate carries known flows in bursts of up to 32, and wants what is estimated
// of large ones to be no further from what came than chance explains: a count of which
// each look stands for s has a deviation of the root of s times itself. Four of them
// are allowed; the seeds are fixed.
func TestEstimate(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	r := NewRecorder(3)
	r.Tick(1)
	var exact [3]uint64 // the many, then the large flows
	for range 200_000 {
		n := 1 + random.IntN(32)
		at, weight := r.Pick(n)
		for i := range n {
			id, large := uint64(1000+random.IntN(100_000)), 0
			switch x := random.IntN(100); {
			case x < 40:
				id, large = 1, 1
			case x < 50:
				id, large = 2, 2
			}
			exact[large]++
			if weight != 0 && i == at {
				k := key(id)
				r.Note(&Packet{Key: &k, Length: 100, Weight: weight})
			}
		}
	}
	w := window(t, r, 1+WindowLength)
	near := func(what string, got, want uint64) {
		t.Helper()
		if d := math.Abs(float64(got) - float64(want)); d > 4*math.Sqrt(float64(stride(32))*float64(want)) {
			t.Errorf("%s: %d packets, exactly %d", what, got, want)
		}
	}
	packets := exact[0] + exact[1] + exact[2]
	near("all", w.Packets, packets)
	for id := range uint64(2) {
		id++
		k, found := key(id), uint64(0)
		for i := range w.Flows[:w.N] {
			if w.Flows[i].Key == k {
				found = w.Flows[i].Packets
			}
		}
		near("a large flow", found, exact[id])
	}
	if w.Looked*20 > packets {
		t.Errorf("%d of %d packets were looked at", w.Looked, packets)
	}
}

func TestNothingBeforeTheFirstWindow(t *testing.T) {
	r := NewRecorder(1)
	var w Window
	k := key(1)
	r.Tick(5)
	r.Note(&Packet{Key: &k, Length: 60, Weight: 1})
	r.Tick(5 + WindowLength - 1)
	if r.Read(&w) {
		t.Error("a window was published before its end")
	}
	r.Tick(5 + WindowLength)
	if !r.Read(&w) || w.N != 1 {
		t.Error("no window was published at its end")
	}
	r.Tick(5 + 9*WindowLength)
	if !r.Read(&w) || w.N != 0 || w.Packets != 0 || w.Start != 5+WindowLength || w.End != 5+9*WindowLength {
		t.Errorf("an idle window is %+v with %d flows", w.Totals, w.N)
	}
}

// TestReadersSeeWholeWindows has an owner publish windows, all of whose words tell
// their number, to a reader.
func TestReadersSeeWholeWindows(t *testing.T) {
	r := NewRecorder(1)
	r.Tick(1)
	var done atomic.Bool
	var owner sync.WaitGroup
	owner.Go(func() {
		for n := uint64(1); !done.Load(); n++ {
			k := hash.FlowKey{Src: hash.Addr{Hi: n, Lo: n}, Dst: hash.Addr{Hi: n, Lo: n}, Tail: n}
			for range 1 + n%3 {
				r.Note(&Packet{Key: &k, Length: uint32(n), Weight: 1, Place: Place{Egress: uint16(n)}})
			}
			r.Tick(1 + int64(n)*WindowLength)
			if n%64 == 0 {
				runtime.Gosched()
			}
		}
	})
	var w Window
	for got := 0; got < 5000 && !t.Failed(); {
		if !r.Read(&w) {
			runtime.Gosched()
			continue
		}
		if got++; got%64 == 0 {
			runtime.Gosched()
		}
		n, f := uint64(w.End-1)/WindowLength, &w.Flows[0]
		packets := 1 + n%3
		if w.N != 1 || w.Packets != packets || f.Packets != packets || f.Bytes != packets*n || f.Egress != uint16(n) ||
			f.Key != (hash.FlowKey{Src: hash.Addr{Hi: n, Lo: n}, Dst: hash.Addr{Hi: n, Lo: n}, Tail: n}) {
			t.Errorf("a torn window: %+v with %d flows, the first %+v", w.Totals, w.N, f)
		}
	}
	done.Store(true)
	owner.Wait()
}

func TestNoAllocation(t *testing.T) {
	r := NewRecorder(1)
	var w Window
	n := uint64(0)
	if got := testing.AllocsPerRun(1000, func() {
		n++
		k := key(n)
		i, weight := r.Pick(32)
		r.Note(&Packet{Key: &k, Length: uint32(i), Weight: weight})
		r.Tick(int64(n) * WindowLength / 10)
		r.Read(&w)
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

// BenchmarkRound is what a round costs that carries a full burst of as many flows.
func BenchmarkRound(b *testing.B) {
	for _, flows := range []uint64{1, 1000, 100_000} {
		b.Run(map[uint64]string{1: "1", 1000: "1k", 100_000: "100k"}[flows], func(b *testing.B) {
			r := NewRecorder(1)
			keys := make([]hash.FlowKey, flows)
			for i := range keys {
				keys[i] = key(uint64(i))
			}
			n := 0
			for b.Loop() {
				if i, weight := r.Pick(32); weight != 0 {
					n += 7919
					r.Note(&Packet{Key: &keys[(n+i)%len(keys)], Length: 60, Weight: weight})
				}
			}
		})
	}
}
