package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nitrod/nitrod/bench/idle"
	"github.com/nitrod/nitrod/bench/machine"
	"github.com/nitrod/nitrod/bench/peers"
	"github.com/nitrod/nitrod/bench/reload"
	"github.com/nitrod/nitrod/bench/report"
	"github.com/nitrod/nitrod/bench/traffic"
	"github.com/nitrod/nitrod/internal/scale"
)

// session is one run of the benchmark.
type session struct {
	opts         options
	cpu, control int
	a, b         traffic.Endpoint
	huge         *machine.Hugepages
	noHuge       bool
	tempDir      string
	library      string // of traffic.BuildSource, once it is built
	libraryDir   string
	report       report.Report
}

// bench runs everything and writes the results. What has been measured when an
// error or Ctrl-C ends the run is printed, but not written over a full result.
func bench(ctx context.Context, opts options) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("root is needed, for hugepages and for OVS's network namespace")
	}
	s := &session{opts: opts, huge: machine.NewHugepages()}
	allowed, err := machine.AllowedCPUs()
	if err != nil {
		return err
	}
	if s.cpu, s.control, err = splitCPUs(allowed, opts.cpu); err != nil {
		return err
	}
	if s.a, s.b, err = peers.Endpoints(); err != nil {
		return err
	}
	if s.tempDir, err = os.MkdirTemp("", "nitrod-bench"); err != nil {
		return err
	}
	defer os.RemoveAll(s.tempDir)
	defer func() { err = errors.Join(err, s.huge.Restore(), os.RemoveAll(s.libraryDir)) }()
	if err := s.huge.Need(64); err != nil {
		s.noHuge = true
		fmt.Fprintf(os.Stderr, "bench: %v; every peer runs without, and figures are lower\n", err)
	}

	s.report = report.Report{
		Machine: machine.Collect(ctx),
		Rounds:  opts.rounds,
		Seconds: opts.duration.Seconds(),
		Cases:   []report.Case{},
	}
	s.report.Machine.NoHuge = s.noHuge

	if opts.traffic {
		err = s.runCases(ctx)
	}
	if err == nil && opts.gaps {
		err = s.runGaps(ctx)
	}
	if err == nil && opts.reload {
		err = s.runReload(ctx)
	}
	if err == nil && opts.features {
		err = s.runFeatures(ctx)
	}
	if err == nil && opts.idle {
		err = s.runIdle(ctx)
	}
	if len(s.report.Cases)+len(s.report.Gaps)+len(s.report.Features)+len(s.report.Idle) > 0 || s.report.IdleMissing != "" || s.report.GapsMissing != "" || s.report.Reload != nil {
		if werr := s.report.WriteTable(os.Stdout); werr != nil {
			err = errors.Join(err, werr)
		}
	}
	if err != nil || !opts.traffic {
		return err
	}
	return s.report.WriteFile(opts.out)
}

// The host whose policy changes: 1,000 ENIs with 50,000 rules in total.
var reloadSpec = scale.Spec{ENIs: 1000, Rules: 50_000}

// runReload measures changes of policy at 50 and 80 % of what the lcore can do.
func (s *session) runReload(ctx context.Context) error {
	fmt.Fprintln(os.Stderr, "reload: 1,000 ENIs, 50,000 rules")
	r, err := reload.Run(ctx, reload.Options{
		Spec: reloadSpec, Flows: 10_000, Duration: s.opts.duration, Loads: []float64{0.5, 0.8}, CPU: s.cpu, Control: s.control,
	})
	if err != nil {
		return err
	}
	s.report.Reload = &r
	return nil
}

// runIdle measures what an idle lcore costs. A machine without taps or veths is no
// reason to end the run.
func (s *session) runIdle(ctx context.Context) error {
	var err error
	s.report.Idle, err = idle.Run(ctx, idle.Options{
		Binary: s.opts.nitrod, TempDir: s.tempDir, CPU: s.cpu, Quiet: s.opts.duration,
		Probes: 100 * s.opts.rounds, Pause: 20 * time.Millisecond, Steps: 5 * s.opts.rounds,
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		s.report.IdleMissing = err.Error()
	}
	return nil
}

// splitCPUs returns the polling core and the core for everything else.
func splitCPUs(allowed []int, want int) (cpu, control int, err error) {
	if len(allowed) < 2 {
		return 0, 0, errors.New("at least two CPUs are needed: one polls, another does everything else")
	}
	if want < 0 {
		want = allowed[len(allowed)-1]
	}
	control = -1
	found := false
	for _, c := range allowed {
		if c == want {
			found = true
		} else if control < 0 {
			control = c
		}
	}
	if !found {
		return 0, 0, fmt.Errorf("CPU %d is not among those that this process may use: %v", want, allowed)
	}
	return want, control, nil
}
