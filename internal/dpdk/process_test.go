package dpdk

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/nitrod/nitrod/internal/pktio"
)

func TestWithoutHugepages(t *testing.T) {
	needEAL(t)
	prefix := uniqueName("nitrod-nohuge")
	startChild(t, "nohuge", "PREFIX="+prefix).finish(t)
	wantNoRuntimeDir(t, prefix)
}

// wantNoRuntimeDir checks that an EAL left nothing behind.
func wantNoRuntimeDir(t *testing.T, prefix string) {
	t.Helper()
	for _, dir := range []string{"/run/dpdk", "/var/run/dpdk", "/tmp/dpdk"} {
		if _, err := os.Stat(filepath.Join(dir, prefix)); err == nil {
			t.Errorf("%s/%s was left behind", dir, prefix)
		}
	}
}

func TestKilledProcessLeavesWhatTheNextOneFinds(t *testing.T) {
	needTap(t)
	ns, prefix := uniqueName("nitrod-killed-"), uniqueName("nitrod-killed")
	t.Cleanup(func() { _ = DeleteNetns(ns) })
	kill := func() {
		c := startChild(t, "tap", "NETNS="+ns, "PREFIX="+prefix)
		if got := c.line(t); got != "ready" {
			t.Fatalf("the child said %q", got)
		}
		if found := staleIn(t, ns); len(found) != 0 {
			t.Errorf("a running process's %v pass for stale", found)
		}
		if err := c.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.cmd.Wait() // killed, so it reports a failure
	}
	kill()
	wantNoRuntimeDir(t, prefix)
	want := []Stale{{Netns: ns, Tap: "eth0"}, {Netns: ns}}
	if found := staleIn(t, ns); !slices.Equal(found, want) {
		t.Fatalf("found %v, want %v", found, want)
	}

	pool := smallPool(t)
	tap, err := OpenTap(TapConfig{Name: "eth0", Netns: ns, CreateNetns: true, MAC: guestMAC, Pool: pool, Queues: 2})
	if err != nil {
		t.Fatal(err)
	}
	if tap.CreatedNetns() {
		t.Error("the namespace passes for new")
	}
	if found := staleIn(t, ns); len(found) != 0 {
		t.Errorf("after the take-over %v pass for stale", found)
	}
	g := openGuest(t, ns, "eth0")
	io := mustIO(t, pool, tap.Port)
	g.send(t, frame(90, 5))
	free(receiveMatching(t, io, 1, isTestFrame)...)
	if err := tap.Remove(); err != nil {
		t.Fatal(err)
	}

	kill()
	only := func(s Stale) bool { return s.Netns != ns }
	if removed, err := RemoveStale(func(Stale) bool { return true }); err != nil || len(removed) != 0 {
		t.Errorf("%v were removed though all was to be kept (%v)", removed, err)
	}
	removed, err := RemoveStale(only)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(removed, want) {
		t.Errorf("removed %v, want %v", removed, want)
	}
	if isNetns(netnsPath(ns)) {
		t.Error("the namespace is still there")
	}
}

func staleIn(t *testing.T, ns string) []Stale {
	t.Helper()
	all, err := FindStale()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(s Stale) bool { return s.Netns != ns })
}

func TestStaleNames(t *testing.T) {
	for want, s := range map[string]Stale{
		"network namespace a":                          {Netns: "a"},
		"tap b in network namespace a":                 {Netns: "a", Tap: "b"},
		"tap b in the process's network namespace":     {Tap: "b"},
		"tap b in network namespace /proc/1234/ns/net": {Netns: "/proc/1234/ns/net", Tap: "b"},
	} {
		if s.String() != want {
			t.Errorf("%+v is called %q, want %q", s, s, want)
		}
	}
}

func TestMark(t *testing.T) {
	m, ok := parseMark(ownMark())
	if !ok || m.pid != os.Getpid() || !m.alive() {
		t.Errorf("the own mark %q reads as %+v, %v", ownMark(), m, ok)
	}
	m.start++
	if m.alive() {
		t.Error("a former process of this number passes for alive")
	}
	for _, alias := range []string{"", "nitrod ", "eth0", "nitrod pid=x start=1"} {
		if m, ok := parseMark(alias); ok {
			t.Errorf("%q passes for a mark: %+v", alias, m)
		}
	}
}

func FuzzProcessStart(f *testing.F) {
	f.Add([]byte("a"), uint64(77), []byte("1 (z) Z 1 1"))
	f.Add([]byte(") R (x y"), uint64(0), []byte(")"))
	f.Fuzz(func(t *testing.T, name []byte, start uint64, junk []byte) {
		stat := fmt.Appendf(nil, "1 (%s) S 1 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 %d 1 1", name, start)
		if got, ok := parseProcessStart(stat); !ok || got != start {
			t.Errorf("%q has start time %d, %v; want %d", stat, got, ok, start)
		}
		if got, ok := parseProcessStart(junk); !ok && got != 0 {
			t.Errorf("%q has no start time, and it is %d", junk, got)
		}
	})
}

// echoTest sends frames to an echoing child and wants them back.
func echoTest(t *testing.T, pool *Pool, p *Port, c *child, sizes ...int) {
	t.Helper()
	if got := c.line(t); got != "ready" {
		t.Fatalf("the child said %q", got)
	}
	for {
		l, err := p.Link()
		if err != nil {
			t.Fatal(err)
		}
		if l.Up {
			break
		}
		runtime.Gosched()
	}
	io := mustIO(t, pool, p)
	descs := make([]pktio.Desc, pktio.MaxBurst)
	for i, size := range sizes {
		var got []byte
		// A side that has just connected may not carry yet: send until one
		// comes back.
		for got == nil {
			trySend(t, io, p, 0, packet(t, pool, frame(size, i)))
			for range 1000 {
				n := io.Rx(descs)
				for _, d := range descs[:n] {
					if b := mustBytes(t, d); len(b) == size {
						got = b
					}
				}
				free(descs[:n]...)
				if n != 0 {
					break
				}
				io.Idle(pktio.RestSleep, 10_000)
			}
		}
		if !bytes.Equal(got, frame(size, i)) {
			t.Errorf("a frame of %d bytes came back changed", size)
		}
	}
}

func TestMemifBetweenProcesses(t *testing.T) {
	pool := smallPool(t)
	sock := filepath.Join(t.TempDir(), "memif.sock")
	args := ",id=1,socket-abstract=no,socket=" + sock
	p := mustOpen(t, PortConfig{Device: uniqueName("net_memif") + ",role=server" + args, Pool: pool})
	c := startChild(t, "echo", "DEVICE=net_memif0,role=client"+args)
	echoTest(t, pool, p, c, 60, 1514)
	c.finish(t)
	_, err := OpenPort(PortConfig{Device: uniqueName("net_memif") + ",role=server" + strings.Replace(args, "id=1", "id=2", 1), Pool: pool, MTU: 9001})
	wantError(t, err, "MTU 9001", "at most 1500")
}

func TestVhostAndVirtioUser(t *testing.T) {
	needRoot(t)
	pool := smallPool(t)
	sock := filepath.Join(t.TempDir(), "vhost.sock")
	p := mustOpen(t, PortConfig{Device: uniqueName("net_vhost") + ",queues=1,iface=" + sock, Pool: pool, MTU: 9001})
	c := startChild(t, "echo", "DEVICE=net_virtio_user0,queues=1,mrg_rxbuf=1,path="+sock)
	echoTest(t, pool, p, c, 60, 1514, 5000)
	c.finish(t)
}
