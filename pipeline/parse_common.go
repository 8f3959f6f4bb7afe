package pipeline

import (
	"encoding/binary"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/policy"
)

// senderWords is what the Ethernet header of an ENI's unicast IP frames looks
// like in words, so that the common case is told by three comparisons.
type senderWords struct {
	mac    uint64 // source, in the low 48 bits, first byte lowest
	router uint64 // likewise
}

func wordsOf(eni *policy.ENIRecord) senderWords {
	return senderWords{macWord(eni.MAC), macWord(eni.RouterMAC)}
}

func macWord(m [6]byte) uint64 {
	return uint64(binary.LittleEndian.Uint32(m[0:4])) | uint64(binary.LittleEndian.Uint16(m[4:6]))<<32
}

const mac48 = 1<<48 - 1

// parseCommon is parseFrame for a run of the packets that make up the load:
// untagged unicast TCP and UDP, over IPv4 without options and fragments or IPv6
// without extension headers, with headers that lie in one piece and are right.
// It fills keys and metas of the packets at the beginning of descs up to the
// first that is not such a one, or came by another port, and returns their
// number. For these it does what parseFrame does (TestParseCommonTwin); that
// one may be as right, and parseFrame has to look.
func parseCommon(descs []pktio.Desc, s senderWords, vpc, index uint16, keys []hash.FlowKey, metas []Meta) int {
	const need4, need6 = ethHeader + ipv4Header + 20, ethHeader + ipv6Header + 8
	le, be := binary.LittleEndian, binary.BigEndian
	keys, metas = keys[:len(descs)], metas[:len(descs)]
	for i := range descs {
		d, k, m := &descs[i], &keys[i], &metas[i]
		if d.Len < need4 || d.Port != descs[0].Port {
			return i
		}
		total := d.PktLen
		h := (*[need4]byte)(pktio.Bytes(d.Data, need4))
		dst := le.Uint64(h[0:8]) & mac48
		if le.Uint64(h[6:14])&mac48 != s.mac || dst&1 != 0 {
			return i
		}
		flags, keyFlags := uint16(0), uint64(0)
		if dst == s.router {
			flags, keyFlags = flagRouted, uint64(hash.KeyRouted)
		}
		const ipv4NoOptions, ipv6 = 0x450008, 0xdd86 // as little-endian words
		word := le.Uint32(h[12:16])
		if word&0xffffff != ipv4NoOptions {
			if word&0xf0ffff == 0x60<<16|ipv6 && d.Len >= need6 &&
				common6(pktio.Bytes(d.Data, d.Len), total, flags, uint8(keyFlags)|hash.KeyIPv6, vpc, index, k, m) {
				continue
			}
			return i
		}
		length := uint32(be.Uint16(h[16:18]))
		// The one's complement sum may be taken in either byte order (RFC 1071).
		sum := uint64(le.Uint32(h[14:18])) + uint64(le.Uint32(h[18:22])) + uint64(le.Uint32(h[22:26])) +
			uint64(le.Uint32(h[26:30])) + uint64(le.Uint32(h[30:34]))
		sum = sum>>32 + sum&0xffffffff
		sum = sum>>16 + sum&0xffff
		sum = sum>>16 + sum&0xffff
		const fragmentBits = 0xff3f // more fragments and the offset, little-endian
		if length > total-ethHeader || le.Uint16(h[20:22])&fragmentBits != 0 || (sum+sum>>16)&0xffff != 0xffff {
			return i
		}
		// Field by field: a literal would be put together on the stack and copied
		// in wider pieces than it was written, which stalls.
		*m = Meta{}
		proto := h[23]
		switch proto {
		case protoUDP:
			if n := uint32(be.Uint16(h[38:40])); length < ipv4Header+8 || n < 8 || n > length-ipv4Header {
				return i
			}
		case protoTCP:
			offset := uint32(h[46] >> 4 * 4)
			if length < ipv4Header+20 || offset < 20 || offset > length-ipv4Header {
				return i
			}
			m.Seq, m.Ack, m.TCPFlags = be.Uint32(h[38:42]), be.Uint32(h[42:46]), h[47]
			m.Window, m.Payload = be.Uint16(h[48:50]), uint16(length-ipv4Header-offset)
		default:
			return i
		}
		k.Src.Hi, k.Src.Lo = 0, uint64(be.Uint32(h[26:30]))
		k.Dst.Hi, k.Dst.Lo = 0, uint64(be.Uint32(h[30:34]))
		k.Tail = uint64(be.Uint32(h[34:38]))<<32 | uint64(index)<<16 | uint64(proto)<<8 | keyFlags | uint64(hash.KeyIPv4)
		m.L3Len, m.VPC, m.ENI, m.L3, m.L4 = length, vpc, index, ethHeader, ethHeader+ipv4Header
		m.Flags, m.Egress, m.Proto, m.TTL, m.TOS = flags, noENI, proto, h[22], h[15]
	}
	return len(descs)
}

func common6(frame []byte, total uint32, flags uint16, keyFlags uint8, vpc, index uint16, k *hash.FlowKey, m *Meta) bool {
	be := binary.BigEndian
	h := (*[62]byte)(frame)
	payload := uint32(be.Uint16(h[18:20]))
	proto := h[20]
	if payload > total-ethHeader-ipv6Header || payload < 8 {
		return false
	}
	*m = Meta{}
	switch proto {
	case protoUDP:
		if n := uint32(be.Uint16(h[58:60])); n < 8 || n > payload {
			return false
		}
	case protoTCP:
		if len(frame) < ethHeader+ipv6Header+20 || payload < 20 {
			return false
		}
		tcp := (*[20]byte)(frame[ethHeader+ipv6Header:])
		offset := uint32(tcp[12] >> 4 * 4)
		if offset-20 > 20 || offset > payload { // more than commonHeaders, or fewer than TCP's own
			return false
		}
		m.Seq, m.Ack, m.TCPFlags = be.Uint32(tcp[4:8]), be.Uint32(tcp[8:12]), tcp[13]
		m.Window, m.Payload = be.Uint16(tcp[14:16]), uint16(payload-offset)
	default:
		return false
	}
	ports := be.Uint32(h[54:58])
	k.Src.Hi, k.Src.Lo = be.Uint64(h[22:30]), be.Uint64(h[30:38])
	k.Dst.Hi, k.Dst.Lo = be.Uint64(h[38:46]), be.Uint64(h[46:54])
	k.Tail = uint64(ports)<<32 | uint64(index)<<16 | uint64(proto)<<8 | uint64(keyFlags)
	m.L3Len, m.VPC, m.ENI, m.L3, m.L4 = ipv6Header+payload, vpc, index, ethHeader, ethHeader+ipv6Header
	m.Flags, m.Egress, m.Proto = flags|flagIPv6, noENI, proto
	m.TTL, m.TOS = h[21], h[14]<<4|h[15]>>4
	return true
}
