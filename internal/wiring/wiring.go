// Package wiring makes the settings of a pipeline.Engine from a configuration
// file. It is what the daemon, which polls devices, and scenarios, which need
// none, have in common.
package wiring

import (
	"time"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/pipeline"
	"github.com/nitrod/nitrod/pipeline/microburst"
)

const (
	// ringSize is the depth of the rings between lcores.
	ringSize = 1024
)

// EngineConfig returns the settings of an engine as a configuration file says
// them, without a clock.
func EngineConfig(cfg *config.Config) pipeline.Config {
	c := pipeline.Config{
		Burst: cfg.Host.Burst, SlowPathBudget: cfg.SlowPath.Budget, SlowPathQueue: cfg.SlowPath.Queue,
		LimitQueue: cfg.Host.LimitQueue,
		Redecide:   cfg.SlowPath.Redecide, RedecideWithin: cfg.SlowPath.RedecideWithin,
		ICMPErrors: cfg.Router.ICMPErrors, AdvertEvery: cfg.Router.AdvertInterval,
		Flows: cfg.Tables.Flows, FlowIdle: cfg.Tables.FlowIdle, Sessions: cfg.Tables.Sessions,
		PickupMidstream: cfg.Conntrack.TCPMidstream == config.MidstreamPickup,
		LiberalWindows:  cfg.Conntrack.TCPWindow == config.WindowLiberal,
		EvictEarly:      cfg.Conntrack.EarlyEviction == config.SwitchOn,
		Timeouts:        conntrack.DefaultTimeouts,
		Fragments: pipeline.FragmentConfig{
			Hold: cfg.Fragments.Hold, Lifetime: cfg.Fragments.Lifetime,
			Datagrams: cfg.Fragments.DatagramsPerENI, Held: cfg.Fragments.HeldPerENI,
		},
		RingSize: ringSize, Poll: pollConfig(cfg), Receive: receiveOf(&cfg.Objects),
		Bursts: microburst.Config{
			On: cfg.Bursts.Measure == config.SwitchOn, Rate: uint64(cfg.Bursts.Rate) / 100 * uint64(cfg.Bursts.RateShare),
			RingShare: cfg.Bursts.RingShare, MinLength: cfg.Bursts.MinLength, Events: cfg.Bursts.Events,
		},
		NoHeavyFlows: cfg.HeavyFlows.Measure == config.SwitchOff,
	}
	for state, idle := range map[conntrack.State]time.Duration{
		conntrack.SynSent: cfg.Conntrack.TCPSynSent, conntrack.SynReceived: cfg.Conntrack.TCPSynReceived,
		conntrack.FinOriginator: cfg.Conntrack.TCPClosing, conntrack.FinResponder: cfg.Conntrack.TCPClosing,
		conntrack.LastAck: cfg.Conntrack.TCPTimeWait, conntrack.TimeWait: cfg.Conntrack.TCPTimeWait,
		conntrack.ResetOriginator: cfg.Conntrack.TCPClosed, conntrack.ResetResponder: cfg.Conntrack.TCPClosed,
		conntrack.ICMPQuery:     cfg.Conntrack.ICMP,
		conntrack.OtherProtocol: cfg.Conntrack.Other,
	} {
		c.Timeouts[state] = int64(idle)
	}
	return c
}

// pollModes are the pipeline's by the file's names.
var pollModes = map[config.Polling]pipeline.PollMode{
	config.PollingSpin: pipeline.PollSpin, config.PollingBusy: pipeline.PollSpin, config.PollingPause: pipeline.PollPause,
	config.PollingSleep: pipeline.PollSleep, config.PollingInterrupt: pipeline.PollInterrupt, config.PollingAdaptive: pipeline.PollAdaptive,
}

func pollConfig(cfg *config.Config) pipeline.PollConfig {
	return pipeline.PollConfig{
		Mode: pollModes[cfg.Host.Polling], Sleep: cfg.Host.IdleSleep,
		Coalesce: pipeline.CoalesceConfig{
			RxUsecs: cfg.Coalesce.RxUsecs, TxUsecs: cfg.Coalesce.TxUsecs, Adaptive: cfg.Coalesce.AdaptiveRx == config.SwitchOn,
		},
	}
}
