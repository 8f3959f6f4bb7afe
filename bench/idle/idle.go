// Package idle measures what an lcore costs that has nothing to do, and for how long
// the first packet waits that comes to it then: the two ends of the choice that
// host.polling is.
//
// nitrod is the real binary, between two network namespaces. A datagram is sent
// after a pause and timed by the kernel when it arrives on the other side. With
// spin polling, where nothing rests, that is the kernel's own share; what other
// modes take more is theirs. After longer pauses comes a load out of nothing, of
// which nothing may be lost.
package idle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nitrod/nitrod/bench/peers"
	"github.com/nitrod/nitrod/bench/report"
)

// Options say what is measured.
type Options struct {
	Binary  string
	TempDir string
	CPU     int           // the lcore's
	Quiet   time.Duration // for which the CPU of an idle lcore is read
	Probes  int           // datagrams, one after the other
	Pause   time.Duration // before each of them
	Steps   int           // loads out of nothing
}

// stepPackets is how many datagrams come at once in a step: half of the shortest
// queue on the way, which is what net_tap's kernel keeps.
const stepPackets = 250

// mode is one way to poll.
type mode struct {
	polling string
	sleep   time.Duration // host.idle_sleep; 0 for the default
}

// modes of each kind of device. Taps have receive interrupts, net_af_packet has
// none: there idle_sleep is what the first packet may wait, and the curve of it is
// what there is to choose from.
var modes = []struct {
	device device
	modes  []mode
}{
	{&taps{}, []mode{{"spin", 0}, {"pause", 0}, {"sleep", 0}, {"interrupt", 0}, {"adaptive", 0}}},
	{&veths{}, []mode{
		{"spin", 0}, {"pause", 0},
		{"adaptive", 20 * time.Microsecond}, {"adaptive", 50 * time.Microsecond}, {"adaptive", 100 * time.Microsecond},
		{"adaptive", 200 * time.Microsecond}, {"adaptive", 500 * time.Microsecond}, {"adaptive", time.Millisecond},
	}},
}

// Run measures all modes in turn. It needs root.
func Run(ctx context.Context, o Options) ([]report.Idle, error) {
	var out []report.Idle
	for _, d := range modes {
		var kernel *report.Idle
		for _, m := range d.modes {
			r, err := measure(ctx, o, d.device, m)
			if err != nil {
				return out, fmt.Errorf("idle: %s, %s: %w", d.device.name(), m.polling, err)
			}
			if kernel == nil {
				kernel = &r
			} else {
				r.Above(kernel)
			}
			fmt.Fprintf(os.Stderr, "idle: %s, %s %s: %.1f %% CPU, first packet after %v\n", r.Device, r.Polling, r.Sleep, r.CPU, time.Duration(r.P50))
			out = append(out, r)
		}
	}
	return out, nil
}

// measure starts nitrod in a mode and measures it.
func measure(ctx context.Context, o Options, d device, m mode) (r report.Idle, err error) {
	r = report.Idle{Device: d.name(), Polling: m.polling}
	if m.sleep != 0 {
		r.Sleep = m.sleep.String()
	}
	if err := d.prepare(); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, d.remove()) }()
	socket := filepath.Join(o.TempDir, "nitrod.sock")
	run, err := peers.Nitrod{Binary: o.Binary}.StartConfig(ctx, o.TempDir, socket, configOf(o.CPU, socket, m, d))
	if err != nil {
		return r, err
	}
	defer run.Stop()
	p, err := newProbe()
	if err != nil {
		return r, err
	}
	defer p.close()
	if err := p.warm(); err != nil {
		return r, err
	}
	if err := sleep(ctx, 100*time.Millisecond); err != nil {
		return r, err
	}
	if r.CPU, err = cpuOf(ctx, run.Pid(), o.Quiet); err != nil {
		return r, err
	}
	times := make([]float64, 0, o.Probes)
	for range o.Probes {
		if err := sleep(ctx, o.Pause); err != nil {
			return r, err
		}
		t, err := p.first()
		if err != nil {
			return r, err
		}
		times = append(times, float64(t))
	}
	slices.Sort(times)
	r.P50, r.P99 = uint64(times[len(times)/2]), uint64(times[len(times)*99/100])
	for range o.Steps {
		if err := sleep(ctx, 10*o.Pause); err != nil {
			return r, err
		}
		lost, err := p.step(stepPackets)
		if err != nil {
			return r, err
		}
		r.StepPackets += stepPackets
		r.StepLost += lost
	}
	return r, nil
}

// cpuOf returns which percentage of a CPU nitrod's lcore takes in d.
func cpuOf(ctx context.Context, pid int, d time.Duration) (float64, error) {
	tid, err := lcoreThread(pid)
	if err != nil {
		return 0, err
	}
	before, err := cpuTime(pid, tid)
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	if err := sleep(ctx, d); err != nil {
		return 0, err
	}
	after, err := cpuTime(pid, tid)
	if err != nil {
		return 0, err
	}
	return 100 * float64(after-before) / float64(time.Since(begun)), nil
}

// lcoreThread finds the thread of the only lcore.
func lcoreThread(pid int) (tid string, err error) {
	names, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/comm", pid))
	if err != nil {
		return "", err
	}
	for _, name := range names {
		// A thread may end meanwhile.
		if text, err := os.ReadFile(name); err == nil && strings.HasPrefix(string(text), "lcore-") {
			return filepath.Base(filepath.Dir(name)), nil
		}
	}
	return "", errors.New("nitrod has no lcore")
}

// cpuTime returns for how long a thread has run, to the nanosecond.
func cpuTime(pid int, tid string) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", pid, tid))
	if err != nil {
		return 0, err
	}
	run, _, _ := strings.Cut(string(text), " ")
	ns, err := strconv.ParseInt(run, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("schedstat: %w", err)
	}
	return time.Duration(ns), nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
