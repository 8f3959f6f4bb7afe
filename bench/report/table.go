package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteTable prints the report for people.
func (r *Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "%s, %d CPUs, kernel %s, DPDK %s, OVS %s, %s\n", m.CPU, m.CPUs, m.Kernel, m.DPDK, m.OVS, m.Go)
	fmt.Fprintf(&b, "commit %s, %s, one polling core, %d rounds of %gs, medians in Mpps\n", m.Commit, m.Date, r.Rounds, r.Seconds)

	if len(r.Cases) > 0 {
		fmt.Fprintln(&b)
		t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, "case\tflows\tnitrod\tfloor\tOVS ct\tOVS once\tof floor\tx OVS ct\t")
		for _, c := range r.Cases {
			fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t\n", c.Case, c.Flows,
				cell(c.Nitrod), cell(c.Floor), cell(c.OVS), cell(c.OVSCommitOnce), cell(c.RatioFloor), cell(c.RatioOVS))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}

	for _, c := range r.Cases {
		for _, peer := range slices.Sorted(maps.Keys(c.Missing)) {
			fmt.Fprintf(&b, "%s %d: no %s: %s\n", c.Case, c.Flows, peer, c.Missing[peer])
		}
		for _, f := range c.Flags {
			fmt.Fprintf(&b, "%s %d: %s\n", c.Case, c.Flows, f)
		}
	}

	if r.GapsMissing != "" {
		fmt.Fprintf(&b, "\ngaps between polls: not measured: %s\n", r.GapsMissing)
	}
	if len(r.Gaps) > 0 {
		fmt.Fprintln(&b, "\ngaps between polls, on the same core")
		t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, "loop\tp50\tp99\tp99.99\tmax\tC loop as often\tratio\t")
		for _, g := range r.Gaps {
			same := "-"
			if g.RatioC != nil {
				same = time.Duration(g.CSameRate).String()
			}
			fmt.Fprintf(t, "%s\t%v\t%v\t%v\t%v\t%s\t%s\t\n", g.Loop,
				time.Duration(g.P50), time.Duration(g.P99), time.Duration(g.P9999), time.Duration(g.Max), same, cell(g.RatioC))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func cell(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f", *v)
}
