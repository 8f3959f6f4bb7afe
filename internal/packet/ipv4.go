package packet

import (
	"encoding/binary"
	"net/netip"
)

// IP protocol numbers (IANA).
const (
	ProtoHopByHop = 0
	ProtoICMP     = 1
	ProtoIPIP     = 4
	ProtoTCP      = 6
	ProtoUDP      = 17
	ProtoIPv6     = 41
	ProtoRouting  = 43
	ProtoFragment = 44
	ProtoGRE      = 47
	ProtoESP      = 50
	ProtoAH       = 51
	ProtoICMPv6   = 58
	ProtoNone     = 59
	ProtoDestOpts = 60
	ProtoMobility = 135
)

// IPv4MinLen is the size of an IPv4 header without options.
const IPv4MinLen = 20

// Bits of the flags and fragment offset field.
const (
	ipv4DF     = 0x4000
	ipv4MF     = 0x2000
	ipv4Offset = 0x1fff
)

// IPv4Header views an IPv4 packet from its header on (RFC 791 sec. 3.1):
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------+-------+---------------+-------------------------------+
//	|version|  IHL  |DSCP and ECN   |          total length         |
//	+-------+-------+---------------+-----+-------------------------+
//	|        identification         |flags|     fragment offset     |
//	+---------------+---------------+-----+-------------------------+
//	|      TTL      |   protocol    |        header checksum        |
//	+---------------+---------------+-------------------------------+
//	|                        source address                         |
//	+---------------------------------------------------------------+
//	|                     destination address                       |
//	+---------------------------------------------------------------+
//	|                     options (IHL > 5) ...                     |
//
// Methods other than IsValid need IPv4MinLen bytes; Options and Payload may be
// called only after IsValid returned true.
type IPv4Header []byte

// IsValid reports whether version, header length and total length agree with
// each other and with len(h). It does not look at the checksum.
func (h IPv4Header) IsValid() bool {
	if len(h) < IPv4MinLen || h[0]>>4 != 4 {
		return false
	}
	hl, tl := h.HeaderLen(), int(h.TotalLen())
	return hl >= IPv4MinLen && hl <= tl && tl <= len(h)
}

// HeaderLen returns the length of the header with its options, in bytes.
func (h IPv4Header) HeaderLen() int { return int(h[0]&0xf) * 4 }

// TOS returns DSCP and ECN as one byte.
func (h IPv4Header) TOS() uint8 { return h[1] }

// TotalLen returns the length of header and payload, in bytes.
func (h IPv4Header) TotalLen() uint16 { return binary.BigEndian.Uint16(h[2:4]) }

// ID returns the identification field.
func (h IPv4Header) ID() uint16 { return binary.BigEndian.Uint16(h[4:6]) }

// DontFragment reports the DF flag.
func (h IPv4Header) DontFragment() bool { return h[6]&(ipv4DF>>8) != 0 }

// MoreFragments reports the MF flag.
func (h IPv4Header) MoreFragments() bool { return h[6]&(ipv4MF>>8) != 0 }

// FragmentOffset returns the place of the payload in its datagram, in bytes.
func (h IPv4Header) FragmentOffset() int {
	return int(binary.BigEndian.Uint16(h[6:8])&ipv4Offset) * 8
}

// IsFragment reports whether the packet is a part of a datagram, the first one
// included.
func (h IPv4Header) IsFragment() bool {
	return binary.BigEndian.Uint16(h[6:8])&(ipv4MF|ipv4Offset) != 0
}

// TTL returns the time to live.
func (h IPv4Header) TTL() uint8 { return h[8] }

// Protocol returns the protocol number of the payload.
func (h IPv4Header) Protocol() uint8 { return h[9] }

// Checksum returns the header checksum.
func (h IPv4Header) Checksum() uint16 { return binary.BigEndian.Uint16(h[10:12]) }

// Src returns the source address.
func (h IPv4Header) Src() uint32 { return binary.BigEndian.Uint32(h[12:16]) }

// Dst returns the destination address.
func (h IPv4Header) Dst() uint32 { return binary.BigEndian.Uint32(h[16:20]) }

// SrcAddr returns the source address.
func (h IPv4Header) SrcAddr() netip.Addr { return netip.AddrFrom4([4]byte(h[12:16])) }

// DstAddr returns the destination address.
func (h IPv4Header) DstAddr() netip.Addr { return netip.AddrFrom4([4]byte(h[16:20])) }

// Options returns the options, padding included.
func (h IPv4Header) Options() []byte { return h[IPv4MinLen:h.HeaderLen()] }

// Payload returns what follows the header, up to the total length.
func (h IPv4Header) Payload() []byte { return h[h.HeaderLen():h.TotalLen()] }

// ChecksumOK reports whether the header checksum is right. The header length
// must be within the bytes of h.
func (h IPv4Header) ChecksumOK() bool { return Sum(h[:h.HeaderLen()]) == 0xffff }

// SetChecksum sets the header checksum.
func (h IPv4Header) SetChecksum(c uint16) { binary.BigEndian.PutUint16(h[10:12], c) }

// UpdateChecksum computes the header checksum anew. The header length must be
// within the bytes of h.
func (h IPv4Header) UpdateChecksum() {
	h.SetChecksum(0)
	h.SetChecksum(Checksum(h[:h.HeaderLen()]))
}

// DecrementTTL lowers the time to live by one and updates the checksum. The
// time to live must be above 0; a router forwards only what has more than 1
// (RFC 1812 sec. 5.3.1).
func (h IPv4Header) DecrementTTL() {
	h[8]--
	// RFC 1624 equation 3 with the word TTL|protocol lowered by 0x0100: the
	// complement of the old word plus the new one is always 0xfeff.
	h.SetChecksum(^Add(^h.Checksum(), 0xfeff))
}

// SetSrc sets the source address and updates the header checksum; the transport
// checksum is left to the caller.
func (h IPv4Header) SetSrc(a uint32) {
	h.SetChecksum(Update32(h.Checksum(), h.Src(), a))
	binary.BigEndian.PutUint32(h[12:16], a)
}

// SetDst sets the destination address and updates the header checksum; the
// transport checksum is left to the caller.
func (h IPv4Header) SetDst(a uint32) {
	h.SetChecksum(Update32(h.Checksum(), h.Dst(), a))
	binary.BigEndian.PutUint32(h[16:20], a)
}

// TransportSum returns the sum over the pseudo header and the transport bytes
// seg. It is 0xffff where seg holds a right checksum, and its complement is the
// checksum where that field is zero. For ICMP, which has no pseudo header, use
// Sum.
func (h IPv4Header) TransportSum(proto uint8, seg []byte) uint16 {
	return Add(PseudoIPv4(h.Src(), h.Dst(), proto, uint16(len(seg))), Sum(seg))
}

// putIPv4 writes a header without options and its checksum.
func putIPv4(b []byte, totalLen int, ttl, proto uint8, src, dst uint32) {
	_ = b[:IPv4MinLen]
	b[0], b[1] = 0x45, 0
	binary.BigEndian.PutUint16(b[2:4], uint16(totalLen))
	// An atomic datagram needs no identification (RFC 6864 sec. 4.1).
	binary.BigEndian.PutUint32(b[4:8], ipv4DF)
	b[8], b[9] = ttl, proto
	binary.BigEndian.PutUint32(b[12:16], src)
	binary.BigEndian.PutUint32(b[16:20], dst)
	IPv4Header(b).UpdateChecksum()
}
