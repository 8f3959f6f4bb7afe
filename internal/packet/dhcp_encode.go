package packet

import (
	"encoding/binary"
	"net/netip"
)

// Room for the longest reply: message type, seven options of four bytes, the
// MTU, a client identifier of 255 bytes, and the end. With IP and UDP headers
// that is 575 bytes, of which a client must take 576 (RFC 2131 sec. 2).
const (
	dhcpHeaders    = EtherLen + IPv4MinLen + UDPLen
	dhcpMaxOptions = 3 + 7*6 + 4 + 257 + 1

	// DHCPReplyMax is the size of the longest frame that a reply can be.
	DHCPReplyMax = dhcpHeaders + bootpOptions + dhcpMaxOptions
)

// bootpMinLen is the size of a BOOTP message; some clients refuse a shorter one
// (RFC 1542 sec. 2.1).
const bootpMinLen = 300

// Put writes the frame of an answer of type t (DHCPOffer, DHCPAck, DHCPNak) to
// m, and returns its length. dst has room for DHCPReplyMax bytes, else Put
// panics.
//
// Where it goes follows RFC 2131 sec. 4.1: a NAK to everybody; else to the
// address that the client has already; else to everybody if the client asked
// for that; else to the address it is given.
func (c *DHCPConfig) Put(dst []byte, m *DHCPMessage, t DHCPType) int {
	_ = dst[DHCPReplyMax-1]
	b := dst[:DHCPReplyMax]
	clear(b)
	msg := b[dhcpHeaders:]
	msg[0], msg[1], msg[2] = bootpReply, 1, 6
	binary.BigEndian.PutUint32(msg[4:8], m.XID)
	binary.BigEndian.PutUint16(msg[10:12], m.Flags)
	copy(msg[28:34], m.Client[:])
	binary.BigEndian.PutUint32(msg[bootpCookie:], dhcpCookie)
	has := m.CIAddr // the address that the client has already
	if m.Type == DHCPDiscover {
		has = 0
	}
	if t != DHCPNak { // which leaves both addresses empty (RFC 2131 table 3)
		binary.BigEndian.PutUint32(msg[12:16], has)
		if m.Type != DHCPInform {
			binary.BigEndian.PutUint32(msg[16:20], ip4(c.Addr))
		}
	}
	length := max(c.putOptions(msg, m, t), bootpMinLen)

	dstIP, dstMAC := ip4(c.Addr), m.Client
	switch {
	case t == DHCPNak, has == 0 && m.Flags&dhcpFlagBroadcast != 0:
		dstIP, dstMAC = 0xffffffff, Broadcast
	case has != 0:
		dstIP = has
	}
	putEther(b, dstMAC, c.RouterMAC, EtherTypeIPv4)
	ip := IPv4Header(b[EtherLen:])
	putIPv4(ip, IPv4MinLen+UDPLen+length, 64, ProtoUDP, ip4(c.Router), dstIP)
	udp := UDPHeader(b[EtherLen+IPv4MinLen:][:UDPLen+length])
	putUDP(udp, DHCPServerPort, DHCPClientPort, len(udp))
	udp.SetChecksum(^ip.TransportSum(ProtoUDP, udp))
	return dhcpHeaders + length
}

// putOptions writes the options to msg and returns the length of the message.
func (c *DHCPConfig) putOptions(msg []byte, m *DHCPMessage, t DHCPType) int {
	n := bootpOptions
	put32 := func(code uint8, v uint32) {
		msg[n], msg[n+1] = code, 4
		binary.BigEndian.PutUint32(msg[n+2:], v)
		n += 6
	}
	msg[n], msg[n+1], msg[n+2] = dhcpMessageType, 1, byte(t)
	n += 3
	put32(dhcpServerID, ip4(c.Router))
	if t != DHCPNak {
		if m.Type != DHCPInform { // it has a lease from elsewhere (sec. 4.3.5)
			lease, t1, t2 := c.times()
			put32(dhcpLease, lease)
			put32(dhcpRenewal, t1)
			put32(dhcpRebinding, t2)
		}
		put32(dhcpMask, ^uint32(0)<<(32-uint(c.PrefixLen)))
		put32(dhcpRouter, ip4(c.Router))
		if c.DNS.Is4() {
			put32(dhcpDNS, ip4(c.DNS))
		}
		if c.MTU >= 68 {
			msg[n], msg[n+1] = dhcpMTU, 2
			binary.BigEndian.PutUint16(msg[n+2:], c.MTU)
			n += 4
		}
	}
	if m.idLen > 0 { // RFC 6842: a server gives it back
		msg[n], msg[n+1] = dhcpClientID, m.idLen
		n += 2 + copy(msg[n+2:], m.ClientID())
	}
	msg[n] = dhcpEnd
	return n + 1
}

// times returns the lease and when to renew and to rebind it: after a half and
// after seven eighths (RFC 2131 sec. 4.4.5).
func (c *DHCPConfig) times() (lease, t1, t2 uint32) {
	switch c.Lease {
	case 0:
		lease = DefaultDHCPLease
	case dhcpForever:
		return dhcpForever, dhcpForever, dhcpForever
	default:
		lease = c.Lease
	}
	return lease, lease / 2, uint32(uint64(lease) * 7 / 8)
}

// ip4 returns an IPv4 address as a number, 0 for any other.
func ip4(a netip.Addr) uint32 {
	if !a.Is4() {
		return 0
	}
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}
