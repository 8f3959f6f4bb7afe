package pipeline

import (
	"encoding/binary"

	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/policy/mapping"
)

// This file is the translation of an internet gateway (docs/semantics.md S4.7):
// one address for one address, in place, with the checksums of the IP header and
// of TCP and UDP mended by the difference (RFC 1624). It works on IPv4 packets
// from their header on, as far as they lie contiguous.

// Offsets of the addresses in an IPv4 header.
const (
	sourceField      = 12
	destinationField = 16
)

// natOut puts the public address in the place of the source, and reports whether
// there is one. A packet that an ICMP error quotes was sent to the private
// address, and becomes what the world has sent.
func natOut(ip []byte, nat *mapping.NAT) bool {
	to, ok := nat.Public(binary.BigEndian.Uint32(ip[sourceField:]))
	if ok {
		replaceAddress(ip, sourceField, to)
		if q := quoted(ip); q != nil {
			if to, ok := nat.Public(binary.BigEndian.Uint32(q[destinationField:])); ok {
				replaceQuoted(ip, q, destinationField, to)
			}
		}
	}
	return ok
}

// natIn puts the private address in the place of the destination, and reports
// whether there is one. A packet that an ICMP error quotes came from the public
// address, and becomes what the guest has sent.
func natIn(ip []byte, nat *mapping.NAT) bool {
	to, ok := nat.Private(binary.BigEndian.Uint32(ip[destinationField:]))
	if ok {
		replaceAddress(ip, destinationField, to)
		if q := quoted(ip); q != nil {
			if to, ok := nat.Private(binary.BigEndian.Uint32(q[sourceField:])); ok {
				replaceQuoted(ip, q, sourceField, to)
			}
		}
	}
	return ok
}

// replaceAddress replaces an address of an IPv4 header and mends what covers it.
// ip holds a minimal header at least. A header that is malformed otherwise is no
// matter: the parser refuses the packet.
func replaceAddress(ip []byte, field int, to uint32) {
	h := packet.IPv4Header(ip)
	from := binary.BigEndian.Uint32(ip[field:])
	h.SetChecksum(packet.Update32(h.Checksum(), from, to))
	binary.BigEndian.PutUint32(ip[field:], to)
	// A later fragment has no transport header, and what its first one says of
	// the addresses counts for all.
	if csum := transportChecksum(ip); csum != nil && h.FragmentOffset() == 0 {
		mend(csum, h.Protocol(), from, to)
	}
}

// transportChecksum returns the checksum in a packet's transport header that
// covers the addresses; nil if there is none, or the packet ends before it.
func transportChecksum(ip []byte) []byte {
	at := packet.IPv4Header(ip).HeaderLen()
	switch packet.IPv4Header(ip).Protocol() {
	case protoTCP:
		at += 16
	case protoUDP:
		at += 6
	default:
		return nil
	}
	if at+2 > len(ip) {
		return nil
	}
	return ip[at : at+2]
}

func mend(csum []byte, proto uint8, from, to uint32) {
	old := binary.BigEndian.Uint16(csum)
	if proto == protoUDP && old == 0 {
		return // the sender has made none
	}
	sum := packet.Update32(old, from, to)
	if proto == protoUDP && sum == 0 {
		sum = 0xffff // RFC 768: zero would say that there is none
	}
	binary.BigEndian.PutUint16(csum, sum)
}

// quoted returns the packet that an ICMP error quotes, from its IPv4 header on;
// nil if ip is no error, or quotes no whole header.
func quoted(ip []byte) []byte {
	const icmpHeader = 8
	h := packet.IPv4Header(ip)
	at := h.HeaderLen()
	if h.Protocol() != protoICMP || h.FragmentOffset() != 0 || len(ip) < at+icmpHeader || !isICMPError(ip[at], false) {
		return nil
	}
	q := ip[at+icmpHeader:]
	if len(q) < ipv4Header || q[0]>>4 != 4 || len(q) < packet.IPv4Header(q).HeaderLen() || packet.IPv4Header(q).HeaderLen() < ipv4Header {
		return nil
	}
	return q
}

// replaceQuoted replaces an address in packet q, which the ICMP error ip quotes,
// and mends the error's own checksum. Nothing else than q's header and the
// checksum in its transport header changes.
func replaceQuoted(ip, q []byte, field int, to uint32) {
	before := coveredSum(q)
	replaceAddress(q, field, to)
	icmp := ip[packet.IPv4Header(ip).HeaderLen():]
	binary.BigEndian.PutUint16(icmp[2:], packet.Update16(binary.BigEndian.Uint16(icmp[2:]), before, coveredSum(q)))
}

// coveredSum sums up what replaceAddress may change. All of it lies at even
// offsets in the error's message.
func coveredSum(q []byte) uint16 {
	sum := packet.Sum(q[:packet.IPv4Header(q).HeaderLen()])
	if csum := transportChecksum(q); csum != nil {
		sum = packet.Add(sum, packet.Sum(csum))
	}
	return sum
}
