package e2e

import (
	"io"
	"net"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/nitrod/nitrod/internal/drop"
)

// TestWindows has real stacks do what is hard to follow, and wants no segment
// of theirs refused for its numbers.
func TestWindows(t *testing.T) {
	b := running(t, setting{Configure: true})
	for _, c := range []struct {
		name string
		f    func(*testing.T, *bed)
	}{
		{"http", fetch},
		{"half close", halfClose},
		{"throughput", throughput},
		{"small window", smallWindow},
		{"killed", killed},
		{"port used again", portUsedAgain},
		{"losses", losses},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.f(t, b)
			s := b.quiet(t)
			for _, r := range []drop.Reason{drop.TCPOutOfWindow, drop.TCPInvalidFlags, drop.MidstreamTCP} {
				if n := s.Drops[r.String()]; n != 0 {
					t.Errorf("%d packets were dropped for %v", n, r)
				}
			}
		})
	}
}

// smallWindow has a receiver that takes nothing for a while, so that its window
// shuts and is probed.
func smallWindow(t *testing.T, b *bed) {
	client, server := connected(t, b, 20101)
	if err := server.SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	const size = 8 << 20
	sent := make(chan error, 1)
	go func() {
		_, err := client.Write(make([]byte, size))
		client.CloseWrite()
		sent <- err
	}()
	time.Sleep(700 * time.Millisecond) // several probes
	n, err := io.Copy(io.Discard, server)
	if err != nil || n != size {
		t.Errorf("%d of %d bytes came: %v", n, size, err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// killed kills a sender in the middle of its work: the reset that its kernel
// sends lies right behind data, and must end the session.
func killed(t *testing.T, b *bed) {
	need(t, "iperf3")
	server := iperf3Server(t, b)
	cmd := exec.CommandContext(t.Context(), "ip", "netns", "exec", b.Web, "iperf3", "-c", app4.String(), "-t", "30", "--cport", "20102")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reaches(t, b, "tcp", 20102, "established")
	time.Sleep(300 * time.Millisecond)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	_ = server.Process.Kill()
	_ = server.Wait()
	reaches(t, b, "tcp", 20102, "reset_originator", "reset_responder")
}

// portUsedAgain connects from one port again and again, at once after a reset,
// before which the server has closed or not.
func portUsedAgain(t *testing.T, b *bed) {
	const sport = 20103
	for i := range 10 {
		client, server := connected(t, b, sport)
		if _, err := io.WriteString(client, "hello"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(server, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		ends := []*net.TCPConn{server, client}
		if i%2 != 0 {
			slices.Reverse(ends)
		}
		client.SetLinger(0) // it would keep the port for itself; so it resets
		for _, c := range ends {
			c.Close()
		}
	}
}

// losses moves data while the guests' own queues lose, delay and reorder, where the
// kernel can have them do so.
func losses(t *testing.T, b *bed) {
	need(t, "tc")
	for _, g := range []struct{ namespace, tap string }{{b.Web, "web0"}, {b.App, "app0"}} {
		if out, err := tryGuest(t, g.namespace, "tc", "qdisc", "add", "dev", g.tap, "root", "netem", "delay", "2ms", "1ms", "loss", "1%", "reorder", "10%"); err != nil {
			t.Skipf("no netem here: %s", out)
		}
		t.Cleanup(func() { tryGuest(t, g.namespace, "tc", "qdisc", "del", "dev", g.tap, "root") })
	}
	throughput(t, b)
	halfClose(t, b)
}
