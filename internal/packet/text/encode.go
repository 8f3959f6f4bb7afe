package text

import (
	"encoding/binary"

	"github.com/nitrod/nitrod/internal/packet"
)

// Frame returns the bytes of the packet. What the text does not name has been
// given its default by Parse.
func (p *Packet) Frame() []byte {
	if p.Kind == Raw {
		return append([]byte(nil), p.Data...)
	}
	b := append(append([]byte(nil), p.DstMAC[:]...), p.SrcMAC[:]...)
	for _, t := range p.Tags {
		b = binary.BigEndian.AppendUint16(b, t.Type)
		b = binary.BigEndian.AppendUint16(b, t.ID)
	}
	b = binary.BigEndian.AppendUint16(b, p.etherType())
	switch p.Kind {
	case ARP:
		b = p.appendARP(b)
	case IPv4:
		b = p.appendIPv4(b)
	case IPv6:
		b = p.appendIPv6(b)
	default:
		b = append(b, p.Data...)
	}
	return append(b, p.Trailer...)
}

func (p *Packet) etherType() uint16 {
	if p.has(EtherType) {
		return p.EtherType
	}
	switch p.Kind {
	case ARP:
		return packet.EtherTypeARP
	case IPv6:
		return packet.EtherTypeIPv6
	}
	return packet.EtherTypeIPv4
}

func (p *Packet) appendARP(b []byte) []byte {
	b = append(b, 0, 1, 8, 0, 6, 4)
	b = binary.BigEndian.AppendUint16(b, p.ARPOp)
	b = append(b, p.SenderMAC[:]...)
	b = append(b, p.Sender.AsSlice()...)
	b = append(b, p.TargetMAC[:]...)
	return append(b, p.Target.AsSlice()...)
}

func (p *Packet) appendIPv4(b []byte) []byte {
	at := len(b)
	header := packet.IPv4MinLen + len(p.IPOptions)
	payload := p.segment()
	total := uint16(header + len(payload))
	if p.has(IPLen) {
		total = p.IPLen
	}
	b = append(b, 4<<4|byte(header/4), p.TOS)
	b = binary.BigEndian.AppendUint16(b, total)
	b = binary.BigEndian.AppendUint16(b, p.IPID)
	frag := uint16(p.FragOffset / 8)
	if p.DF {
		frag |= 0x4000
	}
	if p.More {
		frag |= 0x2000
	}
	b = binary.BigEndian.AppendUint16(b, frag)
	b = append(b, p.TTL, p.Proto, 0, 0)
	b = append(append(b, p.Src.AsSlice()...), p.Dst.AsSlice()...)
	b = append(b, p.IPOptions...)
	sum := packet.Checksum(b[at:])
	if p.has(IPSum) {
		sum = p.IPSum
	}
	packet.IPv4Header(b[at:]).SetChecksum(sum)
	return append(b, payload...)
}

func (p *Packet) appendIPv6(b []byte) []byte {
	payload := p.segment()
	var chain []byte
	first := p.Proto
	if p.IsFragment {
		h := make([]byte, packet.IPv6FragmentLen)
		h[0] = first
		off := uint16(p.FragOffset)
		if p.More {
			off |= 1
		}
		binary.BigEndian.PutUint16(h[2:], off)
		binary.BigEndian.PutUint32(h[4:], p.FragID)
		chain, first = h, packet.ProtoFragment
	}
	for i := len(p.Extensions) - 1; i >= 0; i-- {
		e := &p.Extensions[i]
		h := append([]byte{first, byte((len(e.Data)+2)/8 - 1)}, e.Data...)
		if e.Proto == packet.ProtoAH {
			h[1] = byte((len(e.Data)+2)/4 - 2)
		}
		chain, first = append(h, chain...), e.Proto
	}
	length := uint16(len(chain) + len(payload))
	if p.has(IPLen) {
		length = p.IPLen
	}
	b = binary.BigEndian.AppendUint32(b, 6<<28|uint32(p.TOS)<<20|p.FlowLabel)
	b = binary.BigEndian.AppendUint16(b, length)
	b = append(b, first, p.TTL)
	b = append(append(b, p.Src.AsSlice()...), p.Dst.AsSlice()...)
	return append(append(b, chain...), payload...)
}

// segment is the transport header with what follows it.
func (p *Packet) segment() []byte {
	if p.Headless {
		return p.Data
	}
	var b []byte
	sumAt := 0
	switch p.Proto {
	case packet.ProtoTCP:
		b = p.tcpHeader()
		sumAt = 16
	case packet.ProtoUDP:
		length := uint16(packet.UDPLen + len(p.Data))
		if p.has(UDPLen) {
			length = p.UDPLen
		}
		b = binary.BigEndian.AppendUint16(b, p.SrcPort)
		b = binary.BigEndian.AppendUint16(b, p.DstPort)
		b = binary.BigEndian.AppendUint16(b, length)
		b = append(b, 0, 0)
		sumAt = 6
	default: // ICMP and ICMPv6
		b = binary.BigEndian.AppendUint32([]byte{p.Type, p.Code, 0, 0}, p.Rest)
		sumAt = 2
	}
	b = append(b, p.Data...)
	sum := p.Sum
	if !p.has(Sum) {
		sum = p.checksum(b)
	}
	binary.BigEndian.PutUint16(b[sumAt:], sum)
	return b
}

func (p *Packet) tcpHeader() []byte {
	var b []byte
	b = binary.BigEndian.AppendUint16(b, p.SrcPort)
	b = binary.BigEndian.AppendUint16(b, p.DstPort)
	b = binary.BigEndian.AppendUint32(b, p.Seq)
	b = binary.BigEndian.AppendUint32(b, p.Ack)
	offset := uint8((packet.TCPMinLen + len(p.TCPOptions)) / 4)
	if p.has(DataOffset) {
		offset = p.DataOffset
	}
	b = append(b, offset<<4, p.TCPFlags)
	b = binary.BigEndian.AppendUint16(b, p.Window)
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint16(b, p.Urgent)
	return append(b, p.TCPOptions...)
}

// checksum is the one that seg, in which the field is zero, should have.
func (p *Packet) checksum(seg []byte) uint16 {
	var sum uint16
	switch {
	case p.Kind == IPv4 && p.Proto == packet.ProtoICMP:
		sum = packet.Sum(seg)
	case p.Kind == IPv4:
		src, dst := p.Src.As4(), p.Dst.As4()
		sum = packet.Add(packet.PseudoIPv4(binary.BigEndian.Uint32(src[:]), binary.BigEndian.Uint32(dst[:]), p.Proto, uint16(len(seg))), packet.Sum(seg))
	default:
		h := make(packet.IPv6Header, packet.IPv6Len)
		src, dst := p.Src.As16(), p.Dst.As16()
		copy(h[8:], src[:])
		copy(h[24:], dst[:])
		sum = h.TransportSum(p.Proto, seg)
	}
	if sum = ^sum; sum == 0 && p.Proto == packet.ProtoUDP { // 0 says that there is none (RFC 768)
		sum = 0xffff
	}
	return sum
}

// hasHeader reports whether the language has words for a protocol's header.
func hasHeader(k Kind, proto uint8) bool {
	return proto == packet.ProtoTCP || proto == packet.ProtoUDP ||
		k == IPv4 && proto == packet.ProtoICMP || k == IPv6 && proto == packet.ProtoICMPv6
}
