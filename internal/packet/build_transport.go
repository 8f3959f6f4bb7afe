package packet

import (
	"encoding/binary"
	"net/netip"
)

// TCP is a TCP header.
type TCP struct {
	SrcPort, DstPort uint16
	Seq, Ack         uint32
	Flags            uint8
	Window           uint16 // 0: 64240, unless Flags has TCPRst
	Options          []byte // padded with zeros to a multiple of 4, at most 40; see TCPOptions.Bytes
	DataOffset       uint8  // in words; 0: computed
	Checksum         uint16 // 0: computed
}

func (l TCP) wrap(inner []byte, outer []Layer, _ Layer) []byte {
	opts := Pad(l.Options, (len(l.Options)+3)&^3)
	if len(opts) > 40 {
		panic("packet: TCP options longer than 40 bytes")
	}
	h := append(make([]byte, TCPMinLen), opts...)
	binary.BigEndian.PutUint16(h[0:2], l.SrcPort)
	binary.BigEndian.PutUint16(h[2:4], l.DstPort)
	binary.BigEndian.PutUint32(h[4:8], l.Seq)
	binary.BigEndian.PutUint32(h[8:12], l.Ack)
	offset := l.DataOffset
	if offset == 0 {
		offset = uint8(len(h) / 4)
	}
	h[12], h[13] = offset<<4, l.Flags
	if l.Window == 0 && l.Flags&TCPRst == 0 {
		l.Window = 64240
	}
	binary.BigEndian.PutUint16(h[14:16], l.Window)
	seg := TCPHeader(prepend(h, inner))
	if l.Checksum == 0 {
		l.Checksum = ^transportSum(outer, ProtoTCP, seg)
	}
	seg.SetChecksum(l.Checksum)
	return seg
}

// Bytes returns o as a SYN carries it.
func (o TCPOptions) Bytes() []byte {
	var b []byte
	if o.MSS != 0 {
		b = binary.BigEndian.AppendUint16(append(b, 2, 4), o.MSS)
	}
	if o.SACKPermitted {
		b = append(b, 4, 2)
	}
	if o.HasTimestamp {
		b = binary.BigEndian.AppendUint32(append(b, 8, 10), o.TSVal)
		b = binary.BigEndian.AppendUint32(b, o.TSEcr)
	}
	if o.HasScale {
		b = append(b, 1, 3, 3, o.WindowScale)
	}
	return b
}

// UDP is a UDP header.
type UDP struct {
	SrcPort, DstPort uint16
	Len              uint16 // 0: computed
	Checksum         uint16 // 0: computed
	NoChecksum       bool   // send none
}

func (l UDP) wrap(inner []byte, outer []Layer, _ Layer) []byte {
	seg := UDPHeader(prepend(make([]byte, UDPLen), inner))
	length := int(l.Len)
	if length == 0 {
		length = len(seg)
	}
	if length > 0xffff {
		panic("packet: UDP datagram longer than 65535 bytes")
	}
	putUDP(seg, l.SrcPort, l.DstPort, length)
	switch {
	case l.NoChecksum:
	case l.Checksum != 0:
		seg.SetChecksum(l.Checksum)
	default:
		seg.SetChecksum(^transportSum(outer, ProtoUDP, seg))
	}
	return seg
}

// ICMP is an ICMP header. What follows it is its body: for an error use Quote.
type ICMP struct {
	Type, Code uint8
	ID, Seq    uint16 // the halves of the second word, whatever it means
	Checksum   uint16 // 0: computed
}

func (l ICMP) wrap(inner []byte, _ []Layer, _ Layer) []byte {
	msg := icmp(l.Type, l.Code, uint32(l.ID)<<16|uint32(l.Seq), inner)
	if l.Checksum == 0 {
		l.Checksum = Checksum(msg)
	}
	ICMPHeader(msg).SetChecksum(l.Checksum)
	return msg
}

// ICMPv6 is an ICMPv6 header. What follows it is its body.
type ICMPv6 struct {
	Type, Code uint8
	Rest       uint32 // the second word: identifier and sequence number, MTU, flags
	Checksum   uint16 // 0: computed
}

func (l ICMPv6) wrap(inner []byte, outer []Layer, _ Layer) []byte {
	msg := icmp(l.Type, l.Code, l.Rest, inner)
	if l.Checksum == 0 {
		l.Checksum = ^transportSum(outer, ProtoICMPv6, msg)
	}
	ICMPHeader(msg).SetChecksum(l.Checksum)
	return msg
}

func icmp(typ, code uint8, rest uint32, body []byte) []byte {
	h := make([]byte, ICMPLen)
	h[0], h[1] = typ, code
	binary.BigEndian.PutUint32(h[4:8], rest)
	return prepend(h, body)
}

// NDBody is the body of a neighbour solicitation or advertisement, to stand
// behind ICMPv6: the target, and a link-layer address option unless Link is
// zero.
type NDBody struct {
	Target netip.Addr
	Option uint8 // NDSourceLink or NDTargetLink
	Link   MAC
}

func (l NDBody) wrap(inner []byte, _ []Layer, _ Layer) []byte {
	t := ip6(l.Target)
	b := t[:]
	if !l.Link.IsZero() {
		b = append(append(b, l.Option, 1), l.Link[:]...)
	}
	return prepend(b, inner)
}

// NeighborSolicit builds the frame in which src at mac asks who has target. An
// src that is not valid makes it a DAD probe.
func NeighborSolicit(mac MAC, src, target netip.Addr) []byte {
	group := SolicitedNode(target)
	body := NDBody{Target: target, Option: NDSourceLink, Link: mac}
	if !src.IsValid() {
		body.Link = MAC{}
	}
	return Build(
		Ether{Dst: MulticastMAC6(group.As16()), Src: mac},
		IPv6{Src: src, Dst: group, HopLimit: ndHopLimit},
		ICMPv6{Type: ICMPv6NeighborSolicit},
		body,
	)
}

// DHCP is a DHCPv4 message, to stand behind UDP.
type DHCP struct {
	Op             uint8 // 0: a request
	Type           DHCPType
	XID            uint32
	Broadcast      bool // the client cannot receive unicast yet
	CIAddr, YIAddr netip.Addr
	GIAddr         netip.Addr
	Client         MAC
	Requested      netip.Addr // option 50
	ServerID       netip.Addr // option 54
	Parameters     []byte     // option 55
	ClientID       []byte     // option 61
	Options        []byte     // more options, as bytes
}

func (l DHCP) wrap(inner []byte, _ []Layer, _ Layer) []byte {
	h := make([]byte, bootpOptions)
	h[0], h[1], h[2] = bootpRequest, 1, 6
	if l.Op != 0 {
		h[0] = l.Op
	}
	binary.BigEndian.PutUint32(h[4:8], l.XID)
	if l.Broadcast {
		binary.BigEndian.PutUint16(h[10:12], dhcpFlagBroadcast)
	}
	binary.BigEndian.PutUint32(h[12:16], ip4(l.CIAddr))
	binary.BigEndian.PutUint32(h[16:20], ip4(l.YIAddr))
	binary.BigEndian.PutUint32(h[24:28], ip4(l.GIAddr))
	copy(h[28:34], l.Client[:])
	binary.BigEndian.PutUint32(h[bootpCookie:], dhcpCookie)
	option := func(code byte, val []byte) {
		if len(val) > 0 {
			h = append(append(h, code, byte(len(val))), val...)
		}
	}
	if l.Type != 0 {
		option(dhcpMessageType, []byte{byte(l.Type)})
	}
	if l.Requested.Is4() {
		option(dhcpRequested, l.Requested.AsSlice())
	}
	if l.ServerID.Is4() {
		option(dhcpServerID, l.ServerID.AsSlice())
	}
	option(dhcpParameters, l.Parameters)
	option(dhcpClientID, l.ClientID)
	h = append(append(h, l.Options...), dhcpEnd)
	return prepend(Pad(h, bootpMinLen), inner)
}
