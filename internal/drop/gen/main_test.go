package main

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDocumentIsUpToDate(t *testing.T) {
	got, err := os.ReadFile("../../../docs/drops.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(render()), string(got)); diff != "" {
		t.Errorf("docs/drops.md is out of date; run go generate ./internal/drop (-wanted +file):\n%s", diff)
	}
}
