package packet

import (
	"encoding/binary"
	"net/netip"
)

// ND option types (RFC 4861 sec. 4.6).
const (
	NDSourceLink = 1
	NDTargetLink = 2
	NDPrefix     = 3
	NDRedirected = 4
	NDMTU        = 5
)

// ndHopLimit is the hop limit of every ND message: a router in between would
// have lowered it (RFC 4861 sec. 3.1).
const ndHopLimit = 255

// NDAdvertFrameLen is the size of the frame that PutNeighborAdvert writes.
const NDAdvertFrameLen = EtherLen + IPv6Len + 24 + 8

// allNodes is ff02::1.
var allNodes = [16]byte{0: 0xff, 1: 0x02, 15: 1}

// NDOptions walks the options of an ND message:
//
//	+---------------+---------------+----
//	|     type      | length, in 8s |  ...
//	+---------------+---------------+----
//
// Set it to the bytes behind the fixed part of the message.
type NDOptions []byte

// Next takes the next option off: its type and its bytes, type and length
// included. ok is false at the end, and at an option that is truncated or of
// length 0; then Done tells which.
func (o *NDOptions) Next() (typ uint8, option []byte, ok bool) {
	b := *o
	if len(b) < 8 || b[1] == 0 || int(b[1])*8 > len(b) {
		return 0, nil, false
	}
	n := int(b[1]) * 8
	*o = b[n:]
	return b[0], b[:n:n], true
}

// Done reports whether all bytes were taken.
func (o *NDOptions) Done() bool { return len(*o) == 0 }

// ndFixedLen returns the size of the fixed part of an ND message, 0 for a type
// that is none.
func ndFixedLen(typ uint8) int {
	switch typ {
	case ICMPv6RouterSolicit:
		return 8
	case ICMPv6RouterAdvert:
		return 16
	case ICMPv6NeighborSolicit, ICMPv6NeighborAdvert:
		return 24
	case ICMPv6Redirect:
		return 40
	}
	return 0
}

// NDValid applies the rules of RFC 4861 that all ND messages share (sec. 6.1,
// 7.1 and 8.1): hop limit 255, right checksum, code 0, long enough for its
// type, every option whole and of a length above 0. ip is a valid packet and
// msg its ICMPv6 message, to the end of the packet.
func NDValid(ip IPv6Header, msg []byte) bool {
	if len(msg) < ICMPLen || ip.HopLimit() != ndHopLimit || ICMPHeader(msg).Code() != 0 {
		return false
	}
	fixed := ndFixedLen(ICMPHeader(msg).Type())
	if fixed == 0 || len(msg) < fixed || ip.TransportSum(ProtoICMPv6, msg) != 0xffff {
		return false
	}
	opts := NDOptions(msg[fixed:])
	for {
		if _, _, ok := opts.Next(); !ok {
			return opts.Done()
		}
	}
}

// NeighborSolicitation is what one asks for. It holds copies: the frame it came
// in may be overwritten by the answer.
type NeighborSolicitation struct {
	Sender  MAC      // source of the frame
	Src     [16]byte // zero in a DAD probe
	Target  [16]byte // address whose owner is asked for
	DAD     bool     // the sender wants the address for itself and asks whether it is free (RFC 4862 sec. 5.4)
	HasLink bool     // there was a source link-layer address option
	Link    MAC      // what it said
}

// TargetAddr returns the address whose owner is asked for.
func (s *NeighborSolicitation) TargetAddr() netip.Addr { return netip.AddrFrom16(s.Target) }

// ParseNeighborSolicitation reads a solicitation by the rules of RFC 4861 sec.
// 7.1.1 and reports whether it keeps them. sender is the source of the frame,
// ip a valid packet, msg its ICMPv6 message, to the end of the packet.
func ParseNeighborSolicitation(sender MAC, ip IPv6Header, msg []byte, s *NeighborSolicitation) bool {
	if !NDValid(ip, msg) || ICMPHeader(msg).Type() != ICMPv6NeighborSolicit {
		return false
	}
	*s = NeighborSolicitation{Sender: sender, Src: [16]byte(ip[8:24]), Target: [16]byte(msg[8:24])}
	if s.Target[0] == 0xff {
		return false
	}
	s.DAD = s.Src == [16]byte{}
	if s.DAD && [16]byte(ip[24:40]) != solicitedNode(s.Target) {
		return false
	}
	opts := NDOptions(msg[24:])
	for {
		typ, opt, ok := opts.Next()
		if !ok {
			return true
		}
		if typ != NDSourceLink {
			continue // RFC 4861 sec. 7.1.1: others are ignored
		}
		if s.DAD || len(opt) != 8 {
			return false
		}
		s.HasLink, s.Link = true, MAC(opt[2:8])
	}
}

// solicitedNode returns the solicited-node multicast address of a (RFC 4291
// sec. 2.7.1).
func solicitedNode(a [16]byte) [16]byte {
	return [16]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff, 13: a[13], 14: a[14], 15: a[15]}
}

// SolicitedNode returns the multicast address on which the owner of a is asked
// for (RFC 4291 sec. 2.7.1).
func SolicitedNode(a netip.Addr) netip.Addr { return netip.AddrFrom16(solicitedNode(a.As16())) }

// PutNeighborAdvert writes the answer to s to dst, which may be the frame that s
// came in, and returns its length, NDAdvertFrameLen; 0 if dst is shorter. It
// says that the target is at mac, and whether that is a router.
//
// The answer to a DAD probe goes to all nodes, unsolicited (RFC 4861 sec.
// 7.2.4). Override is set: nitrod knows where an address lives, and nobody else
// on the link may say otherwise.
func PutNeighborAdvert(dst []byte, s *NeighborSolicitation, mac MAC, router bool) int {
	if len(dst) < NDAdvertFrameLen {
		return 0
	}
	const override, solicited, isRouter = 0x20, 0x40, 0x80
	flags, to, toMAC := byte(override|solicited), s.Src, s.Sender
	if s.DAD {
		flags, to, toMAC = override, allNodes, MulticastMAC6(allNodes)
	}
	if router {
		flags |= isRouter
	}
	b := dst[:NDAdvertFrameLen]
	putEther(b, toMAC, mac, EtherTypeIPv6)
	ip := IPv6Header(b[EtherLen:])
	msg := ip[IPv6Len:]
	putIPv6(ip, len(msg), ProtoICMPv6, ndHopLimit, s.Target, to)
	binary.BigEndian.PutUint32(msg[0:4], ICMPv6NeighborAdvert<<24)
	binary.BigEndian.PutUint32(msg[4:8], uint32(flags)<<24)
	copy(msg[8:24], s.Target[:])
	msg[24], msg[25] = NDTargetLink, 1
	copy(msg[26:32], mac[:])
	ICMPHeader(msg).SetChecksum(^ip.TransportSum(ProtoICMPv6, msg))
	return NDAdvertFrameLen
}
