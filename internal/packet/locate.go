package packet

import (
	"encoding/binary"
	"errors"
)

// Layout says where the headers of a frame lie, in bytes from its start.
type Layout struct {
	Tags      int    // number of VLAN tags
	EtherType uint16 // of what follows the tags
	L3        int    // IP header or ARP message; 0 where there is none
	L4        int    // transport header; 0 where there is none, as in a later fragment
	End       int    // end of the packet, before padding
	Proto     uint8  // transport protocol, in a later fragment too
	Fragment  bool
}

// What Locate can find wrong.
var (
	ErrShortEther   = errors.New("frame ends inside the Ethernet header or a VLAN tag")
	ErrBadARP       = errors.New("ARP message is truncated or not IPv4 over Ethernet")
	ErrBadIPv4      = errors.New("IPv4 header does not fit the frame")
	ErrBadIPv6      = errors.New("IPv6 header or extension header does not fit the frame")
	ErrBadTransport = errors.New("transport header does not fit the packet")
)

// Locate finds the headers of a frame. On an error the fields that were found
// before it stand. It is for tests and tools, and a second opinion to the
// pipeline's own parser: it says less and need not be fast.
func Locate(frame []byte) (Layout, error) {
	l := Layout{End: len(frame)}
	if len(frame) < EtherLen {
		return l, ErrShortEther
	}
	at := EtherLen
	l.EtherType = EtherHeader(frame).Type()
	for l.EtherType == EtherTypeVLAN || l.EtherType == EtherTypeQinQ {
		if len(frame) < at+VLANLen {
			return l, ErrShortEther
		}
		l.EtherType = binary.BigEndian.Uint16(frame[at+2:])
		at += VLANLen
		l.Tags++
	}
	switch l.EtherType {
	case EtherTypeARP:
		if !ARPHeader(frame[at:]).IsValid() {
			return l, ErrBadARP
		}
		l.L3, l.End = at, at+ARPLen
		return l, nil
	case EtherTypeIPv4:
		return l, l.ipv4(frame, at)
	case EtherTypeIPv6:
		return l, l.ipv6(frame, at)
	}
	return l, nil
}

func (l *Layout) ipv4(frame []byte, at int) error {
	ip := IPv4Header(frame[at:])
	if !ip.IsValid() {
		return ErrBadIPv4
	}
	l.L3, l.End, l.Proto = at, at+int(ip.TotalLen()), ip.Protocol()
	l.Fragment = ip.IsFragment()
	if ip.FragmentOffset() != 0 {
		return nil
	}
	return l.transport(frame, at+ip.HeaderLen())
}

func (l *Layout) ipv6(frame []byte, at int) error {
	ip := IPv6Header(frame[at:])
	if !ip.IsValid() {
		return ErrBadIPv6
	}
	l.L3, l.End = at, at+IPv6Len+int(ip.PayloadLen())
	up, ok := ip.Upper()
	l.Proto, l.Fragment = up.Proto, up.Fragment != 0
	if !ok {
		return ErrBadIPv6
	}
	if l.Fragment && IPv6Fragment(ip[up.Fragment:]).Offset() != 0 {
		return nil
	}
	return l.transport(frame, at+up.Offset)
}

func (l *Layout) transport(frame []byte, at int) error {
	seg := frame[at:l.End]
	ok := true
	switch l.Proto {
	case ProtoTCP:
		ok = TCPHeader(seg).IsValid()
	case ProtoUDP:
		// The length of a first fragment is that of the whole datagram.
		ok = UDPHeader(seg).IsValid() || l.Fragment && len(seg) >= UDPLen
	case ProtoICMP, ProtoICMPv6:
		ok = len(seg) >= ICMPLen
	case ProtoNone:
		return nil
	}
	if !ok {
		return ErrBadTransport
	}
	l.L4 = at
	return nil
}
