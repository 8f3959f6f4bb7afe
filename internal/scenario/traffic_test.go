package scenario

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nitrod/nitrod/internal/config"
)

// flowing is a configuration of which guest a may send 1 Gbps, and a flow of it
// 400 Mbps.
const flowing = `scenario: a test
path: accelerated
config:
  bursts: {measure: on}
  vpcs: [{id: v, cidrs: [10.0.0.0/16]}]
  subnets: [{id: s, vpc: v, cidrs: [10.0.1.0/24]}]
  security_groups: [{id: open, vpc: v, inbound: [{protocol: all, group: open}]}]
  instances: [{id: i, limits: {flow: {rate: 400mbps}}}, {id: j}]
  enis:
    - {id: a, instance: i, subnet: s, mac: "02:00:00:00:00:01", addresses: [10.0.1.10], security_groups: [open], limits: {bandwidth_out: {rate: 1gbps}}}
    - {id: b, instance: j, subnet: s, mac: "02:00:00:00:00:02", addresses: [10.0.1.20], security_groups: [open]}
steps:
`

func parseFlowing(t *testing.T, steps string) (*Scenario, error) {
	t.Helper()
	return Parse(filepath.Join(t.TempDir(), "test.yaml"), []byte(flowing+steps))
}

const firstFlowing = 12 // line of the first step

// Traffic comes at the rate that limits leave it, and what is not as a step says
// fails it.
func TestTraffic(t *testing.T) {
	for _, c := range []struct {
		name, steps string
		line        int // of the failure, from the first step's; -1: none
		want        string
	}{
		{"below all limits", "- traffic: [{packet: a > b udp 1 > 80 len 1000, rate: 100mbps}]\n  for: 20ms\n  rates: {b: 100mbps, b/0: 100mbps}", -1, ""},
		{"a flow's limit", "- traffic: [{packet: a > b udp 1 > 80 len 1000, rate: 900mbps}]\n  for: 50ms\n  rates: {b: 410mbps}\n  drops: {flow_bandwidth_exceeded: 100}\n- advance: 1s\n  expect: none", -1, ""},
		{"each flow's", "- traffic: [{packet: a > b udp 1+n > 80 len 1000, rate: 700mbps, flows: 2}]\n  for: 50ms\n  flow_rates: {b: 350mbps}", -1, ""},
		{"two streams", "- traffic: [{packet: a > b udp 1 > 80 len 1000, rate: 300mbps}, {packet: b > a udp 1 > 80, rate: 10mbps, burst: 5}]\n  for: 20ms\n  rates: {b: 300mbps, a: 10mbps}", -1, ""},
		{"peaks of bursts", "- traffic: [{packet: a > b udp 1 > 80 len 958, rate: 100mbps, burst: 20}]\n  for: 16ms\n  rates: {b: 100mbps}\n  peaks: {b: 16gbps}", -1, ""},
		{"another rate", "- traffic: [{packet: a > b udp 1 > 80 len 1000, rate: 100mbps}]\n  for: 20ms\n  rates: {b: 103mbps}", 2, "b receives 100"},
		{"another flow's rate", "- traffic: [{packet: a > b udp 1+n > 80 len 1000, rate: 100mbps, flows: 2}]\n  for: 20ms\n  flow_rates: {b: 51.5mbps}", 2, "of flow 10.0.1.10 10.0.1.20 17"},
		{"no flow", "- traffic: [{packet: a > b udp 1 > 80, rate: 1mbps}]\n  for: 1ms\n  flow_rates: {a: 1mbps}", 2, "a receives no flow"},
		{"drops that are not named", "- traffic: [{packet: a > b udp 1 > 80 len 1000, rate: 900mbps}]\n  for: 50ms", 0, "packets are dropped for flow_bandwidth_exceeded, want 0"},
		{"more drops than there are", "- traffic: [{packet: a > b udp 1 > 80 len 1000, rate: 900mbps}]\n  for: 50ms\n  drops: {flow_bandwidth_exceeded: 100000}", 2, "want 100000"},
		{"a higher peak", "- traffic: [{packet: a > b udp 1 > 80 len 958, rate: 100mbps, burst: 20}]\n  for: 20ms\n  peaks: {b: 17gbps}", 2, "the fullest window of b has 16gbps, want 17gbps at least"},
		{"packets", "- traffic: [{packet: a > b udp 1 > 80 len 958, rate: 8mbps}]\n  for: 10ms\n  receive: {b: 9}", 2, "b receives 10 packets, want 9"},
		{"what limits count", "- traffic: [{packet: a > b udp 1 > 80 len 958, rate: 8mbps}]\n  for: 10ms\n  counters: {a/limit_flow_queued: 0, a/limit_flow_dropped: 1}", 2, "a/limit_flow_dropped is 0, want 1"},
		{"waiting", "- explain: [{packet: a > b udp 1 > 80, wait: 3us}]", 0, "explain says that it waits for 0s, want 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := parseFlowing(t, c.steps)
			if err != nil {
				t.Fatal(err)
			}
			res, err := s.Run()
			if err != nil {
				t.Fatal(err)
			}
			if c.line < 0 {
				if len(res.Failures) != 0 || len(res.Runs) != 2 {
					t.Errorf("%+v", res)
				}
				return
			}
			found := false
			for _, f := range res.Failures {
				found = found || f.Line == firstFlowing+1+c.line && strings.Contains(f.Text, c.want)
			}
			if !found {
				t.Errorf("no failure at line %d says %q: %+v", firstFlowing+1+c.line, c.want, res.Failures)
			}
		})
	}
}

// Steps with traffic that make no sense are refused, with the place and one sentence.
func TestBadTraffic(t *testing.T) {
	const good = "traffic: [{packet: a > b udp, rate: 1mbps}]"
	for _, c := range []struct {
		name, steps string
		line        int
		want        string
	}{
		{"no time", "- " + good, 0, "traffic and for belong together"},
		{"no traffic", "- for: 1s", 0, "traffic and for belong together"},
		{"rates of nothing", "- rates: {b: 1mbps}", 0, "rates and flow_rates belong to them"},
		{"send besides", "- {" + good + ", for: 1ms, send: a > b udp}", 0, "a step with traffic must have none of the keys"},
		{"no unit", "- {" + good + ", for: 1ms, rates: {b: 5}}", 0, "a mapping of names to bandwidths"},
		{"an unknown ENI", "- {" + good + ", for: 1ms, rates: {x: 5mbps}}", 0, `there is no ENI "x"`},
		{"an unknown queue", "- {" + good + ", for: 1ms, rates: {b/1: 5mbps}}", 0, `ENI b has no receive queue "1"`},
		{"an unknown ENI's flows", "- {" + good + ", for: 1ms, flow_rates: {x: 5mbps}}", 0, `there is no ENI "x"`},
		{"a queue's peak", "- {" + good + ", for: 1ms, peaks: {b/0: 5mbps}}", 0, `there is no ENI "b/0"`},
		{"too much", "- traffic: [{packet: a > b udp, rate: 100gbps}]\n  for: 1s", 0, "500000 are the most"},
		{"too much at once", "- traffic: [{packet: a > b udp, rate: 100mbps, burst: 10000}, {packet: a > b udp, rate: 100mbps, burst: 10000}]\n  for: 1ms", 0, "come at once"},
		{"too long", "- traffic: [{packet: a > b udp len 9200, rate: 1mbps}]\n  for: 1ms", 0, "a port here carries 9216"},
		{"no time to wait", "- explain: [{packet: a > b udp, wait: long}]", 0, "a duration with its unit"},
		{"no traffic of that name", "- traffic: [{packet: a > x udp, rate: 1mbps}]\n  for: 1ms", 0, `"x" is neither`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := parseFlowing(t, c.steps)
			if err == nil {
				_, err = s.Run()
			}
			var errs config.Errors
			if !errors.As(err, &errs) {
				t.Fatalf("%v is no error of the file", err)
			}
			if e := errs[0]; e.Pos.Line != firstFlowing+1+c.line || !strings.Contains(e.Msg, c.want) {
				t.Errorf("line %d: %s; want line %d and %q", e.Pos.Line, e.Msg, firstFlowing+1+c.line, c.want)
			}
		})
	}
	if _, err := parse(t, "- {"+good+", for: 1ms}"); err == nil || !strings.Contains(err.Error(), "must have path: accelerated") {
		t.Errorf("on both paths: %v", err)
	}
}
