package packet

import (
	"encoding/binary"
	"net/netip"
)

// Sizes of the IPv6 header and of the fragment header.
const (
	IPv6Len         = 40
	IPv6FragmentLen = 8
)

// IPv6Header views an IPv6 packet from its header on (RFC 8200 sec. 3):
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------+---------------+---------------------------------------+
//	|version| traffic class |              flow label               |
//	+-------+---------------+-------+---------------+---------------+
//	|         payload length        |  next header  |   hop limit   |
//	+-------------------------------+---------------+---------------+
//	|                   source address, 16 bytes                    |
//	+---------------------------------------------------------------+
//	|                 destination address, 16 bytes                 |
//	+---------------------------------------------------------------+
//
// Methods other than IsValid need IPv6Len bytes; Payload may be called only
// after IsValid returned true.
type IPv6Header []byte

// IsValid reports whether the version is 6 and the payload lies within len(h).
// A jumbogram (RFC 2675: payload length 0 and a hop-by-hop option) passes as an
// empty packet; who walks the extension headers finds it truncated.
func (h IPv6Header) IsValid() bool {
	return len(h) >= IPv6Len && h[0]>>4 == 6 && IPv6Len+int(h.PayloadLen()) <= len(h)
}

// TrafficClass returns DSCP and ECN as one byte.
func (h IPv6Header) TrafficClass() uint8 { return h[0]<<4 | h[1]>>4 }

// FlowLabel returns the flow label, 20 bits.
func (h IPv6Header) FlowLabel() uint32 { return binary.BigEndian.Uint32(h[0:4]) & 0xfffff }

// PayloadLen returns the length of what follows the header, extension headers
// included, in bytes.
func (h IPv6Header) PayloadLen() uint16 { return binary.BigEndian.Uint16(h[4:6]) }

// NextHeader returns the number of the first extension header or of the upper
// protocol.
func (h IPv6Header) NextHeader() uint8 { return h[6] }

// HopLimit returns the hop limit.
func (h IPv6Header) HopLimit() uint8 { return h[7] }

// Src returns the source address as two words, the most significant first.
func (h IPv6Header) Src() (hi, lo uint64) {
	return binary.BigEndian.Uint64(h[8:16]), binary.BigEndian.Uint64(h[16:24])
}

// Dst returns the destination address as two words, the most significant first.
func (h IPv6Header) Dst() (hi, lo uint64) {
	return binary.BigEndian.Uint64(h[24:32]), binary.BigEndian.Uint64(h[32:40])
}

// SrcAddr returns the source address.
func (h IPv6Header) SrcAddr() netip.Addr { return netip.AddrFrom16([16]byte(h[8:24])) }

// DstAddr returns the destination address.
func (h IPv6Header) DstAddr() netip.Addr { return netip.AddrFrom16([16]byte(h[24:40])) }

// Payload returns what follows the header, up to the payload length.
func (h IPv6Header) Payload() []byte { return h[IPv6Len : IPv6Len+int(h.PayloadLen())] }

// DecrementHopLimit lowers the hop limit by one. It must be above 0; a router
// forwards only what has more than 1 (RFC 8200 sec. 3).
func (h IPv6Header) DecrementHopLimit() { h[7]-- }

// TransportSum returns the sum over the pseudo header and the transport bytes
// seg. It is 0xffff where seg holds a right checksum, and its complement is the
// checksum where that field is zero.
func (h IPv6Header) TransportSum(proto uint8, seg []byte) uint16 {
	return Add(PseudoIPv6(h, proto, uint32(len(seg))), Sum(seg))
}

func putIPv6(b []byte, payloadLen int, next, hopLimit uint8, src, dst [16]byte) {
	_ = b[:IPv6Len]
	binary.BigEndian.PutUint32(b[0:4], 6<<28)
	binary.BigEndian.PutUint16(b[4:6], uint16(payloadLen))
	b[6], b[7] = next, hopLimit
	copy(b[8:24], src[:])
	copy(b[24:40], dst[:])
}

// IPv6Fragment views a fragment header (RFC 8200 sec. 4.5):
//
//	+---------------+---------------+-------------------------+---+-+
//	|  next header  |   reserved    |     fragment offset     |res|M|
//	+---------------+---------------+-------------------------+---+-+
//	|                        identification                         |
//	+---------------------------------------------------------------+
//
// Methods need IPv6FragmentLen bytes.
type IPv6Fragment []byte

// NextHeader returns the number of what the first fragment begins with.
func (f IPv6Fragment) NextHeader() uint8 { return f[0] }

// Offset returns the place of the fragment in the fragmentable part, in bytes.
func (f IPv6Fragment) Offset() int { return int(binary.BigEndian.Uint16(f[2:4]) &^ 7) }

// More reports the M flag.
func (f IPv6Fragment) More() bool { return f[3]&1 != 0 }

// ID returns the identification.
func (f IPv6Fragment) ID() uint32 { return binary.BigEndian.Uint32(f[4:8]) }

// MaxIPv6Extensions is the number of extension headers that nitrod walks. RFC
// 8504 sec. 5.3 lets a node set such a limit.
const MaxIPv6Extensions = 8

// IPv6Upper says where the chain of extension headers of a packet ends.
type IPv6Upper struct {
	Proto    uint8 // upper protocol; ProtoNone where there is none
	Offset   int   // of the upper header, from the start of the IPv6 header
	Fragment int   // offset of the fragment header, 0 where there is none
}

// Upper walks the extension headers (RFC 8200 sec. 4). The walk ends at the
// first header that is not an extension, at ESP, and behind the fragment header
// of a later fragment, where no header follows. h must be valid.
//
// It fails where a header is truncated, where a hop-by-hop header is not the
// first, where there is a second fragment header, and beyond
// MaxIPv6Extensions.
func (h IPv6Header) Upper() (IPv6Upper, bool) {
	end := IPv6Len + int(h.PayloadLen())
	u := IPv6Upper{Proto: h.NextHeader(), Offset: IPv6Len}
	for n := 0; ; n++ {
		var size int
		switch u.Proto {
		case ProtoHopByHop:
			if n > 0 {
				return u, false
			}
			fallthrough
		case ProtoRouting, ProtoDestOpts, ProtoMobility:
			if u.Offset+8 > end {
				return u, false
			}
			size = (int(h[u.Offset+1]) + 1) * 8
		case ProtoAH: // RFC 4302 sec. 2.2: in words of four, less two
			if u.Offset+8 > end {
				return u, false
			}
			size = (int(h[u.Offset+1]) + 2) * 4
		case ProtoFragment:
			if u.Offset+IPv6FragmentLen > end || u.Fragment != 0 {
				return u, false
			}
			u.Fragment = u.Offset
			f := IPv6Fragment(h[u.Offset:])
			if f.Offset() != 0 {
				u.Proto, u.Offset = f.NextHeader(), u.Offset+IPv6FragmentLen
				return u, true
			}
			size = IPv6FragmentLen
		default:
			return u, true
		}
		if n == MaxIPv6Extensions || u.Offset+size > end {
			return u, false
		}
		u.Proto, u.Offset = h[u.Offset], u.Offset+size
	}
}
