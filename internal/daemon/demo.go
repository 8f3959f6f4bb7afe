//go:build cgo

package daemon

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nitrod/nitrod/internal/control"
	"github.com/nitrod/nitrod/internal/dpdk"
)

// demo puts an HTTP server and, where it is installed, an iperf3 server into
// every namespace of a tap, says what to try, and shows live counters until ctx
// ends.
func (d *daemon) demo(ctx context.Context) error {
	defer d.serveGuests()()
	d.hints()
	counters := liveCounters{d: d, terminal: isTerminal(d.opts.Out)}
	every := time.Second
	if !counters.terminal {
		every = 5 * time.Second
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	counters.show()
	for {
		select {
		case <-ctx.Done():
			if counters.terminal {
				fmt.Fprintln(d.opts.Out)
			}
			return nil
		case <-tick.C:
			counters.show()
		}
	}
}

// serveGuests starts the servers and returns what ends them.
func (d *daemon) serveGuests() (stop func()) {
	var ends []func()
	for i := range d.cfg.Objects.ENIs {
		t := d.cfg.Ports[i].Tap
		if t == nil || t.Namespace == "" {
			continue
		}
		var l net.Listener
		err := dpdk.InNetns(t.Namespace, func() (err error) {
			l, err = net.Listen("tcp", ":80")
			return err
		})
		if err != nil {
			d.log.Warn("the demonstration has no HTTP server", "namespace", t.Namespace, "error", err)
		} else {
			name := d.cfg.Ports[i].ENI
			s := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, "Hello %s, this is %s.\n", r.RemoteAddr, name)
			})}
			go s.Serve(l) //nolint:errcheck // it ends with ErrServerClosed
			ends = append(ends, func() { s.Close() })
		}
		if end, err := iperf3In(t.Namespace); err != nil {
			d.log.Warn("the demonstration has no iperf3 server", "namespace", t.Namespace, "error", err)
		} else {
			ends = append(ends, end)
		}
	}
	return func() {
		for _, end := range ends {
			end()
		}
	}
}

// iperf3In starts an iperf3 server that dies with nitrod, however that ends.
func iperf3In(namespace string) (stop func(), err error) {
	path, err := exec.LookPath("iperf3")
	if err != nil {
		return nil, err
	}
	started := make(chan error)
	ended := make(chan struct{})
	cmd := exec.Command("ip", "netns", "exec", namespace, path, "-s")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	go func() {
		// The signal comes when the thread that started the child ends, so this
		// goroutine keeps the thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // killed, as a rule
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return func() {
		_ = cmd.Process.Kill()
		<-ended
	}, nil
}

// hints says what to try between the first two namespaces.
func (d *daemon) hints() {
	var from string
	var to []netip.Addr
	for i := range d.cfg.Objects.ENIs {
		t := d.cfg.Ports[i].Tap
		if t == nil || t.Namespace == "" {
			continue
		}
		if from == "" {
			from = t.Namespace
			continue
		}
		to = d.cfg.Objects.ENIs[i].Addresses
		break
	}
	w := d.opts.Out
	if len(to) == 0 {
		fmt.Fprintln(w, "This configuration has no two taps in namespaces to try something between.")
		return
	}
	fmt.Fprintf(w, "\nTry, from another terminal:\n")
	for _, command := range []string{
		"ping " + to[len(to)-1].String(),
		"curl http://" + to[0].String() + "/",
		"iperf3 -c " + to[0].String(),
		"curl -m 3 http://" + net.JoinHostPort(to[0].String(), "8080") + "/     (refused by a security group)",
	} {
		fmt.Fprintf(w, "    ip netns exec %s %s\n", from, command)
	}
	socket := ""
	if d.cfg.Host.ControlSocket != control.DefaultSocket {
		socket = " --socket " + d.cfg.Host.ControlSocket
	}
	exe, err := os.Executable()
	if err != nil {
		exe = "nitrod"
	}
	for _, command := range []string{"stats", "flows", "conntrack", "explain --src " + d.cfg.Objects.ENIs[0].Addresses[0].String() + " --dst " + to[0].String() + " --dport 8080"} {
		fmt.Fprintf(w, "    %s %s%s\n", exe, command, socket)
	}
	fmt.Fprintf(w, "Ctrl-C ends it.\n\n")
}

// liveCounters shows what went through since it was last asked.
type liveCounters struct {
	d        *daemon
	terminal bool
	last     [5]uint64
	at       time.Time
}

func (c *liveCounters) show() {
	s := c.d.engine.Total()
	now := time.Now()
	counts := [5]uint64{s.Rx, s.Tx, s.Dropped(), s.FlowHits, s.SlowPath}
	var rate [5]float64
	if !c.at.IsZero() {
		for i := range counts {
			rate[i] = float64(counts[i]-c.last[i]) / now.Sub(c.at).Seconds()
		}
	}
	c.last, c.at = counts, now
	line := fmt.Sprintf("rx %s  tx %s  dropped %s  accelerated %s  slow path %s  flows %d  sessions %d",
		perSecond(rate[0]), perSecond(rate[1]), perSecond(rate[2]), perSecond(rate[3]), perSecond(rate[4]), s.FlowsLive, s.SessionsLive)
	if c.terminal {
		fmt.Fprintf(c.d.opts.Out, "\r%-110s", line)
	} else {
		fmt.Fprintf(c.d.opts.Out, "%s  %s\n", now.Format(time.TimeOnly), line)
	}
}

func perSecond(v float64) string {
	switch {
	case v >= 1e6:
		return strconv.FormatFloat(v/1e6, 'f', 2, 64) + " M/s"
	case v >= 1e3:
		return strconv.FormatFloat(v/1e3, 'f', 1, 64) + " k/s"
	}
	return strconv.FormatFloat(v, 'f', 0, 64) + "/s"
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && !strings.HasSuffix(f.Name(), "null")
}
