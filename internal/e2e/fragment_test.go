package e2e

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

// TestFragments has real stacks send what does not fit the MTU: each datagram
// comes whole, by the session of its flow, and no fragment is dropped.
func TestFragments(t *testing.T) {
	need(t, "ping")
	onLcores(t, func(t *testing.T, lcores int) {
		b := running(t, setting{Lcores: lcores, Configure: true})
		for _, c := range []struct {
			name string
			f    func(*testing.T, *bed)
		}{
			{"ping", longPing},
			{"udp", longDatagrams},
		} {
			t.Run(c.name, func(t *testing.T) {
				c.f(t, b)
				for reason, n := range b.quiet(t).Drops {
					if strings.HasPrefix(reason, "fragment_") {
						t.Errorf("%d packets were dropped for %s", n, reason)
					}
				}
			})
		}
	})
}

// longPing sends echoes in three fragments each way.
func longPing(t *testing.T, b *bed) {
	before := b.stats(t).ENIs
	for _, to := range []netip.Addr{app4, app6} {
		out := guest(t, b.Web, "ping", "-n", "-c", "4", "-i", "0.05", "-s", "4000", to.String())
		if !strings.Contains(out, " 4 received") {
			t.Errorf("ping -s 4000 %s:\n%s", to, out)
		}
	}
	after := b.quiet(t).ENIs
	for _, eni := range []string{"web", "app"} {
		if sent := after[eni].TxPackets - before[eni].TxPackets; sent < 2*4*3 {
			t.Errorf("ENI %s sent %d packets for 8 messages of 3 fragments", eni, sent)
		}
	}
}

// longDatagrams sends datagrams of 4,000 bytes and the same back, in three
// fragments each.
func longDatagrams(t *testing.T, b *bed) {
	const datagrams = 5
	random := rand.NewChaCha8([32]byte{})
	server := listenUDP(t, b.App, 7000)
	for i, to := range []netip.Addr{app4, app6} {
		sport := uint16(20301 + i)
		client := dialUDP(t, b.Web, sport, to, 7000)
		want, got := make([]byte, 4000), make([]byte, 5000)
		for range datagrams {
			random.Read(want)
			if _, err := client.Write(want); err != nil {
				t.Fatal(err)
			}
			n, from, err := server.ReadFrom(got)
			if err != nil || !bytes.Equal(got[:n], want) {
				t.Fatalf("to %s: %d bytes came, or not the same: %v", to, n, err)
			}
			random.Read(want)
			if _, err := server.WriteTo(want, from); err != nil {
				t.Fatal(err)
			}
			if n, err = client.Read(got); err != nil || !bytes.Equal(got[:n], want) {
				t.Fatalf("from %s: %d bytes came, or not the same: %v", to, n, err)
			}
		}
		b.quiet(t)
		if s := session(t, b, "udp", sport); s.OutPackets != 3*datagrams || s.BackPackets != 3*datagrams {
			t.Errorf("%s: the session has %d packets out and %d back, want %d each way", to, s.OutPackets, s.BackPackets, 3*datagrams)
		}
	}
}
