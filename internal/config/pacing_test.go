package config

import (
	"slices"
	"testing"
	"time"

	"github.com/nitrod/nitrod/policy"
)

// Pacing is what the file says, with the defaults; of a flow no more packets wait by
// default than in all.
func TestPacing(t *testing.T) {
	for keys, want := range map[string]policy.Pacing{
		"":                         {},
		"pacing: {rate: 10gbps}, ": {Rate: 10e9, Packets: 8192, FlowPackets: 100, Delay: 100 * time.Millisecond},
		"pacing: {flow_rate: 64kbps, packets: 64}, ": {FlowRate: 64_000, Packets: 64, FlowPackets: 64, Delay: 100 * time.Millisecond},
		"pacing: {rate: 1gbps, flow_rate: 1gbps, packets: 65, flow_packets: 65, delay: 1s}, ": {
			Rate: 1e9, FlowRate: 1e9, Packets: 65, FlowPackets: 65, Delay: time.Second,
		},
	} {
		if got := mustParse(t, typed("conntrack_allowance: 0", keys)).Objects.ENIs[0].Pacing; got != want {
			t.Errorf("%s is %+v, want %+v", keys, got, want)
		}
	}
}

// The room for packets is made once; all else of pacing may change, and it may come
// and go.
func TestPacingChanges(t *testing.T) {
	diff := func(from, to string) []Change {
		return Diff(mustParse(t, typed("conntrack_allowance: 0", from)), mustParse(t, typed("conntrack_allowance: 0", to)))
	}
	restart := func(c Change) bool { return c.Restart }
	paced := "pacing: {rate: 10gbps, packets: 100}, "
	for _, tc := range []struct {
		from, to string
		restart  bool
	}{
		{"", paced, false},
		{paced, "", false},
		{paced, "pacing: {rate: 1gbps, flow_rate: 1gbps, packets: 100, flow_packets: 7, delay: 1s}, ", false},
		{paced, "pacing: {rate: 10gbps, packets: 101}, ", true},
	} {
		cs := diff(tc.from, tc.to)
		if len(cs) == 0 || slices.ContainsFunc(cs, restart) != tc.restart {
			t.Errorf("from %q to %q: %v", tc.from, tc.to, cs)
		}
	}
}
