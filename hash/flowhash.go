package hash

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"
)

// FlowHasher is the keyed hash that indexes the flow cache and the sessions:
// XXH3 with 64 bits (xxHash's specification, doc/xxhash_spec.md) under a seed,
// over a canonical form of the flow. Both directions of a flow hash alike, and
// so do its two passes between local ENIs: the endpoints are sorted, and
// neither the ENI nor KeyRouted enters.
//
// The canonical form is a sequence of little-endian words. The smaller
// endpoint, by address and then by port, comes first. Its length tells the
// family:
//
//	IPv4, 24 bytes: first address << 16 | port, second address << 16 | port,
//	                scope << 8 | protocol
//	IPv6, 48 bytes: first address (high, low), second address (high, low),
//	                first port << 16 | second port, scope << 8 | protocol
//
// 24 bytes because 16, the next cheaper length of XXH3, are one too few for
// two endpoints, a protocol and a scope.
//
// It is a plain value: copy it. Use bits from both ends as you like: XXH3's
// last step spreads all input over all 64.
//
// Bursts have vector code on amd64 (AVX-512), which agrees with the rest. On
// one core of a Zen 5 server, bursts of 32, ns per key: IPv4 1.1 (portable
// 3.1), IPv6 2.2 (6.3), one IPv6 in four 2.7 (5.7).
//
// Thread-safety: immutable, for any number of goroutines.
//
// Limits: not a cryptographic hash. Its seed keeps those who cannot observe
// hash values from choosing tuples that collide; bound the buckets all the
// same.
type FlowHasher struct{ seed uint64 }

// NewFlowHasher returns the hash under a seed, which should come from
// RandomSeed.
func NewFlowHasher(seed uint64) FlowHasher { return FlowHasher{seed} }

// RandomSeed returns a seed from the system's random source.
func RandomSeed() uint64 {
	var b [8]byte
	rand.Read(b[:]) //nolint:errcheck // it never fails: crypto/rand ends the process instead
	return binary.LittleEndian.Uint64(b[:])
}

// XXH3's default secret, as little-endian words, and the primes in use.
const (
	secret0 = 0xbe4ba423396cfeb8
	secret1 = 0x1cad21f72c81017c
	secret2 = 0xdb979083e96dd4de
	secret3 = 0x1f67b3b7a4a44072
	secret4 = 0x78e5c0cc4ee679cb
	secret5 = 0x2172ffcc7dd05a82
	secret6 = 0x8e2443f7744608b8
	secret7 = 0x4c263a81e69035e0

	prime64  = 0x9e3779b185ebca87
	primeMix = 0x165667919e3779f9

	length4 = 24 * prime64 & (1<<64 - 1)
	length6 = 48 * prime64 & (1<<64 - 1)
)

// Hash returns the hash of a flow in a scope. The scope is the index of the
// VPC: equal addresses in two VPCs are two flows.
func (f FlowHasher) Hash(k *FlowKey, scope uint32) uint64 {
	if k.IsIPv6() {
		return f.hash6(k, scope)
	}
	lo, hi := endpoints4(k)
	s := f.seed
	return finish(length4 +
		fold(lo^(secret0+s), hi^(secret1-s)) +
		fold(hi^(secret2+s), (uint64(scope)<<8|uint64(k.Proto()))^(secret3-s)))
}

// HashBurst sets out[i] to Hash(&keys[i], scopes[i]). scopes and out must be at
// least as long as keys.
func (f FlowHasher) HashBurst(keys []FlowKey, scopes []uint32, out []uint64) {
	scopes, out = scopes[:len(keys)], out[:len(keys)]
	if haveVector && len(keys) >= vectorKeys {
		f.hashVector(keys, scopes, out)
		return
	}
	for len(keys) > 0 {
		n := f.run4(keys, scopes, out)
		n += f.run6(keys[n:], scopes[n:], out[n:])
		keys, scopes, out = keys[n:], scopes[n:], out[n:]
	}
}

// run4 hashes keys up to the first that is not IPv4 and returns their number.
func (f FlowHasher) run4(keys []FlowKey, scopes []uint32, out []uint64) int {
	scopes, out = scopes[:len(keys)], out[:len(keys)]
	s := f.seed
	a, b, c, d := secret0+s, secret1-s, secret2+s, secret3-s
	for i := range keys {
		k := &keys[i]
		if k.IsIPv6() {
			return i
		}
		lo, hi := endpoints4(k)
		out[i] = finish(length4 + fold(lo^a, hi^b) + fold(hi^c, (uint64(scopes[i])<<8|uint64(k.Proto()))^d))
	}
	return len(keys)
}

// run6 hashes keys up to the first that is not IPv6 and returns their number.
func (f FlowHasher) run6(keys []FlowKey, scopes []uint32, out []uint64) int {
	for i := range keys {
		if !keys[i].IsIPv6() {
			return i
		}
		out[i] = f.hash6(&keys[i], scopes[i])
	}
	return len(keys)
}

// endpoints4 returns the sorted endpoints of an IPv4 flow. Which is the smaller
// one is as good as random to a branch predictor, hence min, which compiles to
// a conditional move.
func endpoints4(k *FlowKey) (lo, hi uint64) {
	src := k.Src.Lo<<16 | k.Tail>>48
	dst := k.Dst.Lo<<16 | k.Tail>>32&0xffff
	lo = min(src, dst)
	return lo, src ^ dst ^ lo
}

func (f FlowHasher) hash6(k *FlowKey, scope uint32) uint64 {
	lo, hi, ports := sortEndpoints(k.Src, k.Dst, uint32(k.Tail>>32))
	s := f.seed
	return finish(length6 +
		fold(hi.Hi^(secret4+s), hi.Lo^(secret5-s)) +
		fold(hi.Hi^(secret6+s), hi.Lo^(secret7-s)) +
		fold(lo.Hi^(secret0+s), lo.Lo^(secret1-s)) +
		fold(uint64(ports)^(secret2+s), (uint64(scope)<<8|uint64(k.Proto()))^(secret3-s)))
}

// fold multiplies to 128 bits and adds the halves without carry.
func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// finish is XXH3's avalanche.
func finish(h uint64) uint64 {
	h ^= h >> 37
	h *= primeMix
	return h ^ h>>32
}
