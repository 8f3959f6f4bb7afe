package e2e

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// there wants what nitrod makes to exist: without that, its absence later would
// tell nothing.
func (b *bed) there(t *testing.T) {
	t.Helper()
	for _, path := range []string{b.Socket, "/run/netns/" + b.Web, "/run/netns/" + b.App} {
		if _, err := os.Lstat(path); err != nil {
			t.Fatal(err)
		}
	}
	guest(t, b.Web, "ip", "link", "show", "web0")
}

func (b *bed) carries(t *testing.T) {
	t.Helper()
	if out := guest(t, b.Web, "ping", "-n", "-c", "1", "-W", "10", app4.String()); !strings.Contains(out, " 1 received") {
		t.Errorf("ping:\n%s", out)
	}
}

func TestSignalsEndInOrder(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(s.String(), func(t *testing.T) {
			b := newBed(t, setting{Configure: true})
			b.start(t)
			b.there(t)
			b.carries(t)
			b.stop(t, s)
			b.nothingLeft(t)
		})
	}
}

// TestDemoWithoutTerminal wants lines, and Ctrl-C to take the servers along.
func TestDemoWithoutTerminal(t *testing.T) {
	need(t, "curl")
	b := newBed(t, setting{Configure: true})
	b.start(t, "--demo")
	counters := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d  rx \S+(?: [kM]/s)?  tx .*  sessions \d+$`)
	eventually(t, func() error {
		if counters.MatchString(b.daemon.stdout()) {
			return nil
		}
		return os.ErrNotExist
	})
	if got := guest(t, b.Web, "curl", "-sS", "--noproxy", "*", "http://"+app4.String()+"/"); !strings.HasPrefix(got, "Hello 10.0.1.10:") {
		t.Errorf("the demonstration's server says %q", got)
	}
	b.stop(t, syscall.SIGINT)
	out := b.daemon.stdout()
	for _, want := range []string{"Try, from another terminal:", "ip netns exec " + b.Web + " ping 2001:db8:0:102::10", "--socket " + b.Socket, "Ctrl-C ends it."} {
		if !strings.Contains(out, want) {
			t.Errorf("the output does not say %q:\n%s", want, out)
		}
	}
	if strings.ContainsRune(out, '\r') {
		t.Errorf("the output has carriage returns:\n%q", out)
	}
	b.nothingLeft(t)
}

// TestKilled wants what kill -9 leaves to be taken over or removed by the next
// start, of the same configuration or of another.
func TestKilled(t *testing.T) {
	killed := func(t *testing.T) *bed {
		b := newBed(t, setting{Configure: true})
		b.start(t)
		b.daemon.signal(t, syscall.SIGKILL)
		b.daemon.wait(t)
		b.there(t)
		return b
	}
	t.Run("same", func(t *testing.T) {
		b := killed(t)
		b.start(t)
		b.carries(t)
		b.quiet(t)
		b.stop(t, syscall.SIGTERM)
		b.nothingLeft(t)
	})
	t.Run("other", func(t *testing.T) {
		first := killed(t)
		second := newBed(t, setting{Configure: true})
		second.start(t)
		for _, ns := range []string{first.Web, first.App} {
			if _, err := os.Lstat("/run/netns/" + ns); err == nil {
				t.Errorf("namespace %s is still there", ns)
			}
			if !strings.Contains(second.daemon.stderr(), "network namespace "+ns) {
				t.Errorf("the log does not say that namespace %s was removed:\n%s", ns, second.daemon.stderr())
			}
		}
		second.carries(t)
		second.stop(t, syscall.SIGTERM)
		second.nothingLeft(t)
	})
}

// TestSecondDaemon wants a second daemon refused in words and the first one
// undisturbed, be it the socket or a tap that both want.
func TestSecondDaemon(t *testing.T) {
	first := running(t, setting{Configure: true})
	refused := func(t *testing.T, config string, code int, words string) {
		t.Helper()
		p := launch(t, "run", "-c", config)
		if got := p.wait(t); got != code || !strings.Contains(p.stderr(), words) {
			t.Errorf("a second daemon ended with code %d, want %d, and says %q, want %q", got, code, p.stderr(), words)
		}
		first.there(t)
		first.carries(t)
		first.quiet(t)
	}
	t.Run("same file", func(t *testing.T) {
		refused(t, first.config, 1, "another nitrod answers on "+first.Socket)
	})
	t.Run("same socket", func(t *testing.T) {
		second := newBed(t, setting{Configure: true})
		second.edit(t, second.Socket, first.Socket)
		refused(t, second.config, 1, "another nitrod answers on "+first.Socket)
		second.nothingLeft(t)
	})
	t.Run("same tap", func(t *testing.T) {
		second := newBed(t, setting{Configure: true})
		second.edit(t, second.App, first.App)
		line := second.edit(t, "tap: {name: app0", "tap: {name: app0")
		refused(t, second.config, 2, second.at(line))
		second.edit(t, first.App, second.App)
		second.nothingLeft(t)
	})
}

// TestInterruptedStart ends the daemon while it starts. Whatever it had made by
// then must go.
func TestInterruptedStart(t *testing.T) {
	b := newBed(t, setting{Configure: true})
	for _, seen := range []string{"Detected CPU lcores", "Selected IOVA mode"} {
		b.daemon = launch(t, "run", "-c", b.config)
		eventually(t, func() error {
			if b.daemon.ended() {
				t.Skipf("nitrod does not start on this machine: %s", b.daemon.stderr())
			}
			if !strings.Contains(b.daemon.stderr(), seen) {
				return errors.New("nitrod does not log " + seen)
			}
			return nil
		})
		b.stop(t, syscall.SIGTERM)
		b.nothingLeft(t)
	}
}

// TestWithoutHugepages carries packets from ordinary pages.
func TestWithoutHugepages(t *testing.T) {
	b := newBed(t, setting{Configure: true})
	b.start(t, "--no-huge")
	if !strings.Contains(b.daemon.stderr(), "hugepages=false") {
		t.Errorf("the log does not say that there are no hugepages:\n%s", b.daemon.stderr())
	}
	b.carries(t)
	if s := b.quiet(t); s.TableMem == "hugepages" {
		t.Error("the tables are in hugepages")
	}
	b.stop(t, syscall.SIGTERM)
	b.nothingLeft(t)
}
