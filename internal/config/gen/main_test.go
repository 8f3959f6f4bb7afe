package main

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDocumentIsUpToDate(t *testing.T) {
	want, err := render("..")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("docs/configuration.md is out of date; run go generate ./internal/config (-schema +file):\n%s", diff)
	}
}

func TestEveryKeyNeedsAComment(t *testing.T) {
	if _, err := render(t.TempDir()); err == nil {
		t.Error("render accepts a schema without comments")
	}
}
