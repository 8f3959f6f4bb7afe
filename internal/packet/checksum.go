package packet

import (
	"encoding/binary"
	"math/bits"
)

// Sum returns the one's complement sum of b in 16-bit words, not inverted
// (RFC 1071). An odd last byte counts as the high half of a word.
//
// Sums of parts are joined with Add, provided that every part but the last has
// an even length.
func Sum(b []byte) uint16 {
	// A one's complement sum is the same in any byte order, up to a swap of the
	// result, and in any word width, up to a fold (RFC 1071 sec. 2): so add
	// words of 64 bits as the machine loads them, and carry around.
	var acc, carry uint64
	for len(b) >= 32 {
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[0:8]), 0)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[8:16]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[16:24]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[24:32]), carry)
		acc, carry = bits.Add64(acc, 0, carry)
		acc += carry
		b = b[32:]
	}
	for len(b) >= 8 {
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b), 0)
		acc += carry
		b = b[8:]
	}
	var tail uint64
	if len(b) >= 4 {
		tail = uint64(binary.LittleEndian.Uint32(b))
		b = b[4:]
	}
	if len(b) >= 2 {
		tail += uint64(binary.LittleEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		tail += uint64(b[0])
	}
	acc, carry = bits.Add64(acc, tail, 0)
	acc += carry
	return bits.ReverseBytes16(fold64(acc))
}

// Add joins two one's complement sums.
func Add(a, b uint16) uint16 {
	s := uint32(a) + uint32(b)
	return uint16(s + s>>16)
}

// Checksum returns the Internet checksum of b: the inverted Sum. Over bytes
// that hold a correct checksum it is 0.
func Checksum(b []byte) uint16 { return ^Sum(b) }

// Update16 returns the checksum that stands for csum after a 16-bit word that
// it covers has changed (RFC 1624, equation 3). For UDP leave a checksum of 0
// alone, and store the result with SetChecksum.
func Update16(csum, from, to uint16) uint16 {
	return ^Add(Add(^csum, ^from), to)
}

// Update32 is Update16 for a 32-bit word at an even offset, such as an IPv4
// address.
func Update32(csum uint16, from, to uint32) uint16 {
	s := uint64(^csum) + uint64(^from) + uint64(to)
	return ^fold64(s)
}

// Update128 is Update16 for two 64-bit words at an even offset, such as an
// IPv6 address.
func Update128(csum uint16, fromHi, fromLo, toHi, toLo uint64) uint16 {
	acc, c := bits.Add64(uint64(^csum), ^fromHi, 0)
	acc, c = bits.Add64(acc, ^fromLo, c)
	acc, c = bits.Add64(acc, toHi, c)
	acc, c = bits.Add64(acc, toLo, c)
	acc, c = bits.Add64(acc, 0, c)
	return ^fold64(acc + c)
}

// PseudoIPv4 returns the sum of the pseudo header of RFC 9293 sec. 3.1 and
// RFC 768. length is that of the transport header and its payload.
func PseudoIPv4(src, dst uint32, proto uint8, length uint16) uint16 {
	return fold64(uint64(src) + uint64(dst) + uint64(proto) + uint64(length))
}

// PseudoIPv6 returns the sum of the pseudo header of RFC 8200 sec. 8.1. proto
// is the upper-layer protocol, not the next header of the IPv6 header; length
// is that of the upper-layer header and its payload. h holds at least an IPv6
// header.
func PseudoIPv6(h IPv6Header, proto uint8, length uint32) uint16 {
	return Add(Sum(h[8:40]), fold64(uint64(proto)+uint64(length)))
}

func fold64(s uint64) uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	return fold32(uint32(s))
}

func fold32(s uint32) uint16 {
	s = s>>16 + s&0xffff
	return uint16(s + s>>16)
}
