package text

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"github.com/nitrod/nitrod/internal/packet"
)

// Decode reads a frame. Given holds what is not as it would be by itself: wrong
// lengths and checksums. What the language cannot say is of Kind Raw.
func Decode(frame []byte) *Packet {
	p := &Packet{}
	if p.decode(frame) && bytes.Equal(p.Frame(), frame) {
		return p
	}
	return &Packet{Kind: Raw, Data: frame}
}

func (p *Packet) decode(b []byte) bool {
	if len(b) < packet.EtherLen {
		return false
	}
	p.DstMAC, p.SrcMAC = packet.MAC(b[0:6]), packet.MAC(b[6:12])
	typ := binary.BigEndian.Uint16(b[12:])
	b = b[packet.EtherLen:]
	for typ == packet.EtherTypeVLAN || typ == packet.EtherTypeQinQ {
		if len(b) < packet.VLANLen {
			return false
		}
		p.Tags = append(p.Tags, Tag{typ, binary.BigEndian.Uint16(b)})
		if typ = binary.BigEndian.Uint16(b[2:]); p.Tags[len(p.Tags)-1].ID > 0xfff {
			return false
		}
		b = b[packet.VLANLen:]
	}
	switch typ {
	case packet.EtherTypeARP:
		return p.decodeARP(b)
	case packet.EtherTypeIPv4:
		return p.decodeIPv4(b)
	case packet.EtherTypeIPv6:
		return p.decodeIPv6(b)
	}
	p.Kind, p.EtherType, p.Data = Other, typ, b
	p.Given |= EtherType
	return true
}

func (p *Packet) decodeARP(b []byte) bool {
	if !packet.ARPHeader(b).IsValid() {
		return false
	}
	h := packet.ARPHeader(b)
	p.Kind, p.ARPOp = ARP, h.Op()
	p.SenderMAC, p.Sender = h.SenderMAC(), h.SenderAddr()
	p.TargetMAC, p.Target = h.TargetMAC(), h.TargetAddr()
	p.Trailer = b[packet.ARPLen:]
	return true
}

func (p *Packet) decodeIPv4(b []byte) bool {
	if len(b) < packet.IPv4MinLen || b[0]>>4 != 4 {
		return false
	}
	h := packet.IPv4Header(b)
	header, total := h.HeaderLen(), int(h.TotalLen())
	if header < packet.IPv4MinLen || header > len(b) {
		return false
	}
	p.Kind, p.Src, p.Dst = IPv4, h.SrcAddr(), h.DstAddr()
	p.TTL, p.TOS, p.IPID, p.Proto = h.TTL(), h.TOS(), h.ID(), h.Protocol()
	p.DF, p.More, p.FragOffset = h.DontFragment(), h.MoreFragments(), h.FragmentOffset()
	p.IsFragment = h.IsFragment()
	p.IPOptions = b[packet.IPv4MinLen:header]
	if !h.ChecksumOK() {
		p.IPSum = h.Checksum()
		p.Given |= IPSum
	}
	if total < header || total > len(b) {
		p.IPLen = h.TotalLen()
		p.Given |= IPLen
		total = len(b)
	}
	p.Trailer = b[total:]
	p.transport(b[header:total])
	return true
}

func (p *Packet) decodeIPv6(b []byte) bool {
	if len(b) < packet.IPv6Len || b[0]>>4 != 6 {
		return false
	}
	h := packet.IPv6Header(b)
	p.Kind, p.Src, p.Dst = IPv6, h.SrcAddr(), h.DstAddr()
	p.TTL, p.TOS, p.FlowLabel, p.Proto = h.HopLimit(), h.TrafficClass(), h.FlowLabel(), h.NextHeader()
	end := packet.IPv6Len + int(h.PayloadLen())
	if end > len(b) {
		p.IPLen = h.PayloadLen()
		p.Given |= IPLen
		end = len(b)
	}
	p.Trailer = b[end:]
	return p.extensions(b[packet.IPv6Len:end])
}

// extensions reads the chain of extension headers, and what follows it.
func (p *Packet) extensions(b []byte) bool {
	for {
		size := 0
		switch p.Proto {
		case packet.ProtoHopByHop, packet.ProtoRouting, packet.ProtoDestOpts, packet.ProtoMobility:
			if len(b) >= 8 {
				size = (int(b[1]) + 1) * 8
			}
		case packet.ProtoAH:
			if len(b) >= 8 {
				size = (int(b[1]) + 2) * 4
			}
		case packet.ProtoFragment:
			if len(b) >= packet.IPv6FragmentLen {
				f := packet.IPv6Fragment(b)
				p.IsFragment, p.FragID, p.FragOffset, p.More = true, f.ID(), f.Offset(), f.More()
				p.Proto = f.NextHeader()
				b = b[packet.IPv6FragmentLen:]
				if p.FragOffset == 0 && isExtension(p.Proto) {
					return false // behind the fragment header there is only the payload
				}
			}
			p.transport(b)
			return true
		default:
			p.transport(b)
			return true
		}
		if size == 0 || size > len(b) {
			p.transport(b)
			return true
		}
		p.Extensions = append(p.Extensions, Ext{p.Proto, b[2:size]})
		p.Proto, b = b[0], b[size:]
	}
}

func isExtension(proto uint8) bool {
	switch proto {
	case packet.ProtoHopByHop, packet.ProtoRouting, packet.ProtoDestOpts, packet.ProtoMobility, packet.ProtoAH, packet.ProtoFragment:
		return true
	}
	return false
}

// transport reads a transport header if there is a whole one, else data alone.
func (p *Packet) transport(b []byte) {
	p.Headless = true
	p.Data = b
	if !hasHeader(p.Kind, p.Proto) || p.FragOffset != 0 {
		return
	}
	sumAt := 2
	switch {
	case p.Proto == packet.ProtoTCP:
		if len(b) < packet.TCPMinLen || b[12]&0xf != 0 { // reserved bits have no word
			return
		}
		h := packet.TCPHeader(b)
		header := h.HeaderLen()
		if header < packet.TCPMinLen || header > len(b) {
			p.DataOffset = uint8(header / 4)
			p.Given |= DataOffset
			header = packet.TCPMinLen
		}
		p.SrcPort, p.DstPort, p.Seq, p.Ack = h.SrcPort(), h.DstPort(), h.Seq(), h.Ack()
		p.TCPFlags, p.Window, p.Urgent = h.Flags(), h.Window(), binary.BigEndian.Uint16(b[18:])
		p.TCPOptions, p.Data = b[packet.TCPMinLen:header], b[header:]
		sumAt = 16
	case p.Proto == packet.ProtoUDP:
		h := packet.UDPHeader(b)
		if len(b) < packet.UDPLen {
			return
		}
		p.SrcPort, p.DstPort, p.Data = h.SrcPort(), h.DstPort(), b[packet.UDPLen:]
		if int(h.Len()) != len(b) {
			p.UDPLen = h.Len()
			p.Given |= UDPLen
		}
		sumAt = 6
	default:
		if len(b) < packet.ICMPLen {
			return
		}
		h := packet.ICMPHeader(b)
		p.Type, p.Code, p.Rest, p.Data = h.Type(), h.Code(), h.Rest(), h.Body()
	}
	p.Headless = false
	blank := append([]byte(nil), b...)
	blank[sumAt], blank[sumAt+1] = 0, 0
	if sum := binary.BigEndian.Uint16(b[sumAt:]); sum != p.checksum(blank) {
		p.Sum = sum
		p.Given |= Sum
	}
}

// decodeQuote reads what an ICMP error quotes of a packet: its IP header, and
// what is there of the rest. It is good for printing only where the text, parsed
// again, gives the same bytes.
func decodeQuote(b []byte, v6 bool) *Packet {
	p := &Packet{}
	whole := 0
	if v6 {
		if len(b) < packet.IPv6Len {
			return nil
		}
		whole = packet.IPv6Len + int(packet.IPv6Header(b).PayloadLen())
	} else {
		if len(b) < packet.IPv4MinLen {
			return nil
		}
		whole = int(packet.IPv4Header(b).TotalLen())
	}
	if whole > maxLen || whole < len(b) {
		return nil
	}
	full := append(make([]byte, 0, whole), b...)
	for i := len(b); i < whole; i++ {
		full = append(full, 0)
	}
	ok := false
	if v6 {
		ok = p.decodeIPv6(full)
	} else {
		ok = p.decodeIPv4(full)
	}
	if !ok || !netip.Addr.IsValid(p.Src) {
		return nil
	}
	if len(b) < whole { // the rest, and so the checksum, is not known
		switch {
		case p.Proto == packet.ProtoTCP && !p.Headless:
			*p = p.unknownTCP(len(full))
		case !p.Headless && hasHeader(p.Kind, p.Proto):
			p.Data = packet.Fill(len(p.Data))
		}
		if !p.Headless {
			p.Given &^= Sum
			if p.Proto == packet.ProtoUDP || p.Proto == packet.ProtoICMP || p.Proto == packet.ProtoICMPv6 {
				p.quotedSum(full)
			}
		}
	}
	return p
}

// unknownTCP replaces what eight bytes of a TCP header do not hold by the
// defaults.
func (p *Packet) unknownTCP(total int) Packet {
	q := *p
	q.Given &^= DataOffset
	q.TCPFlags, q.Ack, q.Window, q.Urgent, q.TCPOptions = packet.TCPSyn, 0, defaultWindow, 0, nil
	headers := packet.IPv4MinLen + len(p.IPOptions)
	if p.Kind == IPv6 {
		headers = packet.IPv6Len
	}
	q.Data = packet.Fill(max(0, total-headers-packet.TCPMinLen))
	return q
}

// quotedSum keeps the checksum that a quotation holds, where it is not the one
// that the payload, as far as it can be guessed, would have.
func (p *Packet) quotedSum(full []byte) {
	at := 2
	if p.Proto == packet.ProtoUDP {
		at = 6
	}
	seg := p.segment()
	l4 := len(full) - len(seg)
	if l4 < 0 || l4+at+2 > len(full) {
		return
	}
	if sum := binary.BigEndian.Uint16(full[l4+at:]); sum != binary.BigEndian.Uint16(seg[at:]) {
		p.Sum = sum
		p.Given |= Sum
	}
}
