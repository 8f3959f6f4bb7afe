package pipeline

import (
	"encoding/binary"

	"github.com/nitrod/nitrod/hash"
)

// Types of neighbour and router discovery (RFC 4861).
const (
	ndRouterSolicit   = 133
	ndRouterAdvert    = 134
	ndNeighborSolicit = 135
	ndNeighborAdvert  = 136
	ndRedirect        = 137

	icmp6EchoRequest = 128
	icmp6EchoReply   = 129
)

// queryOf gives the request's type for the types of ICMP's queries and their
// replies (RFC 792, RFC 950), and whether it is the request.
func queryOf(t uint8, v6 bool) (request uint8, asks, ok bool) {
	if v6 {
		return icmp6EchoRequest, t == icmp6EchoRequest, t == icmp6EchoRequest || t == icmp6EchoReply
	}
	switch t {
	case 8, 13, 15, 17: // echo, timestamp, information, address mask
		return t, true, true
	case 0:
		return 8, false, true
	case 14, 16, 18:
		return t - 1, false, true
	}
	return 0, false, false
}

// answerPort returns the pseudo-port of the side that answers a query: the
// request's type. Where the identifier, which is the other side's, could be
// taken for such a port itself, the type is marked, so that no key of a request
// is ever that of a reply to another.
func answerPort(request uint8, id uint16) uint16 {
	const once, twice = 0xff00, 0xfe00
	switch low := id & 0xff; low {
	case 8, 13, 15, 17, icmp6EchoRequest:
		switch id {
		case low:
			return once | uint16(request)
		case once | low:
			return twice | uint16(request)
		}
	}
	return uint16(request)
}

func isICMPError(t uint8, v6 bool) bool {
	if v6 {
		return t < 128
	}
	return t == 3 || t == 4 || t == 5 || t == 11 || t == 12
}

// oddReply stands for the ports of an echo reply with a code, which answers
// nothing.
const oddReply = 0xfd00

// parseICMP sets what is particular to ICMP and returns the pseudo-ports of the
// key (see hash.FlowKey). For an error it completes the key itself, with the
// reverse of the flow that the error quotes.
//
// What an error in fragments quotes is not looked for: none is so long that it must
// be cut (RFC 1812 section 4.3.2.3, RFC 4443 section 2.4).
func parseICMP(l4 []byte, index uint16, flags uint8, k *hash.FlowKey, m *Meta) (src, dst uint16) {
	v6 := flags&hash.KeyIPv6 != 0
	m.ICMPType, m.ICMPCode = l4[0], l4[1]
	if request, asks, ok := queryOf(m.ICMPType, v6); ok && m.ICMPCode == 0 {
		id := binary.BigEndian.Uint16(l4[4:6])
		if asks {
			return id, answerPort(request, id)
		}
		return answerPort(request, id), id
	}
	switch {
	case !v6 && m.ICMPType == 0: // its type and code alone could be a query's ports
		return oddReply, oddReply | uint16(m.ICMPCode)
	case v6 && m.ICMPType >= ndRouterSolicit && m.ICMPType <= ndRedirect:
		m.class = classND
	case isICMPError(m.ICMPType, v6):
		m.class = classICMPError
		if m.Flags&flagFragment == 0 {
			m.Flags |= quotedKey(l4[8:], index, flags, k, &m.FragID)
		}
	}
	return 0, uint16(m.ICMPType)<<8 | uint16(m.ICMPCode)
}

// quotedKey sets k to the reverse of the flow of the packet that an ICMP error
// quotes, and returns flagQuoted if enough of it is there: RFC 792 promises the IP
// header and eight bytes. If that is a later fragment it sets id and returns
// flagQuotedLater, and k has no ports.
func quotedKey(q []byte, index uint16, flags uint8, k *hash.FlowKey, id *uint32) uint16 {
	var src, dst hash.Addr
	var proto uint8
	var l4 []byte
	v6, later := flags&hash.KeyIPv6 != 0, false
	if v6 {
		if len(q) < ipv6Header || q[0]>>4 != 6 {
			return 0
		}
		src = hash.Addr{Hi: binary.BigEndian.Uint64(q[8:16]), Lo: binary.BigEndian.Uint64(q[16:24])}
		dst = hash.Addr{Hi: binary.BigEndian.Uint64(q[24:32]), Lo: binary.BigEndian.Uint64(q[32:40])}
		at := 0
		if at, proto, later = quotedExtensions(q, id); at == 0 {
			return 0
		}
		l4 = q[at:]
	} else {
		if len(q) < ipv4Header || q[0]>>4 != 4 {
			return 0
		}
		hlen := int(q[0]&0xf) * 4
		if hlen < ipv4Header || len(q) < hlen {
			return 0
		}
		later = binary.BigEndian.Uint16(q[6:8])&0x1fff != 0
		if later {
			*id = uint32(binary.BigEndian.Uint16(q[4:6]))
		}
		src.Lo = uint64(binary.BigEndian.Uint32(q[12:16]))
		dst.Lo = uint64(binary.BigEndian.Uint32(q[16:20]))
		proto, l4 = q[9], q[hlen:]
	}
	var sp, dp uint16
	result := flagQuoted
	switch {
	case later && !v6 && proto != protoTCP && proto != protoUDP && proto != protoICMP: // no ports are missing
	case later:
		result = flagQuotedLater
	case proto == protoTCP || proto == protoUDP:
		if len(l4) < 4 {
			return 0
		}
		sp, dp = binary.BigEndian.Uint16(l4[0:2]), binary.BigEndian.Uint16(l4[2:4])
	case isICMP(proto, v6):
		if len(l4) < 8 {
			return 0
		}
		request, asks, ok := queryOf(l4[0], v6)
		if !ok || l4[1] != 0 {
			return 0 // an error about an error, or about what has no answer
		}
		if id := binary.BigEndian.Uint16(l4[4:6]); asks {
			sp, dp = id, answerPort(request, id)
		} else {
			sp, dp = answerPort(request, id), id
		}
	}
	*k = hash.FlowKey{Src: dst, Dst: src, Tail: hash.Tail(dp, sp, index, proto, flags)}
	return result
}

// isICMP reports whether a protocol is the family's ICMP; the other family's is a
// protocol like any other.
func isICMP(proto uint8, v6 bool) bool {
	return proto == protoICMP && !v6 || proto == protoICMPv6 && v6
}

// quotedExtensions walks the extension headers of a quoted IPv6 packet, of which
// the end may be missing, as far as extensions does. It returns where the upper
// layer begins, 0 if the quotation ends before, and whether it is a later
// fragment's, whose identification it sets.
func quotedExtensions(q []byte, id *uint32) (at int, proto uint8, later bool) {
	at, proto = ipv6Header, q[6]
	for range maxExtensions + 1 {
		size := 0
		switch proto {
		case extHopByHop, extRouting, extDestination, extFragment, extAuth:
			if at+8 > len(q) {
				return 0, 0, false
			}
			size = 8 + int(q[at+1])*8
		default:
			return at, proto, false
		}
		switch proto {
		case extAuth:
			size = 8 + int(q[at+1])*4
		case extFragment:
			size = 8
			if binary.BigEndian.Uint16(q[at+2:at+4])&^7 != 0 {
				*id = binary.BigEndian.Uint32(q[at+4 : at+8])
				return at + size, q[at], true
			}
		}
		proto = q[at]
		if at += size; at > len(q) {
			return 0, 0, false
		}
	}
	return 0, 0, false
}
