package hash

// HashBurst sets out[i] to Hash(&keys[i]). out must be at least as long as
// keys. The two must not overlap.
//
// On amd64 with AVX-512, VPCLMULQDQ and GFNI eight keys go through carry-less
// multiplications at once; elsewhere, in bursts below eight and in
// ModeENAFixed, the tables serve. On one core of a Zen 5 server, bursts of 32,
// ns per key in ModeStandard: IPv4 0.7 (tables 5.8), IPv6 2.0 (16), one IPv6
// in four 2.1 (8); ModeSymmetric: 0.9 (7.5), 2.3 (19), 2.1 (10).
func (t *Toeplitz) HashBurst(keys []FlowKey, out []uint32) {
	out = out[:len(keys)]
	if haveVector && len(keys) >= vectorKeys && t.order != orderIndependent {
		t.hashVector(keys, out)
		return
	}
	for i := range keys {
		out[i] = t.Hash(&keys[i])
	}
}

// clmulKey is the key as carry-less multiplication wants it.
//
// Hash bit r (0 the most significant) is the XOR over input bits i of
// x[i] & K[i+r]. Take 64 input bits as the polynomial with x[i] at power 63-i,
// as they come, and key bits with K[j] at power j+1, which is reversed: their
// product has the sum wanted at power 64+r, all of it while i+r <= 62. The key
// bits above 62 give a second factor whose product has the rest of the sum at
// power r. A 32-bit input needs the first factor only, and its sum is at power
// 32+r. So the hash comes out with its bits in reverse order.
type clmulKey struct {
	v4   [4]uint64  // factors at key bits 0, 32 and 64; the last is unused
	v6   [10]uint64 // for key bits 0, 64, 128, 192: both factors; for 256: the first
	init uint32
}

func newClmulKey(k *Key, init uint32) clmulKey {
	first := func(at int) (f uint64) {
		for j := range 63 {
			f |= uint64(k.bit(at+j)) << (j + 1)
		}
		return f
	}
	second := func(at int) (f uint64) {
		for j := range 32 {
			f |= uint64(k.bit(at+63+j)) << j
		}
		return f
	}
	c := clmulKey{init: init}
	for i := range 3 {
		c.v4[i] = first(32 * i)
	}
	for i := range 4 {
		c.v6[2*i], c.v6[2*i+1] = first(64*i), second(64*i)
	}
	c.v6[8] = first(256)
	return c
}
