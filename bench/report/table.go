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

	if err := r.writeCases(&b); err != nil {
		return err
	}

	for _, c := range r.Cases {
		for _, peer := range slices.Sorted(maps.Keys(c.Missing)) {
			fmt.Fprintf(&b, "%s: no %s: %s\n", c.name(), peer, c.Missing[peer])
		}
		for _, f := range c.Flags {
			fmt.Fprintf(&b, "%s: %s\n", c.name(), f)
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
	if r.Reload != nil {
		if err := r.Reload.write(&b); err != nil {
			return err
		}
	}
	if len(r.Features) > 0 {
		if err := writeFeatures(&b, r.Features); err != nil {
			return err
		}
	}
	if len(r.Idle) > 0 {
		if err := writeIdle(&b, r.Idle); err != nil {
			return err
		}
	}
	if r.IdleMissing != "" {
		fmt.Fprintf(&b, "\nan idle lcore: not measured: %s\n", r.IdleMissing)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeCases prints the cases in up to three tables: established flows, the
// same under many rules, and new connections.
func (r *Report) writeCases(b *strings.Builder) error {
	kinds := []struct {
		title, head string
		is          func(*Case) bool
		row         func(*Case) string
	}{
		{"", "case\tflows\tnitrod\tfloor\tOVS ct\tOVS once\tof floor\tx OVS ct\t",
			func(c *Case) bool { return c.Flows != 0 && c.Rules == 0 },
			func(c *Case) string {
				return fmt.Sprintf("%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t", c.Case, c.Flows,
					cell(c.Nitrod), cell(c.Floor), cell(c.OVS), cell(c.OVSCommitOnce), cell(c.RatioFloor), cell(c.RatioOVS))
			}},
		{"established flows by the number of rules in each half", "case\tflows\trules\tnitrod\t",
			func(c *Case) bool { return c.Flows != 0 && c.Rules != 0 },
			func(c *Case) string {
				return fmt.Sprintf("%s\t%d\t%s\t%s\t", c.Case, c.Flows, c.rules(), cell(c.Nitrod))
			}},
		{"new connections, million a second, by the number of rules in each half",
			"case\trules\tnitrod\tfloor\tOVS ct\tOVS rules first\tx OVS ct\tnitrod's table in use\t",
			func(c *Case) bool { return c.Flows == 0 },
			func(c *Case) string {
				return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t", c.Case, c.rules(),
					cell(c.Nitrod), cell(c.Floor), cell(c.OVS), cell(c.OVSRulesFirst), cell(c.RatioOVS), cell(c.Fill))
			}},
	}
	for _, k := range kinds {
		any := false
		t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
		for i := range r.Cases {
			c := &r.Cases[i]
			if !k.is(c) {
				continue
			}
			if !any {
				fmt.Fprintln(b)
				if k.title != "" {
					fmt.Fprintln(b, k.title)
				}
				fmt.Fprintln(t, k.head)
			}
			any = true
			fmt.Fprintln(t, k.row(c))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// rules names the rules of the case.
func (c *Case) rules() string {
	if c.RuleLast {
		return fmt.Sprintf("%d, the last matches", c.Rules)
	}
	return fmt.Sprint(c.Rules)
}

// name names the case in a sentence.
func (c *Case) name() string {
	s := c.Case
	if c.Flows != 0 {
		s += fmt.Sprintf(" %d", c.Flows)
	}
	if c.Rules != 0 {
		s += fmt.Sprintf(" (rules: %s)", c.rules())
	}
	return s
}

func cell(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f", *v)
}
