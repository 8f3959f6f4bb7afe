// Package nacl is a network ACL: an ordered, stateless list of rules at the
// edge of a subnet, of which the first that matches decides
// (docs/semantics.md S2).
package nacl

import (
	"net/netip"
	"slices"

	"github.com/nitrod/nitrod/policy/internal/classify"
)

// The numbers under which the implicit final deny is reported. No rule of a
// user can have them.
const (
	ImplicitDeny4 = 32767
	ImplicitDeny6 = 32768
)

// MaxNumber is the highest number of a rule; the lowest is 1.
const MaxNumber = 32766

// Rule is one rule of one direction.
type Rule struct {
	Number   uint16
	Allow    bool
	Protocol int          // IP protocol number, or -1 for all
	From, To int          // ports, or ICMP type and code; see classify.Rule
	CIDR     netip.Prefix // the source of inbound, the destination of outbound rules
}

// List is one direction of a compiled ACL.
//
// Thread-safety: immutable, so that any number of goroutines may match.
// Limits: rule numbers bound it to 32,766 rules; the cost of a match does not
// grow with them in any way that matters.
type List struct {
	classifier *classify.Classifier
	numbers    []uint16
	allow      []bool
}

// Compile compiles the rules of one direction, in whatever order they come. It
// keeps no reference to them.
func Compile(rules []Rule) *List {
	sorted := slices.Clone(rules)
	slices.SortStableFunc(sorted, func(a, b Rule) int { return int(a.Number) - int(b.Number) })
	l := &List{}
	input := make([]classify.Rule, len(sorted))
	for i := range sorted {
		r := &sorted[i]
		input[i] = classify.Rule{Protocol: r.Protocol, From: r.From, To: r.To, Prefixes: []netip.Prefix{r.CIDR}}
		l.numbers = append(l.numbers, r.Number)
		l.allow = append(l.allow, r.Allow)
	}
	l.classifier = classify.Compile(input)
	return l
}

// Match returns the number of the rule that decides and what it says. The peer
// is the packet's source for inbound and its destination for outbound lists;
// port is classify.Port's. It does not allocate.
func (l *List) Match(peer netip.Addr, proto uint8, port uint16) (number uint16, allow bool) {
	if i := l.classifier.Match(peer, nil, proto, port); i >= 0 {
		return l.numbers[i], l.allow[i]
	}
	if peer.Is4() {
		return ImplicitDeny4, false
	}
	return ImplicitDeny6, false
}

// Default returns either direction of the ACL that a VPC comes with: rule 100
// allows all IPv4 and rule 101 all IPv6 (docs/semantics.md S2).
func Default() *List {
	return Compile([]Rule{
		{Number: 100, Allow: true, Protocol: classify.AllProtocols, CIDR: netip.PrefixFrom(netip.IPv4Unspecified(), 0)},
		{Number: 101, Allow: true, Protocol: classify.AllProtocols, CIDR: netip.PrefixFrom(netip.IPv6Unspecified(), 0)},
	})
}
