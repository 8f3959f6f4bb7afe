package config

import (
	"testing"

	"pgregory.net/rapid"
)

func TestParseRates(t *testing.T) {
	for text, want := range map[string]BitRate{
		"0bps": 0, "1bps": 1, "64kbps": 64_000, "0.5kbps": 500, "781mbps": 781_000_000, "12.5gbps": 12_500_000_000,
		"1000gbps": 1_000_000_000_000, "1.000000001gbps": 1_000_000_001,
	} {
		if got, ok := parseBitRate(text); !ok || got != want {
			t.Errorf("%q is %d (%v), want %d", text, got, ok, want)
		}
	}
	for text, want := range map[string]PacketRate{"0pps": 0, "100kpps": 100_000, "2.2mpps": 2_200_000, "1gpps": 1_000_000_000} {
		if got, ok := parsePacketRate(text); !ok || got != want {
			t.Errorf("%q is %d (%v), want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{
		"", "5", "bps", "kbps", "-1bps", "+1bps", "5Gbps", "5 gbps", "5gbit", "5gbps ", "1.5bps", "0.0005kbps", ".5gbps", "5.gbps",
		"1e3bps", "5kpps", "5tbps", "99999999999999999999bps", "9999999999999gbps", "1.0000000001gbps",
	} {
		if got, ok := parseBitRate(text); ok {
			t.Errorf("%q is taken as %d", text, got)
		}
	}
}

// What a rate is shown as is read as the same rate.
func TestRateText(t *testing.T) {
	for n, want := range map[BitRate]string{0: "0bps", 999: "999bps", 64_000: "64kbps", 781_000_000: "781mbps", 12_500_000_000: "12.5gbps", 1_000_000_001: "1.000000001gbps"} {
		if got := n.String(); got != want {
			t.Errorf("%d is shown as %s, want %s", int64(n), got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 1<<53).Draw(t, "rate")
		if got, ok := parseBitRate(BitRate(n).String()); !ok || got != BitRate(n) {
			t.Fatalf("%d is shown as %v, which is %d (%v)", n, BitRate(n), got, ok)
		}
		if got, ok := parsePacketRate(PacketRate(n).String()); !ok || got != PacketRate(n) {
			t.Fatalf("%d is shown as %v, which is %d (%v)", n, PacketRate(n), got, ok)
		}
	})
}
