package packet

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// DHCPType is the type of a DHCP message (RFC 2132 sec. 9.6).
type DHCPType uint8

// The types of RFC 2131.
const (
	DHCPDiscover DHCPType = 1 + iota
	DHCPOffer
	DHCPRequest
	DHCPDecline
	DHCPAck
	DHCPNak
	DHCPRelease
	DHCPInform
)

var dhcpTypes = [...]string{"unknown", "discover", "offer", "request", "decline", "ack", "nak", "release", "inform"}

// String returns the type's name in lower case.
func (t DHCPType) String() string {
	if int(t) >= len(dhcpTypes) {
		t = 0
	}
	return dhcpTypes[t]
}

// Ports of DHCPv4.
const (
	DHCPServerPort = 67
	DHCPClientPort = 68
)

// Options (RFC 2132).
const (
	dhcpPad         = 0
	dhcpMask        = 1
	dhcpRouter      = 3
	dhcpDNS         = 6
	dhcpMTU         = 26
	dhcpRequested   = 50
	dhcpLease       = 51
	dhcpOverload    = 52
	dhcpMessageType = 53
	dhcpServerID    = 54
	dhcpParameters  = 55
	dhcpRenewal     = 58
	dhcpRebinding   = 59
	dhcpClientID    = 61
	dhcpEnd         = 255
)

// The fixed part of a message, the BOOTP header (RFC 951), and its fields:
//
//	 0     1     2     3     4         8         10        12
//	+-----+-----+-----+-----+---------+---------+---------+
//	| op  |htype| hlen|hops |   xid   |  secs   |  flags  |
//	+-----+-----+-----+-----+---------+---------+---------+
//	  12 ciaddr  16 yiaddr  20 siaddr  24 giaddr  28 chaddr (16)
//	  44 sname (64)   108 file (128)   236 cookie   240 options
const (
	bootpSName   = 44
	bootpFile    = 108
	bootpCookie  = 236
	bootpOptions = 240

	bootpRequest = 1
	bootpReply   = 2

	dhcpCookie        = 0x63825363
	dhcpFlagBroadcast = 0x8000
)

// DHCPMessage is what a client says. It holds copies: the frame it came in may
// be overwritten by the answer.
type DHCPMessage struct {
	Type      DHCPType
	XID       uint32
	Secs      uint16
	Flags     uint16
	Client    MAC    // chaddr
	CIAddr    uint32 // the client's address, where it can answer ARP on it
	GIAddr    uint32 // the relay's address
	Requested uint32 // option 50, 0 where absent
	ServerID  uint32 // option 54, 0 where absent
	Wanted    [4]uint64
	idLen     uint8
	id        [255]byte
}

// Wants reports whether the client asked for an option by number.
func (m *DHCPMessage) Wants(option uint8) bool { return m.Wanted[option>>6]>>(option&63)&1 != 0 }

// ClientID returns option 61, empty where absent. It lies in m.
func (m *DHCPMessage) ClientID() []byte { return m.id[:m.idLen] }

// What can be wrong with a message from a client.
var (
	ErrDHCPTruncated = errors.New("dhcp: message is truncated")
	ErrDHCPNotBOOTP  = errors.New("dhcp: not a request from an Ethernet client")
	ErrDHCPCookie    = errors.New("dhcp: no DHCP cookie")
	ErrDHCPOption    = errors.New("dhcp: option of a wrong length or given twice")
	ErrDHCPType      = errors.New("dhcp: not a message of a client")
)

// ParseDHCP reads the message of a client: msg is the payload of its UDP
// datagram. The file and sname fields are read as options where option 52 says
// so (RFC 2131 sec. 4.1). Unknown options are skipped, and so is a missing end.
func ParseDHCP(msg []byte, m *DHCPMessage) error {
	*m = DHCPMessage{}
	if len(msg) < bootpOptions {
		return ErrDHCPTruncated
	}
	if msg[0] != bootpRequest || msg[1] != 1 || msg[2] != 6 {
		return ErrDHCPNotBOOTP
	}
	if binary.BigEndian.Uint32(msg[bootpCookie:]) != dhcpCookie {
		return ErrDHCPCookie
	}
	m.XID = binary.BigEndian.Uint32(msg[4:8])
	m.Secs = binary.BigEndian.Uint16(msg[8:10])
	m.Flags = binary.BigEndian.Uint16(msg[10:12])
	m.CIAddr = binary.BigEndian.Uint32(msg[12:16])
	m.GIAddr = binary.BigEndian.Uint32(msg[24:28])
	m.Client = MAC(msg[28:34])

	var overload uint8
	if err := m.parseOptions(msg[bootpOptions:], &overload); err != nil {
		return err
	}
	// Only the options field itself may say that there is more elsewhere.
	var ignored uint8
	if overload&1 != 0 {
		if err := m.parseOptions(msg[bootpFile:bootpCookie], &ignored); err != nil {
			return err
		}
	}
	if overload&2 != 0 {
		if err := m.parseOptions(msg[bootpSName:bootpFile], &ignored); err != nil {
			return err
		}
	}
	switch m.Type {
	case DHCPDiscover, DHCPRequest, DHCPDecline, DHCPRelease, DHCPInform:
		return nil
	}
	return ErrDHCPType
}

func (m *DHCPMessage) parseOptions(b []byte, overload *uint8) error {
	for len(b) > 0 {
		code := b[0]
		if code == dhcpEnd {
			return nil
		}
		if code == dhcpPad {
			b = b[1:]
			continue
		}
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return ErrDHCPTruncated
		}
		val := b[2 : 2+int(b[1])]
		b = b[2+int(b[1]):]
		if !m.option(code, val, overload) {
			return ErrDHCPOption
		}
	}
	return nil
}

// option takes one option. An option in several parts is one long option (RFC
// 3396), so a second part is an error where the length is fixed.
func (m *DHCPMessage) option(code uint8, val []byte, overload *uint8) bool {
	switch code {
	case dhcpMessageType:
		if len(val) != 1 || m.Type != 0 {
			return false
		}
		m.Type = DHCPType(val[0])
	case dhcpOverload:
		if len(val) != 1 || *overload != 0 || val[0] < 1 || val[0] > 3 {
			return false
		}
		*overload = val[0]
	case dhcpRequested:
		return setOnce(&m.Requested, val)
	case dhcpServerID:
		return setOnce(&m.ServerID, val)
	case dhcpParameters:
		for _, p := range val {
			m.Wanted[p>>6] |= 1 << (p & 63)
		}
	case dhcpClientID:
		if int(m.idLen)+len(val) > len(m.id) {
			return false
		}
		m.idLen += uint8(copy(m.id[m.idLen:], val))
	}
	return true
}

func setOnce(addr *uint32, val []byte) bool {
	if len(val) != 4 || *addr != 0 {
		return false
	}
	*addr = binary.BigEndian.Uint32(val)
	return true
}

// DHCPConfig is what nitrod tells the guest behind one ENI. All addresses are
// IPv4.
type DHCPConfig struct {
	Client    MAC        // the ENI's
	Addr      netip.Addr // the ENI's primary address
	PrefixLen int        // of its subnet
	Router    netip.Addr // the subnet's router, which is the server as well
	RouterMAC MAC
	DNS       netip.Addr // the VPC's base address + 2; left out where it is not valid
	MTU       uint16     // left out where it is below 68 (RFC 2132 sec. 5.1)
	Lease     uint32     // seconds, 0xffffffff for ever; 0 means DefaultDHCPLease
}

// DefaultDHCPLease is the time for which an address is given, in seconds. An
// ENI's address does not change, so it is long.
const DefaultDHCPLease = 86400

const dhcpForever = 0xffffffff

// DHCPVerdict says what became of a message from a client.
type DHCPVerdict uint8

// The verdicts.
const (
	DHCPMalformed DHCPVerdict = iota // not understood, or asks for nothing
	DHCPReplied                      // an answer was written
	DHCPConsumed                     // understood, and to be answered with silence
)

// Reply answers msg, the payload of a UDP datagram from a client to port 67: it
// writes a whole frame to dst and returns its length, which is not 0 if and
// only if the verdict is DHCPReplied. dst may overlap msg and must have room
// for DHCPReplyMax bytes; a shorter one is a mistake of the caller and panics.
func (c *DHCPConfig) Reply(dst, msg []byte) (int, DHCPVerdict) {
	_ = dst[DHCPReplyMax-1]
	var m DHCPMessage
	if ParseDHCP(msg, &m) != nil {
		return 0, DHCPMalformed
	}
	t, v := c.Decide(&m)
	if v != DHCPReplied {
		return 0, v
	}
	return c.Put(dst, &m, t), DHCPReplied
}

// Decide returns the type of the answer to m, by RFC 2131 sec. 4.3. It is
// DHCPOffer, DHCPAck or DHCPNak if the verdict is DHCPReplied, else 0.
//
// Only the ENI's own address is given, to its own MAC. A relay's message is
// consumed: there is none between a guest and its card.
func (c *DHCPConfig) Decide(m *DHCPMessage) (DHCPType, DHCPVerdict) {
	if m.Client != c.Client || m.GIAddr != 0 {
		return 0, DHCPConsumed
	}
	addr, server := ip4(c.Addr), ip4(c.Router)
	switch m.Type {
	case DHCPDiscover:
		return DHCPOffer, DHCPReplied
	case DHCPRequest:
		if m.ServerID != 0 && m.ServerID != server {
			return 0, DHCPConsumed // it took another server's offer
		}
		// Sec. 4.3.2: SELECTING and INIT-REBOOT name the address in an option,
		// RENEWING and REBINDING in ciaddr. Both at once break the rules and
		// harm nobody.
		asked := m.Requested
		if asked == 0 {
			asked = m.CIAddr
		}
		if asked == 0 {
			return 0, DHCPMalformed
		}
		if asked != addr {
			return DHCPNak, DHCPReplied
		}
		return DHCPAck, DHCPReplied
	case DHCPInform:
		if m.CIAddr == 0 {
			return 0, DHCPMalformed
		}
		return DHCPAck, DHCPReplied
	}
	return 0, DHCPConsumed // DECLINE and RELEASE: the address stays the ENI's
}
