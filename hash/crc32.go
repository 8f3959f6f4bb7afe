package hash

import (
	"hash/crc32"
	"math/bits"
)

// CRC32 is the other function that ENA devices offer. ENA's documents do not
// say which polynomial or bit order the device uses, so this choice is
// nitrod's own: CRC-32C (Castagnoli, RFC 3720 appendix B.4) over the same
// bytes in network order that Toeplitz takes, continued from an initial value
// as crc32.Update continues from one. The zero value has initial value 0,
// which gives the plain CRC-32C.
//
// Both directions of a flow hash differently, as under ModeStandard.
//
// Thread-safety: immutable, for any number of goroutines.
type CRC32 struct{ init uint32 }

// NewCRC32 returns the function with an initial value.
func NewCRC32(init uint32) CRC32 { return CRC32{init} }

// castagnoli[j][b] is what byte b contributes to a CRC when j bytes follow it
// in its word.
var castagnoli = func() (t [4][256]uint32) {
	base := crc32.MakeTable(crc32.Castagnoli)
	for b, c := range base {
		for j := range t {
			t[j][b] = c
			c = base[c&255] ^ c>>8
		}
	}
	return t
}()

// Hash returns the hash of a packet that is not a fragment; see RSSFunction.
func (c CRC32) Hash(k *FlowKey) uint32 {
	crc := c.addrs(k)
	if ports, ok := rssPorts(k); ok {
		crc = crcWord(crc, ports)
	}
	return ^crc
}

// HashAddrs returns the hash of a fragment; see RSSFunction.
func (c CRC32) HashAddrs(k *FlowKey) uint32 { return ^c.addrs(k) }

// HashFrame returns the hash of a frame that is not IP; see RSSFunction.
func (c CRC32) HashFrame(dst, src [6]byte) uint32 {
	x, y, z := frameWords(dst, src)
	return ^crcWord(crcWord(crcWord(^c.init, x), y), z)
}

func (c CRC32) addrs(k *FlowKey) uint32 {
	crc := ^c.init
	if !k.IsIPv6() {
		return crcWord(crcWord(crc, uint32(k.Src.Lo)), uint32(k.Dst.Lo))
	}
	for _, w := range [4]uint64{k.Src.Hi, k.Src.Lo, k.Dst.Hi, k.Dst.Lo} {
		crc = crcWord(crcWord(crc, uint32(w>>32)), uint32(w))
	}
	return crc
}

// crcWord continues an inverted CRC over a word, its most significant byte
// first.
func crcWord(crc, w uint32) uint32 {
	crc ^= bits.ReverseBytes32(w)
	return castagnoli[3][crc&255] ^ castagnoli[2][crc>>8&255] ^
		castagnoli[1][crc>>16&255] ^ castagnoli[0][crc>>24]
}
