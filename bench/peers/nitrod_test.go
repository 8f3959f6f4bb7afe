package peers

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nitrod/nitrod/bench/traffic"
)

// standIn writes a shell script that answers like nitrod: "run" makes the
// socket and waits, "stats" counts on by a million packets a call.
func standIn(t *testing.T, run string) Nitrod {
	t.Helper()
	dir := t.TempDir()
	script := `#!/bin/sh
dir=` + dir + `
case $1 in
run)
	` + run + `
	;;
stats)
	n=$(($(cat $dir/n) + 1))
	echo $n >$dir/n
	echo '{"time_ns":'$n'00000000,"rx":'$n'000000,"tx":'$n'000000,"sessions":1000,"drops":{},"enis":{"b":{"rx_packets":'$n'000000}},"lcores":[{"cpu":1}]}'
	;;
esac
`
	for name, text := range map[string]string{"nitrod": script, "n": "0\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return Nitrod{Binary: filepath.Join(dir, "nitrod"), Env: []string{"BENCH_TEST=yes"}}
}

func standInSetup(t *testing.T) Setup {
	return Setup{Spec: traffic.Spec{Kind: traffic.UDP4, Flows: 1000}, Files: []string{"/f/ab"}, CPU: 1, TempDir: t.TempDir()}
}

const runUntilStopped = `socket=$(sed -n 's/ *control_socket: //p' $3)
	: >$socket
	echo $$ $BENCH_TEST >$dir/pid
	trap 'rm $socket; exit 0' TERM
	while :; do sleep 0.02; done`

func TestNitrodRun(t *testing.T) {
	n := standIn(t, runUntilStopped)
	setup := standInSetup(t)
	r, err := n.Start(t.Context(), setup)
	if err != nil {
		t.Fatal(err)
	}
	samples, err := r.Measure(t.Context(), time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	// A million packets in the 100 ms of the stand-in's own clock.
	if len(samples) != 1 || samples[0].Mpps != 10 || len(samples[0].Flags) != 0 {
		t.Errorf("samples %+v", samples)
	}
	r.(*NitrodRun).flows++
	if samples, err = r.Measure(t.Context(), time.Millisecond); err != nil || len(samples[0].Flags) != 1 ||
		samples[0].Flags[0] != "nitrod tracks 1000 sessions for 1001 flows" {
		t.Errorf("samples %+v, %v", samples, err)
	}
	r.Stop()
	pid, err := os.ReadFile(filepath.Join(filepath.Dir(n.Binary), "pid"))
	if err != nil || !strings.HasSuffix(string(pid), " yes\n") {
		t.Errorf("the daemon ran with %q, %v; want its environment", pid, err)
	}
	if err := r.(*NitrodRun).p.cmd.Process.Signal(syscall.Signal(0)); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("the daemon is still there after Stop: %v", err)
	}
	left, err := os.ReadDir(setup.TempDir)
	if err != nil || len(left) != 1 || left[0].Name() != "nitrod.yaml" {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestNitrodFailsToStart(t *testing.T) {
	_, err := standIn(t, "echo nitrod: no such device >&2; exit 2").Start(t.Context(), standInSetup(t))
	if err == nil || !strings.Contains(err.Error(), "no such device") || !strings.Contains(err.Error(), "exit status 2") {
		t.Errorf("error %v; want the daemon's own words and its exit status", err)
	}
}

func TestNitrodInterrupted(t *testing.T) {
	n := standIn(t, runUntilStopped)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := n.Start(ctx, standInSetup(t))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Stop()
	cancel()
	if _, err := r.Measure(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("Measure ended with %v", err)
	}
}

func TestNitrodMissing(t *testing.T) {
	if why := (Nitrod{Binary: filepath.Join(t.TempDir(), "nitrod")}).Missing(); why == "" {
		t.Error("a binary that is not there is not missing")
	}
	if why := standIn(t, "").Missing(); why != "" {
		t.Errorf("missing: %s", why)
	}
}

func TestOutputIsBounded(t *testing.T) {
	var o output
	chunk := make([]byte, 1<<20)
	for range 10 {
		if n, err := o.Write(chunk); n != len(chunk) || err != nil {
			t.Fatalf("Write = %d, %v; a child must never be blocked or fail", n, err)
		}
	}
	if o.len() != maxOutput {
		t.Errorf("kept %d bytes, want %d", o.len(), maxOutput)
	}
	if s := o.from(maxOutput + 5); s != "" {
		t.Errorf("there is something after the end: %q", s)
	}
}
