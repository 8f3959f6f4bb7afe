package peers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// Testpmd is the floor: testpmd's io mode moves packets from source to sink
// and does nothing else, so what it reaches is the cost of the devices.
type Testpmd struct{}

// Name implements Peer.
func (Testpmd) Name() string { return "floor" }

// Missing implements Peer.
func (Testpmd) Missing() string {
	for _, tool := range []string{"dpdk-testpmd", "stdbuf"} {
		if _, err := exec.LookPath(tool); err != nil {
			return tool + " is not installed"
		}
	}
	return ""
}

// Unfit implements Peer.
func (Testpmd) Unfit(Setup) string { return "" }

type testpmdRun struct {
	p     *process
	ports int
}

// testpmdArgs returns the command line. --in-memory leaves no file behind;
// without hugepages DPDK refuses it, and --no-shconf does the same.
func testpmdArgs(s Setup) []string {
	args := []string{"-oL", "dpdk-testpmd", "--no-pci", "--no-telemetry",
		"-l", fmt.Sprintf("%d,%d", s.Control, s.CPU), "--main-lcore", strconv.Itoa(s.Control)}
	if s.NoHuge {
		args = append(args, "--no-huge", "--no-shconf", "-m", strconv.Itoa(s.MemoryMB()))
	} else {
		args = append(args, "--in-memory")
	}
	args = append(args, s.ealArgs()...)
	for _, dev := range s.Devices() {
		args = append(args, "--vdev", dev)
	}
	return append(args, "--", "-i", "--auto-start", "--forward-mode=io", "--nb-cores=1",
		fmt.Sprintf("--total-num-mbufs=%d", s.Mbufs()), fmt.Sprintf("--mbuf-size=%d", DataRoom+128))
}

// Start implements Peer.
func (Testpmd) Start(ctx context.Context, s Setup) (Run, error) {
	cmd := exec.Command("stdbuf", testpmdArgs(s)...)
	cmd.Env = append(os.Environ(), s.env()...)
	p, err := start(cmd)
	if err != nil {
		return nil, err
	}
	r := &testpmdRun{p: p, ports: len(s.Devices())}
	if _, err := p.waitFor(ctx, 0, "testpmd> ", 1, time.Minute); err != nil {
		r.Stop()
		return nil, err
	}
	// The first statistics also arm testpmd's own rate meter. Until every mbuf
	// of a large pool has been touched once, the rate is that of page faults.
	if _, err := r.show(ctx); err != nil {
		r.Stop()
		return nil, err
	}
	if err := sleep(ctx, time.Second); err != nil {
		r.Stop()
		return nil, err
	}
	return r, nil
}

// show asks for the statistics of all ports and returns what is printed.
func (r *testpmdRun) show(ctx context.Context) (string, error) {
	offset := r.p.out.len()
	if _, err := r.p.stdin.Write([]byte("show port stats all\n")); err != nil {
		return "", fmt.Errorf("%w: %s", err, r.p.out.tail(600))
	}
	return r.p.waitFor(ctx, offset, "Tx-bps:", r.ports, 10*time.Second)
}

// Measure implements Run. The rate is testpmd's own, which it computes between
// two requests with its own clock.
func (r *testpmdRun) Measure(ctx context.Context, d time.Duration) ([]Sample, error) {
	if _, err := r.show(ctx); err != nil {
		return nil, err
	}
	if err := sleep(ctx, d); err != nil {
		return nil, err
	}
	text, err := r.show(ctx)
	if err != nil {
		return nil, err
	}
	pps, err := parseTestpmd(text)
	if err != nil {
		return nil, err
	}
	return []Sample{{Mpps: float64(pps) / 1e6}}, nil
}

// Stop implements Run.
func (r *testpmdRun) Stop() { r.p.stop() }

var testpmdTxPPS = regexp.MustCompile(`(?m)^\s*Tx-pps:\s*(\d+)\b`)

// parseTestpmd returns the sum of the transmit rates in the answer to "show
// port stats all", in packets a second.
func parseTestpmd(text string) (uint64, error) {
	rates := testpmdTxPPS.FindAllStringSubmatch(text, -1)
	if len(rates) == 0 {
		return 0, fmt.Errorf("testpmd: no transmit rate in %q", text)
	}
	var sum uint64
	for _, m := range rates {
		n, err := strconv.ParseUint(m[1], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("testpmd: %w", err)
		}
		sum += n
	}
	return sum, nil
}
