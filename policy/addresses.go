package policy

import (
	"net/netip"

	"github.com/cespare/xxhash/v2"

	"github.com/nitrod/nitrod/hash"
)

// addr returns the netip form of an address in a FlowKey.
func addr(a hash.Addr, v6 bool) netip.Addr {
	if !v6 {
		return netip.AddrFrom4([4]byte{byte(a.Lo >> 24), byte(a.Lo >> 16), byte(a.Lo >> 8), byte(a.Lo)})
	}
	var b [16]byte
	for i := range 8 {
		b[i] = byte(a.Hi >> (56 - 8*i))
		b[8+i] = byte(a.Lo >> (56 - 8*i))
	}
	return netip.AddrFrom16(b)
}

// AddrOf returns the netip form of an address in a FlowKey of IPv4 or IPv6.
func AddrOf(a hash.Addr, v6 bool) netip.Addr { return addr(a, v6) }

// KeyAddr returns the FlowKey form of a. An invalid address gives zero.
func KeyAddr(a netip.Addr) hash.Addr {
	if !a.IsValid() {
		return hash.Addr{}
	}
	if a.Is4() {
		b := a.As4()
		return hash.Addr{Lo: uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])}
	}
	b := a.As16()
	var k hash.Addr
	for i := range 8 {
		k.Hi = k.Hi<<8 | uint64(b[i])
		k.Lo = k.Lo<<8 | uint64(b[8+i])
	}
	return k
}

// numReserved is the number of addresses that a subnet keeps from use: the
// first four and the last (docs/semantics.md S4.2).
const numReserved = 5

// reserved returns the addresses of a subnet's CIDR that no ENI may have:
// the network, the router, the resolver, one for later, and the last.
func reserved(p netip.Prefix) [numReserved]netip.Addr {
	var r [numReserved]netip.Addr
	r[0] = p.Masked().Addr()
	for i := 1; i < 4; i++ {
		r[i] = r[i-1].Next()
	}
	r[4] = lastAddr(p)
	return r
}

// routerAddr returns the router's address in a subnet's CIDR.
func routerAddr(p netip.Prefix) netip.Addr { return p.Masked().Addr().Next() }

// resolverAddr returns the DNS resolver's address, given a VPC's first IPv4
// CIDR (docs/semantics.md S4.5).
func resolverAddr(p netip.Prefix) netip.Addr { return routerAddr(p).Next() }

// lastAddr returns the highest address of p.
func lastAddr(p netip.Prefix) netip.Addr {
	if p.Addr().Is4() {
		b := p.Masked().Addr().As4()
		setHostBits(b[:], p.Bits())
		return netip.AddrFrom4(b)
	}
	b := p.Masked().Addr().As16()
	setHostBits(b[:], p.Bits())
	return netip.AddrFrom16(b)
}

func setHostBits(b []byte, bits int) {
	for i := bits; i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
}

// routerMAC derives the MAC of a subnet's router from the ids, so that it
// outlives the daemon and guests need not resolve it anew. AWS does not
// publish how it chooses its own (docs/semantics.md S4.3); ours is locally
// administered.
func routerMAC(vpc, subnet string) [6]byte {
	// No id contains a space, so that the pair is unambiguous.
	h := xxhash.Sum64String(vpc + " " + subnet)
	var m [6]byte
	for i := range m {
		m[i] = byte(h >> (8 * i))
	}
	m[0] = m[0]&^0x03 | 0x02 // unicast, locally administered
	return m
}

// linkLocal returns the link-local address made from a MAC (RFC 4291
// appendix A).
func linkLocal(m [6]byte) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80,
		8: m[0] ^ 0x02, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}
