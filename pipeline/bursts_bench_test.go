package pipeline

import (
	"strconv"
	"testing"

	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/pipeline/microburst"
)

// BenchmarkMeasured is the time of one packet with and without the measurement
// of its receive queue, by the number of queues over which the packets spread.
// The load is a burst that does not end, so that flows are picked all the time.
func BenchmarkMeasured(b *testing.B) {
	for _, queues := range []int{1, 8} {
		for _, measured := range []bool{false, true} {
			b.Run("queues="+strconv.Itoa(queues)+"/measured="+strconv.FormatBool(measured), func(b *testing.B) {
				const flows = 1000
				o := openObjects()
				o.ENIs[2].Queues = queues
				bed := newBed(b, bedOptions{objects: o, slots: 64, config: func(c *Config) {
					c.SlowPathBudget, c.SlowPathQueue = 64, 4096
					c.Flows, c.Sessions = 4096, 3072
					if c.Bursts = microburst.DefaultConfig; !measured {
						c.Bursts.On = false
					}
				}})
				bed.loop(4096, false, func(i int) []byte {
					return bed.frame("web", bed.ip("web", "app"), packet.UDP{SrcPort: uint16(i % flows), DstPort: 1000}, packet.Fill(18))
				})
				bed.run(b, 4096)
			})
		}
	}
}
