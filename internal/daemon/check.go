// Package daemon puts nitrod together: configuration, policy, DPDK's ports, the
// engine and the control socket; it starts them in order and takes them down in
// the reverse order, so that nothing is left behind.
//
// Built without cgo, and so without DPDK, it still checks configurations; Run
// then says what is missing.
package daemon

import (
	"io"

	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/policy"
)

// Options say how to run, beyond the configuration file.
type Options struct {
	NoHuge  bool      // never use hugepages, whatever the file says
	Demo    bool      // serve something in the namespaces, say what to try, show live counters
	Version string    // nitrod's
	Out     io.Writer // for Demo; a terminal is redrawn, anything else gets lines
}

// Check reads and validates a configuration file without starting anything.
// Errors are config.Errors, or say why the file cannot be read.
func Check(path string) (*config.Config, *policy.Snapshot, error) {
	cpus, err := config.AllowedCPUs()
	if err != nil {
		return nil, nil, err
	}
	cfg, err := config.Load(path, cpus)
	if err != nil {
		return nil, nil, err
	}
	snap, err := policy.Compile(&cfg.Objects, nil)
	if err != nil {
		return nil, nil, err
	}
	return cfg, snap, nil
}
