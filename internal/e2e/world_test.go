package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nitrod/nitrod/internal/control"
	"github.com/nitrod/nitrod/internal/dpdk"
	"github.com/nitrod/nitrod/internal/packet"
)

// The addresses of examples/world.yaml, and that of the world's end.
var (
	worldGuest  = netip.MustParseAddr("10.0.1.10")
	worldPublic = netip.MustParseAddr("198.51.100.10")
	world4      = netip.MustParseAddr("203.0.113.1")
)

// worldBed is a bed that runs examples/world.yaml as it is, but for the names of
// what it makes.
type worldBed struct {
	bed
	guest, world, services string // namespaces
}

// runningWorld runs the example, with the addresses that its README gives to the
// world and to the services.
func runningWorld(t *testing.T, lcores int) *worldBed {
	t.Helper()
	need(t)
	text, err := os.ReadFile("../../examples/world.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	name := fmt.Sprintf("nd%dn%d", os.Getpid(), beds.Add(1))
	w := &worldBed{guest: name + "guest", world: name + "world", services: name + "services"}
	config := string(text)
	for example, own := range map[string]string{"guest": w.guest, "world": w.world, "services": w.services} {
		const key = ", namespace: "
		if strings.Count(config, key+example+",") != 1 {
			t.Fatalf("the example has no namespace %s", example)
		}
		config = strings.Replace(config, key+example+",", key+own+",", 1)
	}
	w.Socket = filepath.Join(dir, "nitrod.sock")
	config += fmt.Sprintf("\nhost: {lcores: %d, memory: 128MiB, mbufs: 16384, control_socket: %s}\n", lcores, w.Socket)
	w.namespaces = []string{w.guest, w.world, w.services}
	// Of the default size of a buffer, a frame of the guest's takes five.
	w.ready = 5 + 1 + 1
	w.config, w.control = filepath.Join(dir, "nitrod.yaml"), control.NewClient(w.Socket)
	if err := os.WriteFile(w.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	w.run(t)
	guest(t, w.world, "ip", "addr", "add", world4.String()+"/24", "dev", "world0")
	guest(t, w.world, "ip", "route", "add", "198.51.100.0/24", "dev", "world0")
	for _, a := range []string{"169.254.169.254", "169.254.169.253", "10.0.0.2"} {
		guest(t, w.services, "ip", "addr", "add", a+"/32", "dev", "svc0")
	}
	guest(t, w.services, "ip", "route", "add", "10.0.0.0/16", "dev", "svc0")
	return w
}

// TestWorld has a guest and the world reach each other through the internet
// gateway.
func TestWorld(t *testing.T) { onLcores(t, reachWorld) }

func reachWorld(t *testing.T, lcores int) {
	w := runningWorld(t, lcores)
	for _, c := range []struct {
		name string
		f    func(*testing.T, *worldBed)
	}{
		{"ping", pingWorld},
		{"tcp out", tcpToWorld},
		{"tcp in", tcpFromWorld},
		{"router", worldBeyondRouter},
		{"path mtu", worldPathMTU},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.f(t, w)
			w.quiet(t)
		})
	}
}

func pingWorld(t *testing.T, w *worldBed) {
	need(t, "ping")
	for _, c := range []struct {
		from string
		to   netip.Addr
	}{{w.guest, world4}, {w.world, worldPublic}} {
		out := guest(t, c.from, "ping", "-n", "-c", "4", "-i", "0.05", c.to.String())
		if !strings.Contains(out, " 4 received") || strings.Count(out, "ttl=63") != 4 {
			t.Errorf("ping %s:\n%s", c.to, out)
		}
	}
}

// tcpToWorld wants the world to see the public address.
func tcpToWorld(t *testing.T, w *worldBed) {
	exchange(t, w.guest, w.world, world4, 7000, worldPublic)
}

// tcpFromWorld wants the guest to see the world's own address, at the port that
// its group admits, and nobody at another.
func tcpFromWorld(t *testing.T, w *worldBed) {
	exchange(t, w.world, w.guest, worldPublic, 80, world4)
	l := listen(t, w.guest, 81)
	before := w.quiet(t)
	if c, err := dial(t, w.world, worldPublic, 81, time.Second); err == nil || !isTimeout(err) {
		t.Errorf("port 81 of %v: %v, %v", l.Addr(), c, err)
	}
	if after := w.quiet(t); after.Drops["security_group_in"] == before.Drops["security_group_in"] {
		t.Errorf("no drop is counted as security_group_in; all: %v", after.Drops)
	}
}

// exchange sends a megabyte to a server, which sends it back after the client's
// end, and wants the server to see the client by an address.
func exchange(t *testing.T, client, server string, to netip.Addr, port uint16, seen netip.Addr) {
	t.Helper()
	l := listen(t, server, port)
	peer, served := make(chan net.Addr, 1), make(chan error, 1)
	go func() { served <- echoAfterEOF(recordPeer{l, peer}) }()
	c, err := dial(t, client, to, port, deadline)
	if err != nil {
		t.Fatal(err)
	}
	data := strings.Repeat("to and fro, ", 1<<20/12)
	if _, err := io.WriteString(c, data); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if string(got) != data {
		t.Errorf("%d of %d bytes came back, or not the same", len(got), len(data))
	}
	if a := (<-peer).(*net.TCPAddr).AddrPort().Addr().Unmap(); a != seen {
		t.Errorf("the server sees %v, want %v", a, seen)
	}
}

// recordPeer is a listener that tells who has connected.
type recordPeer struct {
	net.Listener
	peer chan<- net.Addr
}

func (r recordPeer) Accept() (net.Conn, error) {
	c, err := r.Listener.Accept()
	if err == nil {
		r.peer <- c.RemoteAddr()
	}
	return c, err
}

// worldBeyondRouter wants the router of the subnet to be the first hop out, and
// the guest's public address the first hop in.
func worldBeyondRouter(t *testing.T, w *worldBed) {
	need(t, "ping")
	for _, c := range []struct {
		namespace string
		to        netip.Addr
		router    string
	}{{w.guest, world4, "From 10.0.1.1 "}, {w.world, worldPublic, "From 198.51.100.10 "}} {
		out, err := tryGuest(t, c.namespace, "ping", "-n", "-c", "1", "-W", "5", "-t", "1", c.to.String())
		if err == nil || !strings.Contains(out, c.router) || !strings.Contains(out, "Time to live exceeded") {
			t.Errorf("ping -t 1 %s: %v\n%s", c.to, err, out)
		}
	}
}

// worldPathMTU wants a packet that may not be fragmented and is longer than the
// uplink takes to tell the guest's kernel of that, which then keeps to it.
func worldPathMTU(t *testing.T, w *worldBed) {
	need(t, "ping")
	before := w.quiet(t)
	route := func() string { return guest(t, w.guest, "ip", "route", "get", world4.String()) }
	if r := route(); strings.Contains(r, " mtu ") {
		t.Fatalf("the kernel knows an MTU beforehand: %s", r)
	}
	out, err := tryGuest(t, w.guest, "ping", "-n", "-c", "1", "-W", "5", "-M", "do", "-s", "3000", world4.String())
	if err == nil || !strings.Contains(out, "From 10.0.1.1 ") || !strings.Contains(out, "mtu = 1500") {
		t.Errorf("ping -M do -s 3000: %v\n%s", err, out)
	}
	if r := route(); !strings.Contains(r, " mtu 1500") {
		t.Errorf("the kernel's path MTU is not 1500: %s", r)
	}
	// It cuts up itself now what may be cut up.
	out = guest(t, w.guest, "ping", "-n", "-c", "2", "-i", "0.05", "-M", "want", "-s", "3000", world4.String())
	if !strings.Contains(out, " 2 received") {
		t.Errorf("ping -M want -s 3000:\n%s", out)
	}
	after := w.quiet(t)
	if n := after.Drops["mtu_exceeded"] - before.Drops["mtu_exceeded"]; n != 1 || after.ICMPErrors-before.ICMPErrors != 1 {
		t.Errorf("%d packets too long, %d messages", n, after.ICMPErrors-before.ICMPErrors)
	}
}

// TestLinkLocalServices has a guest resolve its own name, and fetch its metadata
// with a token, from the example's program.
func TestLinkLocalServices(t *testing.T) { onLcores(t, askServices) }

func askServices(t *testing.T, lcores int) {
	need(t, "curl")
	w := runningWorld(t, lcores)
	w.serve(t)

	for _, server := range []string{"169.254.169.253", "10.0.0.2"} {
		r := net.Resolver{PreferGo: true, Dial: func(_ context.Context, network, _ string) (c net.Conn, err error) {
			err = dpdk.InNetns(w.guest, func() error {
				c, err = net.Dial(network, net.JoinHostPort(server, "53"))
				return err
			})
			return c, err
		}}
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		addrs, err := r.LookupNetIP(ctx, "ip4", "guest.internal.")
		cancel()
		if err != nil || len(addrs) != 1 || addrs[0].Unmap() != worldGuest {
			t.Errorf("%s says that the guest is %v: %v", server, addrs, err)
		}
	}

	const service = "http://169.254.169.254/latest/"
	curl := func(args ...string) string {
		t.Helper()
		return guest(t, w.guest, append([]string{"curl", "-sS", "--noproxy", "*"}, args...)...)
	}
	raw := openRaw(t, w.guest, "guest0")
	token := curl("-f", "-X", "PUT", "-H", "X-aws-ec2-metadata-token-ttl-seconds: 60", service+"api/token")
	for item, want := range map[string]string{
		"instance-id": "i-guest", "local-ipv4": worldGuest.String(), "public-ipv4": worldPublic.String(), "mac": "02:00:00:00:01:0a",
	} {
		if got := curl("-f", "-H", "X-aws-ec2-metadata-token: "+token, service+"meta-data/"+item); got != want {
			t.Errorf("%s is %q, want %q", item, got, want)
		}
	}
	if code := curl("-o", os.DevNull, "-w", "%{http_code}", service+"meta-data/mac"); code != "401" {
		t.Errorf("without a token: %s", code)
	}
	for { // the program answers with a TTL of 1, which nitrod leaves as it is
		ip := packet.IPv4Header(raw.receive(t)[14:])
		if ip.IsValid() && ip.SrcAddr() == netip.MustParseAddr("169.254.169.254") {
			if ip.TTL() != 1 {
				t.Errorf("an answer comes with a TTL of %d", ip.TTL())
			}
			break
		}
	}
	w.quiet(t)
	var sessions []control.Session
	w.ask(t, &sessions, "conntrack", "--eni", "guest")
	if len(sessions) != 0 {
		t.Errorf("services are tracked: %+v", sessions)
	}
}

// serve runs the example's program in the services' namespace until the test
// ends.
func (w *worldBed) serve(t *testing.T) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "services")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, "github.com/nitrod/nitrod/examples/services").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), "ip", "netns", "exec", w.services, program, "-c", w.config)
	var out lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // killed with the test's context, as its error says
	eventually(t, func() error {
		if !strings.Contains(out.String(), "metadata at") {
			return fmt.Errorf("the services say: %q", out.String())
		}
		return nil
	})
}
