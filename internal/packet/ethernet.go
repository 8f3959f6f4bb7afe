package packet

import "encoding/binary"

// MAC is an Ethernet address.
type MAC [6]byte

// Broadcast is the address of all stations.
var Broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// IsGroup reports whether m is a multicast or the broadcast address.
func (m MAC) IsGroup() bool { return m[0]&1 != 0 }

// IsBroadcast reports whether m is the broadcast address.
func (m MAC) IsBroadcast() bool { return m == Broadcast }

// IsZero reports whether m is the zero value, which is nobody's address.
func (m MAC) IsZero() bool { return m == MAC{} }

// Uint64 returns the address in the low 48 bits.
func (m MAC) Uint64() uint64 {
	return uint64(binary.BigEndian.Uint16(m[0:2]))<<32 | uint64(binary.BigEndian.Uint32(m[2:6]))
}

// String writes the address as 02:00:00:00:00:01.
func (m MAC) String() string { return string(m.append(nil)) }

func (m MAC) append(b []byte) []byte {
	const hex = "0123456789abcdef"
	for i, c := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, hex[c>>4], hex[c&15])
	}
	return b
}

// ParseMAC reads an address of six hexadecimal pairs with colons or hyphens
// between them.
func ParseMAC(s string) (MAC, bool) {
	var m MAC
	if len(s) != 17 {
		return m, false
	}
	sep := s[2]
	if sep != ':' && sep != '-' {
		return m, false
	}
	for i := range m {
		hi, ok1 := unhex(s[3*i])
		lo, ok2 := unhex(s[3*i+1])
		if !ok1 || !ok2 || i < 5 && s[3*i+2] != sep {
			return MAC{}, false
		}
		m[i] = hi<<4 | lo
	}
	return m, true
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// MulticastMAC6 returns the Ethernet address for an IPv6 multicast address
// (RFC 2464 sec. 7).
func MulticastMAC6(dst [16]byte) MAC {
	return MAC{0x33, 0x33, dst[12], dst[13], dst[14], dst[15]}
}

// EtherTypes.
const (
	EtherTypeIPv4 = 0x0800
	EtherTypeARP  = 0x0806
	EtherTypeVLAN = 0x8100 // 802.1Q, and the inner tag of 802.1ad
	EtherTypeIPv6 = 0x86dd
	EtherTypeQinQ = 0x88a8 // 802.1ad, the outer tag
)

// Sizes of the Ethernet header and of one VLAN tag.
const (
	EtherLen = 14
	VLANLen  = 4
)

// EtherHeader views an Ethernet header:
//
//	 0               6              12      14
//	+---------------+---------------+-------+
//	|  destination  |    source     | type  |
//	+---------------+---------------+-------+
//
// Methods need EtherLen bytes.
type EtherHeader []byte

// Dst returns the destination address.
func (h EtherHeader) Dst() MAC { return MAC(h[0:6]) }

// Src returns the source address.
func (h EtherHeader) Src() MAC { return MAC(h[6:12]) }

// Type returns the EtherType, which is EtherTypeVLAN or EtherTypeQinQ where
// tags follow.
func (h EtherHeader) Type() uint16 { return binary.BigEndian.Uint16(h[12:14]) }

// SetDst sets the destination address.
func (h EtherHeader) SetDst(m MAC) { copy(h[0:6], m[:]) }

// SetSrc sets the source address.
func (h EtherHeader) SetSrc(m MAC) { copy(h[6:12], m[:]) }

// SetType sets the EtherType.
func (h EtherHeader) SetType(t uint16) { binary.BigEndian.PutUint16(h[12:14], t) }

// VLANTag views what follows the EtherType of a tagged frame (IEEE 802.1Q):
//
//	 0               2               4
//	+---+-+---------+---------------+
//	|PCP|D|   VID   |  inner type   |
//	+---+-+---------+---------------+
//
// Methods need VLANLen bytes.
type VLANTag []byte

// ID returns the VLAN identifier, 0 to 4095.
func (t VLANTag) ID() uint16 { return binary.BigEndian.Uint16(t[0:2]) & 0xfff }

// Priority returns the priority code point, 0 to 7.
func (t VLANTag) Priority() uint8 { return t[0] >> 5 }

// DropEligible reports the drop eligible indicator.
func (t VLANTag) DropEligible() bool { return t[0]&0x10 != 0 }

// Type returns the EtherType of what the tag holds.
func (t VLANTag) Type() uint16 { return binary.BigEndian.Uint16(t[2:4]) }

func putEther(b []byte, dst, src MAC, typ uint16) {
	h := EtherHeader(b)
	h.SetDst(dst)
	h.SetSrc(src)
	h.SetType(typ)
}
