package main

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/internal/scenario"
)

func TestDocumentsAreUpToDate(t *testing.T) {
	reference, err := os.ReadFile("../../scenario/reference.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []struct {
		dir, begin, doc string
		sections        []config.Section
	}{
		{"..", preamble, "docs/configuration.md", config.Describe()},
		{"../../scenario", string(reference), "docs/scenarios.md", scenario.Describe()},
	} {
		want, err := render(d.dir, d.begin, d.sections)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile("../../../" + d.doc)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is out of date; run go generate (-schema +file):\n%s", d.doc, diff)
		}
	}
}

func TestEveryKeyNeedsAComment(t *testing.T) {
	if _, err := render(t.TempDir(), "", config.Describe()); err == nil {
		t.Error("render accepts a schema without comments")
	}
}
