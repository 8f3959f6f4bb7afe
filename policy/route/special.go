package route

import "net/netip"

// Class says what a destination is to a router, before any route is looked at.
type Class uint8

// The classes of destinations.
const (
	Routable  Class = iota // the route table decides
	Service                // a link-local service of the platform; no route diverts it
	LinkLocal              // any other link-local address: never leaves its link
	Unusable               // loopback, unspecified, "this network", reserved: never on a wire
	Multicast              // multicast
	Broadcast              // limited broadcast
)

// The ranges in which the platform's services live. Routes may cover them but
// never divert them (docs/semantics.md S4.1, S4.5).
var (
	ServiceRange4 = netip.MustParsePrefix("169.254.168.0/22")
	ServiceRange6 = netip.MustParsePrefix("fd00:ec2::/32")
)

// RouterLinkLocal is the link-local address that every router has besides the
// one made from its MAC (docs/semantics.md S4.2).
var RouterLinkLocal = netip.MustParseAddr("fe80:ec2::1")

// Classify returns the class of a destination address. Sources are RFC 3927
// section 2.7 and RFC 4291 section 2.5.6 for link-local addresses, RFC 1122
// section 3.2.1.3 and RFC 4291 section 2.5 for those never on a wire. It does
// not allocate.
func Classify(a netip.Addr) Class {
	if a.Is4() {
		b := a.As4()
		switch {
		case b[0] == 169 && b[1] == 254:
			if b[2]&0xfc == 168 {
				return Service
			}
			return LinkLocal
		case b[0] == 0 || b[0] == 127:
			return Unusable
		case b[0]&0xf0 == 224:
			return Multicast
		case b == [4]byte{255, 255, 255, 255}:
			return Broadcast
		case b[0] >= 240:
			return Unusable
		}
		return Routable
	}
	b := a.As16()
	switch {
	case b[0] == 0xff:
		return Multicast
	case b[0] == 0xfe && b[1]&0xc0 == 0x80:
		return LinkLocal
	case b[0] == 0xfd && b[1] == 0x00 && b[2] == 0x0e && b[3] == 0xc2:
		return Service
	case a.IsUnspecified() || a.IsLoopback() || a.Is4In6():
		return Unusable
	}
	return Routable
}

// unusable are the prefixes in which no VPC may lie: every address in them has
// a class of its own.
var unusable = []struct {
	prefix netip.Prefix
	why    string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "addresses of this network"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback addresses"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local addresses"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast addresses"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved addresses"},
	{netip.MustParsePrefix("::/96"), "loopback and unspecified addresses"},
	{netip.MustParsePrefix("::ffff:0:0/96"), "IPv4 addresses in IPv6 form"},
	{netip.MustParsePrefix("fd00:ec2::/32"), "addresses of the platform's services"},
	{netip.MustParsePrefix("fe80::/10"), "link-local addresses"},
	{netip.MustParsePrefix("ff00::/8"), "multicast addresses"},
}

// UnusableBlock says why no VPC may have the block p: what addresses it overlaps.
// It is empty where p may be used.
func UnusableBlock(p netip.Prefix) string {
	for i := range unusable {
		if unusable[i].prefix.Overlaps(p) {
			return unusable[i].why
		}
	}
	return ""
}

// Diverts reports whether a route with this destination lies inside a range
// that routes may not divert, so that it must be refused. A wider route is
// allowed and does not affect the range.
func Diverts(p netip.Prefix) bool {
	for _, r := range []netip.Prefix{ServiceRange4, ServiceRange6} {
		if r.Bits() <= p.Bits() && r.Contains(p.Addr()) {
			return true
		}
	}
	return false
}

// NeverRouted says what the addresses of p are where none of them is one that a
// route could lead anywhere. It is empty where some are.
func NeverRouted(p netip.Prefix) string {
	for i := range unusable {
		if u := unusable[i].prefix; u.Bits() <= p.Bits() && u.Contains(p.Addr()) && !routed(u) {
			return unusable[i].why
		}
	}
	return ""
}

// routed reports whether a block in which no VPC may lie has addresses that are
// routed all the same: of ::/96 only two are special.
func routed(p netip.Prefix) bool { return Classify(p.Addr().Next().Next()) == Routable }

var shared = netip.MustParsePrefix("100.64.0.0/10")

// IsShared reports whether a lies in the space that carriers share (RFC 6598),
// which is no more public than private addresses are. It does not allocate.
func IsShared(a netip.Addr) bool { return shared.Contains(a) }
