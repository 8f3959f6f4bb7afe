package e2e

import (
	"fmt"
	"io"
	"testing"

	"github.com/nitrod/nitrod/internal/control"
)

// TestQueues gives each guest two queues and each queue an lcore of its own,
// and wants many flows to use all of them, each whole and in order.
func TestQueues(t *testing.T) {
	needCPUs(t, 2)
	b := running(t, setting{Lcores: 2, Queues: 2, Configure: true})
	before := b.quiet(t)
	server := listenUDP(t, b.App, 7000)
	const flows, packets = 48, 20
	go func() {
		buf := make([]byte, 64)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(buf[:n], from) // the client misses what is lost
		}
	}()
	for i := range flows {
		// Toeplitz is linear, and a key may be blind for a few bits of a port: the
		// ports differ in all sixteen.
		c := dialUDP(t, b.Web, uint16(2003+1351*i), app4, 7000)
		buf := make([]byte, 64)
		echoed := func(want string) {
			n, err := c.Read(buf)
			if err != nil {
				t.Fatalf("waiting for %s: %v", want, err)
			}
			if got := string(buf[:n]); got != want {
				t.Fatalf("%s came instead of %s", got, want)
			}
		}
		// A guest sends a flow by the tap's queue that its packets come from. It
		// moves the flow there after it has passed on the first one, for certain
		// when the second one comes.
		for _, settle := range []string{"first", "second"} {
			if _, err := fmt.Fprintf(c, "%d/%s", i, settle); err != nil {
				t.Fatal(err)
			}
			echoed(fmt.Sprintf("%d/%s", i, settle))
		}
		for j := range packets {
			if _, err := fmt.Fprintf(c, "%d/%d", i, j); err != nil {
				t.Fatal(err)
			}
		}
		for j := range packets {
			echoed(fmt.Sprintf("%d/%d", i, j))
		}
	}
	after := b.quiet(t)
	handed := uint64(0)
	for i, l := range after.Lcores {
		if n := l.Rx - before.Lcores[i].Rx; n < packets {
			t.Errorf("lcore %d received %d packets", i, n)
		}
		if n := l.Tx - before.Lcores[i].Tx; n < packets {
			t.Errorf("lcore %d sent %d packets", i, n)
		}
		handed += l.HandOver
	}
	if handed == 0 {
		t.Error("no packet was handed to the lcore that owns its flow")
	}
	var list []control.Flow
	b.ask(t, &list, "flows", "--limit", "10000")
	queues := map[string]int{}
	for _, f := range list {
		if f.Protocol == "udp" && f.Verdict == "forward" {
			queues[fmt.Sprintf("%s queue %d", f.Egress, f.Queue)]++
		}
	}
	for _, q := range []string{"app queue 0", "app queue 1", "web queue 0", "web queue 1"} {
		if queues[q] == 0 {
			t.Errorf("no flow goes to %s; the %d flows go to %v", q, flows, queues)
		}
	}
}

// TestQueuesTCP carries a connection with many packets in both directions over
// guests with two queues.
func TestQueuesTCP(t *testing.T) {
	needCPUs(t, 2)
	b := running(t, setting{Lcores: 2, Queues: 2, Configure: true})
	l := listen(t, b.App, 7000)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	const size = 1 << 18
	for i := range 8 {
		c, err := dialFrom(t, b.Web, uint16(22000+i), app4, 7000, deadline)
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan error, 1)
		go func() {
			_, err := c.Write(pattern(i, size))
			sent <- err
			_ = c.CloseWrite() // an error shows in what comes back
		}()
		got, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		if string(got) != string(pattern(i, size)) {
			t.Errorf("connection %d: %d of %d bytes came back, or not the same", i, len(got), size)
		}
	}
	b.quiet(t)
}

func pattern(seed, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>8 ^ i*7 ^ seed)
	}
	return b
}
