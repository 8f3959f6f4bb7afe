package report

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// Reload is what changes of policy cost: how long they take, and what they do
// to packets that come at a fixed rate meanwhile. Times are in seconds.
type Reload struct {
	ENIs  int `json:"enis"`
	Rules int `json:"rules"`
	Flows int `json:"flows"`

	First      float64 `json:"first_compile_s"` // from nothing
	Compile    float64 `json:"compile_s"`       // with a tenth of the groups changed; median
	CompileMax float64 `json:"compile_max_s"`
	Swap       float64 `json:"swap_s"` // to put it in force
	SwapMax    float64 `json:"swap_max_s"`

	CapacityMpps float64     `json:"capacity_mpps"` // as fast as packets are fetched
	Runs         []ReloadRun `json:"runs"`
}

// ReloadRun is one stretch of time at one load.
type ReloadRun struct {
	Load    float64 `json:"load"` // share of the capacity
	Reloads int     `json:"reloads"`
	Packets uint64  `json:"packets"`
	Mpps    float64 `json:"mpps"`
	// Missed are packets that found the ring before the lcore full, Dropped
	// those that nitrod dropped. Stalls are gaps in which the kernel kept the
	// lcore's thread from running, StallNS all of them together, and Excused the
	// packets that were lost by them, which Missed leaves out.
	Missed  uint64 `json:"missed"`
	Excused uint64 `json:"excused"`
	Dropped uint64 `json:"dropped"`
	Stalls  int    `json:"stalls"`
	StallNS uint64 `json:"stalls_ns"`
	Waiting int    `json:"most_waiting"`
	// WorstGapNS is the longest time between two polls that was no stall.
	WorstGapNS uint64 `json:"worst_gap_ns"`
}

// write prints the figures for people.
func (r *Reload) write(b *strings.Builder) error {
	ms := func(s float64) string { return fmt.Sprintf("%.1f ms", 1e3*s) }
	fmt.Fprintf(b, "\nreload of %d ENIs with %d rules: compiled from nothing in %s, after a change in %s (at most %s),\nput in force in %s (at most %s); %d flows, %.2f Mpps at most\n",
		r.ENIs, r.Rules, ms(r.First), ms(r.Compile), ms(r.CompileMax), ms(r.Swap), ms(r.SwapMax), r.Flows, r.CapacityMpps)
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "load\treloads\tpackets\tMpps\tdropped\tmissed\texcused\tstalls\tmost waiting\tworst gap\t")
	for _, run := range r.Runs {
		fmt.Fprintf(t, "%.0f %%\t%d\t%d\t%.2f\t%d\t%d\t%d\t%d\t%d\t%v\t\n", 100*run.Load, run.Reloads, run.Packets, run.Mpps,
			run.Dropped, run.Missed, run.Excused, run.Stalls, run.Waiting, time.Duration(run.WorstGapNS))
	}
	return t.Flush()
}
