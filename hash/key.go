package hash

// Addr is an IP address as a 128-bit number, most significant half first. An
// IPv4 address is the low 32 bits of Lo; the family is told by the key's flags.
type Addr struct{ Hi, Lo uint64 }

// FlowKey identifies one direction of a flow, as one ENI sends it. Two packets
// with equal keys get the same treatment until policy changes.
//
// Layout: five words without padding, so that it is compared, hashed and
// copied by words. Tail is
//
//	source port (16) | destination port (16) | ENI (16) | protocol (8) | flags (8)
//
// with the source port in the most significant bits. Ports are in host order.
// For an ICMP or ICMPv6 query the side that asks has the identifier as its port
// and the side that answers has the type of the request (marked where it could
// be an identifier as well), so that a reply's key
// is the reverse of its request's, and a request from the other side is a flow
// of its own. All other protocols have ports 0.
type FlowKey struct {
	Src, Dst Addr
	Tail     uint64
}

// FlowKeySeq changes whenever the meaning of FlowKey's bits does. Code that
// hashes, compares, reverses or prints a key by hand asserts the number it was
// written for.
const FlowKeySeq = 1

// Flags of a FlowKey.
const (
	// KeyIPv6: the addresses are IPv6.
	KeyIPv6 uint8 = 1 << 0
	// KeyIPv4: the addresses are IPv4. A key has exactly one of the two family
	// flags, so that Tail is never zero and an all-zero key belongs to no packet.
	KeyIPv4 uint8 = 1 << 2
	// KeyRouted: the frame was addressed to the subnet's router, so that the
	// route table and the network ACLs apply.
	KeyRouted uint8 = 1 << 1
)

// Tail packs the last word of a FlowKey.
func Tail(srcPort, dstPort, eni uint16, proto, flags uint8) uint64 {
	return uint64(srcPort)<<48 | uint64(dstPort)<<32 | uint64(eni)<<16 | uint64(proto)<<8 | uint64(flags)
}

// SrcPort returns the source port.
func (k *FlowKey) SrcPort() uint16 { return uint16(k.Tail >> 48) }

// DstPort returns the destination port.
func (k *FlowKey) DstPort() uint16 { return uint16(k.Tail >> 32) }

// ENI returns the index of the ENI that sent the packet.
func (k *FlowKey) ENI() uint16 { return uint16(k.Tail >> 16) }

// Proto returns the IP protocol number.
func (k *FlowKey) Proto() uint8 { return uint8(k.Tail >> 8) }

// Flags returns the key's flags.
func (k *FlowKey) Flags() uint8 { return uint8(k.Tail) }

// IsIPv6 reports whether the addresses are IPv6.
func (k *FlowKey) IsIPv6() bool { return k.Tail&uint64(KeyIPv6) != 0 }

// Equal reports whether two keys are equal. It compiles to fewer instructions
// than ==, which calls the runtime for 40 bytes.
func (k *FlowKey) Equal(o *FlowKey) bool {
	return (k.Tail^o.Tail)|(k.Src.Lo^o.Src.Lo)|(k.Dst.Lo^o.Dst.Lo)|(k.Src.Hi^o.Src.Hi)|(k.Dst.Hi^o.Dst.Hi) == 0
}
