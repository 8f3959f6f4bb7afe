package pipeline

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/policy"
)

// exactRates are of which a byte, or a packet, costs whole units, so that nothing is
// rounded whether packets are charged alone or together.
var exactRates = []uint64{0, 8 * mbit, 64 * mbit, 512 * mbit, 1000 * mbit, 8000 * mbit}

// Packets that come in one burst are limited as the same packets are that come one
// by one at the same time: what leaves and when, what is dropped, and what is
// counted. The burst is charged as a whole or packet by packet; alone, a packet
// always is a burst of its own.
func TestBurstsAreLimitedAsPackets(t *testing.T) {
	whole := 0
	rapid.Check(t, func(t *rapid.T) {
		limit := func(name string) policy.Limit {
			return policy.Limit{
				Rate:  rapid.SampledFrom(exactRates).Draw(t, name),
				Burst: rapid.SampledFrom([]uint64{2000, 8000, 64_000}).Draw(t, name+" burst"),
				Delay: time.Duration(rapid.IntRange(0, 3).Draw(t, name+" delay")) * time.Millisecond,
			}
		}
		o := openObjects()
		o.ENIs[2].Queues = 3
		o.ENIs[1].Instance = o.ENIs[rapid.SampledFrom([]int{0, 1, 2}).Draw(t, "instance of web2")].Instance
		for i := range o.ENIs {
			o.ENIs[i].Out, o.ENIs[i].In, o.ENIs[i].Queue = limit("out"), limit("in"), limit("queue")
			in := &o.Instances[i]
			in.Flow.Default = limit("flow")
			in.Out = policy.Bandwidth{Limit: limit("instance out")}
			in.Out.Baseline, in.Out.Credits = in.Out.Rate/8, in.Out.Rate/4096
			in.Packets = policy.Limit{Rate: rapid.SampledFrom([]uint64{0, 10_000, 1_000_000}).Draw(t, "packets"), Burst: 20, Delay: time.Millisecond}
		}
		beds := make([]*bed, 2)
		for i := range beds {
			beds[i] = newBed(t, bedOptions{objects: o, slots: 2048, config: func(c *Config) { c.SlowPathBudget, c.LimitQueue = 64, 64 }})
		}
		// Both hash alike, so that a flow goes to the same queue, and flows that share
		// something by their hashes do so in both.
		beds[1].engine.hasher = beds[0].engine.hasher
		beds[1].engine.view.Load().rss = beds[0].engine.view.Load().rss
		names := []string{"web", "web2", "app"}
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			from := rapid.SampledFrom(names).Draw(t, "from")
			for range rapid.IntRange(0, 24).Draw(t, "packets") {
				to := rapid.SampledFrom(names).Draw(t, "to")
				if to == from {
					continue
				}
				udp := packet.UDP{SrcPort: uint16(rapid.IntRange(1000, 1003).Draw(t, "flow")), DstPort: 80}
				fill := packet.Fill(rapid.SampledFrom([]int{22, 470, 1400}).Draw(t, "bytes"))
				for i, b := range beds {
					b.inject(from, b.frame(from, b.ip(from, to), udp, fill))
					if i == 1 {
						b.settle()
					}
				}
			}
			for _, b := range beds {
				b.settle()
			}
			compareLimits(t, beds, names)
			for range rapid.IntRange(0, 3).Draw(t, "advances") {
				d := time.Duration(rapid.OneOf(rapid.IntRange(0, 20), rapid.IntRange(0, 4000)).Draw(t, "us")) * time.Microsecond
				for _, b := range beds {
					b.clock.advance(d)
					b.settle()
				}
				compareLimits(t, beds, names)
			}
		}
		if s := beds[0].stats(); s.Dropped() == 0 {
			whole++
		}
	})
	if whole == 0 {
		t.Error("no case was one in which nothing is dropped")
	}
}

// compareLimits compares what two beds have given to the guests by now, and what
// they count.
func compareLimits(t *rapid.T, beds []*bed, names []string) {
	a, b := beds[0].stats(), beds[1].stats()
	if diff := cmp.Diff(b.Drops, a.Drops); diff != "" || a.Held() != b.Held() {
		t.Fatalf("a burst holds %d, single packets %d; dropped are (-single +burst):\n%s", a.Held(), b.Held(), diff)
	}
	for _, id := range names {
		// A round sends queue by queue: between flows a burst has another order.
		one, all := beds[1].received(id), beds[0].received(id)
		slices.SortFunc(one, bytes.Compare)
		slices.SortFunc(all, bytes.Compare)
		if diff := cmp.Diff(one, all); diff != "" {
			t.Fatalf("%s receives (-single +burst):\n%s", id, diff)
		}
		if x, y := beds[0].engine.Limited(beds[0].eni(id)), beds[1].engine.Limited(beds[1].eni(id)); x != y {
			t.Fatalf("%s counts %+v in a burst and %+v for single packets", id, x, y)
		}
	}
}
