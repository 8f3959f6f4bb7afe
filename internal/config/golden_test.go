package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nitrod/nitrod/policy"
)

var update = flag.Bool("update", false, "write the .err files in testdata anew")

// testCPUs stands for a machine on which nitrod may run on four processors.
var testCPUs = []int{0, 1, 2, 3}

// Each file in testdata/bad has the exact errors that it causes beside it.
func TestBadFiles(t *testing.T) {
	golden(t, "bad", func(name string, data []byte) error {
		cfg, err := Parse(name, data, testCPUs)
		if cfg != nil {
			t.Errorf("%s: Parse returned a configuration", name)
		}
		return err
	})
}

// Files in testdata/objects are wrong only in what their objects mean
// together: this package accepts them, and policy.Compile points into them.
func TestBadObjects(t *testing.T) {
	golden(t, "objects", func(name string, data []byte) error {
		cfg, err := Parse(name, data, testCPUs)
		if err != nil {
			t.Errorf("%s: Parse returned %v", name, err)
			return nil
		}
		_, err = policy.Compile(&cfg.Objects, nil)
		return err
	})
}

// golden compares the errors that each YAML file in a directory of testdata
// causes with the .err file beside it.
func golden(t *testing.T, dir string, load func(name string, data []byte) error) {
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s: %v", dir, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var errs Errors
			if err := load(filepath.Base(file), data); !errors.As(err, &errs) {
				t.Fatalf("the error is %v, want Errors", err)
			}
			name := strings.TrimSuffix(file, ".yaml") + ".err"
			got := errs.Error() + "\n"
			if *update {
				if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}
