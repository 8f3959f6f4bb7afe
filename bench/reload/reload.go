// Package reload measures changes of policy under load: snapshots of a host
// with many ENIs are compiled and swapped as fast as that goes, while an lcore
// forwards packets that come at a fixed rate.
//
// The engine is nitrod's; its devices are in memory, since DPDK has no room for
// a thousand ports.
package reload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nitrod/nitrod/bench/report"
	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/internal/scale"
	"github.com/nitrod/nitrod/pipeline"
	"github.com/nitrod/nitrod/policy"
)

// Options say what is measured.
type Options struct {
	Spec     scale.Spec
	Flows    int           // established before anything is measured
	Duration time.Duration // of one phase
	Loads    []float64     // shares of what the lcore can do
	// CPU is the lcore's, Control that of everything else; -1 pins nothing.
	CPU, Control int
}

// changedEvery is the distance of the groups that differ between the two
// policies that take turns.
const changedEvery = 10

// Objects returns the two policies: every tenth group has another rule in the
// second. Either admits UDP within the VPC by the last rule of each group.
func Objects(spec scale.Spec) [2]*policy.Objects {
	var both [2]*policy.Objects
	for i := range both {
		o := scale.Objects(spec)
		for g := range o.SecurityGroups {
			group := &o.SecurityGroups[g]
			if g%changedEvery == 0 {
				group.Inbound[0].FromPort -= i
			}
			group.Inbound = append(group.Inbound, policy.SGRule{
				Match: policy.Match{Protocol: policy.ProtoUDP, FromPort: 0, ToPort: 65535}, CIDR: o.VPCs[0].CIDRs[0],
			})
		}
		both[i] = o
	}
	return both
}

// bed is the engine between its source and nothing.
type bed struct {
	o       Options
	objects [2]*policy.Objects
	turn    int
	snap    *policy.Snapshot
	engine  *pipeline.Engine
	source  *source
	clock   *pipeline.MonotonicClock
	ended   chan struct{}
	result  report.Reload
}

// Run measures. It takes about a phase for each load twice, and two more.
func Run(ctx context.Context, o Options) (report.Reload, error) {
	b := &bed{o: o, objects: Objects(o.Spec), clock: pipeline.NewMonotonicClock(), ended: make(chan struct{})}
	b.result = report.Reload{ENIs: o.Spec.ENIs, Rules: o.Spec.Rules, Flows: o.Flows}
	defer debug.SetGCPercent(debug.SetGCPercent(daemonGCPercent))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(3)) // the lcores and two, as the daemon has it
	if err := b.start(); err != nil {
		return b.result, err
	}
	err := b.measure(ctx)
	b.engine.Stop()
	<-b.ended
	if held := b.engine.Total(); err == nil && held.Held() != 0 {
		err = fmt.Errorf("reload: %d packets are held after the end", held.Held())
	}
	return b.result, errors.Join(err, b.engine.Free(), b.source.mem.Free())
}

// daemonGCPercent is host.gc_percent's default.
const daemonGCPercent = 400

func (b *bed) start() error {
	before := time.Now()
	var err error
	if b.snap, err = policy.Compile(b.objects[0], nil); err != nil {
		return err
	}
	b.result.First = time.Since(before).Seconds()

	if b.source, err = newSource(b.frames(), b.clock.Now, runDelay); err != nil {
		return err
	}
	var ports []pipeline.Port
	for i := range b.snap.ENIs {
		ports = append(ports, pipeline.Port{ENI: uint16(i), Port: uint16(i), Queues: 1, Depth: 1024})
	}
	b.engine, err = pipeline.New(pipeline.Config{
		Burst: 32, SlowPathBudget: 16, SlowPathQueue: 4096, Flows: max(1<<16, 4*b.o.Flows), FlowIdle: time.Minute, Fragments: pipeline.DefaultFragments,
		Redecide: 100_000, RedecideWithin: pipeline.DefaultRedecideWithin,
		Sessions: max(1<<15, 2*b.o.Flows), PickupMidstream: true, Timeouts: conntrack.DefaultTimeouts, RingSize: 1024, Clock: b.clock,
	}, b.snap, ports, []pktio.IO{b.source})
	if err != nil {
		return errors.Join(err, b.source.mem.Free())
	}
	if b.o.CPU >= 0 {
		if err := pinOthers(b.o.Control); err != nil {
			return err
		}
	}
	pinned := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and nobody inherits
		// its CPU.
		runtime.LockOSThread()
		pinned <- pinSelf(b.o.CPU)
		b.engine.RunLcore(0)
		close(b.ended)
	}()
	return <-pinned
}

// frames returns one frame for each flow: UDP from one ENI to another.
func (b *bed) frames() []frame {
	n := len(b.snap.ENIs)
	out := make([]frame, b.o.Flows)
	for i := range out {
		from, to := i%n, (i*7+n/2+1)%n
		if from == to {
			to = (to + 1) % n
		}
		r, src, dst := &b.snap.ENIs[from], b.snap.ENI(uint16(from)), b.snap.ENI(uint16(to))
		out[i] = frame{port: uint16(from), bytes: packet.Build(
			packet.Ether{Dst: r.RouterMAC, Src: r.MAC}, packet.IPv4{Src: src.Primary4, Dst: dst.Primary4},
			packet.UDP{SrcPort: uint16(20000 + i%40000), DstPort: uint16(1024 + i/n)}, packet.Fill(18),
		)}
	}
	return out
}

func (b *bed) measure(ctx context.Context) error {
	b.source.change(-1)
	if err := sleep(ctx, b.o.Duration); err != nil { // every flow gets its session
		return err
	}
	b.source.change(-1)
	if err := sleep(ctx, b.o.Duration); err != nil {
		return err
	}
	full := b.source.change(0)
	capacity := float64(full.Taken) / float64(full.Duration.Nanoseconds())
	b.result.CapacityMpps = capacity * 1e3
	var compiles, swaps []float64
	for _, load := range b.o.Loads {
		for _, reloading := range []bool{false, true} {
			before := b.engine.Total()
			b.source.change(capacity * load)
			reloads := 0
			for end := time.Now().Add(b.o.Duration); time.Now().Before(end); {
				if err := ctx.Err(); err != nil {
					return err
				}
				if !reloading {
					if err := sleep(ctx, time.Until(end)); err != nil {
						return err
					}
					break
				}
				compile, swap, err := b.reload()
				if err != nil {
					return err
				}
				compiles, swaps = append(compiles, compile), append(swaps, swap)
				reloads++
			}
			p := b.source.change(0)
			after, err := b.quiet(ctx)
			if err != nil {
				return err
			}
			b.result.Runs = append(b.result.Runs, report.ReloadRun{
				Load: load, Reloads: reloads, Packets: p.Taken + p.Missed, Mpps: float64(p.Taken) / p.Duration.Seconds() / 1e6,
				Missed: p.Missed - p.Excused, Excused: p.Excused, Dropped: after.Dropped() - before.Dropped(),
				Stalls: p.Stalls, StallNS: uint64(p.Stalled), Waiting: int(p.Waiting), WorstGapNS: uint64(p.Worst),
			})
		}
	}
	b.result.Compile, _ = report.Median(compiles)
	b.result.Swap, _ = report.Median(swaps)
	b.result.CompileMax, b.result.SwapMax = slices.Max(compiles), slices.Max(swaps)
	return nil
}

// reload puts the other policy in force. It returns the seconds that compiling
// and putting in force took.
func (b *bed) reload() (compile, swap float64, err error) {
	b.turn = 1 - b.turn
	start := time.Now()
	next, err := policy.Compile(b.objects[b.turn], b.snap)
	if err != nil {
		return 0, 0, err
	}
	compiled := time.Now()
	if err := b.engine.SetPolicy(next); err != nil {
		return 0, 0, err
	}
	b.snap = next
	return compiled.Sub(start).Seconds(), time.Since(compiled).Seconds(), nil
}

// quiet waits until nothing is under way and returns the counters.
func (b *bed) quiet(ctx context.Context) (pipeline.Stats, error) {
	for end := time.Now().Add(10 * time.Second); ; {
		s := b.engine.Total()
		if s.Held() == 0 {
			return s, nil
		}
		if time.Now().After(end) {
			return s, fmt.Errorf("reload: %d packets are held and nothing comes", s.Held())
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return s, err
		}
	}
}

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

// runDelay returns for how long the calling thread has been ready to run
// without running, in nanoseconds; 0 where the kernel does not say.
func runDelay() int64 {
	text, err := os.ReadFile("/proc/thread-self/schedstat")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	n, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// pinOthers moves all threads of the process to a CPU.
func pinOthers(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	for _, t := range tasks {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("reload: CPU %d: %w", cpu, err)
		}
	}
	return nil
}

func pinSelf(cpu int) error {
	if cpu < 0 {
		return nil
	}
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("reload: CPU %d: %w", cpu, err)
	}
	return nil
}
