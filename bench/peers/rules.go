package peers

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/nitrod/nitrod/bench/traffic"
)

// RuleSet is the rules that judge the packets from A to B: N when A sends and N
// when B receives. The zero value stands for the few rules by reference to a
// group that a plain case has.
type RuleSet struct {
	N int
	// Last: the last rule admits every packet, the others none, which is the
	// worst for whoever goes through a list. Else every rule admits its share of
	// the ports.
	Last bool
}

// String is the set's part of a case's name.
func (r RuleSet) String() string {
	if r.Last {
		return fmt.Sprintf("rules%dlast", r.N)
	}
	return fmt.Sprintf("rules%d", r.N)
}

// rule admits one protocol from or to a peer, by a range of destination ports.
type rule struct {
	peer     netip.Prefix
	from, to int
}

// rules returns the rules by which the peer at an address is reached, or
// reaches. They differ in their ports, and with Last all but one are for peers
// that send nothing.
func (r RuleSet) rules(peer netip.Addr) []rule {
	self := netip.PrefixFrom(peer, peer.BitLen())
	if r.N == 1 {
		return []rule{{self, 0, 65535}}
	}
	share := traffic.NewDestPorts / r.N
	out := make([]rule, r.N)
	for i := range out {
		from := traffic.NewPortBase + i*share
		out[i] = rule{self, from, from + share - 1}
		if r.Last {
			out[i].peer = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(100 + i>>8), byte(i)}), 32)
		}
	}
	if r.Last {
		out[r.N-1] = rule{self, 0, 65535}
	}
	return out
}

// nitrodRules returns the rules as nitrod's file has them.
func (r RuleSet) nitrodRules(protocol string, peer netip.Addr) string {
	var b strings.Builder
	for _, rule := range r.rules(peer) {
		fmt.Fprintf(&b, "      - {protocol: %s, ports: %d-%d, cidr: %s}\n", protocol, rule.from, rule.to, rule.peer)
	}
	return b.String()
}

// ovsRules returns the rules as OpenFlow matches, without the table, the field
// that the peer is matched by being named by the caller. OpenFlow has no ranges
// of ports, so that a rule is as many matches as aligned blocks make its range.
func (r RuleSet) ovsRules(protocol, field string, peer netip.Addr) []string {
	var out []string
	for _, rule := range r.rules(peer) {
		match := fmt.Sprintf("%s,%s=%s", protocol, field, rule.peer.Addr())
		if rule.from == 0 && rule.to == 65535 {
			out = append(out, match)
			continue
		}
		for _, block := range portBlocks(rule.from, rule.to) {
			out = append(out, fmt.Sprintf("%s,tp_dst=%#x/%#x", match, block.value, block.mask))
		}
	}
	return out
}

// portBlock is a value and the bits of it that count.
type portBlock struct{ value, mask uint16 }

// portBlocks returns the fewest aligned blocks that make up a range of ports.
func portBlocks(from, to int) []portBlock {
	var out []portBlock
	for from <= to {
		size := 1
		for from%(2*size) == 0 && from+2*size-1 <= to {
			size *= 2
		}
		out = append(out, portBlock{uint16(from), ^uint16(size - 1)})
		from += size
	}
	return out
}
