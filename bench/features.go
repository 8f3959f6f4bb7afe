package main

import (
	"context"
	"fmt"
	"os"

	"github.com/nitrod/nitrod/bench/peers"
	"github.com/nitrod/nitrod/bench/report"
	"github.com/nitrod/nitrod/bench/traffic"
)

// featureSet is what nitrod is asked to do beside forwarding.
type featureSet struct {
	name     string
	features peers.Features
}

// featureSets are compared with the first of them.
var featureSets = []featureSet{
	{"nothing", peers.Features{}},
	{"limits", peers.Features{Limits: true}},
	{"bursts", peers.Features{Bursts: true}},
	{"heavy flows", peers.Features{HeavyFlows: true}},
	{"all of it", peers.Features{Limits: true, Bursts: true, HeavyFlows: true}},
}

// featureFlows are the numbers of flows at which they are: one at which the tables
// lie in the nearer caches, and one at which they do not.
var featureFlows = []int{1_000, 100_000}

// runFeatures measures what limits and measurements cost, in turn on the same
// frames.
func (s *session) runFeatures(ctx context.Context) error {
	daemon := peers.Nitrod{Binary: s.opts.nitrod}
	for _, flows := range featureFlows {
		setup, err := s.setup(benchCase{kind: traffic.UDP4, flows: flows})
		if err != nil {
			return err
		}
		result := report.Features{Case: string(traffic.UDP4), Flows: flows, Missing: daemon.Missing()}
		for range s.opts.rounds {
			for i := range featureSets {
				if result.Missing != "" {
					break
				}
				set := &featureSets[i]
				setup.Features = &set.features
				samples, missing := s.measure(ctx, daemon, setup)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				result.Missing = missing
				for _, sample := range samples {
					fmt.Fprintf(os.Stderr, "features: %d flows, %-12s %7.2f Mpps\n", flows, set.name, sample.Mpps)
					result.Add(set.name, sample.Mpps, sample.Flags)
				}
			}
		}
		result.Finish()
		s.report.Features = append(s.report.Features, result)
	}
	return nil
}
