package hash

// RSSFunction is the function by which an ENI picks a receive queue. Toeplitz
// and CRC32 implement it.
//
// Which fields enter is fixed, as ENA fixes it (amzn-drivers, ENA_ADMIN_RSS_*):
// addresses and ports for TCP and UDP, the addresses alone for every other IP
// packet and for every fragment, the Ethernet addresses for all else.
type RSSFunction interface {
	// Hash hashes a packet that is not a fragment.
	Hash(k *FlowKey) uint32
	// HashAddrs hashes a fragment, first ones too: addresses only.
	HashAddrs(k *FlowKey) uint32
	// HashFrame hashes a frame that is not IP, by its Ethernet addresses.
	HashFrame(dst, src [6]byte) uint32
}

var (
	_ RSSFunction = (*Toeplitz)(nil)
	_ RSSFunction = CRC32{}
)

// The code in this package takes FlowKey apart by hand and was written for
// this meaning of its bits.
var _ = [1]struct{}{}[FlowKeySeq-1]

// IP protocol numbers that have ports of their own in RSS and in steering.
const (
	protoTCP = 6
	protoUDP = 17
)

// rssPorts returns the ports as they enter an RSS hash: source in the upper
// half, both zero for protocols whose ports do not count.
func rssPorts(k *FlowKey) (ports uint32, ok bool) {
	if p := k.Proto(); p == protoTCP || p == protoUDP {
		return uint32(k.Tail >> 32), true
	}
	return 0, false
}

// swapPorts exchanges the halves of a pair of ports.
func swapPorts(p uint32) uint32 { return p>>16 | p<<16 }

// frameWords returns 12 bytes of Ethernet addresses as three words.
func frameWords(dst, src [6]byte) (a, b, c uint32) {
	a = uint32(dst[0])<<24 | uint32(dst[1])<<16 | uint32(dst[2])<<8 | uint32(dst[3])
	b = uint32(dst[4])<<24 | uint32(dst[5])<<16 | uint32(src[0])<<8 | uint32(src[1])
	c = uint32(src[2])<<24 | uint32(src[3])<<16 | uint32(src[4])<<8 | uint32(src[5])
	return a, b, c
}
