package peers

import (
	"os"
	"slices"
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
			if os.Geteuid() != 0 {
				t.Skip("needs root")
			}
			if why := p.Missing(); why != "" {
				t.Skip(why)
			}
			a, b, err := Endpoints()
			if err != nil {
				t.Fatal(err)
			}
			spec := traffic.Spec{Kind: traffic.TCP4, Flows: 300, A: a, B: b}
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
