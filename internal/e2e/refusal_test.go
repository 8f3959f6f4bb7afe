package e2e

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/nitrod/nitrod/internal/control"
	"github.com/nitrod/nitrod/internal/packet"
)

// TestRefused wants a connection that no rule admits to end in silence, and
// counters, flows and explain to give the same reason for it.
func TestRefused(t *testing.T) {
	onLcores(t, func(t *testing.T, lcores int) {
		b := running(t, setting{Lcores: lcores, Configure: true})
		for _, c := range []struct {
			port         uint16
			reason, code string
			decided      string // the last step of explain: stage, object and rule
		}{
			{8080, "security_group_in", "ENI_SG_RULES_MISMATCH", "app"},
			{23, "nacl_in", "SUBNET_ACL_RESTRICTION", "app 10"},
			{24, "nacl_out", "SUBNET_ACL_RESTRICTION", "web 10"},
		} {
			t.Run(c.reason, func(t *testing.T) {
				l := listen(t, b.App, c.port)
				reached := make(chan struct{})
				go func() {
					if conn, err := l.Accept(); err == nil {
						conn.Close()
						close(reached)
					}
				}()
				before := b.quiet(t)
				sport := refusedDial(t, b, app4, c.port)
				select {
				case <-reached:
					t.Error("the connection reached the server")
				default:
				}
				after := b.quiet(t)
				if n := after.Drops[c.reason] - before.Drops[c.reason]; n < 1 {
					t.Errorf("no drop is counted as %s; all: %v", c.reason, after.Drops)
				}
				f := flow(t, b, "tcp", sport)
				if f.Verdict != "drop" || f.Reason != c.reason || f.DstPort != c.port {
					t.Errorf("the flow is listed as %+v", f)
				}
				if s, ok := findSession(t, b, "tcp", sport); ok {
					t.Errorf("a session is listed for what was refused: %+v", s)
				}
				var x control.Explanation
				b.ask(t, &x, "explain", "--src", web4.String(), "--sport", strconv.Itoa(int(sport)), "--dst", app4.String(), "--dport", strconv.Itoa(int(c.port)))
				if x.Verdict != "drop" || x.Reason != c.reason || x.Code != c.code || x.ENI != "web" || x.Cache != "hit" {
					t.Errorf("explain says %+v", x)
				}
				// The steps come from the rules anew.
				b.ask(t, &x, "explain", "--src", web4.String(), "--sport", "1", "--dst", app4.String(), "--dport", strconv.Itoa(int(c.port)))
				if x.Reason != c.reason || len(x.Steps) == 0 {
					t.Fatalf("explain of a new flow says %+v", x)
				}
				last := x.Steps[len(x.Steps)-1]
				decided := last.Object
				if last.Rule != "" {
					decided += " " + last.Rule
				}
				if decided != c.decided {
					t.Errorf("explain's last step is %+v, want the one of %q", last, c.decided)
				}
			})
		}
	})
}

// refusedDial dials what must not be answered, and returns the source port.
func refusedDial(t *testing.T, b *bed, to netip.Addr, port uint16) (sport uint16) {
	t.Helper()
	// A chosen port, since nothing says later which one was tried.
	sport = 20000 + port%10000
	c, err := dialFrom(t, b.Web, sport, to, port, time.Second)
	switch {
	case err == nil:
		c.Close()
		t.Errorf("a connection to port %d was made", port)
	case !isTimeout(err):
		t.Errorf("a connection to port %d was answered: %v", port, err)
	}
	return sport
}

// TestSpoofing sends frames that a guest has no right to.
func TestSpoofing(t *testing.T) { onLcores(t, spoofing) }

func spoofing(t *testing.T, lcores int) {
	b := running(t, setting{Lcores: lcores, Configure: true})
	raw := openRaw(t, b.Web, "web0")
	router := routerMAC(t, raw)
	other := packet.MAC{2, 0, 0, 0, 9, 9}
	frameOf := func(e packet.Ether, src netip.Addr, text string) []byte {
		return packet.Build(e, packet.IPv4{Src: src, Dst: app4}, packet.UDP{SrcPort: 9999, DstPort: 7000}, packet.Payload(text))
	}
	server := listenUDP(t, b.App, 7000)
	for _, c := range []struct {
		reason string
		ether  packet.Ether
		src    string
	}{
		{"source_mac_spoofed", packet.Ether{Dst: router, Src: other}, "10.0.1.10"},
		{"source_ip_spoofed", packet.Ether{Dst: router, Src: webMAC}, "10.0.1.99"},
		{"destination_mac_unknown", packet.Ether{Dst: other, Src: webMAC}, "10.0.1.10"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			frame := frameOf(c.ether, packet.MustIP(c.src), "spoofed")
			before := b.quiet(t)
			const frames = 5
			for range frames {
				raw.send(t, frame)
			}
			eventually(t, func() error {
				if s := b.stats(t); s.Drops[c.reason] != before.Drops[c.reason]+frames {
					return fmt.Errorf("%d frames were sent, drops are %v and were %v", frames, s.Drops, before.Drops)
				}
				return nil
			})
			// The first that arrives is the one with a right to.
			raw.send(t, frameOf(packet.Ether{Dst: router, Src: webMAC}, web4, c.reason))
			buf := make([]byte, 64)
			n, from, err := server.ReadFrom(buf)
			if err != nil || string(buf[:n]) != c.reason {
				t.Errorf("the guest app received %q from %v, %v", buf[:n], from, err)
			}
			b.quiet(t)
			var x control.Explanation
			b.ask(t, &x, "explain", "--eni", "web", "--frame", hex.EncodeToString(frame))
			if x.Verdict != "drop" || x.Reason != c.reason {
				t.Errorf("explain says %+v", x)
			}
		})
	}
}

// TestARP wants an answer for the router and for no address that nobody has.
func TestARP(t *testing.T) { onLcores(t, arp) }

func arp(t *testing.T, lcores int) {
	b := running(t, setting{Lcores: lcores, Configure: true})
	raw := openRaw(t, b.Web, "web0")
	routerMAC(t, raw)
	before := b.quiet(t)
	ask := func(target string) {
		raw.send(t, packet.Build(packet.Ether{Dst: broadcast, Src: webMAC}, packet.ARP{SenderMAC: webMAC, Sender: web4, Target: packet.MustIP(target)}))
	}
	ask("10.0.1.77")
	ask("10.0.1.1")
	// Questions are answered in order, so the first answer tells.
	if from := nextARPReply(t, raw).SenderAddr(); from != packet.MustIP("10.0.1.1") {
		t.Errorf("an ARP reply came from %s", from)
	}
	if after := b.quiet(t); after.Drops["arp_not_answered"] != before.Drops["arp_not_answered"]+1 {
		t.Errorf("drops are %v and were %v", after.Drops, before.Drops)
	}
	if out, err := tryGuest(t, b.Web, "ping", "-n", "-c", "1", "-w", "1", "10.0.1.77"); err == nil {
		t.Errorf("ping to an address that nobody has:\n%s", out)
	}
}

var broadcast = packet.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// routerMAC asks for the MAC of web's router.
func routerMAC(t *testing.T, raw rawSocket) packet.MAC {
	t.Helper()
	raw.send(t, packet.Build(packet.Ether{Dst: broadcast, Src: webMAC}, packet.ARP{SenderMAC: webMAC, Sender: web4, Target: packet.MustIP("10.0.1.1")}))
	return nextARPReply(t, raw).SenderMAC()
}

// nextARPReply waits for an answer to what the raw socket asked; the kernel's
// own questions may be answered in between, for the router only.
func nextARPReply(t *testing.T, raw rawSocket) packet.ARPHeader {
	t.Helper()
	for {
		frame := raw.receive(t)
		if len(frame) < packet.EtherLen || frame[12] != 0x08 || frame[13] != 0x06 {
			continue
		}
		if h := packet.ARPHeader(frame[packet.EtherLen:]); h.IsValid() && h.Op() == packet.ARPAnswer {
			return h
		}
	}
}
