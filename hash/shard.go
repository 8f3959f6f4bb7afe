package hash

// NumShards is the number of shards into which a host divides its flows. A
// shard, not a flow, is what an lcore owns and what moves between lcores.
const NumShards = 512

// Sharder assigns flows to shards: Toeplitz over the sorted endpoints, so that
// both directions, and both passes of a flow between two local ENIs, come to
// the same lcore. Flows are told apart by addresses, and for TCP and UDP also
// by ports; all other protocols between two addresses share a shard.
//
// Symmetry comes from sorting, not from a key that repeats itself: such a key
// would leave 65,536 values.
//
// Thread-safety: immutable, for any number of goroutines.
//
// Limits: the function is linear. Who knows the key can aim at a shard, so the
// key must be random; and since tuples that collide can be computed, tables
// are indexed with FlowHasher.
type Sharder struct{ t *Toeplitz }

// NewSharder returns a Sharder under a key, which should come from RandomKey.
func NewSharder(key Key) Sharder { return Sharder{NewToeplitz(key, ModeSymmetric)} }

// Shard returns the shard of a flow, below NumShards.
func (s Sharder) Shard(k *FlowKey) uint16 { return uint16(s.t.Hash(k) % NumShards) }

// ShardBurst sets out[i] to Shard(&keys[i]). out must be at least as long as
// keys.
func (s Sharder) ShardBurst(keys []FlowKey, out []uint16) {
	var h [64]uint32
	for len(keys) > 0 {
		n := min(len(keys), len(h))
		s.t.HashBurst(keys[:n], h[:n])
		o := out[:n]
		for i := range o {
			o[i] = uint16(h[i&63] % NumShards)
		}
		keys, out = keys[n:], out[n:]
	}
}
