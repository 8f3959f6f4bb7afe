package report

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// Features compares nitrod with itself: what it costs to limit and to measure.
type Features struct {
	Case    string       `json:"case"`
	Flows   int          `json:"flows"`
	Sets    []FeatureSet `json:"sets"` // the first is what the others are compared with
	Missing string       `json:"missing,omitempty"`
}

// FeatureSet is nitrod with some of its features. Rates are in million packets a
// second.
type FeatureSet struct {
	Name    string    `json:"name"`
	Samples []float64 `json:"samples"` // in order of the rounds
	Flags   []string  `json:"flags,omitempty"`

	Mpps float64 `json:"mpps"` // the median
	// ExtraNS is the time that a packet takes longer than without, and Kept the
	// share of the rate that is left: medians of what each round says. Both are
	// absent of the first set.
	ExtraNS *float64 `json:"extra_ns,omitempty"`
	Kept    *float64 `json:"kept,omitempty"`
}

// Add keeps a measurement of a set.
func (f *Features) Add(name string, mpps float64, flags []string) {
	i := slices.IndexFunc(f.Sets, func(s FeatureSet) bool { return s.Name == name })
	if i < 0 {
		i = len(f.Sets)
		f.Sets = append(f.Sets, FeatureSet{Name: name})
	}
	s := &f.Sets[i]
	s.Samples = append(s.Samples, mpps)
	for _, text := range flags {
		if !slices.Contains(s.Flags, text) {
			s.Flags = append(s.Flags, text)
		}
	}
}

// Finish computes the figures from the samples. A machine that grows slower from
// round to round does so for all sets, so that they are compared round by round.
func (f *Features) Finish() {
	for i := range f.Sets {
		s := &f.Sets[i]
		s.Mpps, _ = Median(s.Samples)
		if i == 0 {
			continue
		}
		var extra, kept []float64
		for round, with := range s.Samples {
			if without := f.Sets[0].Samples; round < len(without) && with > 0 && without[round] > 0 {
				extra = append(extra, 1e3/with-1e3/without[round])
				kept = append(kept, with/without[round])
			}
		}
		if m, ok := Median(extra); ok {
			k, _ := Median(kept)
			s.ExtraNS, s.Kept = &m, &k
		}
	}
}

// writeFeatures prints the comparisons as one table.
func writeFeatures(b *strings.Builder, all []Features) error {
	fmt.Fprintln(b, "\nwhat limits and measurements cost")
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "case\tflows\twith\tnitrod\tns more\tof the rate without\t")
	for i := range all {
		f := &all[i]
		for j := range f.Sets {
			s := &f.Sets[j]
			fmt.Fprintf(t, "%s\t%d\t%s\t%.2f\t%s\t%s\t\n", f.Case, f.Flows, s.Name, s.Mpps, cell(s.ExtraNS), cell(s.Kept))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i := range all {
		f := &all[i]
		if f.Missing != "" {
			fmt.Fprintf(b, "%s %d: not measured: %s\n", f.Case, f.Flows, f.Missing)
		}
		for j := range f.Sets {
			for _, text := range f.Sets[j].Flags {
				fmt.Fprintf(b, "%s %d with %s: %s\n", f.Case, f.Flows, f.Sets[j].Name, text)
			}
		}
	}
	return nil
}
