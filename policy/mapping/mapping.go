// Package mapping says where an address of a VPC lives: at an ENI of this host,
// with the VPC's router, or nowhere (docs/semantics.md S0.3, S4.2).
package mapping

import (
	"net/netip"

	"github.com/gaissmai/bart"
)

// Kind is what an address belongs to.
type Kind uint8

// The kinds. The zero value is an address that nobody has.
const (
	None     Kind = iota
	ENI           // an ENI of this host
	Reserved      // reserved by a subnet: its router, its resolver, its edges
	Resolver      // the address of the VPC's DNS resolver
)

// Entry is where an address lives.
type Entry struct {
	Kind   Kind
	ENI    uint16 // index of the ENI, for kind ENI
	Groups uint32 // number of the ENI's set of security groups, for kind ENI
	Subnet uint16 // index of the subnet
}

// Table maps the addresses of one VPC.
//
// Thread-safety: any number of goroutines may look up once no more is
// inserted. Limits: memory only; AWS's own limit is 256,000 addresses per VPC.
type Table struct {
	addresses exact
	prefixes  bart.Table[Entry]
}

// Insert adds an address, which must be valid and not IPv4-in-IPv6. What was
// there before is replaced.
func (t *Table) Insert(a netip.Addr, e Entry) {
	t.addresses.insert(a, e)
}

// InsertPrefix adds all addresses of a prefix, which must be valid and not of
// IPv4 in IPv6, but for those that have an entry of their own.
func (t *Table) InsertPrefix(p netip.Prefix, e Entry) { t.prefixes.Insert(p, e) }

// Lookup returns where a lives; kind None where nobody has it. It does not
// allocate.
func (t *Table) Lookup(a netip.Addr) Entry {
	e, ok := t.addresses.lookup(a)
	if !ok {
		e, _ = t.prefixes.Lookup(a)
	}
	return e
}

// Len returns the number of addresses and prefixes.
func (t *Table) Len() int { return t.addresses.n + t.prefixes.Size() }
