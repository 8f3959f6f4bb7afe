package scenario

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	examples = "../../examples/scenarios"
	talk     = "../../examples/talk"
)

// Every example goes as it says, in all its runs.
func TestExamples(t *testing.T) {
	files, err := Files([]string{examples, talk})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".yaml"), func(t *testing.T) {
			t.Parallel()
			s, err := Load(f)
			if err != nil {
				t.Fatal(err)
			}
			mustPass(t, s)
		})
	}
}

func mustPass(t *testing.T, s *Scenario) {
	t.Helper()
	res, err := s.Run()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range res.Failures {
		t.Errorf("%s:%d: %s\n    %s\n    in %s", s.File, f.Line, f.Text, strings.Join(f.Details, "\n    "), strings.Join(f.Runs, "; "))
	}
}

// The scenario in the reference goes as it says.
func TestReference(t *testing.T) {
	b, err := os.ReadFile("reference.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(b), "```yaml\n")
	text, _, _ = strings.Cut(text, "```")
	s, err := Parse("reference.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	mustPass(t, s)
}

// The guide to the talk names each of its scenarios.
func TestTalkGuide(t *testing.T) {
	guide, err := os.ReadFile("../../docs/talk.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := Files([]string{talk})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if name := filepath.Base(f); !strings.Contains(string(guide), "(../examples/talk/"+name+")") {
			t.Errorf("docs/talk.md does not name %s", name)
		}
	}
	if len(files) < 6 {
		t.Errorf("%d scenarios are in %s", len(files), talk)
	}
}
