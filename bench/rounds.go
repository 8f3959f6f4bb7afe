package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/nitrod/nitrod/bench/peers"
	"github.com/nitrod/nitrod/bench/report"
	"github.com/nitrod/nitrod/bench/traffic"
)

// The keys of report.Case.Samples for OVS: a peer with variants has one for
// each.
var (
	ovsBetter = []string{sampleKey("ovs_ct", peers.VariantDefault), sampleKey("ovs_ct", peers.VariantEMC0)}
	ovsOnce   = sampleKey("ovs_ct", peers.VariantCommitOnce)

	ovsRulesFirst = sampleKey("ovs_ct", peers.VariantRulesFirst)
)

func sampleKey(peer, variant string) string {
	if variant == "" {
		return peer
	}
	return peer + "/" + variant
}

// runCases measures all chosen cases.
func (s *session) runCases(ctx context.Context) error {
	chosen := choose(allCases, s.opts.cases)
	if len(chosen) == 0 {
		return fmt.Errorf("no case matches -cases %s", s.opts.cases)
	}
	for i, c := range chosen {
		fmt.Fprintf(os.Stderr, "[%d/%d] %s\n", i+1, len(chosen), c)
		setup, err := s.setup(c)
		if err != nil {
			return err
		}
		result := s.runCase(ctx, c, setup)
		if err := ctx.Err(); err != nil {
			return err
		}
		s.report.Cases = append(s.report.Cases, result)
	}
	return nil
}

// setup makes the frames of a case.
func (s *session) setup(c benchCase) (peers.Setup, error) {
	setup := peers.Setup{
		Spec: traffic.Spec{Kind: c.kind, Flows: max(c.flows, 1), A: s.a, B: s.b},
		CPU:  s.cpu, Control: s.control, NoHuge: s.noHuge, TempDir: s.tempDir, Rules: c.rules,
	}
	written := setup.Spec
	if c.flows == 0 || c.flows > maxFileFlows {
		written.Flows = 1
		library, err := s.sourceLibrary()
		if err != nil {
			return peers.Setup{}, err
		}
		setup.Source = &traffic.Source{Library: library, Flows: c.flows}
	}
	var err error
	setup.Files, err = written.Files(s.opts.frames)
	return setup, err
}

// maxFileFlows is the most flows for which there is a frame of each in a file:
// beyond it the buffers take more memory than the tables.
const maxFileFlows = 1_000_000

// sourceLibrary builds the library once a run. DPDK loads none from below a
// directory that everyone may write to, such as the usual ones for temporary
// files.
func (s *session) sourceLibrary() (_ string, err error) {
	if s.library != "" {
		return s.library, nil
	}
	if s.libraryDir, err = os.MkdirTemp("/var/cache", "nitrod-bench"); err != nil {
		return "", err
	}
	s.library, err = traffic.BuildSource(s.libraryDir)
	return s.library, err
}

// casePeers returns the peers that a case is measured with.
func (s *session) casePeers(c benchCase) []peers.Peer {
	all := []peers.Peer{peers.Nitrod{Binary: s.opts.nitrod, Memory: s.memory}, peers.Testpmd{}, peers.OVS{}}
	names := c.peers(s.opts.peers)
	return slices.DeleteFunc(all, func(p peers.Peer) bool { return !slices.Contains(names, p.Name()) })
}

// runCase measures the peers in turn, round after round, so that a machine
// that grows slower or faster does so for all of them. Every measurement has a
// fresh process: nothing of one peer is left in memory while another runs.
func (s *session) runCase(ctx context.Context, what benchCase, setup peers.Setup) report.Case {
	c := report.Case{
		Case: string(what.kind), Flows: what.flows, Rules: what.rules.N, RuleLast: what.rules.Last,
		Missing: map[string]string{}, Samples: map[string][]float64{},
	}
	for range s.opts.rounds {
		for _, p := range s.casePeers(what) {
			if c.Missing[p.Name()] != "" || ctx.Err() != nil {
				continue
			}
			samples, missing := s.measure(ctx, p, setup)
			if missing != "" {
				c.Missing[p.Name()] = missing
				continue
			}
			for _, sample := range samples {
				key := sampleKey(p.Name(), sample.Variant)
				c.Samples[key] = append(c.Samples[key], sample.Mpps)
				c.Note(p.Name(), sample.Connections, sample.Capacity)
				fmt.Fprintf(os.Stderr, "  %-32s %7.2f Mpps\n", key, sample.Mpps)
				for _, f := range sample.Flags {
					c.Flag(f)
				}
			}
		}
	}
	c.Finish(ovsBetter, ovsOnce, ovsRulesFirst)
	return c
}

// measure starts a peer, measures it and stops it. It returns why there is no
// sample where there is none.
func (s *session) measure(ctx context.Context, p peers.Peer, setup peers.Setup) (_ []peers.Sample, missing string) {
	if why := p.Missing(); why != "" {
		return nil, why
	}
	if why := p.Unfit(setup); why != "" {
		return nil, why
	}
	if err := s.memory(setup); err != nil {
		return nil, err.Error()
	}
	r, err := p.Start(ctx, setup)
	if err != nil {
		return nil, err.Error()
	}
	defer r.Stop()
	samples, err := r.Measure(ctx, s.opts.duration)
	if err != nil {
		return nil, err.Error()
	}
	return samples, ""
}

// memory sees to the hugepages of a setup. It is asked before every start,
// since the benchmark may not be the only one to take some.
func (s *session) memory(setup peers.Setup) error {
	if s.noHuge {
		return nil
	}
	return s.huge.Need(setup.HugeMB())
}
