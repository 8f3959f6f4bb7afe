//go:build cgo

package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/internal/control"
	"github.com/nitrod/nitrod/internal/dpdk"
	"github.com/nitrod/nitrod/internal/hugemem"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/internal/rebalance"
	"github.com/nitrod/nitrod/internal/wiring"
	"github.com/nitrod/nitrod/pipeline"
	"github.com/nitrod/nitrod/policy"
)

// daemon is a running nitrod. undo holds what takes it down, in order of
// start.
type daemon struct {
	cfg      *config.Config
	snap     *policy.Snapshot
	opts     Options
	log      *slog.Logger
	pool     *dpdk.Pool
	ports    []*port // in the order of cfg.Ports
	ios      []*dpdk.IO
	engine   *pipeline.Engine
	balancer *rebalance.Balancer
	undo     []func() error
}

// Run starts nitrod with a checked configuration and carries packets until ctx
// ends. Everything that it made is gone when it returns.
func Run(ctx context.Context, cfg *config.Config, snap *policy.Snapshot, opts Options) (err error) {
	var level slog.LevelVar
	level.Set(cfg.Host.LogLevel)
	d := &daemon{cfg: cfg, snap: snap, opts: opts,
		log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: &level}))}
	defer func() { err = errors.Join(err, d.takeDown()) }()
	for _, step := range []func() error{d.beAlone, d.tuneRuntime, d.startDPDK, d.openPorts, d.makeEngine, d.startLcores, d.startBalancer, d.listen} {
		if ctx.Err() != nil {
			return nil
		}
		if err := step(); err != nil {
			return err
		}
	}
	d.log.Info("nitrod carries packets", "enis", len(cfg.Objects.ENIs), "lcores", fmt.Sprint(cfg.Host.Lcores.CPUs),
		"hugepages", dpdk.Hugepages(), "tables", d.engine.Memory().String(), "control", cfg.Host.ControlSocket)
	if opts.Demo {
		return d.demo(ctx)
	}
	<-ctx.Done()
	return nil
}

func (d *daemon) later(f func() error) { d.undo = append(d.undo, f) }

func (d *daemon) takeDown() error {
	var all []error
	for _, f := range slices.Backward(d.undo) {
		all = append(all, f())
	}
	return errors.Join(all...)
}

// beAlone refuses to start beside a daemon that has the same control socket, as
// one with the same file has.
func (d *daemon) beAlone() error { return control.CheckFree(d.cfg.Host.ControlSocket) }

// tuneRuntime gives control work threads of its own beside the pollers, and
// makes collections rare.
func (d *daemon) tuneRuntime() error {
	runtime.GOMAXPROCS(len(d.cfg.Host.Lcores.CPUs) + 2)
	if os.Getenv("GOGC") == "" { // the runtime's own variable has the last word
		debug.SetGCPercent(d.cfg.Host.GCPercent)
	}
	if text := os.Getenv("NITROD_FORCE_GC"); text != "" {
		every, err := time.ParseDuration(text)
		if err != nil || every <= 0 {
			return fmt.Errorf("NITROD_FORCE_GC=%s is not a duration such as 100ms", text)
		}
		stop := make(chan struct{})
		go func() {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					runtime.GC()
				case <-stop:
					return
				}
			}
		}()
		d.later(func() error { close(stop); return nil })
	}
	return nil
}

func (d *daemon) startDPDK() error {
	h := &d.cfg.Host
	o := dpdk.Options{Args: h.EAL, Log: d.log, MemoryMB: int(h.Memory / config.MiB), MainCPUs: d.controlCPUs()}
	switch {
	case d.opts.NoHuge || h.Hugepages == config.HugepagesOff:
		o.Hugepages = dpdk.HugepagesOff
		hugemem.NoHugepages()
	case h.Hugepages == config.HugepagesOn:
		o.Hugepages = dpdk.HugepagesOn
	}
	for _, p := range d.cfg.Ports {
		if isPCI(p.Device) {
			o.PCI = append(o.PCI, pciAddress(p.Device))
		}
	}
	if err := dpdk.Init(o); err != nil {
		return err
	}
	d.later(dpdk.Cleanup)
	removed, err := dpdk.RemoveStale(nil)
	if err != nil {
		d.log.Warn("what a former run left behind could not be removed", "error", err)
	}
	for _, s := range removed {
		d.log.Info("removed what a former run left behind", "what", s.String())
	}
	d.pool, err = dpdk.NewPool(dpdk.PoolConfig{
		Name: "nitrod", Count: h.Mbufs - 1, Cache: 256, DataRoom: int(h.DataRoom),
	})
	if err != nil {
		return err
	}
	d.later(func() error { d.pool.Close(); return nil })
	return nil
}

// controlCPUs returns the CPUs that no lcore polls on, or all if there are none
// left.
func (d *daemon) controlCPUs() []int {
	cpus, err := config.AllowedCPUs()
	if err != nil {
		return nil
	}
	rest := slices.DeleteFunc(slices.Clone(cpus), func(c int) bool { return slices.Contains(d.cfg.Host.Lcores.CPUs, c) })
	if len(rest) == 0 {
		return cpus
	}
	return rest
}

func (d *daemon) makeEngine() error {
	cfg := d.cfg
	lcores := cfg.Host.Lcores.CPUs
	queues := make([][]dpdk.RxQueue, len(lcores))
	var attached []pipeline.Port
	next := 0
	for i, p := range d.ports {
		eni, ok := d.snap.ENIByID(cfg.Ports[i].ENI)
		if !ok {
			return fmt.Errorf("port %s belongs to no ENI", p.device())
		}
		port := wiring.Port(cfg, i, &d.snap.ENIs[eni])
		port.ENI, port.Port, port.Queues = eni, p.ID(), p.TxQueues()
		port.Served, port.Polled = places(cfg.Ports[i].Lcores, p.RxQueues(), len(lcores), &next)
		for q, lcore := range port.Polled {
			queues[lcore] = append(queues[lcore], dpdk.RxQueue{Port: p.Port, Queue: q})
		}
		attached = append(attached, port)
	}
	var ios []pktio.IO
	for _, q := range queues {
		io, err := dpdk.NewIO(d.pool, q, cfg.Host.Burst)
		if err != nil {
			return err
		}
		d.later(func() error { io.Close(); return nil })
		if cfg.Host.Polling == config.PollingInterrupt && !io.Interrupts() {
			return errors.New("polling in host is interrupt, but there is a port without receive interrupts; with adaptive an lcore uses them where all its ports have them")
		}
		d.ios = append(d.ios, io)
		ios = append(ios, io)
	}
	engineCfg := wiring.EngineConfig(cfg)
	engineCfg.Clock, engineCfg.Steering = pipeline.NewMonotonicClock(), cfg.LcoreSteering
	for _, n := range cfg.Host.FlowShares {
		engineCfg.Shares = append(engineCfg.Shares, uint32(n))
	}
	engine, err := pipeline.New(engineCfg, d.snap, attached, ios)
	if err != nil {
		return err
	}
	d.engine = engine
	d.later(engine.Free)
	return nil
}

// places returns which lcores serve a guest's receive queues, nil where the file
// names none, and which polls each of the queues with which it sends. next counts
// the queues of ports that name no lcores, which go round all.
func places(named []int, queues, lcores int, next *int) (served, polled []uint16) {
	for _, l := range named {
		served = append(served, uint16(l))
	}
	for q := range queues {
		if len(served) != 0 {
			polled = append(polled, served[q%len(served)])
			continue
		}
		polled = append(polled, uint16(*next%lcores))
		*next++
	}
	return served, polled
}

// startLcores starts the pollers and moves everything else off their CPUs.
func (d *daemon) startLcores() error {
	cpus := d.cfg.Host.Lcores.CPUs
	ready := make(chan error)
	start := make(chan bool)
	var running sync.WaitGroup
	for i, cpu := range cpus {
		running.Go(func() {
			l, err := dpdk.RegisterLcore(cpu)
			ready <- err
			if err != nil {
				return
			}
			if <-start {
				d.engine.RunLcore(i)
			}
			if err := l.Unregister(); err != nil {
				d.log.Error("an lcore did not end in order", "cpu", cpu, "error", err)
			}
		})
	}
	var failed error
	for range cpus {
		failed = errors.Join(failed, <-ready)
	}
	// All poll or none: RunLcore ends only together with the others.
	for range cpus {
		if failed == nil {
			start <- true
		}
	}
	close(start)
	if failed != nil {
		running.Wait()
		return failed
	}
	d.later(func() error {
		d.engine.Stop()
		running.Wait()
		return nil
	})
	if err := dpdk.ConfineControlThreads(d.controlCPUs()); err != nil {
		return err
	}
	if w := dpdk.CheckAffinity(cpus); len(w) != 0 {
		d.log.Warn("there are too few CPUs: control work shares those of lcores, which delays packets", "threads", len(w), "lcores", fmt.Sprint(cpus))
	}
	return nil
}

func (d *daemon) listen() error {
	s, err := control.Listen(d.cfg.Host.ControlSocket, d.engine, d)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	d.later(s.Close)
	return nil
}
