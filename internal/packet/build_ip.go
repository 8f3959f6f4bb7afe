package packet

import (
	"encoding/binary"
	"net/netip"
)

// IPv4 is an IPv4 header.
type IPv4 struct {
	Src, Dst    netip.Addr
	TTL         uint8 // 0: 64; see ZeroTTL
	ZeroTTL     bool
	Proto       uint8 // 0: by the next layer
	TOS         uint8
	ID          uint16
	DF, MF      bool
	FragOffset  int    // in bytes, a multiple of 8
	Options     []byte // padded with zeros to a multiple of 4, at most 40
	TotalLen    uint16 // 0: computed
	BadChecksum bool
}

func (l IPv4) wrap(inner []byte, _ []Layer, next Layer) []byte {
	opts := Pad(l.Options, (len(l.Options)+3)&^3)
	if len(opts) > 40 || l.FragOffset%8 != 0 {
		panic("packet: IPv4 options longer than 40 bytes, or fragment offset not a multiple of 8")
	}
	h := IPv4Header(append(make([]byte, IPv4MinLen), opts...))
	h[0], h[1] = 0x40|byte(len(h)/4), l.TOS
	total := int(l.TotalLen)
	if total == 0 {
		total = len(h) + len(inner)
	}
	if total > 0xffff {
		panic("packet: IPv4 packet longer than 65535 bytes")
	}
	binary.BigEndian.PutUint16(h[2:4], uint16(total))
	binary.BigEndian.PutUint16(h[4:6], l.ID)
	frag := uint16(l.FragOffset / 8)
	if l.DF {
		frag |= ipv4DF
	}
	if l.MF {
		frag |= ipv4MF
	}
	binary.BigEndian.PutUint16(h[6:8], frag)
	h[8], h[9] = orTTL(l.TTL, l.ZeroTTL, 64), orProto(l.Proto, next)
	binary.BigEndian.PutUint32(h[12:16], ip4(l.Src))
	binary.BigEndian.PutUint32(h[16:20], ip4(l.Dst))
	h.UpdateChecksum()
	if l.BadChecksum {
		h.SetChecksum(h.Checksum() ^ 0x5555)
	}
	return prepend(h, inner)
}

// IPv6 is an IPv6 header.
type IPv6 struct {
	Src, Dst     netip.Addr // not valid: ::
	HopLimit     uint8      // 0: 64; see ZeroHops
	ZeroHops     bool
	Next         uint8 // 0: by the next layer
	TrafficClass uint8
	FlowLabel    uint32
	PayloadLen   uint16 // 0: computed
}

func (l IPv6) wrap(inner []byte, _ []Layer, next Layer) []byte {
	h := make(IPv6Header, IPv6Len)
	length := int(l.PayloadLen)
	if length == 0 {
		length = len(inner)
	}
	if length > 0xffff {
		panic("packet: IPv6 payload longer than 65535 bytes")
	}
	putIPv6(h, length, orProto(l.Next, next), orTTL(l.HopLimit, l.ZeroHops, 64), ip6(l.Src), ip6(l.Dst))
	binary.BigEndian.PutUint32(h[0:4], 6<<28|uint32(l.TrafficClass)<<20|l.FlowLabel&0xfffff)
	return prepend(h, inner)
}

// IPv6Ext is an extension header: hop-by-hop, routing, destination options or
// AH. The fragment header is IPv6Frag.
type IPv6Ext struct {
	Proto uint8 // its own number, such as ProtoDestOpts
	Next  uint8 // 0: by the next layer
	Data  []byte
	Len   uint8 // the length field; 0: computed
}

func (l IPv6Ext) wrap(inner []byte, _ []Layer, next Layer) []byte {
	h := append([]byte{orProto(l.Next, next), 0}, l.Data...)
	if pad := -len(h) & 7; pad > 0 {
		fill := make([]byte, pad)
		if (l.Proto == ProtoHopByHop || l.Proto == ProtoDestOpts) && pad > 1 {
			fill[0], fill[1] = 1, byte(pad-2) // PadN
		}
		h = append(h, fill...)
	}
	h[1] = byte(len(h)/8 - 1)
	if l.Proto == ProtoAH {
		h[1] = byte(len(h)/4 - 2)
	}
	if l.Len != 0 {
		h[1] = l.Len
	}
	return prepend(h, inner)
}

// IPv6Frag is a fragment header.
type IPv6Frag struct {
	Next   uint8 // 0: by the next layer
	Offset int   // in bytes, a multiple of 8
	More   bool
	ID     uint32
}

func (l IPv6Frag) wrap(inner []byte, _ []Layer, next Layer) []byte {
	if l.Offset%8 != 0 || l.Offset > 0xfff8 {
		panic("packet: fragment offset not a multiple of 8, or above 65528")
	}
	h := make([]byte, IPv6FragmentLen)
	h[0] = orProto(l.Next, next)
	off := uint16(l.Offset)
	if l.More {
		off |= 1
	}
	binary.BigEndian.PutUint16(h[2:4], off)
	binary.BigEndian.PutUint32(h[4:8], l.ID)
	return prepend(h, inner)
}

func orTTL(ttl uint8, zero bool, otherwise uint8) uint8 {
	if ttl == 0 && !zero {
		return otherwise
	}
	return ttl
}

// orProto returns proto, or the number of the next layer where proto is 0.
func orProto(proto uint8, next Layer) uint8 {
	if proto != 0 {
		return proto
	}
	switch l := next.(type) {
	case IPv4:
		return ProtoIPIP
	case IPv6:
		return ProtoIPv6
	case IPv6Ext:
		return l.Proto
	case IPv6Frag:
		return ProtoFragment
	case TCP:
		return ProtoTCP
	case UDP:
		return ProtoUDP
	case ICMP:
		return ProtoICMP
	case ICMPv6:
		return ProtoICMPv6
	case nil:
		return ProtoNone
	}
	return 253 // for experiments (RFC 3692)
}

// ip6 returns a's bytes, zero where it is not valid.
func ip6(a netip.Addr) [16]byte {
	if !a.IsValid() {
		return [16]byte{}
	}
	return a.As16()
}

// transportSum returns the sum over pseudo header and seg for the innermost IP
// layer of outer; without one it is the sum over seg alone.
func transportSum(outer []Layer, proto uint8, seg []byte) uint16 {
	for i := len(outer) - 1; i >= 0; i-- {
		switch l := outer[i].(type) {
		case IPv4:
			return Add(PseudoIPv4(ip4(l.Src), ip4(l.Dst), proto, uint16(len(seg))), Sum(seg))
		case IPv6:
			h := make(IPv6Header, IPv6Len)
			putIPv6(h, 0, 0, 0, ip6(l.Src), ip6(l.Dst))
			return h.TransportSum(proto, seg)
		}
	}
	return Sum(seg)
}
