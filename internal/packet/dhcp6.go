package packet

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
)

// DHCP6Type is the type of a DHCPv6 message (RFC 8415 sec. 7.3).
type DHCP6Type uint8

// The types of RFC 8415, but for those between relays and servers.
const (
	DHCP6Solicit DHCP6Type = 1 + iota
	DHCP6Advertise
	DHCP6Request
	DHCP6Confirm
	DHCP6Renew
	DHCP6Rebind
	DHCP6Reply
	DHCP6Release
	DHCP6Decline
	DHCP6Reconfigure
	DHCP6Information
)

// Ports of DHCPv6.
const (
	DHCP6ClientPort = 546
	DHCP6ServerPort = 547
)

// DHCP6Servers is the group that clients send to: all relay agents and servers
// on the link.
var DHCP6Servers = netip.MustParseAddr("ff02::1:2")

// Options (RFC 8415 sec. 21, RFC 3646).
const (
	dhcp6ClientID    = 1
	dhcp6ServerID    = 2
	dhcp6IANA        = 3
	dhcp6IATA        = 4
	dhcp6IAAddr      = 5
	dhcp6Requested   = 6
	dhcp6Preference  = 7
	dhcp6Elapsed     = 8
	dhcp6Status      = 13
	dhcp6RapidCommit = 14
	dhcp6DNS         = 23
	dhcp6IAPD        = 25
)

// Status codes (RFC 8415 sec. 21.13).
const (
	dhcp6Success       = 0
	dhcp6NoAddrsAvail  = 2
	dhcp6NotOnLink     = 4
	dhcp6NoPrefixAvail = 6
)

// Bounds of what is remembered of a message. What is beyond is an error: no
// client of one interface has more.
const (
	dhcp6MaxDUID  = 130 // RFC 8415 sec. 11.1: 128 bytes and the type
	dhcp6MaxIAs   = 4
	dhcp6MaxAsked = 8 // addresses that the client names, in all its associations
)

// dhcp6IA is an identity association: a name for a set of addresses.
type dhcp6IA struct {
	option uint8 // dhcp6IANA, dhcp6IATA or dhcp6IAPD
	id     uint32
	asked  uint8 // number of addresses that the client named, from the first of its own on
}

// DHCP6Message is what a client says. It holds copies: the frame it came in may
// be overwritten by the answer.
type DHCP6Message struct {
	Type        DHCP6Type
	Transaction [3]byte
	RapidCommit bool
	WantsDNS    bool

	hasServer bool
	clientLen uint8
	serverLen uint8
	ias       uint8
	asked     uint8
	client    [dhcp6MaxDUID]byte
	server    [dhcp6MaxDUID]byte
	ia        [dhcp6MaxIAs]dhcp6IA
	addrs     [dhcp6MaxAsked][16]byte // asked for, association by association
}

// ClientID returns the client's identifier, empty where absent. It lies in m.
func (m *DHCP6Message) ClientID() []byte { return m.client[:m.clientLen] }

// ServerID returns the identifier of the server that the message is for, empty
// where absent. It lies in m.
func (m *DHCP6Message) ServerID() []byte { return m.server[:m.serverLen] }

// What can be wrong with a message from a client.
var (
	ErrDHCP6Truncated = errors.New("dhcp6: message or option is truncated")
	ErrDHCP6Type      = errors.New("dhcp6: not a message of a client")
	ErrDHCP6Option    = errors.New("dhcp6: option of a wrong length, in a wrong place, or given twice")
	ErrDHCP6Missing   = errors.New("dhcp6: an option is missing that the message must have")
	ErrDHCP6TooMuch   = errors.New("dhcp6: more associations or addresses than one interface has")
)

// ParseDHCP6 reads the message of a client: msg is the payload of its UDP
// datagram. It applies RFC 8415 sec. 16 as far as that does not depend on who the
// server is. Unknown options are skipped.
func ParseDHCP6(msg []byte, m *DHCP6Message) error {
	*m = DHCP6Message{}
	if len(msg) < 4 {
		return ErrDHCP6Truncated
	}
	m.Type = DHCP6Type(msg[0])
	switch m.Type {
	case DHCP6Solicit, DHCP6Request, DHCP6Confirm, DHCP6Renew, DHCP6Rebind, DHCP6Release, DHCP6Decline, DHCP6Information:
	default:
		return ErrDHCP6Type
	}
	copy(m.Transaction[:], msg[1:4])
	if err := m.options(msg[4:]); err != nil {
		return err
	}
	return m.check()
}

// check applies what RFC 8415 sec. 16.2 to 16.12 demand of each type.
func (m *DHCP6Message) check() error {
	if m.clientLen == 0 && m.Type != DHCP6Information {
		return ErrDHCP6Missing
	}
	switch m.Type {
	case DHCP6Solicit, DHCP6Confirm, DHCP6Rebind:
		if m.hasServer {
			return ErrDHCP6Option
		}
	case DHCP6Request, DHCP6Renew, DHCP6Release, DHCP6Decline:
		if !m.hasServer {
			return ErrDHCP6Missing
		}
	case DHCP6Information:
		if m.ias != 0 {
			return ErrDHCP6Option
		}
	}
	return nil
}

// next takes the next option off b.
func dhcp6Next(b *[]byte) (code uint16, val []byte, err error) {
	o := *b
	if len(o) < 4 {
		return 0, nil, ErrDHCP6Truncated
	}
	n := 4 + int(binary.BigEndian.Uint16(o[2:4]))
	if len(o) < n {
		return 0, nil, ErrDHCP6Truncated
	}
	*b = o[n:]
	return binary.BigEndian.Uint16(o), o[4:n], nil
}

func (m *DHCP6Message) options(b []byte) error {
	elapsed, requested := false, false
	for len(b) > 0 {
		code, val, err := dhcp6Next(&b)
		if err != nil {
			return err
		}
		switch code {
		case dhcp6ClientID:
			if m.clientLen != 0 || !putDUID(&m.client, &m.clientLen, val) {
				return ErrDHCP6Option
			}
		case dhcp6ServerID:
			if m.hasServer || !putDUID(&m.server, &m.serverLen, val) {
				return ErrDHCP6Option
			}
			m.hasServer = true
		case dhcp6IANA, dhcp6IATA, dhcp6IAPD:
			if err := m.association(uint8(code), val); err != nil {
				return err
			}
		case dhcp6IAAddr:
			return ErrDHCP6Option // it belongs in an association
		case dhcp6Requested:
			if requested || len(val)%2 != 0 {
				return ErrDHCP6Option
			}
			requested = true
			for ; len(val) > 0; val = val[2:] {
				m.WantsDNS = m.WantsDNS || binary.BigEndian.Uint16(val) == dhcp6DNS
			}
		case dhcp6Elapsed:
			if elapsed || len(val) != 2 {
				return ErrDHCP6Option
			}
			elapsed = true
		case dhcp6RapidCommit:
			if m.RapidCommit || len(val) != 0 {
				return ErrDHCP6Option
			}
			m.RapidCommit = true
		}
	}
	return nil
}

// putDUID copies an identifier: two bytes of type and at least one more.
func putDUID(to *[dhcp6MaxDUID]byte, n *uint8, val []byte) bool {
	if len(val) < 3 || len(val) > dhcp6MaxDUID {
		return false
	}
	*n = uint8(copy(to[:], val))
	return true
}

// association reads an identity association and the addresses that are named in
// it. An IA_NA and an IA_PD have two times behind their name, an IA_TA has none.
func (m *DHCP6Message) association(option uint8, val []byte) error {
	fixed := 12
	if option == dhcp6IATA {
		fixed = 4
	}
	if len(val) < fixed {
		return ErrDHCP6Option
	}
	if m.ias == dhcp6MaxIAs {
		return ErrDHCP6TooMuch
	}
	ia := &m.ia[m.ias]
	m.ias++
	ia.option, ia.id = option, binary.BigEndian.Uint32(val)
	for val = val[fixed:]; len(val) > 0; {
		code, inner, err := dhcp6Next(&val)
		if err != nil {
			return err
		}
		if code != dhcp6IAAddr || option == dhcp6IAPD {
			continue
		}
		if len(inner) < 24 {
			return ErrDHCP6Option
		}
		if m.asked == dhcp6MaxAsked {
			return ErrDHCP6TooMuch
		}
		m.addrs[m.asked] = [16]byte(inner)
		m.asked++
		ia.asked++
	}
	return nil
}

// DHCP6Config is what nitrod tells the guest behind one ENI.
type DHCP6Config struct {
	Addrs     [][16]byte     // the ENI's IPv6 addresses, the primary one first; the first DHCP6MaxAddrs are given
	Prefixes  []netip.Prefix // delegated to the ENI: their addresses are not given, but are right
	Router    netip.Addr     // the router's link-local address: the server
	RouterMAC MAC            // of which the server's identifier is made
	DNS       netip.Addr
	Lease     uint32 // seconds; 0 means DefaultDHCPLease
}

// own reports whether an address is one of the ENI's, and so the only kind that
// is right for its link.
func (c *DHCP6Config) own(a [16]byte) bool {
	if slices.Contains(c.Addrs, a) {
		return true
	}
	addr := netip.AddrFrom16(a)
	for _, p := range c.Prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// duid returns the server's identifier: of the kind that is made of a link-layer
// address (RFC 8415 sec. 11.4), and so as lasting as the router's MAC.
func (c *DHCP6Config) duid() [10]byte {
	d := [10]byte{1: 3, 3: 1}
	copy(d[4:], c.RouterMAC[:])
	return d
}

// Decide returns the type of the answer to m, by RFC 8415 sec. 18.3: DHCP6Advertise
// or DHCP6Reply if the verdict is DHCPReplied, else 0.
func (c *DHCP6Config) Decide(m *DHCP6Message) (DHCP6Type, DHCPVerdict) {
	if duid := c.duid(); m.hasServer && !slices.Equal(m.ServerID(), duid[:]) {
		return 0, DHCPConsumed // it took another server's offer
	}
	switch {
	case m.Type == DHCP6Solicit && !m.RapidCommit:
		return DHCP6Advertise, DHCPReplied
	case m.Type == DHCP6Confirm && m.asked == 0:
		return 0, DHCPConsumed // sec. 18.3.3: nothing to confirm
	}
	return DHCP6Reply, DHCPReplied
}
