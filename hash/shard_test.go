package hash

import (
	"testing"

	"pgregory.net/rapid"
)

// A shard is the twin's hash modulo their number, the same for both directions
// and both passes, one by one and in a burst.
func TestShardTwin(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			key := genRSSKey().Draw(t, "rss")
			keys := rapid.SliceOfN(genKey(), 0, 150).Draw(t, "flows")
			s := NewSharder(key)
			back := make([]FlowKey, len(keys))
			for i, k := range keys {
				back[i] = reversed(k)
			}
			there, again := make([]uint16, len(keys)), make([]uint16, len(keys))
			s.ShardBurst(keys, there)
			s.ShardBurst(back, again)
			for i := range keys {
				want := uint16(slowMode(key, ModeSymmetric, keys[i], hasPorts(&keys[i])) & 511)
				one := s.Shard(&keys[i])
				if there[i] != want || again[i] != want || one != want {
					t.Fatalf("flow %d: %d in the burst, %d backwards, %d alone, want %d", i, there[i], again[i], one, want)
				}
			}
		})
	})
}

// Random flows fill all shards evenly: with 256 flows a shard on average,
// chi-squared over 511 degrees of freedom has mean 511 and standard deviation
// 32, so that 800 is nine of these away. Flows and key are fixed.
func TestShardEven(t *testing.T) {
	keys := randomKeys(256*NumShards, 2)
	out := make([]uint16, len(keys))
	NewSharder(MicrosoftKey()).ShardBurst(keys, out)
	var count [NumShards]int
	for _, s := range out {
		count[s]++
	}
	var chi float64
	for _, c := range count {
		d := float64(c - 256)
		chi += d * d / 256
	}
	if chi > 800 {
		t.Errorf("chi-squared is %.0f", chi)
	}
}

func TestShardNoAllocation(t *testing.T) {
	s := NewSharder(RandomKey())
	keys := randomKeys(benchBurst, 4)
	out := make([]uint16, len(keys))
	if n := testing.AllocsPerRun(100, func() { s.ShardBurst(keys, out) }); n != 0 {
		t.Errorf("ShardBurst allocates %v times", n)
	}
}

func BenchmarkShardBurst(b *testing.B) {
	s := NewSharder(RandomKey())
	eachPath(b, func(b *testing.B) {
		for _, f := range families {
			b.Run(f.name, func(b *testing.B) {
				keys := randomKeys(64*benchBurst, f.share)
				var out [benchBurst]uint16
				i := 0
				for b.Loop() {
					s.ShardBurst(keys[i:i+benchBurst], out[:])
					i = (i + benchBurst) % len(keys)
				}
				perKey(b, benchBurst)
			})
		}
	})
}
