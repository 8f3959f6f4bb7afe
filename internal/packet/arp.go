package packet

import (
	"encoding/binary"
	"net/netip"
)

// ARP operations.
const (
	ARPRequest = 1
	ARPAnswer  = 2
)

// Sizes of an ARP message for IPv4 over Ethernet, alone and as a frame.
const (
	ARPLen      = 28
	ARPFrameLen = EtherLen + ARPLen
)

// ARPHeader views an ARP message for IPv4 over Ethernet (RFC 826):
//
//	 0       2       4   5   6       8          14      18         24      28
//	+-------+-------+---+---+-------+-----------+-------+-----------+-------+
//	| htype | ptype |6  |4  | oper  | sender HA |sndr IP| target HA |targ IP|
//	+-------+-------+---+---+-------+-----------+-------+-----------+-------+
//
// Methods other than IsValid may be called only after IsValid returned true.
type ARPHeader []byte

// IsValid reports whether h holds a whole message for IPv4 over Ethernet.
func (h ARPHeader) IsValid() bool {
	// Hardware type 1, protocol type IPv4, lengths 6 and 4: one word.
	return len(h) >= ARPLen && binary.BigEndian.Uint64(h[0:8])>>16 == 0x0001_0800_0604
}

// Op returns the operation.
func (h ARPHeader) Op() uint16 { return binary.BigEndian.Uint16(h[6:8]) }

// SenderMAC returns the sender's hardware address.
func (h ARPHeader) SenderMAC() MAC { return MAC(h[8:14]) }

// Sender returns the sender's IPv4 address, 0 in a probe.
func (h ARPHeader) Sender() uint32 { return binary.BigEndian.Uint32(h[14:18]) }

// TargetMAC returns the target's hardware address, meaningless in a request.
func (h ARPHeader) TargetMAC() MAC { return MAC(h[18:24]) }

// Target returns the IPv4 address that is asked for.
func (h ARPHeader) Target() uint32 { return binary.BigEndian.Uint32(h[24:28]) }

// SenderAddr returns the sender's IPv4 address.
func (h ARPHeader) SenderAddr() netip.Addr { return netip.AddrFrom4([4]byte(h[14:18])) }

// TargetAddr returns the IPv4 address that is asked for.
func (h ARPHeader) TargetAddr() netip.Addr { return netip.AddrFrom4([4]byte(h[24:28])) }

// IsProbe reports whether the sender asks whether an address that it wants is
// in use already (RFC 5227 sec. 2.1.1).
func (h ARPHeader) IsProbe() bool { return h.Op() == ARPRequest && h.Sender() == 0 }

// IsAnnouncement reports whether the message states the sender's own address,
// which asks nobody for anything (RFC 5227 sec. 2.3; gratuitous ARP).
func (h ARPHeader) IsAnnouncement() bool { return h.Sender() == h.Target() }

// ARPReply turns an ARP request into its answer, in place: target is at mac.
// It returns the length of the frame, ARPFrameLen; padding that the request had
// is cut off.
//
// frame is an untagged Ethernet frame that holds a valid request.
func ARPReply(frame []byte, mac MAC) int {
	_ = frame[ARPFrameLen-1]
	eth, arp := EtherHeader(frame), ARPHeader(frame[EtherLen:])
	asker, askerIP, target := arp.SenderMAC(), arp.Sender(), arp.Target()
	// To the station that sent the frame: what it writes in the message is its
	// own affair.
	eth.SetDst(eth.Src())
	eth.SetSrc(mac)
	putARP(arp, ARPAnswer, mac, target, asker, askerIP)
	return ARPFrameLen
}

func putARP(b []byte, op uint16, sender MAC, senderIP uint32, target MAC, targetIP uint32) {
	_ = b[:ARPLen]
	binary.BigEndian.PutUint64(b[0:8], 0x0001_0800_0604<<16|uint64(op))
	copy(b[8:14], sender[:])
	binary.BigEndian.PutUint32(b[14:18], senderIP)
	copy(b[18:24], target[:])
	binary.BigEndian.PutUint32(b[24:28], targetIP)
}
