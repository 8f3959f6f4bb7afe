//go:build cgo

package daemon

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nitrod/nitrod/internal/config"
)

// TestExamples wants every example to be one that starts.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no examples: %v", err)
	}
	for _, f := range files {
		if cfg, snap, err := Check(f); err != nil {
			t.Errorf("%s: %v", f, err)
		} else if len(cfg.Objects.ENIs) == 0 || len(snap.ENIs) != len(cfg.Ports) {
			t.Errorf("%s: %d ENIs; %d ports are configured and %d compiled", f, len(cfg.Objects.ENIs), len(cfg.Ports), len(snap.ENIs))
		}
	}
}

func TestCheckErrors(t *testing.T) {
	var bad config.Errors
	if _, _, err := Check(filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, os.ErrNotExist) || errors.As(err, &bad) {
		t.Errorf("a missing file: %v", err)
	}
	if _, _, err := Check(t.TempDir()); err == nil || errors.As(err, &bad) {
		t.Errorf("a directory: %v", err)
	}
	// One mistake that the decoder finds, one that only the compiler can.
	for _, text := range []string{
		"nonsense: 1\n",
		"vpcs:\n  - {id: v, cidrs: [10.0.0.0/16]}\nsubnets:\n  - {id: a, vpc: v, cidrs: [10.0.1.0/24]}\n  - {id: b, vpc: v, cidrs: [10.0.1.0/25]}\n",
	} {
		path := filepath.Join(t.TempDir(), "bad.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := Check(path)
		if !errors.As(err, &bad) || len(bad) != 1 || bad[0].Pos.File != path || bad[0].Pos.Line != strings.Count(text, "\n") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestTakeDown(t *testing.T) {
	var order []int
	first, last := errors.New("first"), errors.New("last")
	d := &daemon{}
	for i, err := range []error{first, nil, last} {
		d.later(func() error { order = append(order, i); return err })
	}
	err := d.takeDown()
	if !slices.Equal(order, []int{2, 1, 0}) {
		t.Errorf("things are taken down in the order %v", order)
	}
	if !errors.Is(err, first) || !errors.Is(err, last) {
		t.Errorf("the error %v lacks one", err)
	}
}

func TestControlCPUs(t *testing.T) {
	all, err := config.AllowedCPUs()
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{cfg: &config.Config{}}
	d.cfg.Host.Lcores.CPUs = all
	if got := d.controlCPUs(); !slices.Equal(got, all) {
		t.Errorf("where lcores have every CPU, control work has %v, want all of %v", got, all)
	}
	d.cfg.Host.Lcores.CPUs = all[:1]
	want := all[1:]
	if len(all) == 1 {
		want = all
	}
	if got := d.controlCPUs(); !slices.Equal(got, want) {
		t.Errorf("beside an lcore on CPU %d, control work has %v, want %v", all[0], got, want)
	}
}

func TestPCI(t *testing.T) {
	for device, address := range map[string]string{
		"0000:03:00.0": "0000:03:00.0", "03:00.1": "03:00.1", "0000:af:1f.7,mac=02:00:00:00:00:01": "0000:af:1f.7",
	} {
		if !isPCI(device) || pciAddress(device) != address {
			t.Errorf("%s: %v, %s", device, isPCI(device), pciAddress(device))
		}
	}
	for _, device := range []string{"", "net_null0", "net_tap0,mac=02:00:00:00:00.0", "0000:03:00.8", "0000:03:00", "x0000:03:00.0", "0000:03:00.0x"} {
		if isPCI(device) {
			t.Errorf("%q is taken for a PCI address", device)
		}
	}
}

func TestPerSecond(t *testing.T) {
	for v, want := range map[float64]string{0: "0/s", 999.4: "999/s", 1000: "1.0 k/s", 123_456: "123.5 k/s", 14_880_952: "14.88 M/s"} {
		if got := perSecond(v); got != want {
			t.Errorf("%v is shown as %q, want %q", v, got, want)
		}
	}
}

func TestOnlyTerminalsAreRedrawn(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for name, out := range map[string]io.Writer{"a buffer": new(bytes.Buffer), "a file": file, "a pipe": w, "/dev/null": null} {
		if isTerminal(out) {
			t.Errorf("%s is taken for a terminal", name)
		}
	}
	if pty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0); err == nil { // where there is one
		defer pty.Close()
		if !isTerminal(pty) {
			t.Error("a terminal is not taken for one")
		}
	}
}

func TestPlaces(t *testing.T) {
	next := 0
	for _, tt := range []struct {
		named          []int
		queues         int
		served, polled []uint16
	}{
		{nil, 2, nil, []uint16{0, 1}},
		{[]int{2, 0}, 3, []uint16{2, 0}, []uint16{2, 0, 2}},
		{nil, 3, nil, []uint16{2, 0, 1}}, // goes on where the first left off
	} {
		if served, polled := places(tt.named, tt.queues, 3, &next); !slices.Equal(served, tt.served) || !slices.Equal(polled, tt.polled) {
			t.Errorf("%v, %d queues: served by %v, polled by %v", tt.named, tt.queues, served, polled)
		}
	}
}
