// Package report turns the benchmark's samples into figures: medians over the
// rounds, ratios within one run, a table to read and a JSON file to keep.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/nitrod/nitrod/bench/machine"
)

// Report is one run of the benchmark.
type Report struct {
	Machine machine.Facts `json:"machine"`
	Rounds  int           `json:"rounds"`
	Seconds float64       `json:"seconds"` // of one measurement
	Cases   []Case        `json:"cases"`
	Gaps    []Gaps        `json:"gaps,omitempty"`
	// GapsMissing says why Gaps is empty.
	GapsMissing string  `json:"gaps_missing,omitempty"`
	Reload      *Reload `json:"reload,omitempty"`
	// Features are at several numbers of flows.
	Features []Features `json:"features,omitempty"`
	// Idle is by device and mode. IdleMissing says why there is none.
	Idle        []Idle `json:"idle,omitempty"`
	IdleMissing string `json:"idle_missing,omitempty"`
}

// Case is one line of the table. Rates are medians over the rounds, in million
// packets a second; nil where the peer was not measured, and then Missing says
// why under the peer's name.
type Case struct {
	Case  string `json:"case"`
	Flows int    `json:"flows"` // 0: every packet opens a new one
	// Rules is the number of rules of either half, 0 for the few of a plain
	// case; with RuleLast only the last one admits anything.
	Rules    int  `json:"rules,omitempty"`
	RuleLast bool `json:"rule_last,omitempty"`

	Nitrod     *float64 `json:"nitrod_mpps"`
	Floor      *float64 `json:"floor_mpps"`
	OVS        *float64 `json:"ovs_ct_mpps"`
	RatioFloor *float64 `json:"ratio_floor"`  // nitrod to the floor
	RatioOVS   *float64 `json:"ratio_ovs_ct"` // nitrod to OVS
	// OVSConfig is the configuration of OVS that was the better one.
	OVSConfig string `json:"ovs_ct_config,omitempty"`
	// OVSCommitOnce is OVS with a pipeline that commits a flow once only.
	OVSCommitOnce *float64 `json:"ovs_ct_commit_once_mpps,omitempty"`
	// OVSRulesFirst is OVS with a pipeline that asks the rules before ct.
	OVSRulesFirst *float64 `json:"ovs_ct_rules_first_mpps,omitempty"`
	// Connections are those in the tables at the end of the last round, by
	// peer, and Fill is the share of nitrod's that they take; both only where
	// every packet opens one.
	Connections map[string]int `json:"connections,omitempty"`
	Fill        *float64       `json:"nitrod_fill,omitempty"`

	Missing map[string]string    `json:"missing,omitempty"`
	Flags   []string             `json:"flags,omitempty"`
	Samples map[string][]float64 `json:"samples,omitempty"` // by peer, or peer/variant, in order of the rounds
}

// Median returns the median of v, the mean of the middle two where their
// number is even; false if v is empty. v is left as it is.
func Median(v []float64) (float64, bool) {
	if len(v) == 0 {
		return 0, false
	}
	s := slices.Sorted(slices.Values(v))
	mid := len(s) / 2
	if len(s)%2 == 1 {
		return s[mid], true
	}
	return (s[mid-1] + s[mid]) / 2, true
}

// Ratio returns a to b; nil if either was not measured or b is zero.
func Ratio(a, b *float64) *float64 {
	if a == nil || b == nil || *b == 0 {
		return nil
	}
	r := *a / *b
	return &r
}

// NoisyBelow is the share of the floor's best round below which its worst one
// says that something else used the machine.
const NoisyBelow = 0.85

// Note keeps how many connections a peer had, and how many it has room for,
// 0 where its table grows. A peer that did not count them has none.
func (c *Case) Note(peer string, connections, capacity int) {
	if connections == 0 {
		return
	}
	if c.Connections == nil {
		c.Connections = map[string]int{}
	}
	c.Connections[peer] = connections
	if capacity != 0 {
		fill := float64(connections) / float64(capacity)
		c.Fill = &fill
	}
}

// Finish computes the figures of a case from its samples. better lists the
// keys of Samples of which the best median is OVS's figure, once is the key of
// the pipeline that commits once and first that of the one that asks the rules
// before ct.
func (c *Case) Finish(better []string, once, first string) {
	median := func(key string) *float64 {
		if m, ok := Median(c.Samples[key]); ok {
			return &m
		}
		return nil
	}
	c.Nitrod, c.Floor = median("nitrod"), median("floor")
	c.OVSCommitOnce, c.OVSRulesFirst = median(once), median(first)
	c.OVS, c.OVSConfig = nil, ""
	for _, key := range better {
		if m := median(key); m != nil && (c.OVS == nil || *m > *c.OVS) {
			c.OVS, c.OVSConfig = m, key
		}
	}
	c.RatioFloor, c.RatioOVS = Ratio(c.Nitrod, c.Floor), Ratio(c.Nitrod, c.OVS)
	if f := c.Samples["floor"]; len(f) > 1 {
		if share := slices.Min(f) / slices.Max(f); share < NoisyBelow {
			c.Flag(fmt.Sprintf("noisy host: the floor's worst round is %.2f of its best", share))
		}
	}
}

// Flag records something that a reader must know about the case, once.
func (c *Case) Flag(text string) {
	if !slices.Contains(c.Flags, text) {
		c.Flags = append(c.Flags, text)
	}
}

// WriteFile writes the report as JSON. The file is complete or as it was.
func (r *Report) WriteFile(name string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	tmp := name + ".new"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := os.Rename(tmp, name); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}
