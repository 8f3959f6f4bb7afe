package peers

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nitrod/nitrod/bench/machine"
	"github.com/nitrod/nitrod/bench/traffic"
)

// TestLivePeers starts the real peers on a small case: what they print must be
// what the parsers read, and OVS must track every flow or it does not start.
// It asserts no rate: on a busy machine a poller may not run for a while.
func TestLivePeers(t *testing.T) {
	for _, tc := range []struct {
		peer     Peer
		variants []string
	}{
		{Testpmd{}, []string{""}},
		{OVS{}, []string{VariantDefault, VariantEMC0}},
	} {
		p := tc.peer
		t.Run(p.Name(), func(t *testing.T) {
			setup := liveSetup(t, p, traffic.Spec{Kind: traffic.TCP4, Flows: 300})
			r, err := p.Start(t.Context(), setup)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Stop()
			samples, err := r.Measure(t.Context(), 100*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			var variants []string
			for _, s := range samples {
				variants = append(variants, s.Variant)
			}
			if !slices.Equal(variants, tc.variants) {
				t.Errorf("measured %q, want %q", variants, tc.variants)
			}
		})
	}
}

// liveSetup returns a setup with the frames of spec for a real peer, or skips
// the test with what the machine lacks.
func liveSetup(t *testing.T, p Peer, spec traffic.Spec) Setup {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if why := p.Missing(); why != "" {
		t.Skip(why)
	}
	var err error
	if spec.A, spec.B, err = Endpoints(); err != nil {
		t.Fatal(err)
	}
	files, err := spec.Files(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cpus, err := machine.AllowedCPUs()
	if err != nil {
		t.Fatal(err)
	}
	if len(cpus) < 2 {
		t.Skip("needs two CPUs")
	}
	setup := Setup{Spec: spec, Files: files, CPU: cpus[len(cpus)-1], Control: cpus[0], TempDir: t.TempDir()}
	if free, err := machine.NewHugepages().FreeMB(); err != nil || free < setup.HugeMB() {
		t.Skipf("needs %d MiB in free hugepages, there are %d", setup.HugeMB(), free)
	}
	return setup
}

// TestLiveSource starts OVS on the library that changes ports: OVS checks
// checksums, and counts what it tracks.
func TestLiveSource(t *testing.T) {
	for _, tc := range []struct {
		kind  traffic.Kind
		flows int
		rules RuleSet
	}{
		{traffic.UDP4, 1 << 14, RuleSet{}},
		{traffic.NewTCP4, 0, RuleSet{N: 50}},
	} {
		t.Run(string(tc.kind), func(t *testing.T) {
			setup := liveSetup(t, OVS{}, traffic.Spec{Kind: tc.kind, Flows: 1})
			// DPDK takes no library from below the directory for temporary files.
			dir, err := os.MkdirTemp("/var/cache", "nitrod-bench-test")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			library, err := traffic.BuildSource(dir)
			if err != nil {
				t.Fatal(err)
			}
			setup.Spec.Flows, setup.Rules = max(tc.flows, 1), tc.rules
			setup.Source = &traffic.Source{Library: library, Flows: tc.flows}
			r, err := OVS{}.Start(t.Context(), setup)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Stop()
			samples := untilForwarded(t, r)
			for _, s := range samples {
				for _, f := range s.Flags {
					if tc.flows != 0 && strings.Contains(f, "tracks") {
						t.Errorf("%s: %s", s.Variant, f)
					}
				}
			}
			if tc.flows == 0 && samples[0].Connections < 2*traffic.MinFrames {
				t.Errorf("%d connections", samples[0].Connections)
			}
		})
	}
}

// untilForwarded measures until every variant forwards something: on a busy
// machine a poller may not run for all of a short window.
func untilForwarded(t *testing.T, r Run) []Sample {
	t.Helper()
	for d := 100 * time.Millisecond; ; d *= 2 {
		samples, err := r.Measure(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		idle := slices.IndexFunc(samples, func(s Sample) bool { return s.Mpps == 0 })
		if idle < 0 {
			return samples
		}
		if d > 3*time.Second {
			t.Fatalf("%s: nothing is forwarded in %v", samples[idle].Variant, d)
		}
	}
}
