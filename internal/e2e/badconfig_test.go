package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// edit replaces text in the configuration, which must be there, and returns
// the line on which the replacement begins.
func (b *bed) edit(t *testing.T, old, text string) (line int) {
	t.Helper()
	file, err := os.ReadFile(b.config)
	if err != nil {
		t.Fatal(err)
	}
	before, after, ok := strings.Cut(string(file), old)
	if !ok {
		t.Fatalf("the configuration has no %q", old)
	}
	if err := os.WriteFile(b.config, []byte(before+text+after), 0o600); err != nil {
		t.Fatal(err)
	}
	return 1 + strings.Count(before, "\n")
}

// at is how a message about a line begins.
func (b *bed) at(line int) string { return fmt.Sprintf("%s:%d:", b.config, line) }

// TestBadConfiguration wants one clear error with file and line, exit code 2,
// and nothing started.
func TestBadConfiguration(t *testing.T) {
	const eni = "  - id: app\n    instance: app\n"
	for _, c := range []struct {
		name, old, text string
		object          string // on whose first line the error is, if not on the text's own
		words           string // beside file and line
	}{
		{"unknown key", "polling: adaptive", "poling: adaptive", "", "polling"},
		{"overlapping subnets", "\n# Port 24", "  - {id: db, vpc: main, cidrs: [10.0.2.128/25]}\n# Port 24", "", "overlap"},
		{"unknown subnet", "subnet: app", "subnet: db", eni, `"db"`},
		{"unknown security group", "security_groups: [app]", "security_groups: [apps]", eni, `"apps"`},
		{"duplicate address", "addresses: [10.0.2.10, 10.0.2.11,", "addresses: [10.0.2.10, 10.0.2.10,", eni, "10.0.2.10"},
		{"duplicate MAC", "mac: 02:00:00:00:02:0a", "mac: 02:00:00:00:01:0a", eni, "02:00:00:00:01:0a"},
		{"more lcores than processors", "lcores: 1", fmt.Sprintf("lcores: %d", runtime.NumCPU()+1), "", "processor"},
		{"not YAML", "polling: adaptive", "polling: @adaptive", "", "YAML"},
		{"unknown device", "tap: {name: app0", "device: net_nonsense0 # {name: app0", "", "net_nonsense0"},
		{"unknown PCI device", "tap: {name: app0", "device: 0000:ff:1f.7 # {name: app0", "", "0000:ff:1f.7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, setting{Configure: true})
			line := b.edit(t, c.old, c.text)
			if c.object != "" {
				line = b.edit(t, c.object, c.object)
			}
			p := launch(t, "run", "-c", b.config)
			code, text := p.wait(t), p.stderr()
			if code != 2 {
				t.Errorf("exit code %d, want 2", code)
			}
			about := ""
			for l := range strings.Lines(text) {
				if strings.HasPrefix(l, b.config) {
					about += l
				}
			}
			if strings.Count(about, "\n") != 1 || !strings.Contains(about, c.words) {
				t.Errorf("one error about %q is expected; nitrod says:\n%s", c.words, text)
			}
			if !strings.HasPrefix(about, b.at(line)) {
				t.Errorf("the error is on line %d, and nitrod says:\n%s", line, about)
			}
			if p.stdout() != "" {
				t.Errorf("there is output: %s", p.stdout())
			}
			b.nothingLeft(t)
		})
	}
	t.Run("no such file", func(t *testing.T) { unreadable(t, filepath.Join(t.TempDir(), "none.yaml"), "no such file") })
	t.Run("a directory", func(t *testing.T) { unreadable(t, t.TempDir(), "directory") })
}

func unreadable(t *testing.T, path, words string) {
	t.Helper()
	need(t)
	p := launch(t, "run", "-c", path)
	if code := p.wait(t); code != 2 || !strings.Contains(p.stderr(), path) || !strings.Contains(p.stderr(), words) {
		t.Errorf("exit code %d, want 2; nitrod says %q, want %q and the name", code, p.stderr(), words)
	}
}
