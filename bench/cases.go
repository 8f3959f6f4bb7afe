package main

import (
	"fmt"
	"regexp"

	"github.com/nitrod/nitrod/bench/traffic"
)

// benchCase is one line of the table.
type benchCase struct {
	kind  traffic.Kind
	flows int
}

// String is the name that -cases is matched against.
func (c benchCase) String() string { return fmt.Sprintf("%s/%d", c.kind, c.flows) }

// allCases are the lines of the table: one-way UDP over the sizes at which
// caches give way one after the other, then bidirectional established TCP and
// IPv6 where the targets are set.
var allCases = []benchCase{
	{traffic.UDP4, 1},
	{traffic.UDP4, 1_000},
	{traffic.UDP4, 10_000},
	{traffic.UDP4, 100_000},
	{traffic.UDP4, 1_000_000},
	{traffic.TCP4, 1_000},
	{traffic.TCP4, 100_000},
	{traffic.UDP6, 1_000},
	{traffic.UDP6, 100_000},
}

// quickCases are the cases of -quick.
const quickCases = `^(udp4/(1000|100000)|tcp4/1000|udp6/1000)$`

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
