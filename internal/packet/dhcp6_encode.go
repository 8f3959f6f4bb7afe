package packet

import "encoding/binary"

// Room for the longest reply, to a client that renews: the message's header, both
// identifiers, the resolver; one association with all addresses and those to be
// given up, and the others with a status.
const (
	dhcp6Headers   = EtherLen + IPv6Len + UDPLen
	dhcp6StatusLen = 6
	dhcp6IALen     = 16
	dhcp6AddrLen   = 28

	// DHCP6MaxAddrs is how many addresses of an ENI a reply has room for.
	DHCP6MaxAddrs = 16

	// DHCP6ReplyMax is the size of the longest frame that a reply can be.
	DHCP6ReplyMax = dhcp6Headers + 4 + (4 + dhcp6MaxDUID) + (4 + 10) + 20 +
		dhcp6IALen + (DHCP6MaxAddrs+dhcp6MaxAsked)*dhcp6AddrLen + (dhcp6MaxIAs-1)*(dhcp6IALen+dhcp6StatusLen)
)

// Reply answers msg, the payload of a UDP datagram from a client to port 547: it
// writes a whole frame to dst and returns its length, which is not 0 if and only
// if the verdict is DHCPReplied. guest and src are where the datagram came from.
// dst may overlap msg and must have room for DHCP6ReplyMax bytes; a shorter one is
// a mistake of the caller and panics.
func (c *DHCP6Config) Reply(dst, msg []byte, guest MAC, src [16]byte) (int, DHCPVerdict) {
	_ = dst[DHCP6ReplyMax-1]
	var m DHCP6Message
	if ParseDHCP6(msg, &m) != nil {
		return 0, DHCPMalformed
	}
	t, v := c.Decide(&m)
	if v != DHCPReplied {
		return 0, v
	}
	return c.put(dst, &m, t, guest, src), DHCPReplied
}

// put writes the frame of an answer of type t to m, and returns its length.
func (c *DHCP6Config) put(dst []byte, m *DHCP6Message, t DHCP6Type, guest MAC, src [16]byte) int {
	w := dhcp6Writer{b: dst[:DHCP6ReplyMax], n: dhcp6Headers}
	copy(w.take(4), []byte{byte(t), m.Transaction[0], m.Transaction[1], m.Transaction[2]})
	if m.clientLen != 0 {
		copy(w.option(dhcp6ClientID, int(m.clientLen)), m.ClientID())
	}
	duid := c.duid()
	copy(w.option(dhcp6ServerID, len(duid)), duid[:])
	if t == DHCP6Advertise {
		w.option(dhcp6Preference, 1)[0] = 255 // there is no other server to wait for
	}
	if m.Type == DHCP6Solicit && m.RapidCommit {
		w.option(dhcp6RapidCommit, 0)
	}
	switch m.Type {
	case DHCP6Confirm:
		w.status(c.confirms(m))
	case DHCP6Release, DHCP6Decline:
		w.status(dhcp6Success) // sec. 18.3.7; the addresses stay the ENI's
	case DHCP6Information:
	default:
		c.putAssociations(&w, m)
	}
	if m.WantsDNS && c.DNS.Is6() {
		dns := c.DNS.As16()
		copy(w.option(dhcp6DNS, 16), dns[:])
	}

	b := dst[:w.n]
	putEther(b, guest, c.RouterMAC, EtherTypeIPv6)
	ip := IPv6Header(b[EtherLen:])
	putIPv6(ip, len(b)-EtherLen-IPv6Len, ProtoUDP, 64, c.Router.As16(), src)
	udp := UDPHeader(ip[IPv6Len:])
	putUDP(udp, DHCP6ServerPort, DHCP6ClientPort, len(udp))
	udp.SetChecksum(^ip.TransportSum(ProtoUDP, udp))
	return len(b)
}

// confirms returns the status for addresses that a client had before it lost its
// link: whether all are the ENI's.
func (c *DHCP6Config) confirms(m *DHCP6Message) uint16 {
	for _, a := range m.addrs[:m.asked] {
		if !c.own(a) {
			return dhcp6NotOnLink
		}
	}
	return dhcp6Success
}

// putAssociations gives the ENI's addresses to the first association for
// addresses that last, and a status to every other.
func (c *DHCP6Config) putAssociations(w *dhcp6Writer, m *DHCP6Message) {
	given, at := false, 0
	for i := range m.ia[:m.ias] {
		ia := &m.ia[i]
		asked := m.addrs[at : at+int(ia.asked)]
		at += int(ia.asked)
		start := w.n
		b := w.option(uint16(ia.option), 4)
		binary.BigEndian.PutUint32(b, ia.id)
		if ia.option != dhcp6IATA {
			clear(w.take(8)) // the times; 0 leaves them to the client
		}
		switch {
		case ia.option == dhcp6IAPD:
			w.status(dhcp6NoPrefixAvail)
		case ia.option == dhcp6IATA || given:
			w.status(dhcp6NoAddrsAvail)
		case m.Type == DHCP6Request && c.foreign(asked):
			w.status(dhcp6NotOnLink) // sec. 18.3.2
		default:
			given = true
			if m.Type != DHCP6Renew && m.Type != DHCP6Rebind {
				asked = nil // a wish, not what the client has
			}
			c.putAddresses(w, w.b[start+8:start+16], asked)
		}
		binary.BigEndian.PutUint16(w.b[start+2:], uint16(w.n-start-4))
	}
}

func (c *DHCP6Config) foreign(asked [][16]byte) bool {
	for _, a := range asked {
		if !c.own(a) {
			return true
		}
	}
	return false
}

// putAddresses writes the ENI's addresses, and with a lifetime of 0 those that
// the client named and must give up (RFC 8415 sec. 18.3.4). times are T1 and T2:
// when to renew and to rebind, by sec. 21.4 a half and eight tenths of the time.
func (c *DHCP6Config) putAddresses(w *dhcp6Writer, times []byte, asked [][16]byte) {
	lease := c.Lease
	if lease == 0 {
		lease = DefaultDHCPLease
	}
	binary.BigEndian.PutUint32(times[0:4], lease/2)
	binary.BigEndian.PutUint32(times[4:8], uint32(uint64(lease)*8/10))
	for _, a := range c.Addrs[:min(len(c.Addrs), DHCP6MaxAddrs)] {
		w.address(a, lease)
	}
	for _, a := range asked {
		if !c.own(a) {
			w.address(a, 0)
		}
	}
}

// dhcp6Writer puts a message together, from b[n] on.
type dhcp6Writer struct {
	b []byte
	n int
}

func (w *dhcp6Writer) take(n int) []byte {
	b := w.b[w.n : w.n+n]
	w.n += n
	return b
}

// option writes an option's header and returns the place for its n bytes.
func (w *dhcp6Writer) option(code uint16, n int) []byte {
	h := w.take(4)
	binary.BigEndian.PutUint16(h[0:2], code)
	binary.BigEndian.PutUint16(h[2:4], uint16(n))
	return w.take(n)
}

func (w *dhcp6Writer) status(code uint16) {
	binary.BigEndian.PutUint16(w.option(dhcp6Status, 2), code)
}

func (w *dhcp6Writer) address(a [16]byte, lifetime uint32) {
	b := w.option(dhcp6IAAddr, 24)
	copy(b, a[:])
	binary.BigEndian.PutUint32(b[16:20], lifetime) // preferred
	binary.BigEndian.PutUint32(b[20:24], lifetime) // valid
}
