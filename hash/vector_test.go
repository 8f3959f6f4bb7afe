package hash

import "testing"

// Bursts agree with single keys, which have no vector code, on many random
// keys of one family and of both.
func TestBurstsAgreeWithSingleKeys(t *testing.T) {
	const n = 4096 + 5
	for _, family := range families {
		keys := randomKeys(n, family.share)
		scopes, flow, rss := make([]uint32, n), make([]uint64, n), make([]uint32, n)
		for i := range scopes {
			scopes[i] = uint32(i) * 0x9e3779b1
		}
		f := NewFlowHasher(0x0123456789abcdef)
		f.HashBurst(keys, scopes, flow)
		for i := range keys {
			if want := f.Hash(&keys[i], scopes[i]); flow[i] != want {
				t.Fatalf("%s: flow hash %d is %#x, alone %#x", family.name, i, flow[i], want)
			}
		}
		for _, mode := range allModes {
			h := NewToeplitz(MicrosoftKey(), mode)
			h.HashBurst(keys, rss)
			for i := range keys {
				if want := h.Hash(&keys[i]); rss[i] != want {
					t.Fatalf("%s, mode %d: hash %d is %#x, alone %#x", family.name, mode, i, rss[i], want)
				}
			}
		}
	}
}
