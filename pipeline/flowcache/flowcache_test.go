package flowcache

import (
	"testing"

	"github.com/nitrod/nitrod/hash"
	"pgregory.net/rapid"
)

func testKey(n uint64) hash.FlowKey {
	return hash.FlowKey{
		Src: hash.Addr{Lo: 0x0a000001 + n>>3}, Dst: hash.Addr{Hi: n & 1, Lo: 0x0a000100},
		Tail: hash.Tail(uint16(n), 80, uint16(n&3), 6, hash.KeyIPv4),
	}
}

// mix spreads few key numbers over a hash whose signature and bucket parts take
// few values, so that collisions are the rule.
func weakHash(n uint64) uint64 { return n%5 | (n%3)<<48 }

func goodHash(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// Random operations against a map. The map never evicts, so a missing entry is
// right only where an eviction was reported.
func TestTwin(t *testing.T) {
	for name, hashOf := range map[string]func(uint64) uint64{"good": goodHash, "weak": weakHash} {
		t.Run(name, func(t *testing.T) { rapid.Check(t, func(t *rapid.T) { twin(t, hashOf) }) })
	}
}

func twin(t *rapid.T, hashOf func(uint64) uint64) {
	const capacity = 24
	c, err := New(capacity)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Free()
	type value struct {
		a    Action
		tick uint16
	}
	model := map[uint64]value{}
	tick := uint16(rapid.IntRange(0, 65535).Draw(t, "start")) // wraps in some runs
	keys := rapid.Uint64Range(0, 40)
	check := func(n uint64, e *Entry) {
		want := model[n]
		var got Action
		got.Forward, got.Reply, got.Egress = e.Forward(), e.Dir() == 1, e.Egress()
		if got.Forward {
			got.Queue = e.Queue()
		} else {
			got.Reason = e.Reason()
		}
		got.Session, got.Incarnation = e.Session(), e.Incarnation()
		got.SrcGen, got.DstGen = uint32(e.Gens()>>32), uint32(e.Gens())
		if got != want.a || e.Used() != want.tick || e.Key != testKey(n) {
			t.Fatalf("entry of %d is %+v used %d, want %+v used %d", n, got, e.Used(), want.a, want.tick)
		}
	}
	// reconcile forgets in the model what the cache says it evicted: exactly one
	// entry, and none younger than another in the table that could have gone.
	reconcile := func(evicted bool, set uint64) {
		missing := 0
		for n := range model {
			k := testKey(n)
			if c.Find(hashOf(n), &k) == None {
				delete(model, n)
				missing++
			}
		}
		if evicted && missing == 0 || !evicted && missing > 0 {
			t.Fatalf("setting %d: evicted %v but %d entries are gone", set, evicted, missing)
		}
	}
	t.Repeat(map[string]func(*rapid.T){
		"set": func(t *rapid.T) {
			n := keys.Draw(t, "key")
			a := Action{
				Forward: rapid.Bool().Draw(t, "forward"), Reply: rapid.Bool().Draw(t, "reply"),
				Egress:  rapid.Uint16().Draw(t, "egress"),
				Session: rapid.OneOf(rapid.Just(None), rapid.Uint32()).Draw(t, "session"), Incarnation: rapid.Uint32().Draw(t, "incarnation"),
				SrcGen: rapid.Uint32().Draw(t, "src gen"), DstGen: rapid.Uint32().Draw(t, "dst gen"),
			}
			if a.Forward {
				a.Queue = rapid.Uint8().Draw(t, "queue")
			} else {
				a.Reason = rapid.Uint8().Draw(t, "reason")
			}
			k := testKey(n)
			id, evicted := c.Set(hashOf(n), &k, &a, tick)
			model[n] = value{a, tick}
			reconcile(evicted, n)
			check(n, c.At(id))
		},
		"remove": func(t *rapid.T) {
			n := keys.Draw(t, "key")
			k := testKey(n)
			_, want := model[n]
			if got := c.Remove(hashOf(n), &k); got != want {
				t.Fatalf("Remove(%d) = %v, want %v", n, got, want)
			}
			delete(model, n)
		},
		"loose": func(t *rapid.T) {
			want := 0
			for _, v := range model {
				if !v.a.Forward || v.a.Session == None {
					want++
				}
			}
			if got := c.Loose(); got != want {
				t.Fatalf("Loose = %d, want %d", got, want)
			}
		},
		"clear": func(t *rapid.T) {
			c.Clear()
			clear(model)
		},
		"use": func(t *rapid.T) {
			n := keys.Draw(t, "key")
			k := testKey(n)
			if id := c.Find(hashOf(n), &k); id != None {
				c.Use(c.At(id), tick)
				v := model[n]
				v.tick = tick
				model[n] = v
			}
		},
		"time": func(t *rapid.T) { tick += uint16(rapid.IntRange(0, 5).Draw(t, "ticks")) },
		"expire": func(t *rapid.T) {
			const idle = 7
			want := 0
			for n, v := range model {
				if tick-v.tick > idle {
					delete(model, n)
					want++
				}
			}
			if got := c.Expire(tick, idle, capacity); got != want {
				t.Fatalf("Expire removed %d, want %d", got, want)
			}
		},
		"burst": func(t *rapid.T) {
			ns := rapid.SliceOfN(keys, 0, 64).Draw(t, "burst")
			hs, ks, out := make([]uint64, len(ns)), make([]hash.FlowKey, len(ns)), make([]uint32, len(ns))
			for i, n := range ns {
				hs[i], ks[i] = hashOf(n), testKey(n)
			}
			c.Prefetch(hs, ks)
			c.LookupBurst(hs, ks, out)
			for i, n := range ns {
				if _, ok := model[n]; ok != (out[i] != None) {
					t.Fatalf("key %d: in the model %v, found %v", n, ok, out[i] != None)
				}
				if out[i] != None {
					check(n, c.At(out[i]))
				}
			}
		},
		"": func(t *rapid.T) {
			if c.Len() != len(model) || c.Len() > capacity {
				t.Fatalf("Len = %d, model has %d", c.Len(), len(model))
			}
			read := 0
			var e Entry
			for id := range c.High() {
				if c.Read(id, &e) {
					read++
				}
			}
			if read != len(model) {
				t.Fatalf("Read found %d entries, model has %d", read, len(model))
			}
		},
	})
}

func TestEvictsTheLongestUnused(t *testing.T) {
	c, err := New(16)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Free()
	// All flows fall into one pair of buckets: one hash, one ENI.
	testKey := func(n uint64) hash.FlowKey {
		k := testKey(n)
		k.Tail &^= 0xffff << 16
		return k
	}
	for n := range uint64(16) {
		k := testKey(n)
		c.Set(1<<48, &k, &Action{Forward: true}, uint16(65530+n)) // ticks wrap at n = 6
	}
	k := testKey(3)
	c.Use(c.At(c.Find(1<<48, &k)), 20)
	for _, victim := range []uint64{0, 1, 2, 4} {
		nk := testKey(100 + victim)
		if _, evicted := c.Set(1<<48, &nk, &Action{Forward: true}, 20); !evicted {
			t.Fatal("a full table took a flow without eviction")
		}
		vk := testKey(victim)
		if c.Find(1<<48, &vk) != None {
			t.Fatalf("flow %d, the longest unused, is still there", victim)
		}
	}
}

func TestReadersSeeWholeEntries(t *testing.T) {
	c, err := New(64)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Free()
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		for n := uint64(0); n < 300_000; n++ {
			k := testKey(n % 50)
			k.Src.Hi = n // every word of an entry is derived from n
			a := Action{Forward: true, Session: uint32(n), Incarnation: uint32(n), SrcGen: uint32(n), DstGen: uint32(n)}
			c.Set(goodHash(n%50), &k, &a, uint16(n))
			if n%3 == 0 {
				c.Remove(goodHash(n%50), &k)
			}
		}
	}()
	var e Entry
	for seen := 0; ; {
		for id := range c.High() {
			if c.Read(id, &e) {
				seen++
				n := e.Key.Src.Hi
				if e.Session() != uint32(n) || e.Incarnation() != uint32(n) || e.Gens() != Gens(uint32(n), uint32(n)) || e.Key.SrcPort() != uint16(n%50) {
					t.Fatalf("a torn entry: %+v", e)
				}
			}
		}
		select {
		case <-stop:
			if seen == 0 && c.Len() > 0 {
				t.Fatal("nothing was ever read")
			}
			return
		default:
		}
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	c, err := New(1024)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Free()
	var hs [32]uint64
	var ks [32]hash.FlowKey
	var out [32]uint32
	n := uint64(0)
	if a := testing.AllocsPerRun(200, func() {
		for i := range hs {
			n++
			hs[i], ks[i] = goodHash(n), testKey(n)
			c.Set(hs[i], &ks[i], &Action{Forward: true}, uint16(n))
		}
		c.Prefetch(hs[:], ks[:])
		c.LookupBurst(hs[:], ks[:], out[:])
		c.Expire(uint16(n), 100, 64)
	}); a != 0 {
		t.Fatalf("%v allocations per burst", a)
	}
}

func BenchmarkLookupBurst(b *testing.B) {
	for _, flows := range []int{1, 1000, 100_000, 1_000_000} {
		b.Run(names[flows], func(b *testing.B) {
			c, err := New(1 << 20)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Free()
			for n := range uint64(flows) {
				k := testKey(n)
				k.Src.Hi = n
				c.Set(goodHash(n), &k, &Action{Forward: true}, 1)
			}
			var hs [32]uint64
			var ks [32]hash.FlowKey
			var out [32]uint32
			seq, hits := uint64(0), 0
			for b.Loop() {
				for i := range hs {
					n := goodHash(seq) % uint64(flows)
					seq++
					hs[i], ks[i] = goodHash(n), testKey(n)
					ks[i].Src.Hi = n
				}
				c.Prefetch(hs[:], ks[:])
				c.LookupBurst(hs[:], ks[:], out[:])
				if out[0] != None {
					hits++
				}
			}
			if hits == 0 {
				b.Fatal("nothing was found")
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/32, "ns/packet")
		})
	}
}

var names = map[int]string{1: "flows=1", 1000: "flows=1k", 100_000: "flows=100k", 1_000_000: "flows=1M"}
