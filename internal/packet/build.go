package packet

import (
	"encoding/binary"
	"net/netip"
)

// A Layer is one part of a frame that Build puts together: Ether, VLAN, ARP,
// IPv4, IPv6, IPv6Ext, IPv6Frag, TCP, UDP, ICMP, ICMPv6, NDBody, DHCP or
// Payload.
type Layer interface {
	// wrap puts the layer's header before inner, the bytes of the layers below
	// it. outer are the layers above it, the outermost first, and next is the
	// layer below it or nil.
	wrap(inner []byte, outer []Layer, next Layer) []byte
}

// Build puts layers together, the outermost first, and fills in what was left
// zero: lengths, protocol numbers, EtherTypes and checksums.
//
//	frame := packet.Build(
//		packet.Ether{Dst: router, Src: guest},
//		packet.IPv4{Src: packet.MustIP("10.0.0.4"), Dst: packet.MustIP("10.0.1.4")},
//		packet.TCP{SrcPort: 40000, DstPort: 80, Flags: packet.TCPSyn},
//	)
//
// It may begin at any layer. The frame is not padded to Ethernet's minimum (see
// Pad). A field that is set is taken as it is, so that wrong packets can be
// built too. Build panics where layers do not fit together: tests and tools
// call it, with layers from their source.
func Build(layers ...Layer) []byte {
	var b []byte
	var next Layer
	for i := len(layers) - 1; i >= 0; i-- {
		b = layers[i].wrap(b, layers[:i], next)
		next = layers[i]
	}
	return b
}

// Pad returns frame with zeros behind it up to n bytes.
func Pad(frame []byte, n int) []byte {
	if len(frame) >= n {
		return frame
	}
	return append(frame[:len(frame):len(frame)], make([]byte, n-len(frame))...)
}

// MustIP is netip.MustParseAddr: it panics where s is no address.
func MustIP(s string) netip.Addr { return netip.MustParseAddr(s) }

// MustMAC is ParseMAC; it panics where s is no address.
func MustMAC(s string) MAC {
	m, ok := ParseMAC(s)
	if !ok {
		panic("packet: not a MAC address: " + s)
	}
	return m
}

// Payload is bytes as they are.
type Payload []byte

// Fill returns a payload of n bytes that count up from 0.
func Fill(n int) Payload {
	p := make(Payload, n)
	for i := range p {
		p[i] = byte(i)
	}
	return p
}

// Quote returns what an ICMP error quotes of a frame: from the IP header on, at
// most n bytes.
func Quote(frame []byte, n int) Payload {
	l, err := Locate(frame)
	if err != nil && l.L3 == 0 {
		panic("packet: nothing to quote: " + err.Error())
	}
	b := frame[l.L3:l.End]
	return append(Payload(nil), b[:min(n, len(b))]...)
}

func (p Payload) wrap(inner []byte, _ []Layer, _ Layer) []byte { return prepend(p, inner) }

// Ether is an Ethernet header.
type Ether struct {
	Dst, Src MAC
	Type     uint16 // 0: by the next layer
}

func (e Ether) wrap(inner []byte, _ []Layer, next Layer) []byte {
	h := make([]byte, EtherLen)
	putEther(h, e.Dst, e.Src, orType(e.Type, next))
	return prepend(h, inner)
}

// VLAN is a VLAN tag. For QinQ as of 802.1ad give two, and the Ether before them
// the type EtherTypeQinQ.
type VLAN struct {
	ID           uint16
	Priority     uint8
	DropEligible bool
	Type         uint16 // of what it holds; 0: by the next layer
}

func (v VLAN) wrap(inner []byte, _ []Layer, next Layer) []byte {
	h := make([]byte, VLANLen)
	tci := v.ID&0xfff | uint16(v.Priority)<<13
	if v.DropEligible {
		tci |= 0x1000
	}
	binary.BigEndian.PutUint16(h[0:2], tci)
	binary.BigEndian.PutUint16(h[2:4], orType(v.Type, next))
	return prepend(h, inner)
}

// orType returns typ, or the EtherType of the next layer where typ is 0.
func orType(typ uint16, next Layer) uint16 {
	if typ != 0 {
		return typ
	}
	switch next.(type) {
	case VLAN:
		return EtherTypeVLAN
	case ARP:
		return EtherTypeARP
	case IPv4:
		return EtherTypeIPv4
	case IPv6:
		return EtherTypeIPv6
	}
	return 0xffff // reserved: an EtherType that nobody knows
}

// ARP is an ARP message for IPv4 over Ethernet.
type ARP struct {
	Op                   uint16 // 0: ARPRequest
	SenderMAC, TargetMAC MAC
	Sender, Target       netip.Addr // not valid: 0.0.0.0
}

func (a ARP) wrap(inner []byte, _ []Layer, _ Layer) []byte {
	h := make([]byte, ARPLen)
	if a.Op == 0 {
		a.Op = ARPRequest
	}
	putARP(h, a.Op, a.SenderMAC, ip4(a.Sender), a.TargetMAC, ip4(a.Target))
	return prepend(h, inner)
}

func prepend(header, inner []byte) []byte {
	return append(header[:len(header):len(header)], inner...)
}
