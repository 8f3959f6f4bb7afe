package pipeline

import (
	"encoding/binary"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
)

// Extension headers of IPv6 (RFC 8200 section 4, RFC 4302).
const (
	extHopByHop    = 0
	extRouting     = 43
	extFragment    = 44
	extAuth        = 51
	extDestination = 60

	// maxExtensions bounds the chain. RFC 8200 knows no use for more than one of
	// each header, and destination options twice; of fragment headers a second
	// one is refused outright.
	maxExtensions = 8
)

// parseIPv6 reads an IPv6 header (RFC 8200), its extension headers, and what
// follows them.
func parseIPv6(frame []byte, total uint32, index uint16, k *hash.FlowKey, m *Meta) drop.Reason {
	if len(frame) < int(m.L3)+ipv6Header {
		return short(len(frame), int(m.L3)+ipv6Header, total, drop.IPv6Truncated)
	}
	ip := frame[m.L3:]
	if ip[0]>>4 != 6 {
		return drop.IPv6BadVersion
	}
	payload := uint32(binary.BigEndian.Uint16(ip[4:6]))
	if ipv6Header+payload > total-uint32(m.L3) || payload == 0 && ip[6] == extHopByHop {
		return drop.IPv6BadPayloadLength
	}
	m.Flags |= flagIPv6
	m.L3Len = ipv6Header + payload
	m.TOS = uint8(binary.BigEndian.Uint16(ip[0:2]) >> 4)
	m.TTL = ip[7]
	k.Src = hash.Addr{Hi: binary.BigEndian.Uint64(ip[8:16]), Lo: binary.BigEndian.Uint64(ip[16:24])}
	k.Dst = hash.Addr{Hi: binary.BigEndian.Uint64(ip[24:32]), Lo: binary.BigEndian.Uint64(ip[32:40])}

	hlen, r := m.extensions(frame, total, ip[6])
	if r != drop.Unset {
		return r
	}
	return parseLayer4(frame, total, hlen, index, hash.KeyIPv6, k, m)
}

// extensions walks the chain that begins with header next, sets m.Proto, and
// returns where the upper layer begins, counted from the IPv6 header.
func (m *Meta) extensions(frame []byte, total uint32, next uint8) (int, drop.Reason) {
	at := ipv6Header
	end := min(len(frame)-int(m.L3), int(m.L3Len))
	ip := frame[m.L3:]
	fragmented := false
	for n := 0; ; n++ {
		size := 0
		switch next {
		case extHopByHop, extRouting, extDestination, extFragment, extAuth:
			if n == maxExtensions || next == extHopByHop && n > 0 {
				return 0, drop.IPv6BadExtension
			}
			if at+8 > end {
				return 0, m.shortL4(frame, total, int(m.L3)+at+8, drop.IPv6BadExtension)
			}
			size = 8 + int(ip[at+1])*8
		default:
			m.Proto = next
			return at, drop.Unset
		}
		switch next {
		case extAuth:
			size = 8 + int(ip[at+1])*4
		case extFragment:
			if fragmented {
				return 0, drop.IPv6BadExtension
			}
			fragmented = true
			size = 8
			field := binary.BigEndian.Uint16(ip[at+2 : at+4])
			offset, more := uint32(field&^7), field&1 != 0
			if offset != 0 || more { // else it is one in name only (RFC 6946)
				r := m.fragment(binary.BigEndian.Uint32(ip[at+4:at+8]), offset, m.L3Len-uint32(at+8), uint32(at-ipv6Header), more)
				if r != drop.Unset {
					return 0, r
				}
			}
		}
		next = ip[at]
		if at += size; at > end {
			return 0, m.shortL4(frame, total, int(m.L3)+at, drop.IPv6BadExtension)
		}
		if m.Flags&flagLater != 0 {
			m.Proto = next // of the fragmentable part; its headers are in the first fragment
			return at, drop.Unset
		}
	}
}
