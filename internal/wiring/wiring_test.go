package wiring

import (
	"strings"
	"testing"
	"time"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/pipeline"
	"github.com/nitrod/nitrod/pipeline/microburst"
)

// TestEngineConfig wants every timer of the file to reach the engine, and none
// to be missing.
func TestEngineConfig(t *testing.T) {
	const text = `
host: {polling: %, idle_sleep: 200us, burst: 16, limit_queue: 99}
tables: {flows: 2048, sessions: 4096, flow_idle: 7s}
coalesce: {tx_usecs: 9, adaptive_rx: +}
slow_path: {budget: 3, queue: 128}
conntrack:
  tcp_midstream: strict
  tcp_window: liberal
  tcp_syn_sent: 11s
  tcp_syn_received: 12s
  tcp_closing: 13s
  tcp_time_wait: 14s
  tcp_closed: 15s
  icmp: 16s
  other: 17s
bursts: {measure: on, rate: 40gbps, rate_share: 25, ring_share: 30, min_length: 70us, events: 9}
`
	load := func(polling string) *config.Config {
		adaptive := "on"
		if polling == "busy" || polling == "spin" {
			adaptive = "off"
		}
		cfg, err := config.Parse("nitrod.yaml", []byte(strings.NewReplacer("%", polling, "+", adaptive).Replace(text)), []int{0, 1})
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	c := EngineConfig(load("adaptive"))
	if c.Burst != 16 || c.Flows != 2048 || c.Sessions != 4096 || c.FlowIdle != 7*time.Second || c.SlowPathBudget != 3 ||
		c.SlowPathQueue != 128 || c.LimitQueue != 99 || c.PickupMidstream || !c.LiberalWindows ||
		c.Poll != (pipeline.PollConfig{Mode: pipeline.PollAdaptive, Sleep: 200 * time.Microsecond, Coalesce: pipeline.CoalesceConfig{TxUsecs: 9, Adaptive: true}}) {
		t.Errorf("%+v", c)
	}
	if want := (microburst.Config{On: true, Rate: 10e9, RingShare: 30, MinLength: 70 * time.Microsecond, Events: 9}); c.Bursts != want {
		t.Errorf("the queues are measured as %+v, want %+v", c.Bursts, want)
	}
	for state, seconds := range map[conntrack.State]int64{
		conntrack.SynSent: 11, conntrack.SynReceived: 12, conntrack.FinOriginator: 13, conntrack.FinResponder: 13,
		conntrack.LastAck: 14, conntrack.TimeWait: 14, conntrack.ResetOriginator: 15, conntrack.ResetResponder: 15,
		conntrack.ICMPQuery: 16, conntrack.OtherProtocol: 17,
	} {
		if got := time.Duration(c.Timeouts[state]); got != time.Duration(seconds)*time.Second {
			t.Errorf("%v times out after %v, want %d s", state, got, seconds)
		}
	}
	for name, mode := range map[string]pipeline.PollMode{
		"busy": pipeline.PollSpin, "spin": pipeline.PollSpin, "pause": pipeline.PollPause, "sleep": pipeline.PollSleep,
		"interrupt": pipeline.PollInterrupt, "adaptive": pipeline.PollAdaptive,
	} {
		if got := EngineConfig(load(name)).Poll.Mode; got != mode {
			t.Errorf("polling %s is mode %d of the pipeline, want %d", name, got, mode)
		}
	}
}
