package pipeline

import (
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/simport"
	"github.com/nitrod/nitrod/policy"
)

// openObjects is defaultObjects with groups that admit everything of the VPC and
// track it, and app with two queues.
func openObjects() *policy.Objects {
	return grouped("10.0.0.0/8", "2001:db8::/32")
}

// untrackedObjects is openObjects with groups that admit everything, so that TCP
// and UDP are not tracked.
func untrackedObjects() *policy.Objects { return grouped("0.0.0.0/0", "::/0") }

func grouped(cidrs ...string) *policy.Objects {
	o := defaultObjects()
	var all []policy.SGRule
	for _, c := range cidrs {
		all = append(all, policy.SGRule{Match: policy.Match{Protocol: policy.ProtoAll}, CIDR: mustPrefix(c)})
	}
	for i := range o.SecurityGroups {
		o.SecurityGroups[i].Inbound, o.SecurityGroups[i].Outbound = all, all
	}
	o.ENIs[2].Queues = 2
	return o
}

// conversation is flows between web and app, each in both directions, that are
// numbered by sources and checked by sinks.
type conversation struct {
	*bed
	seq *simport.Sequence
	wg  sync.WaitGroup
}

// converse makes flows that send n packets in all. With a window, no more than
// that many are under way at any time.
func converse(t *testing.T, lcores, flows, n, window int, config func(*Config)) *conversation {
	t.Helper()
	plain := newBed(t, bedOptions{objects: openObjects(), slots: 64}) // to build frames with
	var frames [][]byte
	for i := range flows {
		port := uint16(20000 + i)
		frames = append(frames,
			plain.frame("web", plain.ip("web", "app"), packet.UDP{SrcPort: port, DstPort: 80}, packet.Fill(18)),
			plain.frame("app", plain.ip("app", "web"), packet.UDP{SrcPort: 80, DstPort: port}, packet.Fill(18)))
	}
	c := &conversation{seq: simport.NewSequence(frames)}
	var sent, came atomic.Int64
	sink := func(frame []byte) {
		came.Add(1)
		c.seq.Sink(frame)
	}
	c.bed = newBed(t, bedOptions{
		lcores: lcores, objects: openObjects(),
		config: func(cfg *Config) {
			cfg.Clock, cfg.SlowPathQueue, cfg.Poll = NewMonotonicClock(), 4096, PollConfig{Mode: PollAdaptive, Sleep: 20 * time.Microsecond}
			if config != nil {
				config(cfg)
			}
		},
		port: func(eni string) simport.PortConfig {
			part := map[string]int{"web": 0, "app": 1}
			return simport.PortConfig{
				Sink: func(int) simport.Sink { return sink },
				Source: func(queue int) simport.Source {
					p, ok := part[eni]
					if !ok || queue != 0 {
						return func([]byte) int { return 0 }
					}
					from := c.seq.SourceN(p, 2, uint64(n/2))
					return func(buf []byte) int {
						if window != 0 && sent.Load()-came.Load() >= int64(window) {
							return 0
						}
						size := from(buf)
						if size != 0 {
							sent.Add(1)
						}
						return size
					}
				},
			}
		},
	})
	return c
}

// run lets the lcores poll, until the sources are empty and all is through.
func (c *conversation) run(t *testing.T, n int) {
	t.Helper()
	lcores := c.engine.Lcores()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), lcores+2)))
	start := time.Now()
	for i := range lcores {
		c.wg.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			c.engine.RunLcore(i)
		})
	}
	// A generous end for a pipeline that has lost packets; none that works meets it.
	for end := start.Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if s := c.engine.Total(); s.Rx == uint64(n) && s.Held() == 0 {
			break
		}
	}
	took := time.Since(start)
	c.engine.Stop()
	c.wg.Wait()
	s := c.engine.Total()
	t.Logf("%d lcores: %.2f million packets a second, %.0f %% handed over, dropped %d", lcores,
		float64(s.Rx)/took.Seconds()/1e6, 100*float64(s.HandOver)/float64(s.Rx), s.Dropped())
	if s.Rx != uint64(n) || s.Held() != 0 {
		t.Fatalf("of %d packets %d were received, %d are held", n, s.Rx, s.Held())
	}
}

// Lcores that hand packets to each other lose none as long as fewer are under
// way than the rings hold, and each flow keeps its order. Both directions of a
// flow are one session, so they have one lcore.
func TestOrderAcrossLcores(t *testing.T) {
	const n, flows = 600_000, 500
	for lcores := 1; lcores <= 3; lcores++ {
		t.Run(strconv.Itoa(lcores), func(t *testing.T) {
			c := converse(t, lcores, flows, n, 900, nil)
			c.run(t, n)
			if got, want := c.seq.Result(), (simport.SequenceResult{Sent: n, Received: n}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
			s := c.engine.Total()
			if s.Sessions != flows || s.SessionsLive != flows || s.FlowsLive != 2*flows {
				t.Errorf("%d sessions were begun, %d live, with %d flow entries; want %d, %d, %d",
					s.Sessions, s.SessionsLive, s.FlowsLive, flows, flows, 2*flows)
			}
			if lcores == 1 {
				return
			}
			if s.HandOver == 0 {
				t.Error("nothing was handed over")
			}
			// web has one queue, which one lcore serves: what the others decide
			// for it reaches it by that one.
			for i := range lcores {
				if l := c.engine.Lcore(i); l.Sessions == 0 {
					t.Errorf("lcore %d owns no session", i)
				}
			}
			if got := c.engine.ENI(c.eni("web")); got.RxPackets != n/2 || got.TxPackets != n/2 {
				t.Errorf("web: %+v", got)
			}
		})
	}
}

// Sources that send whatever comes of it, rings that are too small: what is lost
// is counted, and the rest is still in order.
func TestOverloadAcrossLcores(t *testing.T) {
	const n, flows = 600_000, 500
	for lcores := 2; lcores <= 3; lcores++ {
		t.Run(strconv.Itoa(lcores), func(t *testing.T) {
			c := converse(t, lcores, flows, n, 0, func(cfg *Config) { cfg.RingSize, cfg.SlowPathQueue = 32, 64 })
			c.run(t, n)
			got, s := c.seq.Result(), c.engine.Total()
			if got.Reordered != 0 || got.Foreign != 0 || got.Received != s.Tx || got.Sent != s.Tx+s.Dropped() {
				t.Errorf("%+v with %d sent and %d dropped", got, s.Tx, s.Dropped())
			}
			for r, k := range s.Drops {
				switch drop.Reason(r) {
				case drop.HandoverRingFull, drop.EgressRingFull, drop.TxQueueFull, drop.SlowPathQueueFull:
				default:
					if k != 0 {
						t.Errorf("%d packets were dropped for %v", k, drop.Reason(r))
					}
				}
			}
		})
	}
}

// Stopped in the middle of it, an engine gives every packet back and says so.
func TestStopUnderLoad(t *testing.T) {
	const n = 1 << 40 // more than there is time for
	c := converse(t, 2, 100, n, 0, nil)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	for i := range 2 {
		c.wg.Go(func() { c.engine.RunLcore(i) })
	}
	for c.engine.Total().Rx < 100_000 {
		runtime.Gosched()
	}
	c.engine.Stop()
	c.wg.Wait()
	got, s := c.seq.Result(), c.engine.Total()
	if s.Held() != 0 || s.Rx != got.Sent || s.Tx != got.Received || got.Reordered != 0 {
		t.Errorf("%+v; rx %d, tx %d, dropped %d", got, s.Rx, s.Tx, s.Dropped())
	}
}
