package report

import (
	"strings"
	"testing"
)

func TestIdle(t *testing.T) {
	spin := Idle{Device: "net_tap", Polling: "spin", CPU: 100, P50: 20_000, P99: 31_000}
	rests := Idle{Device: "net_tap", Polling: "adaptive", Sleep: "100us", CPU: 1.25, P50: 62_400, P99: 30_000, StepPackets: 500, StepLost: 2}
	rests.Above(&spin)
	if *rests.MoreP50 != 42_400 || *rests.MoreP99 != -1000 {
		t.Errorf("above spin: %d and %d", *rests.MoreP50, *rests.MoreP99)
	}
	var b strings.Builder
	if err := writeIdle(&b, []Idle{spin, rests}); err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]string{
		{"net_tap", "spin", "-", "100.0", "20 us", "31 us", "-", "-", "0 of 0"},
		{"net_tap", "adaptive", "100us", "1.2", "62 us", "30 us", "42 us", "-1 us", "2 of 500"},
	} {
		line := strings.Join(want, " ")
		if !strings.Contains(strings.Join(strings.Fields(b.String()), " "), line) {
			t.Errorf("no line %q in\n%s", line, b.String())
		}
	}
}
