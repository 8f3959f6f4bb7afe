// Package route is a subnet's route table: longest prefix first, IPv4 and IPv6
// apart (docs/semantics.md S4.1). It also knows which destinations no route
// may lead anywhere.
package route

import (
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// Target is what a route leads to.
type Target uint8

// The targets. The zero value is none of them, so that a route without a
// target leads nowhere.
const (
	TargetNone            Target = iota
	TargetLocal                  // the VPC
	TargetENI                    // the ENI in Entry.ENI
	TargetBlackhole              // drop
	TargetGateway                // a gateway that this host does not have
	TargetInternetGateway        // the internet gateway in Entry.ENI
)

// Entry is one route.
type Entry struct {
	Destination netip.Prefix
	Target      Target
	ENI         uint16 // index of the ENI, or of the internet gateway among the ENIs
	Gateway     string // name of the gateway, for TargetGateway
}

// Table is a compiled route table.
//
// Thread-safety: immutable, so that any number of goroutines may look up.
// Limits: at most 65,535 routes.
type Table struct {
	lpm     bart.Table[uint16]
	entries []Entry
}

// Compile compiles a table and keeps the entries, which it sorts by
// destination, so that equal sets of routes give equal tables. Destinations
// must be valid, canonical, not IPv4-in-IPv6 and distinct.
func Compile(entries []Entry) *Table {
	slices.SortFunc(entries, func(a, b Entry) int {
		if d := a.Destination.Addr().Compare(b.Destination.Addr()); d != 0 {
			return d
		}
		return a.Destination.Bits() - b.Destination.Bits()
	})
	t := &Table{entries: entries}
	for i := range entries {
		t.lpm.Insert(entries[i].Destination, uint16(i))
	}
	return t
}

// Lookup returns the number of the route with the longest prefix that holds
// dst. It does not allocate.
func (t *Table) Lookup(dst netip.Addr) (int, bool) {
	i, ok := t.lpm.Lookup(dst)
	return int(i), ok
}

// Entry returns route i of the table.
func (t *Table) Entry(i int) *Entry { return &t.entries[i] }

// Entries returns all routes in order of destination. The caller must not
// change them.
func (t *Table) Entries() []Entry { return t.entries }
