package check_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/packet/check"
)

// recorder stands in for a test and remembers what is reported.
type recorder struct {
	testing.TB
	reports []string
	fatal   bool
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.reports = append(r.reports, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	r.fatal = true
	runtime.Goexit()
}

func reports(t *testing.T, f func(t testing.TB)) *recorder {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r
}

var (
	mac   = packet.MustMAC("02:00:00:00:00:01")
	ether = packet.Ether{Dst: mac, Src: mac}
	v4    = packet.IPv4{Src: packet.MustIP("10.0.0.1"), Dst: packet.MustIP("10.0.0.2")}
	v6    = packet.IPv6{Src: packet.MustIP("fd00::1"), Dst: packet.MustIP("fd00::2")}
	tcp   = packet.Build(ether, packet.VLAN{ID: 5}, v4, packet.TCP{SrcPort: 1, DstPort: 2, Seq: 3, Ack: 4, Flags: 5}, packet.Payload("x"))
	icmp  = packet.Build(ether, v4, packet.ICMP{Type: 8, Code: 1, ID: 9}, packet.Payload("y"))
	arp   = packet.Build(ether, packet.ARP{SenderMAC: mac, Sender: v4.Src, Target: v4.Dst})
)

// Every check holds on a frame that is as it says and is reported on one that
// is not.
func TestChecks(t *testing.T) {
	other := packet.MustMAC("02:00:00:00:00:02")
	udp6 := packet.Build(ether, v6, packet.UDP{SrcPort: 1, DstPort: 2}, packet.Payload("z"))
	icmp6 := packet.Build(ether, v6, packet.ICMPv6{Type: 128, Rest: 9 << 16})
	frag6 := packet.Build(ether, v6, packet.IPv6Frag{Offset: 8, More: true}, packet.Fill(8))
	for _, c := range []struct {
		name        string
		frame       []byte
		right, fail check.Check
	}{
		{"EtherSrc", tcp, check.EtherSrc(mac), check.EtherSrc(other)},
		{"EtherDst", tcp, check.EtherDst(mac), check.EtherDst(other)},
		{"VLANs", tcp, check.VLANs(5), check.VLANs(6)},
		{"no VLANs", icmp, check.VLANs(), check.VLANs(6)},
		{"Len", tcp, check.Len(len(tcp)), check.Len(1)},
		{"Src", tcp, check.Src("10.0.0.1"), check.Src("10.0.0.2")},
		{"Dst", tcp, check.Dst("10.0.0.2"), check.Dst("10.0.0.1")},
		{"Src 6", udp6, check.Src("fd00::1"), check.Src("fd00::2")},
		{"Src ARP", arp, check.Src("10.0.0.1"), check.Src("10.0.0.2")},
		{"Dst ARP", arp, check.Dst("10.0.0.2"), check.Dst("10.0.0.1")},
		{"TTL", tcp, check.TTL(64), check.TTL(63)},
		{"TTL 6", udp6, check.TTL(64), check.TTL(63)},
		{"Proto", udp6, check.Proto(17), check.Proto(6)},
		{"Fragment", tcp, check.Fragment(0, false), check.Fragment(8, false)},
		{"Fragment 6", frag6, check.Fragment(8, true), check.Fragment(8, false)},
		{"Op", arp, check.Op(1), check.Op(2)},
		{"Op without ARP", tcp, check.TCP(), check.Op(1)},
		{"SenderMAC", arp, check.SenderMAC(mac), check.SenderMAC(other)},
		{"TCP", tcp, check.TCP(), check.UDP()},
		{"UDP", udp6, check.UDP(), check.TCP()},
		{"ICMP", icmp, check.ICMP(), check.ICMPv6()},
		{"ICMPv6", icmp6, check.ICMPv6(), check.ICMP()},
		{"SrcPort", tcp, check.TCP(check.SrcPort(1)), check.TCP(check.SrcPort(2))},
		{"DstPort", tcp, check.TCP(check.DstPort(2)), check.TCP(check.DstPort(1))},
		{"Seq", tcp, check.TCP(check.Seq(3)), check.TCP(check.Seq(1))},
		{"Ack", tcp, check.TCP(check.Ack(4)), check.TCP(check.Ack(1))},
		{"Flags", tcp, check.TCP(check.Flags(5)), check.TCP(check.Flags(1))},
		{"Type", icmp, check.ICMP(check.Type(8)), check.ICMP(check.Type(0))},
		{"Code", icmp, check.ICMP(check.Code(1)), check.ICMP(check.Code(0))},
		{"ID", icmp, check.ICMP(check.ID(9)), check.ICMP(check.ID(0))},
		{"Payload TCP", tcp, check.TCP(check.Payload([]byte("x"))), check.TCP(check.Payload(nil))},
		{"Payload UDP", udp6, check.UDP(check.Payload([]byte("z"))), check.UDP(check.Payload(nil))},
		{"Payload ICMP", icmp, check.ICMP(check.Payload([]byte("y"))), check.ICMP(check.Payload(nil))},
	} {
		if r := reports(t, func(tb testing.TB) { check.Any(tb, c.frame, c.right) }); len(r.reports) != 0 {
			t.Errorf("%s: %v", c.name, r.reports)
		}
		if r := reports(t, func(tb testing.TB) { check.Any(tb, c.frame, c.fail) }); len(r.reports) != 1 || !strings.Contains(r.reports[0], "02:00:00:00:00:01 >") {
			t.Errorf("%s: want one report with the frame, got %q", c.name, r.reports)
		}
	}
}

// IPv4, IPv6 and ARP find what is wrong without being asked.
func TestGoodPackets(t *testing.T) {
	for _, c := range []struct {
		name  string
		check func(testing.TB, []byte, ...check.Check)
		frame []byte
		bad   bool
		fatal bool
	}{
		{"good IPv4", check.IPv4, tcp, false, false},
		{"good ARP", check.ARP, arp, false, false},
		{"UDP without checksum", check.IPv4, packet.Build(ether, v4, packet.UDP{NoChecksum: true}), false, false},
		{"UDP without checksum over IPv6", check.IPv6, packet.Build(ether, v6, packet.UDP{NoChecksum: true}), true, false},
		{"fragment", check.IPv4, packet.Fragment(packet.Build(ether, v4, packet.UDP{}, packet.Fill(99)), 68, 1)[0], false, false},
		{"other protocol", check.IPv4, packet.Build(ether, packet.IPv4{Proto: 99}, packet.Fill(9)), false, false},
		{"IPv4 checksum", check.IPv4, packet.Build(ether, packet.IPv4{BadChecksum: true}), true, false},
		{"TCP checksum", check.IPv4, packet.Build(ether, v4, packet.TCP{Checksum: 1}), true, false},
		{"ICMP checksum", check.IPv4, packet.Build(ether, v4, packet.ICMP{Checksum: 1}), true, false},
		{"ICMPv6 checksum", check.IPv6, packet.Build(ether, v6, packet.ICMPv6{Checksum: 1}), true, false},
		{"malformed", check.IPv4, tcp[:40], true, true},
		{"not IPv4", check.IPv4, arp, true, true},
		{"not IPv6", check.IPv6, tcp, true, true},
		{"not ARP", check.ARP, tcp, true, true},
	} {
		r := reports(t, func(tb testing.TB) { c.check(tb, c.frame) })
		if (len(r.reports) > 0) != c.bad || r.fatal != c.fatal {
			t.Errorf("%s: fatal %t, %q", c.name, r.fatal, r.reports)
		}
	}
}

func TestEqual(t *testing.T) {
	if r := reports(t, func(tb testing.TB) { check.Equal(tb, tcp, tcp) }); len(r.reports) != 0 {
		t.Errorf("equal frames: %q", r.reports)
	}
	other := append([]byte(nil), tcp...)
	other[20]++
	if r := reports(t, func(tb testing.TB) { check.Equal(tb, other, tcp) }); len(r.reports) != 1 || !strings.Contains(r.reports[0], "from byte 20") {
		t.Errorf("frames that differ: %q", r.reports)
	}
}
