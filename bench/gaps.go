package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/nitrod/nitrod/bench/peers"
	"github.com/nitrod/nitrod/bench/report"
	"github.com/nitrod/nitrod/bench/traffic"
	"github.com/nitrod/nitrod/internal/dpdk"
)

// gapMode is one way to run nitrod for the report on gaps between polls.
type gapMode struct {
	name string
	env  []string
}

// The modes. NITROD_FORCE_GC makes the daemon run a collection at that
// interval, whatever it has allocated.
var gapModes = []gapMode{
	{"nitrod, no collection", []string{"GOGC=off"}},
	{"nitrod, own settings", nil},
	{"nitrod, collection every 100 ms", []string{"NITROD_FORCE_GC=100ms"}},
}

// gapLoopC names the C loop that reads the clock and does nothing else.
const gapLoopC = "C loop"

// runGaps measures the gaps between polls under load at 1,000 flows beside
// those of a C loop on the same core, in turn.
func (s *session) runGaps(ctx context.Context) error {
	daemon := peers.Nitrod{Binary: s.opts.nitrod}
	if why := daemon.Missing(); why != "" {
		s.report.GapsMissing = why
		return nil
	}
	// GapHistogram takes its clock from EAL, which takes next to no memory for it.
	if err := dpdk.Init(dpdk.Options{FilePrefix: "nitrod-bench"}); err != nil {
		s.report.GapsMissing = err.Error()
		return nil
	}
	defer func() { _ = dpdk.Cleanup() }() // the process ends soon
	setup, err := s.setup(benchCase{kind: traffic.UDP4, flows: 1000})
	if err != nil {
		return err
	}
	var c []report.Gaps
	modes := make([][]report.Gaps, len(gapModes))
	for range s.opts.rounds {
		hist, err := dpdk.GapHistogram(s.cpu, s.opts.duration)
		if err != nil {
			s.report.GapsMissing = err.Error()
			return nil
		}
		c = append(c, gapsOfC(hist))
		for i, mode := range gapModes {
			fmt.Fprintf(os.Stderr, "gaps: %s\n", mode.name)
			if err := s.memory(setup); err != nil {
				s.report.GapsMissing = err.Error()
				return nil
			}
			g, err := nitrodGaps(ctx, daemon, mode, setup, s.opts.duration)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				s.report.GapsMissing = fmt.Sprintf("%s: %v", mode.name, err)
				return nil
			}
			g.compare(hist, s.opts.duration)
			modes[i] = append(modes[i], g.Gaps)
		}
	}
	s.report.Gaps = append(s.report.Gaps, report.MergeGaps(c))
	for _, m := range modes {
		s.report.Gaps = append(s.report.Gaps, report.MergeGaps(m))
	}
	return nil
}

func gapsOfC(h *dpdk.GapHist) report.Gaps {
	return report.Gaps{
		Loop: gapLoopC,
		P50:  uint64(h.Quantile(0.5)), P99: uint64(h.Quantile(0.99)), P9999: uint64(h.Quantile(0.9999)),
		Max: uint64(h.Max), Count: h.Count(),
	}
}

// measuredGaps are nitrod's gaps and how many polls a second they come from.
type measuredGaps struct {
	report.Gaps
	perSecond float64
}

// nitrodGaps runs the daemon under load for d and reads its histogram, which
// counts from the daemon's start.
func nitrodGaps(ctx context.Context, daemon peers.Nitrod, mode gapMode, setup peers.Setup, d time.Duration) (measuredGaps, error) {
	daemon.Env = mode.env
	r, err := daemon.StartDaemon(ctx, setup)
	if err != nil {
		return measuredGaps{}, err
	}
	defer r.Stop()
	first, err := r.Stats(ctx)
	if err != nil {
		return measuredGaps{}, err
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
		return measuredGaps{}, ctx.Err()
	}
	last, err := r.Stats(ctx)
	if err != nil {
		return measuredGaps{}, err
	}
	if len(first.Lcores) != 1 || len(last.Lcores) != 1 || last.TimeNS <= first.TimeNS {
		return measuredGaps{}, fmt.Errorf("the daemon reports %d lcores where one was asked for", len(last.Lcores))
	}
	g := last.Lcores[0].Gaps
	seconds := float64(last.TimeNS-first.TimeNS) / 1e9
	return measuredGaps{
		Gaps:      report.Gaps{Loop: mode.name, P50: g.P50, P99: g.P99, P9999: g.P9999, Max: g.Max, Count: g.Count},
		perSecond: float64(last.Lcores[0].Rounds-first.Lcores[0].Rounds) / seconds,
	}, nil
}

// compare sets what the C loop says of the same core.
//
// The C loop turns many times while nitrod handles one burst, so equal
// percentiles of the two are different numbers of gaps a second. What is
// compared is the gap that the C loop exceeds as many times a second as nitrod
// exceeds its p99.99.
func (g *measuredGaps) compare(hist *dpdk.GapHist, d time.Duration) {
	perSecond := float64(hist.Count()) / d.Seconds()
	if perSecond == 0 {
		return
	}
	q := report.SameRate(0.9999, g.perSecond, perSecond)
	g.CSameRate = uint64(hist.Quantile(q))
	own, c := float64(g.P9999), float64(g.CSameRate)
	g.RatioC = report.Ratio(&own, &c)
}
