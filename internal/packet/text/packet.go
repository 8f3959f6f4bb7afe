package text

import (
	"net/netip"

	"github.com/nitrod/nitrod/internal/packet"
)

// Field is a property of a packet that its text can name.
type Field uint64

// The fields. A bit is set for what the text says, also by a name in its head.
const (
	SrcMAC Field = 1 << iota
	DstMAC
	VLAN
	EtherType
	Src
	Dst
	TTL
	TOS
	FlowLabel
	IPID
	DF
	Frag
	IPOptions
	Extensions
	IPLen
	IPSum
	Proto
	SrcPort
	DstPort
	Flags
	Seq
	Ack
	Window
	Urgent
	TCPOptions
	DataOffset
	UDPLen
	Sum
	Type
	Code
	Rest
	Len
	Data
	ARPOp
	SenderMAC
	Sender
	TargetMAC
	Target
	Trailer
	DHCP
)

// Kind is what a packet is made of.
type Kind uint8

// The kinds.
const (
	Raw   Kind = iota // bytes without a meaning here
	Other             // an EtherType and data
	ARP
	IPv4
	IPv6
)

// Tag is a VLAN tag, of priority zero.
type Tag struct {
	Type uint16 // packet.EtherTypeVLAN or packet.EtherTypeQinQ
	ID   uint16
}

// Ext is an IPv6 extension header, without its first two bytes.
type Ext struct {
	Proto uint8
	Data  []byte
}

// Packet is a packet as text says it.
type Packet struct {
	Given Field // what the text names

	From, To string // as the head has them: names or addresses, or ""
	At       string // the ENI that sends or receives it, or "" for the one that the head says
	Split    int    // bytes in its first segment, or 0 for a packet in one

	Kind             Kind
	SrcMAC, DstMAC   packet.MAC
	Tags             []Tag
	EtherType        uint16
	Src, Dst         netip.Addr
	TTL, TOS         uint8
	FlowLabel        uint32
	IPID             uint16
	DF               bool
	IsFragment       bool
	FragID           uint32 // IPv6; an IPv4 fragment's is IPID
	FragOffset       int
	More             bool
	IPOptions        []byte
	Extensions       []Ext
	IPLen            uint16 // total length of IPv4, payload length of IPv6, where Given
	IPSum            uint16 // where Given
	Proto            uint8
	Headless         bool // no transport header: a later fragment, or a protocol without one
	SrcPort, DstPort uint16
	TCPFlags         uint8
	Seq, Ack         uint32
	Window, Urgent   uint16
	TCPOptions       []byte
	DataOffset       uint8  // in words, where Given
	UDPLen           uint16 // where Given
	Sum              uint16 // of TCP, UDP, ICMP, where Given
	Type, Code       uint8
	Rest             uint32
	Data             []byte // payload; the whole frame of a Raw one

	ARPOp                uint16
	SenderMAC, TargetMAC packet.MAC
	Sender, Target       netip.Addr
	Trailer              []byte // behind the packet, in the frame

	dhcp  []dhcpField // what the text says of a DHCP message
	whole []byte      // what is quoted, all of it, where the text does not say how much
}

func (p *Packet) has(f Field) bool { return p.Given&f != 0 }

// isIP reports whether the packet has an IP header.
func (p *Packet) isIP() bool { return p.Kind == IPv4 || p.Kind == IPv6 }

// Guest is what a name stands for.
type Guest struct {
	MAC, Router  packet.MAC // its own, and its router's
	Addr4, Addr6 netip.Addr // its primary addresses
}

// Net knows the names. A nil Net knows none.
type Net interface {
	// Guest returns who has a name.
	Guest(name string) (Guest, bool)
	// NextHop returns the MAC to which a guest sends packets for an address.
	NextHop(name string, dst netip.Addr) packet.MAC
	// NameOf returns who has an address in the network of a guest, or "".
	NameOf(name string, a netip.Addr) string
}
