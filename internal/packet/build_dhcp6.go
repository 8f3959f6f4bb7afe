package packet

import (
	"encoding/binary"
	"net/netip"
)

// DHCP6 is the message of a DHCPv6 client.
type DHCP6 struct {
	Type               DHCP6Type
	Transaction        uint32
	ClientID, ServerID []byte // nil: left out
	RapidCommit        bool
	Wants              []uint16 // options; nil: left out
	Associations       []DHCP6Association
	Options            []byte // further ones, as they are
}

// DHCP6Association is an identity association, of addresses or of prefixes.
type DHCP6Association struct {
	Option uint16 // 0: of addresses that last, IA_NA
	ID     uint32
	Addrs  []netip.Addr
}

func (l DHCP6) wrap(inner []byte, _ []Layer, _ Layer) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(l.Type)<<24|l.Transaction&0xffffff)
	if l.ClientID != nil {
		b = appendDHCP6(b, dhcp6ClientID, l.ClientID)
	}
	if l.ServerID != nil {
		b = appendDHCP6(b, dhcp6ServerID, l.ServerID)
	}
	b = appendDHCP6(b, dhcp6Elapsed, []byte{0, 0})
	if l.RapidCommit {
		b = appendDHCP6(b, dhcp6RapidCommit, nil)
	}
	if l.Wants != nil {
		var codes []byte
		for _, w := range l.Wants {
			codes = binary.BigEndian.AppendUint16(codes, w)
		}
		b = appendDHCP6(b, dhcp6Requested, codes)
	}
	for _, ia := range l.Associations {
		option, body := ia.Option, binary.BigEndian.AppendUint32(nil, ia.ID)
		if option == 0 {
			option = dhcp6IANA
		}
		if option != dhcp6IATA {
			body = append(body, make([]byte, 8)...)
		}
		for _, a := range ia.Addrs {
			addr := a.As16()
			body = appendDHCP6(body, dhcp6IAAddr, append(addr[:], make([]byte, 8)...))
		}
		b = appendDHCP6(b, option, body)
	}
	return prepend(append(b, l.Options...), inner)
}

func appendDHCP6(b []byte, code uint16, val []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, code)
	b = binary.BigEndian.AppendUint16(b, uint16(len(val)))
	return append(b, val...)
}
