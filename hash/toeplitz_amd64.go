package hash

// toeplitzVector sets out[i] to the hash of keys[i] for n keys, n a multiple
// of vectorKeys; sorted asks for sorted endpoints.
//
//go:noescape
func toeplitzVector(keys *FlowKey, out *uint32, n int, c *clmulKey, sorted bool)

// hashVector hashes vectorKeys keys or more. A rest is hashed together with
// keys before it, which gives these the same hash again.
func (t *Toeplitz) hashVector(keys []FlowKey, out []uint32) {
	n := len(keys)
	sorted := t.order == orderEndpoints
	toeplitzVector(&keys[0], &out[0], n&^(vectorKeys-1), &t.vec, sorted)
	if r := n - vectorKeys; n%vectorKeys != 0 {
		toeplitzVector(&keys[r], &out[r], vectorKeys, &t.vec, sorted)
	}
}
