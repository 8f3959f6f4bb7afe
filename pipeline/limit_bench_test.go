package pipeline

import (
	"strconv"
	"testing"

	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/policy"
)

// BenchmarkLimited is the time of one packet under limits that hold nothing back:
// none, those of a single flow, and those of flow, queue, ENI and instance at
// either end, by the number of flows and of the queues over which they spread.
func BenchmarkLimited(b *testing.B) {
	high := policy.Limit{Rate: 500e9, Burst: 1 << 24}
	all := policy.Bandwidth{Limit: high, Baseline: 400e9, Credits: 1 << 40}
	for _, flows := range []int{1000, 100_000} {
		for _, queues := range []int{1, 8} {
			for _, limits := range []string{"none", "flow", "all"} {
				b.Run("flows="+strconv.Itoa(flows)+"/queues="+strconv.Itoa(queues)+"/limits="+limits, func(b *testing.B) {
					o := openObjects()
					o.ENIs[2].Queues = queues
					for i := range o.Instances {
						if limits != "none" {
							o.Instances[i].Flow.Default = high
						}
						if limits == "all" {
							o.Instances[i].In, o.Instances[i].Out = all, all
							o.Instances[i].Packets = policy.Limit{Rate: 500e6, Burst: 1 << 20}
						}
					}
					if limits == "all" {
						for i := range o.ENIs {
							o.ENIs[i].In, o.ENIs[i].Out, o.ENIs[i].Queue = high, high, high
						}
					}
					bed := newBed(b, bedOptions{objects: o, slots: 64, config: func(c *Config) {
						c.SlowPathBudget, c.SlowPathQueue = 64, 4096
						c.Flows, c.Sessions = 2*flows+2048, flows+2048
					}})
					frames := max(flows, 4096)
					bed.loop(frames, false, func(i int) []byte {
						i %= flows
						return bed.frame("web", bed.ip("web", "app"), packet.UDP{SrcPort: uint16(i), DstPort: uint16(1000 + i>>16)}, packet.Fill(18))
					})
					bed.run(b, frames)
				})
			}
		}
	}
}
