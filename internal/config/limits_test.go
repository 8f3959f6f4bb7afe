package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nitrod/nitrod/policy"
)

// bandwidth is an instance's bandwidth with the defaults of a file.
func bandwidth(rate, baseline uint64) policy.Bandwidth {
	return policy.Bandwidth{
		Limit:    policy.Limit{Rate: rate, Burst: policy.DefaultBurst(rate), Delay: 5 * time.Millisecond},
		Baseline: baseline, Credits: (rate - baseline) / 8 * 1800,
	}
}

func flowOf(rate uint64) policy.Limit {
	return policy.Limit{Rate: rate, Burst: policy.DefaultBurst(rate), Delay: 5 * time.Millisecond}
}

var awsFlow = policy.FlowLimits{Default: flowOf(5e9), ClusterTCP: flowOf(10e9), ClusterUDP: flowOf(8e9), Express: flowOf(25e9)}

// An instance has what its type gives and what the file says instead.
func TestInstanceLimits(t *testing.T) {
	c7i := policy.Instance{
		ID: "i", In: bandwidth(12.5e9, 781e6), Out: bandwidth(12.5e9, 781e6), InternetIn: flowOf(5e9), InternetOut: flowOf(5e9),
		Packets: policy.Limit{Rate: 1_100_000, Burst: 110, Delay: 5 * time.Millisecond}, Flow: awsFlow, VCPUs: 2,
	}
	changed := func(edit func(*policy.Instance)) policy.Instance {
		in := c7i
		edit(&in)
		return in
	}
	for _, tc := range []struct {
		name, keys string
		want       policy.Instance
	}{
		{"no type", "", policy.Instance{ID: "i"}},
		{"no type and empty limits", "limits: {}", policy.Instance{ID: "i"}},
		{"no type and a rate", "limits: {bandwidth_out: {rate: 1gbps}}", policy.Instance{ID: "i", Out: bandwidth(1e9, 1e9)}},
		{"no type and a burst", "limits: {bandwidth_in: {rate: 1gbps, baseline: 100mbps}}", policy.Instance{ID: "i", In: bandwidth(1e9, 100e6)}},
		{"no type and flows as on AWS", "limits: {flow: {}}", policy.Instance{ID: "i", Flow: awsFlow}},
		{"type", "type: c7i.large", c7i},
		{"type without burst", "type: m5.24xlarge", policy.Instance{
			ID: "i", In: bandwidth(25e9, 25e9), Out: bandwidth(25e9, 25e9), InternetIn: flowOf(12.5e9), InternetOut: flowOf(12.5e9),
			Packets: policy.Limit{Rate: 2_200_000, Burst: 220, Delay: 5 * time.Millisecond}, Flow: awsFlow, VCPUs: 96,
		}},
		{"another rate", "type: c7i.large, limits: {bandwidth_in: {rate: 2gbps}}", changed(func(in *policy.Instance) { in.In = bandwidth(2e9, 781e6) })},
		{"a rate below the type's baseline", "type: c7i.large, limits: {bandwidth_in: {rate: 100mbps}}", changed(func(in *policy.Instance) { in.In = bandwidth(100e6, 100e6) })},
		{"another baseline", "type: c7i.large, limits: {bandwidth_in: {baseline: 1gbps}}", changed(func(in *policy.Instance) { in.In = bandwidth(12.5e9, 1e9) })},
		{"a baseline above the type's rate", "type: c7i.large, limits: {bandwidth_in: {baseline: 20gbps}}", changed(func(in *policy.Instance) { in.In = bandwidth(20e9, 20e9) })},
		{"no limit in", "type: c7i.large, limits: {bandwidth_in: {rate: 0bps}}", changed(func(in *policy.Instance) { in.In = policy.Bandwidth{} })},
		{"no credits", "type: c7i.large, limits: {bandwidth_out: {credit_time: 0s}}", changed(func(in *policy.Instance) { in.Out.Credits = 0 })},
		{"burst, delay and credits", "type: c7i.large, limits: {bandwidth_out: {burst: 1MiB, delay: 100us, credit_time: 1h}}", changed(func(in *policy.Instance) {
			in.Out.Burst, in.Out.Delay, in.Out.Credits = 1<<20, 100*time.Microsecond, (12.5e9-781e6)/8*3600
		})},
		{"no type and the internet", "limits: {internet_out: {rate: 1gbps}}", policy.Instance{ID: "i", InternetOut: flowOf(1e9)}},
		{"the internet", "type: c7i.large, limits: {internet_in: {rate: 0bps}, internet_out: {burst: 1MiB, delay: 1ms}}", changed(func(in *policy.Instance) {
			in.InternetIn, in.InternetOut = policy.Limit{}, policy.Limit{Rate: 5e9, Burst: 1 << 20, Delay: time.Millisecond}
		})},
		{"packets", "type: c7i.large, limits: {packets: {rate: 100kpps, burst: 7, delay: 0s}}", changed(func(in *policy.Instance) { in.Packets = policy.Limit{Rate: 100_000, Burst: 7} })},
		{"burst of packets", "type: c7i.large, limits: {packets: {burst: 7}}", changed(func(in *policy.Instance) { in.Packets.Burst = 7 })},
		{"any packets", "type: c7i.large, limits: {packets: {rate: 0pps}}", changed(func(in *policy.Instance) { in.Packets = policy.Limit{} })},
		{"flows", "type: c7i.large, limits: {flow: {rate: 1gbps, cluster_udp: 0bps, burst: 128KiB, delay: 1ms}}", changed(func(in *policy.Instance) {
			one := func(rate uint64) policy.Limit {
				return policy.Limit{Rate: rate, Burst: 128 << 10, Delay: time.Millisecond}
			}
			in.Flow = policy.FlowLimits{Default: one(1e9), ClusterTCP: one(10e9), Express: one(25e9)}
		})},
		{"placement group", "placement_group: near", policy.Instance{ID: "i", Placement: "near"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := "placement_groups: [{id: near}]\ninstances:\n  - {id: i, " + tc.keys + "}\n"
			cfg := mustParse(t, strings.Replace(text, "i, }", "i}", 1))
			if diff := cmp.Diff(tc.want, cfg.Objects.Instances[0], cmpopts.IgnoreTypes(policy.Pos{})); diff != "" {
				t.Errorf("instance (-want +got):\n%s", diff)
			}
			if _, err := policy.Compile(&cfg.Objects, nil); err != nil {
				t.Errorf("policy refuses it: %v", err)
			}
		})
	}
}

// typed is a file with an instance that has an ENI, with keys of each.
func typed(instance, eni string) string {
	return `
instances: [{id: i, ` + instance + `}]
enis:
  - {id: a, instance: i, subnet: s, mac: "02:00:00:00:00:01", addresses: [10.0.0.4], security_groups: [g], ` + eni + `port: {device: net_null0}}
`
}

// An ENI has its number of queues and its idle time by the type of its
// instance, unless it or the instance says otherwise.
func TestTypeGivesDefaults(t *testing.T) {
	for _, tc := range []struct {
		instance, eni   string
		queues, timeout int
	}{
		{"type: c6i.large", "", 2, 432000},
		{"type: c6i.32xlarge", "", 8, 432000},
		{"type: c6i.32xlarge", "queues: 16, ", 16, 432000},
		{"type: c8i.large", "", 2, 350},
		{"type: c8i.large, nitro: v5", "", 2, 432000},
		{"type: c8i.large", "queues: 1, tcp_established_timeout: 60s, ", 1, 60},
		{"nitro: v6", "", 1, 350},
	} {
		cfg := mustParse(t, typed(tc.instance, tc.eni))
		e := &cfg.Objects.ENIs[0]
		if e.Queues != tc.queues || cfg.Ports[0].RxQueues != tc.queues || e.TCPEstablished != tc.timeout {
			t.Errorf("%s; %s: %d queues, %d of the port, %d s; want %d and %d s", tc.instance, tc.eni, e.Queues, cfg.Ports[0].RxQueues, e.TCPEstablished, tc.queues, tc.timeout)
		}
	}
}

func TestENILimits(t *testing.T) {
	for keys, want := range map[string]policy.ENI{
		"":                                {},
		"limits: {}, ":                    {},
		"ena_express: tcp, ":              {Express: true},
		"ena_express: all, ":              {Express: true, ExpressUDP: true},
		"limits: {queue: {rate: 0bps}}, ": {},
		"limits: {bandwidth_in: {rate: 1gbps}, bandwidth_out: {rate: 64kbps, burst: 9.5KiB, delay: 100ms}, queue: {rate: 100gbps}}, ": {
			In:    policy.Limit{Rate: 1e9, Burst: 65536, Delay: 5 * time.Millisecond},
			Out:   policy.Limit{Rate: 64_000, Burst: 9728, Delay: 100 * time.Millisecond},
			Queue: policy.Limit{Rate: 100e9, Burst: 1_250_000, Delay: 5 * time.Millisecond},
		},
	} {
		got := mustParse(t, typed("conntrack_allowance: 0", keys)).Objects.ENIs[0]
		got = policy.ENI{In: got.In, Out: got.Out, Queue: got.Queue, Express: got.Express, ExpressUDP: got.ExpressUDP}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", keys, diff)
		}
	}
}

// Limits can change while nitrod runs; the type only where the queues of the
// ports stay.
func TestLimitsChangeWithoutRestart(t *testing.T) {
	old := mustParse(t, typed("type: c6i.large", ""))
	for instance, restart := range map[string]bool{
		"type: c6i.large, limits: {bandwidth_in: {rate: 1gbps}}": false,
		"type: c7i.large":  false,
		"type: c7i.xlarge": true,
	} {
		needs := false
		changes := Diff(old, mustParse(t, typed(instance, "")))
		for i := range changes {
			needs = needs || changes[i].Restart
		}
		if len(changes) == 0 || needs != restart {
			t.Errorf("%s: %v; a restart is needed: %v, want %v", instance, changes, needs, restart)
		}
	}
}
