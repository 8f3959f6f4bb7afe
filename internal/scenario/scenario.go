// Package scenario runs tests that users write: a YAML file with a
// configuration, packets that guests send, time that passes, changes of policy,
// and what is to be seen of it. docs/scenarios.md describes the format.
//
// The packets go through the whole pipeline between ports in memory
// (internal/simport), with a clock that the scenario owns: neither DPDK nor
// root is needed. Every scenario is run several times: decided by the flow cache
// and with every packet on the slow path, with one lcore and with two. Whatever
// the scenario looks at must be the same each time, and the law of accounting
// must hold after every step.
package scenario

//go:generate go run ../config/gen . ../../docs/scenarios.md reference.txt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/policy"
)

// Scenario is a file that was read.
type Scenario struct {
	File string
	doc  document
}

// maxFile bounds the files that a scenario names.
const maxFile = 16 << 20

// Load reads a scenario file.
//
// Errors: config.Errors where the file is at fault, with every mistake found;
// otherwise the reason why it cannot be read.
func Load(path string) (*Scenario, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the scenario: %w", err)
	}
	return Parse(path, data)
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s is larger than %d MiB", path, maxFile>>20)
	}
	return os.ReadFile(path)
}

// Parse is Load for a file that has been read. The files that it names are
// looked for in the directory of path.
func Parse(path string, data []byte) (*Scenario, error) {
	s := &Scenario{File: path}
	if err := config.Decode(path, data, &s.doc); err != nil {
		return nil, err
	}
	if errs := s.check(); len(errs) > 0 {
		return nil, errs
	}
	return s, nil
}

// Title is the sentence that says what the scenario shows.
func (s *Scenario) Title() string { return s.doc.Scenario }

// Describe returns the schema of scenario files, for generators.
func Describe() []config.Section { return config.DescribeOf(document{}) }

// Rules are the sections of docs/semantics.md that it shows.
func (s *Scenario) Rules() []string { return s.doc.Rules }

// Reasons are the drop reasons that it expects packets to meet.
func (s *Scenario) Reasons() []string {
	var out []string
	for i := range s.doc.Steps {
		for _, c := range s.doc.Steps[i].Drops.all {
			if c.n > 0 && !slices.Contains(out, c.name) {
				out = append(out, c.name)
			}
		}
	}
	return out
}

// check finds what the keys must not say together.
func (s *Scenario) check() config.Errors {
	var errs config.Errors
	fail := func(pos policy.Pos, format string, args ...any) {
		errs = append(errs, &policy.Error{Pos: pos, Msg: fmt.Sprintf(format, args...)})
	}
	for _, n := range s.doc.Lcores {
		if n < 1 || n > 8 {
			fail(policy.Pos{File: s.File}, "lcores must be numbers from 1 to 8, not %d", n)
		}
	}
	for i := range s.doc.Steps {
		st := &s.doc.Steps[i]
		switch {
		case st.Expect.given && st.Receive.given:
			fail(st.Pos, "a step must have only one of the keys expect and receive")
		case st.Config.given() && (st.Change.node != nil || len(st.Remove.all) > 0):
			fail(st.Pos, "a step with the key config replaces the configuration; change and remove belong to another step")
		case st.Burst && !st.Send.given, st.Repeat > 1 && !st.Send.given:
			fail(st.Pos, "burst and repeat belong to a step with the key send")
		case st.Traffic != nil && s.doc.Path == pathBoth:
			fail(st.Pos, "a scenario with traffic must have path: accelerated")
		case st.Traffic != nil && (st.Send.given || st.Expect.given || len(st.Stalled) > 0):
			fail(st.Pos, "a step with traffic must have none of the keys send, expect and stalled")
		case (st.Traffic == nil) != (st.For == 0), st.Traffic == nil && (st.Rates.given || st.FlowRates.given):
			fail(st.Pos, "traffic and for belong together, and rates and flow_rates belong to them")
		}
	}
	return errs
}

// lcores are the numbers of lcores with which the scenario is run.
func (s *Scenario) lcores() []int {
	if len(s.doc.Lcores) > 0 {
		return s.doc.Lcores
	}
	return []int{1, 2}
}

// Failure is something that is not as the scenario says.
type Failure struct {
	Line    int      `json:"line"`
	Step    string   `json:"step,omitempty"` // its name
	Text    string   `json:"text"`           // one sentence, or several lines
	Details []string `json:"details,omitempty"`
	Runs    []string `json:"runs"` // the runs in which it was so
}

// Result is what came of a scenario.
type Result struct {
	File     string    `json:"file"`
	Scenario string    `json:"scenario"`
	Packets  int       `json:"packets"` // sent, in all runs together
	Runs     []string  `json:"runs"`
	Failures []Failure `json:"failures"`
}

// Run runs a scenario in all its modes.
//
// Errors: config.Errors where the scenario, or a configuration that it names,
// is at fault.
func (s *Scenario) Run() (*Result, error) {
	res := &Result{File: s.File, Scenario: s.doc.Scenario, Failures: []Failure{}}
	var first *run
	for _, lcores := range s.lcores() {
		for _, slow := range []bool{false, true} {
			if slow && s.doc.Path != pathBoth {
				continue
			}
			r := newRun(s, lcores, slow)
			if err := r.all(); err != nil {
				return nil, err
			}
			res.Runs = append(res.Runs, r.name())
			res.Packets += r.packets
			for _, f := range r.failures {
				res.add(f, r.name())
			}
			if first == nil {
				first = r
			} else if len(res.Failures) == 0 {
				res.compare(first, r)
			}
		}
	}
	slices.SortStableFunc(res.Failures, func(a, b Failure) int { return a.Line - b.Line })
	for i := range res.Failures[:max(0, len(res.Failures)-1)] { // what explains several is said once
		if f := &res.Failures[i]; slices.Equal(f.Details, res.Failures[i+1].Details) {
			f.Details = nil
		}
	}
	return res, nil
}

// add notes a failure, once for all runs in which it is the same.
func (res *Result) add(f Failure, run string) {
	for i := range res.Failures {
		if g := &res.Failures[i]; g.Line == f.Line && g.Text == f.Text {
			g.Runs = append(g.Runs, run)
			return
		}
	}
	f.Runs = []string{run}
	res.Failures = append(res.Failures, f)
}

// compare wants two runs to have seen the same.
func (res *Result) compare(a, b *run) {
	for i := range min(len(a.seen), len(b.seen)) {
		if a.seen[i] == b.seen[i] {
			continue
		}
		st := &a.s.doc.Steps[i]
		res.add(Failure{Line: st.Pos.Line, Step: st.Name, Text: "the runs differ:\n    " + a.name() + ":\n" + indent(a.seen[i], 8) +
			"\n    " + b.name() + ":\n" + indent(b.seen[i], 8)}, b.name())
		return
	}
}

func indent(s string, n int) string {
	blank := strings.Repeat(" ", n)
	return blank + strings.ReplaceAll(s, "\n", "\n"+blank)
}

// Files returns the scenario files that the arguments name: files as they are,
// and of directories all *.yaml below them that are scenarios by their first
// key.
func Files(args []string) ([]string, error) {
	var out []string
	for _, a := range args {
		info, err := os.Stat(a)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			out = append(out, a)
			continue
		}
		err = filepath.WalkDir(a, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" && filepath.Ext(path) != ".yml" {
				return err
			}
			data, err := readFile(path)
			if err == nil && isScenario(data) {
				out = append(out, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, errors.New("there is no scenario in " + strings.Join(args, ", "))
	}
	return out, nil
}

// isScenario reports whether a file has the key scenario at its margin.
func isScenario(data []byte) bool {
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "scenario:") {
			return true
		}
	}
	return false
}
