package main

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/nitrod/nitrod/bench/peers"
	"github.com/nitrod/nitrod/bench/traffic"
)

// benchCase is one line of the table.
type benchCase struct {
	kind  traffic.Kind
	flows int // 0: every packet opens a new one
	rules peers.RuleSet
}

// String is the name that -cases is matched against.
func (c benchCase) String() string {
	name := string(c.kind)
	if c.flows != 0 {
		name += fmt.Sprintf("/%d", c.flows)
	}
	if c.rules.N != 0 {
		name += "/" + c.rules.String()
	}
	return name
}

// peers returns which of the peers the case is measured with: where the number
// of rules alone differs, nitrod is compared with itself.
func (c benchCase) peers(chosen []string) []string {
	if c.flows == 0 || c.rules.N == 0 {
		return chosen
	}
	return slices.DeleteFunc(slices.Clone(chosen), func(p string) bool { return p != "nitrod" })
}

// allCases are the lines of the table: one-way UDP over the sizes at which
// caches give way one after the other, then bidirectional established TCP and
// IPv6 where the targets are set; then the same flows under more and more
// rules, which must not matter; then new connections under them.
var allCases = []benchCase{
	{kind: traffic.UDP4, flows: 1},
	{kind: traffic.UDP4, flows: 1_000},
	{kind: traffic.UDP4, flows: 10_000},
	{kind: traffic.UDP4, flows: 100_000},
	{kind: traffic.UDP4, flows: 1_000_000},
	{kind: traffic.UDP4, flows: traffic.MaxSourceFlows},
	{kind: traffic.TCP4, flows: 1_000},
	{kind: traffic.TCP4, flows: 100_000},
	{kind: traffic.UDP6, flows: 1_000},
	{kind: traffic.UDP6, flows: 100_000},
	{kind: traffic.UDP4, flows: 1_000, rules: peers.RuleSet{N: 1}},
	{kind: traffic.UDP4, flows: 1_000, rules: peers.RuleSet{N: 50}},
	{kind: traffic.UDP4, flows: 1_000, rules: peers.RuleSet{N: 1000}},
	{kind: traffic.UDP4, flows: 100_000, rules: peers.RuleSet{N: 1}},
	{kind: traffic.UDP4, flows: 100_000, rules: peers.RuleSet{N: 50}},
	{kind: traffic.UDP4, flows: 100_000, rules: peers.RuleSet{N: 1000}},
	{kind: traffic.NewTCP4, rules: peers.RuleSet{N: 1}},
	{kind: traffic.NewTCP4, rules: peers.RuleSet{N: 50}},
	{kind: traffic.NewTCP4, rules: peers.RuleSet{N: 1000}},
	{kind: traffic.NewTCP4, rules: peers.RuleSet{N: 1000, Last: true}},
}

// quickCases are the cases of -quick.
const quickCases = `^(udp4/(1000|100000)|tcp4/1000|udp6/1000|udp4/1000/rules1000|new4/rules50)$`

// choose returns the cases whose name matches.
func choose(cases []benchCase, re *regexp.Regexp) []benchCase {
	var chosen []benchCase
	for _, c := range cases {
		if re.MatchString(c.String()) {
			chosen = append(chosen, c)
		}
	}
	return chosen
}
