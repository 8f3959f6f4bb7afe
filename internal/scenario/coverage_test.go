package scenario

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/nitrod/nitrod/internal/drop"
)

// unprovoked are the drop reasons that no scenario can provoke, and why.
var unprovoked = map[drop.Reason]string{
	drop.Unset:                     "it is a defect, which every scenario looks for",
	drop.HandoverRingFull:          "an lcore must stand still while another fills its ring; in a scenario they take turns",
	drop.EgressRingFull:            "likewise",
	drop.NoBuffer:                  "the pool of packet buffers must be empty; a scenario's never is",
	drop.ConntrackHalfOpenExceeded: "it takes flows of several lcores, and which lcore owns a flow is random",
	drop.Shutdown:                  "a packet must be under way when nitrod stops; every step of a scenario ends with none",
}

// unshown are the rules that no scenario shows, and why.
var unshown = map[string]string{
	"S1.3": "nitrod has none of the gateways that track automatically",
	"S1.9": "how many half-open connections an lcore can end depends on which flows it owns, which is random",
}

func exampleScenarios(t *testing.T) []*Scenario {
	files, err := Files([]string{examples})
	if err != nil {
		t.Fatal(err)
	}
	var out []*Scenario
	for _, f := range files {
		s, err := Load(f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

// Every drop reason has a scenario that provokes it.
func TestEveryReasonHasAScenario(t *testing.T) {
	shown := map[string]string{}
	for _, s := range exampleScenarios(t) {
		for _, r := range s.Reasons() {
			shown[r] = s.File
		}
	}
	for r := drop.Reason(0); r < drop.Count; r++ {
		file, why := shown[r.String()], unprovoked[r]
		switch {
		case file == "" && why == "":
			t.Errorf("no scenario in %s provokes %v", examples, r)
		case file != "" && why != "":
			t.Errorf("%s provokes %v, of which it is said that %s", file, r, why)
		}
	}
}

// Every rule of sections S1 to S4 and S7 has a scenario that shows it.
func TestEveryRuleHasAScenario(t *testing.T) {
	text, err := os.ReadFile("../../docs/semantics.md")
	if err != nil {
		t.Fatal(err)
	}
	var rules []string
	for _, m := range regexp.MustCompile(`(?m)^#{2,3} (S[12347](?:\.\d+)?) `).FindAllSubmatch(text, -1) {
		rules = append(rules, string(m[1]))
	}
	if len(rules) < 15 {
		t.Fatalf("docs/semantics.md has the rules %v only", rules)
	}
	shown := map[string]bool{}
	for _, s := range exampleScenarios(t) {
		for _, r := range s.Rules() {
			shown[r] = true
		}
	}
	for _, r := range rules {
		if hasParts := slices.ContainsFunc(rules, func(o string) bool { return len(o) > len(r) && o[:len(r)+1] == r+"." }); hasParts {
			continue
		}
		if why := unshown[r]; !shown[r] && why == "" {
			t.Errorf("no scenario in %s names rule %s", examples, r)
		} else if shown[r] && why != "" {
			t.Errorf("a scenario shows %s, of which it is said that %s", r, why)
		}
	}
}
