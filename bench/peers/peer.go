// Package peers starts, feeds and reads the data planes that the benchmark
// compares: nitrod itself, testpmd's io mode as the floor, and OVS-DPDK with a
// conntrack pipeline.
//
// All of them get the same devices (Setup.Devices) and one polling core, and
// run one at a time: two pollers on one core would measure the scheduler.
package peers

import (
	"context"
	"fmt"
	"time"

	"github.com/nitrod/nitrod/bench/traffic"
)

// Setup is what a peer is asked to run: one case on one polling core.
type Setup struct {
	Spec    traffic.Spec
	Files   []string // pcap files: A to B, and B to A where there is one
	CPU     int      // the polling core
	Control int      // the core for everything else
	NoHuge  bool     // the machine has no hugepages to give
	TempDir string   // for sockets and configuration; the caller removes it
	Rules   RuleSet
	// Features are nitrod's settings; nil leaves them as a user has them who says
	// nothing.
	Features *Features
	// Source changes the frames of Files, which then hold MinFrames; nil leaves
	// them as they are, one or more for each flow of Spec.
	Source *traffic.Source
	// Sessions is the size of nitrod's session table; 0 lets the flows decide.
	Sessions int
}

// endless reports whether every packet opens a flow.
func (s Setup) endless() bool { return s.Source != nil && s.Source.Flows == 0 }

// frames is the number of frames in all files.
func (s Setup) frames() int {
	if s.Source != nil {
		return len(s.Files) * traffic.MinFrames
	}
	return len(s.Files) * s.Spec.Frames()
}

// ealArgs are the arguments that every peer gives to DPDK beside its own, and
// env is what it adds to the environment for them.
func (s Setup) ealArgs() []string {
	if s.Source == nil {
		return nil
	}
	return []string{"-d", s.Source.Library}
}

func (s Setup) env() []string {
	if s.Source == nil {
		return nil
	}
	return s.Source.Env()
}

// DataRoom is the data room of one mbuf in bytes, without DPDK's headroom of
// 128. It is the same for nitrod and for the floor: it decides how far apart
// packets lie, which is what the cases with many flows measure.
const DataRoom = 2048

// spareMbufs is what a peer needs beside the frames that the source keeps:
// bursts in flight, per-lcore caches and rings.
const spareMbufs = 32768

// Mbufs is the number of mbufs that the setup's sources and bursts take.
// net_pcap keeps one mbuf for each frame that it repeats.
func (s Setup) Mbufs() int {
	return s.frames() + spareMbufs
}

// tableEntries is the size of nitrod's flow cache: twice what the flows take
// with an entry for each direction, because a table that is full is another
// measurement.
func (s Setup) tableEntries() int {
	switch {
	case s.Sessions != 0:
		return 2 * s.Sessions
	case s.endless():
		return 2 * firstSessions
	}
	return max(1<<20, nextPow2(4*s.Spec.Flows))
}

// MemoryMB is the DPDK memory in MiB that nitrod or the floor takes for the
// setup: the mbufs and half as much again, and 256 MiB for rings and the
// allocator's rounding.
func (s Setup) MemoryMB() int {
	mbuf := DataRoom + 128 + 128 + 64 // room, headroom, rte_mbuf, object header
	if s.NoHuge {
		mbuf = 4096 // a buffer does not lie across two ordinary pages
	}
	return (s.Mbufs()*mbuf>>20)*3/2 + 256
}

// tablesMB is the memory in MiB of nitrod's tables, which are not DPDK's.
func (s Setup) tablesMB() int {
	const entry = 192 // a flow cache entry and its share of a session, amply
	return s.tableEntries() * entry >> 20
}

// HugeMB is the memory in hugepages that any of the peers takes for the setup.
func (s Setup) HugeMB() int { return max(s.MemoryMB()+s.tablesMB(), ovsSocketMB+256) }

// Devices returns the DPDK device strings of side A and side B. A side that
// sends nothing is a sink that counts what it is given.
func (s Setup) Devices() [2]string {
	side := func(i int) string {
		if i < len(s.Files) {
			return fmt.Sprintf("net_pcap%d,rx_pcap=%s,infinite_rx=1", i, s.Files[i])
		}
		return fmt.Sprintf("net_null%d,no-rx=1", i)
	}
	return [2]string{side(0), side(1)}
}

// Sample is one measurement.
type Sample struct {
	Variant string  // configuration of the peer, where it has several
	Mpps    float64 // million packets a second given to the sinks
	Flags   []string
	// Where every packet opens a flow: how many connections there were at the
	// end, and for how many the table has room, 0 where it grows.
	Connections, Capacity int
}

// Peer is a data plane that can be started on a setup.
type Peer interface {
	// Name is the peer's short name: nitrod, floor, ovs_ct.
	Name() string
	// Missing returns why the peer cannot run here at all; "" if it can.
	Missing() string
	// Unfit returns why the peer cannot run this setup; "" if it can.
	Unfit(Setup) string
	// Start starts the peer and returns when it forwards and every flow is set
	// up. The caller must Stop the Run also when the context has ended.
	Start(context.Context, Setup) (Run, error)
}

// Run is a peer that is running.
type Run interface {
	// Measure measures for d (once for each of its variants).
	Measure(ctx context.Context, d time.Duration) ([]Sample, error)
	// Stop ends all of the peer's processes and returns when they are gone.
	Stop()
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// poll calls done every interval until it says true, fails, or limit has
// passed.
func poll(ctx context.Context, interval, limit time.Duration, done func() (bool, error)) error {
	for deadline := time.Now().Add(limit); ; {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not reached within %v", limit)
		}
		if err := sleep(ctx, interval); err != nil {
			return err
		}
	}
}
