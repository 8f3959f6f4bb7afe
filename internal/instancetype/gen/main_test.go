package main

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDocumentIsUpToDate(t *testing.T) {
	got, err := os.ReadFile("../../../docs/instance-types.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(render()), string(got)); diff != "" {
		t.Errorf("docs/instance-types.md is out of date; run go generate ./internal/instancetype (-wanted +file):\n%s", diff)
	}
}
