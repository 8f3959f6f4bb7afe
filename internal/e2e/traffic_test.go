package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/nitrod/nitrod/internal/control"
)

// TestTraffic runs what people try first, and wants the books to balance after
// each.
func TestTraffic(t *testing.T) {
	onLcores(t, func(t *testing.T, lcores int) {
		b := running(t, setting{Lcores: lcores, Configure: true})
		for _, c := range []struct {
			name string
			f    func(*testing.T, *bed)
		}{
			{"ping", ping},
			{"http", fetch},
			{"half close", halfClose},
			{"accelerated", accelerated},
			{"iperf3", throughput},
		} {
			t.Run(c.name, func(t *testing.T) {
				c.f(t, b)
				b.quiet(t)
			})
		}
	})
}

// ping wants every answer, by way of one router, whole and in fragments.
func ping(t *testing.T, b *bed) {
	need(t, "ping")
	for _, to := range []netip.Addr{app4, app6} {
		for _, size := range []string{"56", "3000"} {
			out := guest(t, b.Web, "ping", "-n", "-c", "4", "-i", "0.05", "-s", size, to.String())
			if !strings.Contains(out, " 4 received") || strings.Count(out, "ttl=63") != 4 {
				t.Errorf("ping -s %s %s:\n%s", size, to, out)
			}
		}
	}
}

// fetch has curl fetch a page that takes some hundred packets.
func fetch(t *testing.T, b *bed) {
	need(t, "curl")
	page := strings.Repeat("the page, line by line\n", 10_000)
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, page) })}
	go server.Serve(listen(t, b.App, 80))
	t.Cleanup(func() { server.Close() })
	for _, host := range []string{app4.String(), "[" + app6.String() + "]"} {
		if got := guest(t, b.Web, "curl", "-sS", "--noproxy", "*", "http://"+host+"/"); got != page {
			t.Errorf("curl to %s printed %d bytes, and not the %d of the page", host, len(got), len(page))
		}
	}
}

// halfClose sends all, closes its direction, and only then gets it all back
// over the other one.
func halfClose(t *testing.T, b *bed) {
	l := listen(t, b.App, 7000)
	served := make(chan error, 1)
	data := make([]byte, 1<<20)
	random := rand.NewChaCha8([32]byte{})
	random.Read(data)
	for _, to := range []netip.Addr{app4, app6} {
		go func() { served <- echoAfterEOF(l) }()
		c, err := dial(t, b.Web, to, 7000, deadline)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(data); err != nil {
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
		if !bytes.Equal(got, data) {
			t.Errorf("%s: %d of %d bytes came back, or not the same", to, len(got), len(data))
		}
	}
}

func echoAfterEOF(l net.Listener) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	data, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	_, err = c.Write(data)
	return err
}

// accelerated wants the first packet of a flow on the slow path, and all others
// decided by the flow cache.
func accelerated(t *testing.T, b *bed) {
	server, client := listenUDP(t, b.App, 7000), dialUDP(t, b.Web, 0, app4, 7000)
	before := b.quiet(t)
	const packets = 500
	buf := make([]byte, 64)
	for i := range packets {
		want := fmt.Sprintf("datagram %d", i)
		if _, err := io.WriteString(client, want); err != nil {
			t.Fatal(err)
		}
		n, _, err := server.ReadFrom(buf)
		if err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		if got := string(buf[:n]); got != want {
			t.Fatalf("%q came instead of %q", got, want)
		}
	}
	after := b.quiet(t)
	if hits := after.FlowHits - before.FlowHits; hits < packets-1 {
		t.Errorf("the flow cache decided %d packets; %d are expected", hits, packets-1)
	}
	// Kernels send some packets of their own, for which the slow path is right.
	if slow := after.SlowPath - before.SlowPath; slow < 1 || slow > packets/10 {
		t.Errorf("the slow path took %d packets; 1 is expected, and what guests do of themselves", slow)
	}
	port := uint16(client.LocalAddr().(*net.UDPAddr).Port)
	s := session(t, b, "udp", port)
	if s.OutPackets != packets || s.BackPackets != 0 {
		t.Errorf("the session has %d packets out and %d back, want %d and 0", s.OutPackets, s.BackPackets, packets)
	}
	f := flow(t, b, "udp", port)
	if f.Verdict != "forward" || f.ENI != "web" || f.Egress != "app" || f.Path != "routed" || !f.Current {
		t.Errorf("the flow is listed as %+v", f)
	}
}

// throughput has iperf3 send for 2 s, and wants only that something came.
func throughput(t *testing.T, b *bed) {
	need(t, "iperf3")
	for _, c := range []struct {
		name string
		args []string
	}{
		{"tcp", []string{"-t", "2"}},
		{"udp", []string{"-t", "2", "-u", "-b", "50M"}},
		{"tcp back", []string{"-t", "1", "-R"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := iperf3Server(t, b)
			out := guest(t, b.Web, append([]string{"iperf3", "-c", app4.String(), "--json"}, c.args...)...)
			if err := server.Wait(); err != nil {
				t.Errorf("the server: %v", err)
			}
			if n := iperf3Received(t, out); n < 1<<16 {
				t.Errorf("only %v bytes were received:\n%s", n, out)
			}
		})
	}
}

// iperf3Server serves one client, and listens when this returns.
func iperf3Server(t *testing.T, b *bed) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ip", "netns", "exec", b.App, "iperf3", "-s", "-1", "--forceflush")
	var out lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if !strings.Contains(out.String(), "listening") {
			return fmt.Errorf("iperf3 -s says: %q", out.String())
		}
		return nil
	})
	return cmd
}

// iperf3Received returns the bytes that a receiver got, from the client's report.
func iperf3Received(t *testing.T, report string) float64 {
	t.Helper()
	var r struct {
		Error string `json:"error"`
		End   struct {
			Received *struct{ Bytes float64 } `json:"sum_received"` // TCP
			Sum      struct {                 // UDP
				Bytes   float64
				Packets float64
				Lost    float64 `json:"lost_packets"`
			} `json:"sum"`
		} `json:"end"`
	}
	if err := json.Unmarshal([]byte(report), &r); err != nil || r.Error != "" {
		t.Fatalf("iperf3: %v %s\n%s", err, r.Error, report)
	}
	if sum := r.End.Sum; sum.Packets > 0 {
		return sum.Bytes * (sum.Packets - sum.Lost) / sum.Packets
	}
	if r.End.Received == nil {
		t.Fatalf("iperf3 reports nothing received:\n%s", report)
	}
	return r.End.Received.Bytes
}

// flow returns the flow-cache entry of a client's port, in its direction.
func flow(t *testing.T, b *bed, protocol string, sport uint16) control.Flow {
	t.Helper()
	var flows []control.Flow
	b.ask(t, &flows, "flows", "--eni", "web")
	for _, f := range flows {
		if f.Protocol == protocol && f.SrcPort == sport && f.ENI == "web" {
			return f
		}
	}
	t.Fatalf("no %s flow from port %d is listed among %+v", protocol, sport, flows)
	return control.Flow{}
}

// session returns the tracked connection of a client's port.
func session(t *testing.T, b *bed, protocol string, sport uint16) control.Session {
	t.Helper()
	s, ok := findSession(t, b, protocol, sport)
	if !ok {
		t.Fatalf("no %s session from port %d is listed", protocol, sport)
	}
	return s
}

func findSession(t *testing.T, b *bed, protocol string, sport uint16) (control.Session, bool) {
	t.Helper()
	var sessions []control.Session
	b.ask(t, &sessions, "conntrack", "--eni", "web")
	for _, s := range sessions {
		if s.Protocol == protocol && s.SrcPort == sport && s.Originator == "web" {
			return s, true
		}
	}
	return control.Session{}, false
}
