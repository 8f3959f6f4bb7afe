package traffic

import (
	_ "embed" // the library's source
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed source/source.c
var sourceC string

// The ports that an endless source gives to frames: those of source.c.
const (
	NewPortBase  = 1024
	NewDestPorts = 64000
)

// Source is a library for DPDK's -d that gives the frames of a net_pcap port
// other ports each time they are received, so that there are more flows than
// frames, or no end of them. It works on IPv4 alone.
type Source struct {
	Library string
	// Flows is how many flows there are, a power of two up to MaxSourceFlows,
	// each once a turn; 0 gives every frame a flow of its own.
	Flows int
}

// MaxSourceFlows is the largest number of flows that are not endless.
const MaxSourceFlows = 1 << 22

// Env is what the process that loads the library needs in its environment.
func (s Source) Env() []string { return []string{fmt.Sprintf("NITROD_BENCH_FLOWS=%d", s.Flows)} }

// BuildSource compiles the library into dir and returns its path.
func BuildSource(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("traffic: %w", err)
	}
	flags, err := exec.Command("pkg-config", "--cflags", "libdpdk").Output()
	if err != nil {
		return "", fmt.Errorf("traffic: pkg-config libdpdk: %w", err)
	}
	source, library := filepath.Join(dir, "source.c"), filepath.Join(dir, "source.so")
	if err := os.WriteFile(source, []byte(sourceC), 0o600); err != nil {
		return "", fmt.Errorf("traffic: %w", err)
	}
	args := append(strings.Fields(string(flags)), "-O3", "-shared", "-fPIC", "-o", library, source)
	if out, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("traffic: %s: %w: %s", source, err, out)
	}
	return library, nil
}
