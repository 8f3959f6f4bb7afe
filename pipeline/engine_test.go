package pipeline

import (
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/pipeline/flowcache"
	"github.com/nitrod/nitrod/policy"
)

func TestNewRefuses(t *testing.T) {
	snap, err := policy.Compile(defaultObjects(), nil)
	if err != nil {
		t.Fatal(err)
	}
	valid := func() (Config, []Port, []pktio.IO) {
		c := Config{Burst: 32, SlowPathBudget: 8, SlowPathQueue: 8, Flows: 64, Sessions: 64, Fragments: DefaultFragments, RingSize: 8, Clock: &manualClock{}}
		return c, []Port{{ENI: 0, Port: 0, Queues: 1, Depth: 256}, {ENI: 1, Port: 1, Queues: 1, Depth: 256}, {ENI: 2, Port: 2, Queues: 1, Depth: 256}}, []pktio.IO{&loopIO{}, &loopIO{}}
	}
	for want, spoil := range map[string]func(*Config, *[]Port, *[]pktio.IO){
		"":                  func(*Config, *[]Port, *[]pktio.IO) {},
		"no lcores":         func(_ *Config, _ *[]Port, io *[]pktio.IO) { *io = nil },
		"burst":             func(c *Config, _ *[]Port, _ *[]pktio.IO) { c.Burst = pktio.MaxBurst + 1 },
		"budget":            func(c *Config, _ *[]Port, _ *[]pktio.IO) { c.SlowPathBudget = 0 },
		"holds no packet":   func(c *Config, _ *[]Port, _ *[]pktio.IO) { c.SlowPathQueue = 0 },
		"shorter time":      func(c *Config, _ *[]Port, _ *[]pktio.IO) { c.Fragments.Lifetime = c.Fragments.Hold - 1 },
		"more datagrams":    func(c *Config, _ *[]Port, _ *[]pktio.IO) { c.Fragments.Datagrams = c.Fragments.Held },
		"no clock":          func(c *Config, _ *[]Port, _ *[]pktio.IO) { c.Clock = nil },
		"power of two":      func(c *Config, _ *[]Port, _ *[]pktio.IO) { c.RingSize = 7 },
		"receive ring":      func(_ *Config, p *[]Port, _ *[]pktio.IO) { (*p)[1].Depth = 100 },
		"port 1 is given":   func(_ *Config, p *[]Port, _ *[]pktio.IO) { (*p)[2].Port = 1 },
		"to no ENI":         func(_ *Config, p *[]Port, _ *[]pktio.IO) { (*p)[2].ENI = 3 },
		"has two ports":     func(_ *Config, p *[]Port, _ *[]pktio.IO) { (*p)[2].ENI = 1 },
		"has no queues":     func(_ *Config, p *[]Port, _ *[]pktio.IO) { (*p)[0].Queues = 0 },
		"ENI app has no po": func(_ *Config, p *[]Port, _ *[]pktio.IO) { *p = (*p)[:2] },
	} {
		c, ports, ios := valid()
		spoil(&c, &ports, &ios)
		e, err := New(c, snap, ports, ios)
		if e != nil {
			defer func() { _ = e.Free() }()
		}
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// A policy for which there are no ports is refused, and the old one stays.
func TestSetPolicyRefuses(t *testing.T) {
	for want, change := range map[string]func(*policy.Objects){
		"ENI new has no port": func(o *policy.Objects) {
			e := o.ENIs[0]
			e.ID, e.MAC[5], e.Addresses = "new", 99, nil
			e.Addresses = append(e.Addresses, mustPrefix("10.0.1.99/32").Addr())
			o.ENIs = append(o.ENIs, e)
		},
		"another number of queues": func(o *policy.Objects) { o.ENIs[2].Queues = 2 },
	} {
		b := newBed(t, bedOptions{})
		change(b.objects)
		snap, err := policy.Compile(b.objects, b.snap)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.engine.SetPolicy(snap); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if b.engine.Policy() != b.snap {
			t.Error("the refused policy is in force")
		}
	}
}

// Every gap is in a bucket whose bounds hold it, and that is at most a quarter
// wide.
func TestGapBuckets(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		ns := r.Uint64() >> (24 + r.IntN(40))
		b := gapBucket(ns)
		low := uint64(0)
		if b > 0 {
			low = gapUpper(b - 1)
		}
		high := gapUpper(b)
		if ns < low || ns >= high || high-low > max(1, low/4) {
			t.Fatalf("a gap of %d ns is in the bucket from %d to %d", ns, low, high)
		}
	}
}

func TestGaps(t *testing.T) {
	b := newBed(t, bedOptions{})
	w := b.engine.workers[0]
	for i := range 101 {
		w.Round()
		b.clock.ns += 1000
		if i == 50 {
			b.clock.ns += 1_000_000
		}
	}
	w.gaps.publish()
	if g := b.engine.Gaps(0); g.Count != 100 || g.P50 < 1000 || g.P50 > 1250 || g.P99 != g.P50 || g.P9999 != g.Max || g.Max != 1_001_000 {
		t.Errorf("%+v", g)
	}
}

// What is read while lcores run is whole: explain, statistics, the lists of
// flows and sessions. Run it with the race detector.
func TestReadersBesideLcores(t *testing.T) {
	const n = 200_000
	c := converse(t, 2, 200, n, 500, nil)
	frame := c.udp("web", "app", 20001, 80)
	stop, done := make(chan struct{}), make(chan struct{})
	engine, web := c.engine, c.eni("web")
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if x := engine.Explain(web, frame); x.Verdict != VerdictForward {
				t.Errorf("explained as %v %v", x.Verdict, x.Reason)
				return
			}
			engine.EachFlow(func(_ int, e *flowcache.Entry) bool {
				if e.Key.Proto() != protoUDP || !e.Forward() {
					t.Errorf("flow %+v", e)
				}
				return !t.Failed()
			})
			engine.EachSession(func(_ int, s *conntrack.Session) bool {
				if s.Key().Proto() != protoUDP || s.State() != conntrack.UDPSingle && s.State() != conntrack.UDPStream {
					t.Errorf("session %+v in state %v", s.Key(), s.State())
				}
				return !t.Failed()
			})
			if s := engine.ENI(web); s.Drops != 0 {
				t.Errorf("%+v", s)
				return
			}
			runtime.Gosched()
		}
	}()
	c.run(t, n)
	close(stop)
	<-done
}
