package pipeline

import (
	"encoding/binary"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/policy"
)

// Ethernet types and IP protocols that the parser knows.
const (
	etherIPv4  = 0x0800
	etherARP   = 0x0806
	etherVLAN  = 0x8100
	etherQinQ  = 0x88a8
	etherIPv6  = 0x86dd
	ethHeader  = 14
	ipv4Header = 20
	ipv6Header = 40
	tcpHeader  = 20 // without options

	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
)

// parse is the stage that reads the headers of the packets that came from
// devices, hashes their keys, and takes those out that it drops.
func (w *Worker) parse() {
	for i := w.parsed; i < w.burst.n; {
		i = w.parsePort(i)
	}
	w.hash(w.burst.n)
}

// parsePort parses the packets from i on that came by one port, and returns
// where the next port's begin.
func (w *Worker) parsePort(i int) int {
	b := &w.burst
	port := b.desc[i].Port
	eni := w.portOwner(port)
	first := i
	var sender senderWords
	var vpc uint16
	if eni != noENI {
		sender, vpc = wordsOf(&w.enis[eni]), w.enis[eni].VPC
		if w.enis[eni].Outside() {
			w.arrive(i, port, eni)
		}
	}
	for i < b.n && b.desc[i].Port == port {
		if eni != noENI {
			end := min(i+hashGroup, b.n)
			n := parseCommon(b.desc[i:end], sender, vpc, eni, b.keys[i:end], b.meta[i:end])
			for end = i + n; i < end; i++ {
				b.scopes[i] = uint32(vpc)
			}
			w.hashGroups(i)
			if n == hashGroup || i == b.n || b.desc[i].Port != port {
				continue
			}
		}
		d := &b.desc[i]
		r := drop.PortWithoutENI
		if eni != noENI {
			r = w.engine.guests[eni].parse(pktio.Bytes(d.Data, d.Len), d.PktLen, &w.enis[eni], eni, &b.keys[i], &b.meta[i])
		}
		if r != drop.Unset {
			w.refuse(d, eni, r)
			copy(b.desc[i:], b.desc[i+1:b.n])
			b.n--
			continue
		}
		b.scopes[i] = uint32(vpc)
		i++
	}
	if eni != noENI && w.enis[eni].Flags&policy.IsServicePort != 0 {
		for j := range b.meta[first:i] {
			b.meta[first+j].Flags |= flagService
		}
	}
	return i
}

// portOwner returns the ENI of a port, or noENI: the port has none, or policy
// has removed it since.
func (w *Worker) portOwner(port uint16) uint16 {
	if int(port) >= len(w.portENI) {
		return noENI
	}
	eni := w.portENI[port]
	if eni != noENI && w.enis[eni].Dead() {
		return noENI
	}
	return eni
}

// parseFrame reads the headers of a frame that ENI index sent; behind a port that
// belongs to no ENI there may be senders of several MACs. frame is what
// lies contiguous of a packet of total bytes. It returns the reason to drop the
// packet, or Unset. It reads nothing beyond frame and keeps no reference to it.
func parseFrame(frame []byte, total uint32, eni *policy.ENIRecord, index uint16, k *hash.FlowKey, m *Meta) drop.Reason {
	*m = Meta{ENI: index, VPC: eni.VPC, Egress: noENI}
	*k = hash.FlowKey{}
	if len(frame) < ethHeader {
		return short(len(frame), ethHeader, total, drop.FrameTooShort)
	}
	if [6]byte(frame[6:12]) != eni.MAC && !eni.Outside() {
		return drop.SourceMACSpoofed
	}
	if [6]byte(frame[0:6]) == eni.RouterMAC {
		m.Flags |= flagRouted
	} else if frame[0]&1 != 0 {
		m.Flags |= flagGroup
	}
	etherType := binary.BigEndian.Uint16(frame[12:14])
	m.L3 = ethHeader
	if etherType == etherIPv4 {
		return parseIPv4(frame, total, index, k, m)
	}
	tagged := false
	for range 2 {
		if etherType != etherVLAN && etherType != etherQinQ {
			break
		}
		if len(frame) < int(m.L3)+4 {
			return short(len(frame), int(m.L3)+4, total, drop.VLANTruncated)
		}
		etherType = binary.BigEndian.Uint16(frame[m.L3+2:])
		m.L3 += 4
		tagged = true
	}
	var r drop.Reason
	switch etherType {
	case etherIPv4:
		r = parseIPv4(frame, total, index, k, m)
	case etherIPv6:
		r = parseIPv6(frame, total, index, k, m)
	case etherARP:
		r = parseARP(frame, total, index, k, m)
	default:
		r = drop.EtherTypeUnknown
	}
	if r == drop.Unset && tagged {
		r = drop.VLANTagged
	}
	return r
}

// short tells a packet that is too short from one whose headers merely do not
// lie in the first segment.
func short(have, need int, total uint32, r drop.Reason) drop.Reason {
	if need > have && uint32(need) <= total && uint32(have) < total {
		return drop.HeadersSplit
	}
	return r
}

// parseARP checks an ARP message over Ethernet and IPv4 (RFC 826).
func parseARP(frame []byte, total uint32, index uint16, k *hash.FlowKey, m *Meta) drop.Reason {
	const length, ethernetIPv4 = 28, 0x0001_0800_0604
	a := frame[m.L3:]
	if len(a) < length {
		return short(len(frame), int(m.L3)+length, total, drop.ARPMalformed)
	}
	if binary.BigEndian.Uint64(a)>>16 != ethernetIPv4 {
		return drop.ARPMalformed
	}
	m.class = classARP
	m.L3Len = total - uint32(m.L3)
	k.Src.Lo = uint64(index) // no flow: nobody's messages wait for another's
	k.Tail = hash.Tail(0, 0, index, 0, hash.KeyIPv4)
	return drop.Unset
}

// parseIPv4 reads an IPv4 header (RFC 791) and what follows it.
func parseIPv4(frame []byte, total uint32, index uint16, k *hash.FlowKey, m *Meta) drop.Reason {
	if len(frame) < int(m.L3)+ipv4Header {
		return short(len(frame), int(m.L3)+ipv4Header, total, drop.IPv4Truncated)
	}
	ip := frame[m.L3:]
	hlen := ipv4Header
	if ip[0] != 0x45 {
		if ip[0]>>4 != 4 {
			return drop.IPv4BadVersion
		}
		if hlen = int(ip[0]&0xf) * 4; hlen < ipv4Header {
			return drop.IPv4BadHeaderLength
		}
		if len(ip) < hlen {
			return short(len(frame), int(m.L3)+hlen, total, drop.IPv4BadHeaderLength)
		}
	}
	length := uint32(binary.BigEndian.Uint16(ip[2:4]))
	if length < uint32(hlen) || length > total-uint32(m.L3) {
		return drop.IPv4BadTotalLength
	}
	if !ipv4ChecksumOK(ip[:hlen]) {
		return drop.IPv4BadChecksum
	}
	m.L3Len = length
	m.TOS, m.TTL, m.Proto = ip[1], ip[8], ip[9]
	k.Src.Lo = uint64(binary.BigEndian.Uint32(ip[12:16]))
	k.Dst.Lo = uint64(binary.BigEndian.Uint32(ip[16:20]))

	const moreFragments, offsetMask = 0x2000, 0x1fff
	fragment := binary.BigEndian.Uint16(ip[6:8])
	if fragment&(moreFragments|offsetMask) != 0 {
		r := m.fragment(uint32(binary.BigEndian.Uint16(ip[4:6])),
			uint32(fragment&offsetMask)*8, length-uint32(hlen), uint32(hlen), fragment&moreFragments != 0)
		if r != drop.Unset {
			return r
		}
	}
	return parseLayer4(frame, total, hlen, index, hash.KeyIPv4, k, m)
}

// maxDatagram is what an IPv4 packet has at most, and an IPv6 packet behind its
// header.
const maxDatagram = 65535

// fragment notes a fragment of length bytes at offset. head is what comes before
// them and counts as part of the datagram's length.
func (m *Meta) fragment(id, offset, length, head uint32, more bool) drop.Reason {
	if length == 0 || more && length%8 != 0 {
		return drop.FragmentMalformed
	}
	if head+offset+length > maxDatagram {
		return drop.FragmentTooLong
	}
	m.FragID, m.FragAt, m.FragLen = id, uint16(offset), uint16(length)
	m.Flags |= flagFragment
	if offset != 0 {
		m.Flags |= flagLater
	}
	if more {
		m.Flags |= flagMore
	}
	return drop.Unset
}

// ipv4ChecksumOK reports whether a header sums to zero (RFC 1071).
func ipv4ChecksumOK(h []byte) bool {
	var sum uint64
	for ; len(h) >= 4; h = h[4:] {
		sum += uint64(binary.BigEndian.Uint32(h))
	}
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	return sum == 0xffff
}

// parseLayer4 reads the transport header, hlen bytes after the IP header's
// start, and completes the key.
func parseLayer4(frame []byte, total uint32, hlen int, index uint16, family uint8, k *hash.FlowKey, m *Meta) drop.Reason {
	flags := family
	if m.Flags&flagRouted != 0 {
		flags |= hash.KeyRouted
	}
	k.Tail = hash.Tail(0, 0, index, m.Proto, flags)
	if m.Flags&flagLater != 0 {
		if m.Proto == protoTCP && m.FragAt < tcpHeader {
			return drop.FragmentInHeader // no first fragment that passes leaves room for it (RFC 1858)
		}
		return m.groupAllowed(k)
	}
	at := int(m.L3) + hlen
	m.L4 = uint16(at)
	l4 := frame[min(at, len(frame)):min(len(frame), int(m.L3)+int(m.L3Len))]
	length := m.L3Len - uint32(hlen)

	var src, dst uint16
	switch m.Proto {
	case protoTCP:
		if len(l4) < tcpHeader {
			return m.shortL4(frame, total, at+tcpHeader, drop.TCPTruncated)
		}
		if offset := uint32(l4[12]>>4) * 4; offset < tcpHeader {
			return drop.TCPBadOffset
		} else if offset > length {
			return m.tiny(drop.TCPBadOffset)
		}
		src, dst = binary.BigEndian.Uint16(l4[0:2]), binary.BigEndian.Uint16(l4[2:4])
		m.TCPFlags = l4[13]
		m.Seq, m.Ack = binary.BigEndian.Uint32(l4[4:8]), binary.BigEndian.Uint32(l4[8:12])
		m.Window, m.Payload = binary.BigEndian.Uint16(l4[14:16]), uint16(length-uint32(l4[12]>>4)*4)
	case protoUDP:
		const header = 8
		if len(l4) < header {
			return m.shortL4(frame, total, at+header, drop.UDPTruncated)
		}
		// The length of a first fragment is that of the whole datagram.
		if n := uint32(binary.BigEndian.Uint16(l4[4:6])); n < header || n > length && m.Flags&flagFragment == 0 {
			return drop.UDPBadLength
		}
		src, dst = binary.BigEndian.Uint16(l4[0:2]), binary.BigEndian.Uint16(l4[2:4])
		if dst == 67 && src == 68 && m.Flags&flagGroup != 0 && m.Flags&(flagFragment|flagIPv6) == 0 {
			m.class = classDHCP
		} else if m.isDHCP6(k.Dst.Hi, k.Dst.Lo, dst) {
			m.class = classDHCP6
		}
	case protoICMP, protoICMPv6:
		if (m.Proto == protoICMPv6) != (family == hash.KeyIPv6) {
			break // the other family's ICMP is a protocol like any other
		}
		const header = 8
		if len(l4) < header {
			return m.shortL4(frame, total, at+header, drop.ICMPTruncated)
		}
		outer := *k
		src, dst = parseICMP(l4, index, flags, k, m)
		if m.class == classND && m.Flags&flagFragment != 0 {
			return drop.NDMalformed // RFC 6980
		}
		if m.Flags&(flagQuoted|flagQuotedLater) != 0 {
			return m.groupAllowed(&outer) // k is complete, and not this packet's own
		}
	}
	k.Tail |= uint64(src)<<48 | uint64(dst)<<32
	return m.groupAllowed(k)
}

func (m *Meta) shortL4(frame []byte, total uint32, need int, r drop.Reason) drop.Reason {
	return short(len(frame), need, min(total, uint32(m.L3)+m.L3Len), m.tiny(r))
}

// tiny returns why a packet is dropped that ends inside its headers: what would
// complete them may follow in another fragment, where nobody looks for it (RFC
// 1858, RFC 7112).
func (m *Meta) tiny(r drop.Reason) drop.Reason {
	if m.Flags&flagFragment != 0 {
		return drop.FragmentTiny
	}
	return r
}

// groupAllowed drops broadcast and multicast other than what nitrod answers.
func (m *Meta) groupAllowed(k *hash.FlowKey) drop.Reason {
	if m.Flags&flagGroup == 0 || m.class == classDHCP || m.class == classDHCP6 || m.class == classND {
		return drop.Unset
	}
	if !k.IsIPv6() && k.Dst.Lo>>28 != 0xe {
		return drop.Broadcast
	}
	return drop.Multicast
}
