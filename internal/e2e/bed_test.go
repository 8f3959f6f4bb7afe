package e2e

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/nitrod/nitrod/internal/control"
)

//go:embed testdata/two-guests.yaml.tmpl
var twoGuests string

// setting is what a test may choose of the configuration.
type setting struct {
	Lcores, Queues, MTU int
	Configure           bool // the taps get their addresses from nitrod

	Socket, Web, App string // given by newBed
}

// bed is a configuration with names of its own, and the daemon that runs it.
type bed struct {
	setting
	config     string   // its file
	namespaces []string // that the daemon makes
	ready      int      // packet buffers that the drivers keep for what comes
	control    *control.Client
	daemon     *process
}

var beds atomic.Int32

// newBed writes the configuration and starts nothing.
func newBed(t *testing.T, s setting) *bed {
	t.Helper()
	need(t)
	if s.Lcores == 0 {
		s.Lcores = 1
	}
	if s.Queues == 0 {
		s.Queues = 1
	}
	if s.MTU == 0 {
		s.MTU = 1500
	}
	dir := t.TempDir()
	name := fmt.Sprintf("nd%dn%d", os.Getpid(), beds.Add(1))
	s.Web, s.App, s.Socket = name+"web", name+"app", filepath.Join(dir, "nitrod.sock")
	b := &bed{setting: s, config: filepath.Join(dir, "nitrod.yaml"), control: control.NewClient(s.Socket)}
	b.namespaces = []string{b.Web, b.App}
	b.ready = 2 * b.Queues
	var text bytes.Buffer
	if err := template.Must(template.New("").Parse(twoGuests)).Execute(&text, s); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.config, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return b
}

// running is a bed whose daemon carries packets until the test ends, and then
// ends in order and leaves nothing.
func running(t *testing.T, s setting) *bed {
	t.Helper()
	b := newBed(t, s)
	b.run(t)
	return b
}

// run starts the daemon, which is to end with the test.
func (b *bed) run(t *testing.T) {
	t.Helper()
	b.start(t)
	t.Cleanup(func() {
		if b.daemon.ended() {
			t.Errorf("nitrod ended of itself: %s", b.daemon.stderr())
			return
		}
		b.stop(t, syscall.SIGTERM)
		b.nothingLeft(t)
	})
}

// start starts the daemon and waits until it answers. A machine on which DPDK
// itself does not start skips the test.
func (b *bed) start(t *testing.T, flags ...string) {
	t.Helper()
	b.daemon = launch(t, append([]string{"run", "-c", b.config}, flags...)...)
	eventually(t, func() error {
		if b.daemon.ended() {
			if text := b.daemon.stderr(); strings.Contains(text, "EAL did not start") {
				t.Skipf("this machine cannot start DPDK: %s", text)
			}
			t.Fatalf("nitrod did not start: %s", b.daemon.stderr())
		}
		var v control.Version
		return b.control.Get("/v1/version", nil, &v)
	})
}

// stop ends the daemon by a signal and wants it to end well.
func (b *bed) stop(t *testing.T, signal syscall.Signal) {
	t.Helper()
	b.daemon.signal(t, signal)
	if code := b.daemon.wait(t); code != 0 {
		t.Errorf("after %v nitrod ended with code %d: %s", signal, code, b.daemon.stderr())
	}
}

// nothingLeft wants everything gone that the daemon had made.
func (b *bed) nothingLeft(t *testing.T) {
	t.Helper()
	paths := []string{b.Socket}
	for _, n := range b.namespaces {
		paths = append(paths, "/run/netns/"+n)
	}
	for _, path := range paths {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left behind (%v)", path, err)
		}
	}
	// These names are not the test's own: another nitrod that starts just now
	// has them for a moment.
	eventually(t, func() error {
		for _, pattern := range []string{"/dev/hugepages/*nitrod*", "/run/dpdk/nitrod*"} {
			if left, _ := filepath.Glob(pattern); len(left) != 0 {
				return fmt.Errorf("%v is left behind", left)
			}
		}
		return nil
	})
}

// stats asks the daemon.
func (b *bed) stats(t *testing.T) control.Stats {
	t.Helper()
	var s control.Stats
	if err := b.control.Get("/v1/stats", nil, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// quiet waits until nothing is under way, and checks what then must hold: the
// law of accounting, no packet buffer lost, nothing lost by a driver.
func (b *bed) quiet(t *testing.T) control.Stats {
	t.Helper()
	var s control.Stats
	last := b.stats(t)
	eventually(t, func() error {
		last, s = s, b.stats(t)
		switch {
		case s.Rx+s.Originated != last.Rx+last.Originated || s.Tx+s.Dropped+s.Consumed != last.Tx+last.Dropped+last.Consumed:
			return errors.New("packets keep coming")
		case s.Held != 0:
			return fmt.Errorf("%d packets are held", s.Held)
		}
		// net_tap keeps ready for each receive queue what a frame takes. The
		// counters are published some time before or after a buffer comes back.
		if used := s.Mbufs.Total - s.Mbufs.Available; used > b.ready {
			return fmt.Errorf("%d packet buffers are in use while nothing is under way; the drivers keep %d", used, b.ready)
		}
		return nil
	})
	if s.Rx+s.Originated != s.Tx+s.Dropped+s.Consumed {
		t.Errorf("rx %d + originated %d = tx %d + dropped %d + consumed %d does not hold", s.Rx, s.Originated, s.Tx, s.Dropped, s.Consumed)
	}
	sum := uint64(0)
	for _, n := range s.Drops {
		sum += n
	}
	if sum != s.Dropped {
		t.Errorf("the drops by reason sum up to %d, and all together to %d", sum, s.Dropped)
	}
	d := s.Driver
	if n := d.RxMissed + d.RxNoBuffer + d.RxErrors + d.RxBadCsum + d.RxOversized + d.TxErrors + d.TxUnchained + d.BadResizes; n != 0 {
		t.Errorf("drivers lost packets: %+v", d)
	}
	return s
}

// ask runs a subcommand with --json and decodes what it prints.
func (b *bed) ask(t *testing.T, out any, args ...string) {
	t.Helper()
	args = append(args, "--json", "--socket", b.Socket)
	cmd := exec.Command(nitrod, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("nitrod %s: %v: %s", strings.Join(args, " "), err, &stderr)
	}
	if err := json.Unmarshal(text, out); err != nil {
		t.Fatalf("nitrod %s prints no JSON: %v:\n%s", strings.Join(args, " "), err, text)
	}
}

// process is a nitrod that runs.
type process struct {
	cmd      *exec.Cmd
	out, err lockedBuffer
	done     chan struct{}
}

// launch starts nitrod so that it dies with the test, however that ends.
func launch(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(nitrod, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// The signal comes when the thread that started the child ends, so this
		// goroutine keeps the thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // its exit code is asked for later
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // has ended already, unless the test failed
		<-p.done
	})
	return p
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// wait returns the exit code.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(deadline):
		t.Fatalf("nitrod does not end: %s", p.stderr())
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) stdout() string { return p.out.String() }
func (p *process) stderr() string { return p.err.String() }

// lockedBuffer is a buffer that may be read while a command writes to it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
