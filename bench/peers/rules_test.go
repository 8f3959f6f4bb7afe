package peers

import (
	"testing"

	"pgregory.net/rapid"
)

// The blocks are disjoint and make up the range: each port of all 65,536 is in
// one of them if and only if it is in the range.
func TestPortBlocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.IntRange(0, 65535).Draw(t, "from")
		to := rapid.IntRange(from, 65535).Draw(t, "to")
		blocks := portBlocks(from, to)
		if len(blocks) > 30 {
			t.Fatalf("%d blocks for %d-%d", len(blocks), from, to)
		}
		for port := range 65536 {
			in := 0
			for _, b := range blocks {
				if uint16(port)&b.mask == b.value {
					in++
				}
			}
			want := 0
			if port >= from && port <= to {
				want = 1
			}
			if in != want {
				t.Fatalf("%d-%d: port %d is in %d blocks", from, to, port, in)
			}
		}
	})
}

// Rules differ from each other, and there are as many as the case says.
func TestRules(t *testing.T) {
	for _, s := range []RuleSet{{N: 1}, {N: 50}, {N: 1000}, {N: 50, Last: true}, {N: 1000, Last: true}} {
		seen := map[rule]bool{}
		for _, r := range s.rules(ipv4A) {
			seen[r] = true
		}
		if len(seen) != s.N {
			t.Errorf("%s: %d different rules", s, len(seen))
		}
	}
}
