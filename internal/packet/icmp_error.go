package packet

import (
	"encoding/binary"
	"net/netip"
)

// ICMPError is what a router tells the sender of a packet that it does not
// forward (RFC 792, RFC 4443). Both addresses are of one family, which is the
// message's.
type ICMPError struct {
	Type, Code uint8
	MTU        uint16 // of the next hop, where the message is about the packet's length; else 0
	Router     MAC
	Sender     MAC
	Src        netip.Addr // the router's address
	Dst        netip.Addr // the source of the packet
}

// Sizes of the longest messages, as IP packets: RFC 1812 sec. 4.3.2.3 and RFC 4443
// sec. 2.4 (c).
const (
	icmpErrorMax4 = 576
	icmpErrorMax6 = 1280
)

// icmpControl is the type of service of ICMP errors: precedence 6, internetwork
// control (RFC 1812 sec. 4.3.2.5).
const icmpControl = 0xc0

// Quote returns where in its frame the message has the packet that it is about,
// and how many bytes of it, if the message is to be no longer than mtu.
func (e *ICMPError) Quote(mtu int) (at, most int) {
	header, limit := IPv4MinLen+ICMPLen, icmpErrorMax4
	if e.Src.Is6() {
		header, limit = IPv6Len+ICMPLen, icmpErrorMax6
	}
	return EtherLen + header, min(limit, mtu) - header
}

// Put writes the message around its quote, which the caller has put where Quote
// says, to the end of frame. It returns the length of the frame.
func (e *ICMPError) Put(frame []byte) int {
	if e.Src.Is6() {
		putEther(frame, e.Sender, e.Router, EtherTypeIPv6)
		ip := IPv6Header(frame[EtherLen:])
		msg := ip[IPv6Len:]
		putIPv6(ip, len(msg), ProtoICMPv6, 64, e.Src.As16(), e.Dst.As16())
		binary.BigEndian.PutUint16(ip[0:2], 6<<12|icmpControl<<4)
		e.header(msg)
		ICMPHeader(msg).SetChecksum(^ip.TransportSum(ProtoICMPv6, msg))
		return len(frame)
	}
	putEther(frame, e.Sender, e.Router, EtherTypeIPv4)
	ip := IPv4Header(frame[EtherLen:])
	msg := ip[IPv4MinLen:]
	putIPv4(ip, len(ip), 64, ProtoICMP, ip4(e.Src), ip4(e.Dst))
	ip[1] = icmpControl
	ip.UpdateChecksum()
	e.header(msg)
	ICMPHeader(msg).SetChecksum(Checksum(msg))
	return len(frame)
}

// header writes the ICMP header, its checksum zero. The MTU stands in the low
// half of the second word in both families (RFC 1191 sec. 4, RFC 4443 sec. 3.2).
func (e *ICMPError) header(msg []byte) {
	binary.BigEndian.PutUint32(msg[0:4], uint32(e.Type)<<24|uint32(e.Code)<<16)
	binary.BigEndian.PutUint32(msg[4:8], uint32(e.MTU))
}
