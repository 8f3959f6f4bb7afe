package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/internal/scenario"
	"github.com/spf13/cobra"
)

// errScenarios says that not all scenarios went as they say. What went
// otherwise has been printed.
var errScenarios = errors.New("not all scenarios went as they say")

func newTest() *cobra.Command {
	var t tester
	var only string
	c := &cobra.Command{
		Use:   "test FILE|DIRECTORY...",
		Short: "Run scenarios: packets in, time and policy changes, and what is to come of it",
		Long: `test runs scenario files, and those in directories: each names a configuration,
packets that guests send, steps in time and changes of policy, and the packets,
drops, counters and sessions to be expected. The packets go through the whole
pipeline, in memory: neither DPDK nor root is needed. docs/scenarios.md
describes the files.

Exit codes: 0 everything is as expected; 1 something is not; 2 a file or the
command line is at fault.`,
		Example: `  nitrod test examples/scenarios
  nitrod test -v --run 'ICMP|S1.4' my-vpc.yaml`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if t.only, err = regexp.Compile(only); err != nil {
				return usageError{fmt.Errorf("--run is no regular expression: %w", err)}
			}
			files, err := scenario.Files(args)
			if err != nil {
				return usageError{err}
			}
			t.out = cmd.OutOrStdout()
			return t.run(files)
		},
	}
	c.Flags().BoolVar(&t.json, "json", false, "print JSON: a list of results")
	c.Flags().BoolVarP(&t.verbose, "verbose", "v", false, "print what each scenario shows, and how it was run")
	c.Flags().StringVar(&only, "run", "", "run only scenarios whose file, sentence or rules match the regular expression")
	return c
}

// tester runs scenarios and prints what came of them.
type tester struct {
	json, verbose bool
	only          *regexp.Regexp
	out           io.Writer

	results     []testResult
	failed, bad int
}

// testResult is a scenario's result, or why it has none.
type testResult struct {
	*scenario.Result
	File     string    `json:"file"`
	Problems []problem `json:"problems,omitempty"` // of the file
}

func (t *tester) run(files []string) error {
	t.results = []testResult{}
	for _, f := range files {
		if err := t.one(f); err != nil {
			return err
		}
	}
	if t.json {
		e := json.NewEncoder(t.out)
		e.SetIndent("", "  ")
		if err := e.Encode(t.results); err != nil {
			return err
		}
	} else if len(t.results) > 1 || len(t.results) == 0 {
		fmt.Fprintf(t.out, "%s, %d failed, %d could not be run\n", counted(len(t.results), "scenario"), t.failed, t.bad)
	}
	switch {
	case t.bad > 0:
		return usageError{errScenarios}
	case t.failed > 0:
		return errScenarios
	}
	return nil
}

// one runs one file. It returns the error of a file that cannot be read.
func (t *tester) one(file string) error {
	s, err := scenario.Load(file)
	var res *scenario.Result
	if err == nil {
		if !t.only.MatchString(strings.Join(append(s.Rules(), file, s.Title()), "\n")) {
			return nil
		}
		res, err = s.Run()
	}
	var bad config.Errors
	switch {
	case errors.As(err, &bad):
		t.bad++
		r := testResult{File: file}
		for _, e := range bad {
			r.Problems = append(r.Problems, problemOf(e))
		}
		t.results = append(t.results, r)
		if !t.json {
			fmt.Fprintf(t.out, "BAD   %s\n", file)
			for _, line := range strings.Split(bad.Error(), "\n") {
				fmt.Fprintf(t.out, "      %s\n", line)
			}
		}
		return nil
	case err != nil:
		return usageError{err}
	}
	t.results = append(t.results, testResult{Result: res, File: file})
	if len(res.Failures) > 0 {
		t.failed++
	}
	if !t.json {
		t.print(res)
	}
	return nil
}

func (t *tester) print(res *scenario.Result) {
	word := "ok   "
	if len(res.Failures) > 0 {
		word = "FAIL "
	}
	fmt.Fprintf(t.out, "%s %s\n", word, res.File)
	if t.verbose || len(res.Failures) > 0 {
		fmt.Fprintf(t.out, "      %s\n", res.Scenario)
	}
	if t.verbose {
		fmt.Fprintf(t.out, "      %d packets; %s\n", res.Packets, strings.Join(res.Runs, "; "))
	}
	for i := range res.Failures {
		f := &res.Failures[i]
		step := ""
		if f.Step != "" {
			step = f.Step + ": "
		}
		fmt.Fprintf(t.out, "      %s:%d: %s%s\n", res.File, f.Line, step, strings.ReplaceAll(f.Text, "\n", "\n      "))
		for _, d := range f.Details {
			fmt.Fprintf(t.out, "          %s\n", d)
		}
		if len(f.Runs) < len(res.Runs) {
			fmt.Fprintf(t.out, "          only with: %s\n", strings.Join(f.Runs, "; "))
		}
	}
}
