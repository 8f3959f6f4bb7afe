package scenario

import (
	"net/netip"

	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/packet/text"
	"github.com/nitrod/nitrod/policy"
)

// guests gives the packet language its names: the ENIs of the policy in force,
// and those that it no longer has, as they were.
type guests struct {
	snap  *policy.Snapshot
	index map[string]uint16
	gone  map[string]text.Guest
}

func newGuests(snap *policy.Snapshot, before *guests) *guests {
	g := &guests{snap: snap, index: map[string]uint16{}, gone: map[string]text.Guest{}}
	if before != nil {
		for name := range before.gone {
			g.gone[name] = before.gone[name]
			g.index[name] = before.index[name]
		}
		for name := range before.index {
			if old, ok := before.Guest(name); ok {
				g.gone[name], g.index[name] = old, before.index[name]
			}
		}
	}
	for i := range snap.ENIs {
		if !snap.ENIs[i].Dead() {
			id := snap.ENI(uint16(i)).ID
			g.index[id] = uint16(i)
			delete(g.gone, id)
		}
	}
	return g
}

// Guest implements text.Net.
func (g *guests) Guest(name string) (text.Guest, bool) {
	if old, ok := g.gone[name]; ok {
		return old, true
	}
	i, ok := g.index[name]
	if !ok {
		return text.Guest{}, false
	}
	r, info := &g.snap.ENIs[i], g.snap.ENI(i)
	return text.Guest{MAC: r.MAC, Router: r.RouterMAC, Addr4: info.Primary4, Addr6: info.Primary6}, true
}

// NextHop implements text.Net.
func (g *guests) NextHop(name string, dst netip.Addr) packet.MAC {
	guest, _ := g.Guest(name)
	if _, old := g.gone[name]; !old {
		if i, ok := g.index[name]; ok {
			if mac, ok := g.snap.ResolveMAC(i, dst); ok {
				return mac
			}
		}
	}
	return guest.Router
}

// NameOf implements text.Net.
func (g *guests) NameOf(name string, a netip.Addr) string {
	i, ok := g.index[name]
	if _, old := g.gone[name]; !ok || old {
		return ""
	}
	owner, ok := g.snap.ENIByAddress(g.snap.ENIs[i].VPC, a)
	if !ok {
		return ""
	}
	return g.snap.ENI(owner).ID
}
