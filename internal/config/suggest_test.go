package config

import (
	"testing"

	"pgregory.net/rapid"
)

func TestNearest(t *testing.T) {
	keys := []string{"id", "cidrs", "addresses", "security_groups", "rx_ring", "rx_queues", "tx_queues"}
	tests := []struct{ word, want string }{
		{"adresses", "addresses"}, {"address", "addresses"}, {"cidr", "cidrs"}, {"securty_group", "security_groups"},
		{"xr_ring", "rx_ring"}, {"rx-queues", "rx_queues"}, {"di", "id"}, {"colour", ""}, {"", ""},
	}
	for _, tt := range tests {
		if got := nearest(tt.word, keys); got != tt.want {
			t.Errorf("nearest(%q) = %q, want %q", tt.word, got, tt.want)
		}
	}
}

// slowDistance is the definition of optimal string alignment, written down.
func slowDistance(a, b string) int {
	if a == "" || b == "" {
		return len(a) + len(b)
	}
	cost := 1
	if a[0] == b[0] {
		cost = 0
	}
	best := min(slowDistance(a[1:], b[1:])+cost, slowDistance(a[1:], b)+1, slowDistance(a, b[1:])+1)
	if len(a) > 1 && len(b) > 1 && a[0] == b[1] && a[1] == b[0] {
		best = min(best, slowDistance(a[2:], b[2:])+1)
	}
	return best
}

func TestDistanceAgainstTwin(t *testing.T) {
	word := rapid.StringMatching(`[abc]{0,6}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		if got, want := distance(a, b), slowDistance(a, b); got != want {
			t.Fatalf("distance(%q, %q) = %d, want %d", a, b, got, want)
		}
	})
}
