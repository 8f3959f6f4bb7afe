package packet

import (
	"encoding/binary"
	"net/netip"
)

// RouterConfig is what a router tells the guest behind one ENI about the link.
type RouterConfig struct {
	MAC      MAC
	Addr     netip.Addr   // link-local
	Prefix   netip.Prefix // of the subnet: on the link, and not for addresses of the guest's own making
	MTU      uint16
	Lifetime uint16 // seconds for which the guest may use the router; 0: not as its default one
}

// RouterAdvertFrameLen is the size of the frame that PutAdvert writes.
const RouterAdvertFrameLen = EtherLen + IPv6Len + 16 + 8 + 8 + 32

// RouterSolicitation is what one asks for. It holds copies: the frame it came in
// may be overwritten by the answer.
type RouterSolicitation struct {
	Sender MAC      // source of the frame
	Src    [16]byte // zero before the sender has an address
}

// ParseRouterSolicitation reads a solicitation by the rules of RFC 4861 sec.
// 6.1.1 and reports whether it keeps them. sender is the source of the frame, ip
// a valid packet, msg its ICMPv6 message, to the end of the packet.
func ParseRouterSolicitation(sender MAC, ip IPv6Header, msg []byte, s *RouterSolicitation) bool {
	if !NDValid(ip, msg) || ICMPHeader(msg).Type() != ICMPv6RouterSolicit {
		return false
	}
	*s = RouterSolicitation{Sender: sender, Src: [16]byte(ip[8:24])}
	opts := NDOptions(msg[8:])
	for {
		typ, opt, ok := opts.Next()
		if !ok {
			return true
		}
		if typ == NDSourceLink && (s.Src == [16]byte{} || len(opt) != 8) {
			return false
		}
	}
}

// PutAdvert writes the frame of a router advertisement (RFC 4861 sec. 4.2) to dst
// and returns its length, RouterAdvertFrameLen; 0 if dst is shorter. It goes to
// who asked, or to all nodes on the link if s is nil or has no address yet.
//
// The guest is told to ask DHCPv6 for its addresses (the M flag), and that it may
// not make any from the prefix: they would not be the ENI's.
func (c *RouterConfig) PutAdvert(dst []byte, s *RouterSolicitation) int {
	if len(dst) < RouterAdvertFrameLen {
		return 0
	}
	to, toMAC := allNodes, MulticastMAC6(allNodes)
	if s != nil && s.Src != [16]byte{} {
		to, toMAC = s.Src, s.Sender
	}
	b := dst[:RouterAdvertFrameLen]
	clear(b)
	putEther(b, toMAC, c.MAC, EtherTypeIPv6)
	ip := IPv6Header(b[EtherLen:])
	msg := ip[IPv6Len:]
	putIPv6(ip, len(msg), ProtoICMPv6, ndHopLimit, c.Addr.As16(), to)
	const (
		hopLimit = 64 // for the guest's packets
		managed  = 0x80
		onLink   = 0x80
		forever  = 0xffffffff
	)
	msg[0] = ICMPv6RouterAdvert
	msg[4], msg[5] = hopLimit, managed
	binary.BigEndian.PutUint16(msg[6:8], c.Lifetime) // reachable and retransmission times: unspecified
	opt := msg[16:]
	opt[0], opt[1] = NDSourceLink, 1
	copy(opt[2:8], c.MAC[:])
	opt = opt[8:]
	opt[0], opt[1] = NDMTU, 1
	binary.BigEndian.PutUint32(opt[4:8], uint32(c.MTU))
	opt = opt[8:]
	opt[0], opt[1], opt[2], opt[3] = NDPrefix, 4, byte(c.Prefix.Bits()), onLink
	binary.BigEndian.PutUint32(opt[4:8], forever) // valid; nothing is preferred
	prefix := c.Prefix.Addr().As16()
	copy(opt[16:32], prefix[:])
	ICMPHeader(msg).SetChecksum(^ip.TransportSum(ProtoICMPv6, msg))
	return RouterAdvertFrameLen
}
