package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// Nitrod is nitrod as a user runs it: the real binary with a configuration
// file, read through its own command line.
type Nitrod struct {
	Binary string
	Env    []string // added to the environment
	// Memory sees to the memory of a setup where Start has changed the size of
	// the tables; nil where nobody does.
	Memory func(Setup) error
}

// Name implements Peer.
func (Nitrod) Name() string { return "nitrod" }

// Missing implements Peer.
func (n Nitrod) Missing() string {
	if _, err := os.Stat(n.Binary); err != nil {
		return fmt.Sprintf("%s is not there; build it with make build", n.Binary)
	}
	return ""
}

// Unfit implements Peer.
func (Nitrod) Unfit(Setup) string { return "" }

// NitrodRun is a running nitrod.
type NitrodRun struct {
	p              *process
	binary, socket string
	flows          uint64
	setup          Setup
}

// Start implements Peer.
func (n Nitrod) Start(ctx context.Context, s Setup) (Run, error) {
	if s.endless() {
		return n.startHalfFull(ctx, s)
	}
	return n.start(ctx, s)
}

// StartDaemon is Start with the concrete type, for those who read more than
// rates.
func (n Nitrod) StartDaemon(ctx context.Context, s Setup) (*NitrodRun, error) {
	return n.start(ctx, s)
}

func (n Nitrod) start(ctx context.Context, s Setup) (*NitrodRun, error) {
	r := &NitrodRun{binary: n.Binary, socket: filepath.Join(s.TempDir, "nitrod.sock"), flows: uint64(s.Spec.Flows), setup: s}
	file := filepath.Join(s.TempDir, "nitrod.yaml")
	if err := os.WriteFile(file, []byte(NitrodConfig(s, r.socket)), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(n.Binary, "run", "-c", file)
	cmd.Env = slices.Concat(os.Environ(), s.env(), n.Env)
	p, err := start(cmd)
	if err != nil {
		return nil, err
	}
	r.p = p
	warm := func() error { return r.warm(ctx, uint64(s.frames())) }
	if s.endless() {
		warm = func() error { return r.warmNew(ctx) }
	}
	if err := warm(); err != nil {
		r.Stop()
		return nil, err
	}
	return r, nil
}

// StartConfig starts nitrod with a configuration of the caller's, whose control
// socket is given, and returns when it answers. The file goes to dir.
func (n Nitrod) StartConfig(ctx context.Context, dir, socket, text string) (*NitrodRun, error) {
	file := filepath.Join(dir, "nitrod.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(n.Binary, "run", "-c", file)
	cmd.Env = append(os.Environ(), n.Env...)
	p, err := start(cmd)
	if err != nil {
		return nil, err
	}
	r := &NitrodRun{p: p, binary: n.Binary, socket: socket}
	err = poll(ctx, 100*time.Millisecond, time.Minute, func() (bool, error) {
		if err := p.alive(); err != nil {
			return false, err
		}
		_, err := os.Stat(socket)
		return err == nil, nil
	})
	if err == nil {
		_, err = r.Stats(ctx)
	}
	if err != nil {
		r.Stop()
		return nil, err
	}
	return r, nil
}

// Pid is the daemon's.
func (r *NitrodRun) Pid() int { return r.p.cmd.Process.Pid }

// warm waits until the source has been replayed three times, every flow has its
// session, and a stretch of time has passed without a drop: while flows are being set up, what does not
// fit the slow path's queue is dropped, in every data plane.
func (r *NitrodRun) warm(ctx context.Context, frames uint64) error {
	var last Stats
	err := poll(ctx, 300*time.Millisecond, time.Minute, func() (bool, error) {
		if err := r.p.alive(); err != nil {
			return false, err
		}
		if _, err := os.Stat(r.socket); err != nil {
			return false, nil // not there yet
		}
		now, err := r.Stats(ctx)
		if err != nil {
			return false, err
		}
		steady := last.Rx > 0 && now.Rx > last.Rx && now.Dropped() == last.Dropped() && now.Rx >= 3*frames &&
			(now.Sessions == nil || *now.Sessions >= r.flows)
		last = now
		return steady, nil
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("nitrod has received %d, sent %d, dropped %v, and is not steady: %w: %s",
			last.Rx, last.Tx, last.Drops, err, r.p.out.tail(600))
	}
	return err
}

// Measure implements Run.
func (r *NitrodRun) Measure(ctx context.Context, d time.Duration) ([]Sample, error) {
	first, err := r.Stats(ctx)
	if err != nil {
		return nil, err
	}
	if err := sleep(ctx, d); err != nil {
		return nil, err
	}
	last, err := r.Stats(ctx)
	if err != nil {
		return nil, err
	}
	s, err := sampleOf(first, last)
	if err != nil {
		return nil, err
	}
	if r.setup.endless() {
		r.setup.ofNewFlows(&s, first, last)
	} else if last.Sessions != nil && *last.Sessions != r.flows {
		s.Flags = append(s.Flags, fmt.Sprintf("nitrod tracks %d sessions for %d flows", *last.Sessions, r.flows))
	}
	return []Sample{s}, nil
}

// Stop implements Run.
func (r *NitrodRun) Stop() {
	r.p.stop()
	_ = os.Remove(r.socket) // left only if the daemon had to be killed
}

// Stats asks the daemon for its counters.
func (r *NitrodRun) Stats(ctx context.Context) (Stats, error) {
	out, err := run(ctx, os.Environ(), r.binary, "stats", "--json", "--socket", r.socket)
	if err != nil {
		return Stats{}, fmt.Errorf("%w; daemon: %s", err, r.p.out.tail(600))
	}
	return parseStats([]byte(out))
}

// Stats is what the benchmark reads of nitrod stats --json. All counters count
// from the daemon's start.
type Stats struct {
	TimeNS     uint64            `json:"time_ns"` // the daemon's clock when it read the counters
	Rx         uint64            `json:"rx"`
	Originated uint64            `json:"originated"`
	Tx         uint64            `json:"tx"`
	Consumed   uint64            `json:"consumed"`
	Held       int64             `json:"held"`     // what the other sums leave over
	Sessions   *uint64           `json:"sessions"` // tracked flows; absent before a daemon counts them
	Begun      uint64            `json:"sessions_begun"`
	Drops      map[string]uint64 `json:"drops"`
	ENIs       map[string]struct {
		RxPackets uint64 `json:"rx_packets"`
		TxPackets uint64 `json:"tx_packets"`
	} `json:"enis"`
	Lcores []struct {
		CPU    int    `json:"cpu"`
		Rounds uint64 `json:"rounds"`
		Gaps   Gaps   `json:"gaps"`
	} `json:"lcores"`
}

// Gaps is a histogram of the time between two polls, in short.
type Gaps struct {
	P50   uint64 `json:"p50_ns"`
	P99   uint64 `json:"p99_ns"`
	P9999 uint64 `json:"p9999_ns"`
	Max   uint64 `json:"max_ns"`
	Count uint64 `json:"count"`
}

// Dropped is the number of packets dropped for any reason.
func (s Stats) Dropped() uint64 {
	var sum uint64
	for _, n := range s.Drops {
		sum += n
	}
	return sum
}

// delivered is the number of packets that guests received.
func (s Stats) delivered() uint64 {
	var sum uint64
	for _, e := range s.ENIs {
		sum += e.RxPackets
	}
	return sum
}

func parseStats(text []byte) (Stats, error) {
	var s Stats
	if err := json.Unmarshal(text, &s); err != nil {
		return Stats{}, fmt.Errorf("nitrod stats: %w", err)
	}
	if s.TimeNS == 0 {
		return Stats{}, fmt.Errorf("nitrod stats: no time_ns in %q", text)
	}
	return s, nil
}

// sampleOf returns the rate between two readings, and flags what would make it
// dishonest: drops, and packets of which no counter tells.
func sampleOf(first, last Stats) (Sample, error) {
	if last.TimeNS <= first.TimeNS {
		return Sample{}, fmt.Errorf("nitrod stats: time stands still at %d ns", last.TimeNS)
	}
	tx, rx := last.Tx-first.Tx, last.Rx-first.Rx
	s := Sample{Mpps: float64(tx) / float64(last.TimeNS-first.TimeNS) * 1e3}
	if d := last.Dropped() - first.Dropped(); d != 0 {
		s.Flags = append(s.Flags, fmt.Sprintf("nitrod dropped %d of %d packets", d, rx))
	}
	in := float64(rx + last.Originated - first.Originated)
	out := float64(tx + last.Dropped() - first.Dropped() + last.Consumed - first.Consumed)
	// Held is the difference by definition and proves nothing. Lcores publish
	// their counters up to 100 us late, so the sums agree to a few bursts only
	// while traffic flows; what is really held is bounded by the mbufs.
	if diff := in - out; diff > 0.002*in || -diff > 0.002*in {
		s.Flags = append(s.Flags, fmt.Sprintf("nitrod's counters do not add up: %.0f in, %.0f out", in, out))
	}
	if got := float64(last.delivered() - first.delivered()); got < 0.99*float64(tx) || got > 1.01*float64(tx) {
		s.Flags = append(s.Flags, fmt.Sprintf("nitrod sent %d packets, guests received %.0f", tx, got))
	}
	return s, nil
}
