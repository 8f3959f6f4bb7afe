package peers

import (
	"fmt"
	"strings"

	"github.com/nitrod/nitrod/bench/traffic"
)

// ovsHop is one direction through the bridge.
type ovsHop struct {
	in, out int
	to      traffic.Endpoint
}

// forward returns the actions of a router: what leaves towards a side bears its
// MAC and its router's.
func (h ovsHop) forward() string {
	return fmt.Sprintf("mod_dl_src:%s,mod_dl_dst:%s,dec_ttl,output:%d", h.to.Router, h.to.MAC, h.out)
}

// ovsFlows returns the bridge's rules in ovs-ofctl's syntax. Port 1 is side A,
// port 2 side B.
func ovsFlows(s Setup, variant string) string {
	spec := s.Spec
	proto := "ip"
	if spec.Kind == traffic.UDP6 {
		proto = "ipv6"
	}
	hops := []ovsHop{{1, 2, spec.B}, {2, 1, spec.A}}
	commit := "ct(commit,zone=1)"
	if variant == VariantCommitOnce {
		commit = "ct(commit,zone=1,exec(set_field:1->ct_mark))"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "table=0,%s,actions=ct(table=1,zone=1)\n", proto)
	for _, hop := range hops {
		match := fmt.Sprintf("table=1,%s,in_port=%d", proto, hop.in)
		if s.Rules.N == 0 || hop.in == 2 { // rules are for packets from A
			fmt.Fprintf(&b, "%s,priority=10,ct_state=+trk+new,actions=%s,%s\n", match, commit, hop.forward())
		}
		fmt.Fprintf(&b, "%s,priority=10,ct_state=+trk+est,actions=%s\n", match, hop.forward())
		if variant == VariantCommitOnce {
			fmt.Fprintf(&b, "%s,priority=20,ct_state=+trk-inv,ct_mark=1,actions=%s\n", match, hop.forward())
		}
	}
	if s.Rules.N != 0 {
		s.ovsRuleTables(&b, variant, hops[0], commit)
	}
	return b.String()
}

// ovsRuleTables adds what judges the packets from A: the rules of the sending
// half, and in table 2 those of the receiving half.
func (s Setup) ovsRuleTables(b *strings.Builder, variant string, hop ovsHop, commit string) {
	sending := "table=1,priority=10,in_port=1,ct_state=+trk+new"
	if variant == VariantRulesFirst {
		sending = "table=0,priority=40000,in_port=1" // above ovs-ofctl's default
	}
	for _, match := range s.Rules.ovsRules(s.protocol(), "nw_dst", ipv4B) {
		fmt.Fprintf(b, "%s,%s,actions=resubmit(,2)\n", sending, match)
	}
	for _, match := range s.Rules.ovsRules(s.protocol(), "nw_src", ipv4A) {
		fmt.Fprintf(b, "table=2,priority=10,in_port=1,%s,actions=%s,%s\n", match, commit, hop.forward())
	}
}
