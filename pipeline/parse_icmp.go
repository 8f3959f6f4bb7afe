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
		if quotedKey(l4[8:], index, flags, k) {
			m.Flags |= flagQuoted
		}
	}
	return 0, uint16(m.ICMPType)<<8 | uint16(m.ICMPCode)
}

// quotedKey sets k to the reverse of the flow of the packet that an ICMP error
// quotes, and reports whether enough of it is there: RFC 792 promises the IP
// header and eight bytes.
func quotedKey(q []byte, index uint16, flags uint8, k *hash.FlowKey) bool {
	var src, dst hash.Addr
	var proto uint8
	var l4 []byte
	if flags&hash.KeyIPv6 != 0 {
		if len(q) < ipv6Header || q[0]>>4 != 6 {
			return false
		}
		src = hash.Addr{Hi: binary.BigEndian.Uint64(q[8:16]), Lo: binary.BigEndian.Uint64(q[16:24])}
		dst = hash.Addr{Hi: binary.BigEndian.Uint64(q[24:32]), Lo: binary.BigEndian.Uint64(q[32:40])}
		inner := Meta{L3Len: uint32(len(q))}
		at, r := inner.extensions(q, uint32(len(q)), q[6])
		if r != 0 || inner.Flags&flagLater != 0 {
			return false
		}
		proto, l4 = inner.Proto, q[at:]
	} else {
		if len(q) < ipv4Header || q[0]>>4 != 4 {
			return false
		}
		hlen := int(q[0]&0xf) * 4
		if hlen < ipv4Header || len(q) < hlen || binary.BigEndian.Uint16(q[6:8])&0x1fff != 0 {
			return false
		}
		src.Lo = uint64(binary.BigEndian.Uint32(q[12:16]))
		dst.Lo = uint64(binary.BigEndian.Uint32(q[16:20]))
		proto, l4 = q[9], q[hlen:]
	}
	var sp, dp uint16
	switch proto {
	case protoTCP, protoUDP:
		if len(l4) < 4 {
			return false
		}
		sp, dp = binary.BigEndian.Uint16(l4[0:2]), binary.BigEndian.Uint16(l4[2:4])
	case protoICMP, protoICMPv6:
		if (proto == protoICMPv6) != (flags&hash.KeyIPv6 != 0) {
			break // as parseLayer4 has it
		}
		if len(l4) < 8 {
			return false
		}
		request, asks, ok := queryOf(l4[0], flags&hash.KeyIPv6 != 0)
		if !ok || l4[1] != 0 {
			return false // an error about an error, or about what has no answer
		}
		if id := binary.BigEndian.Uint16(l4[4:6]); asks {
			sp, dp = id, answerPort(request, id)
		} else {
			sp, dp = answerPort(request, id), id
		}
	}
	*k = hash.FlowKey{Src: dst, Dst: src, Tail: hash.Tail(dp, sp, index, proto, flags)}
	return true
}
