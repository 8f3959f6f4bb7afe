package report

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// Idle is one way to poll while there is nothing to do: what it costs, and what the
// first packet after it pays. Times are in nanoseconds.
type Idle struct {
	Device  string  `json:"device"`
	Polling string  `json:"polling"`
	Sleep   string  `json:"idle_sleep,omitempty"`
	CPU     float64 `json:"cpu_percent"` // of the lcore's CPU

	// Of the first packet, from before it is sent until the other guest's kernel
	// has it.
	P50 uint64 `json:"first_p50_ns"`
	P99 uint64 `json:"first_p99_ns"`
	// What of it is more than with spin polling on the same device: nitrod's
	// rest. Absent of that itself.
	MoreP50 *int64 `json:"more_p50_ns,omitempty"`
	MoreP99 *int64 `json:"more_p99_ns,omitempty"`

	// Packets that came at once out of nothing, and those of them that were lost.
	StepPackets int `json:"step_packets"`
	StepLost    int `json:"step_lost"`
}

// Above compares with the mode that never rests.
func (i *Idle) Above(spin *Idle) {
	p50, p99 := int64(i.P50)-int64(spin.P50), int64(i.P99)-int64(spin.P99)
	i.MoreP50, i.MoreP99 = &p50, &p99
}

func writeIdle(b *strings.Builder, all []Idle) error {
	fmt.Fprintln(b, "\nan idle lcore: its CPU, and the time of the first packet")
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "device\tpolling\tidle_sleep\tCPU %\tp50\tp99\tabove spin\tp99 above spin\tlost of a step\t")
	more := func(v *int64) string {
		if v == nil {
			return "-"
		}
		return micros(*v)
	}
	for k := range all {
		i := &all[k]
		sleep := i.Sleep
		if sleep == "" {
			sleep = "-"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%.1f\t%s\t%s\t%s\t%s\t%d of %d\t\n", i.Device, i.Polling, sleep, i.CPU,
			micros(int64(i.P50)), micros(int64(i.P99)), more(i.MoreP50), more(i.MoreP99), i.StepLost, i.StepPackets)
	}
	return t.Flush()
}

// micros writes nanoseconds as microseconds.
func micros(ns int64) string { return fmt.Sprintf("%.0f us", float64(ns)/float64(time.Microsecond)) }
