package hash

// flowHashVector sets out[i] to the hash of keys[i] in scopes[i] for n keys, n
// a multiple of vectorKeys.
//
//go:noescape
func flowHashVector(keys *FlowKey, scopes *uint32, out *uint64, n int, seed uint64)

// hashVector hashes vectorKeys keys or more. A rest is hashed together with
// keys before it, which gives these the same hash again.
func (f FlowHasher) hashVector(keys []FlowKey, scopes []uint32, out []uint64) {
	n := len(keys)
	flowHashVector(&keys[0], &scopes[0], &out[0], n&^(vectorKeys-1), f.seed)
	if r := n - vectorKeys; n%vectorKeys != 0 {
		flowHashVector(&keys[r], &scopes[r], &out[r], vectorKeys, f.seed)
	}
}
