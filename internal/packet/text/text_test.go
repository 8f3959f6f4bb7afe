package text

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/packet"
)

// bench is a net of three guests: web and web2 are neighbours, app is behind
// the router.
type testNet struct{}

var (
	routerMAC = packet.MustMAC("02:00:00:00:00:fe")
	guests    = map[string]Guest{
		"web":  {packet.MustMAC("02:00:00:00:00:01"), routerMAC, packet.MustIP("10.0.1.10"), packet.MustIP("2001:db8::10")},
		"web2": {packet.MustMAC("02:00:00:00:00:02"), routerMAC, packet.MustIP("10.0.1.11"), packet.MustIP("2001:db8::11")},
		"app":  {packet.MustMAC("02:00:00:00:00:03"), routerMAC, packet.MustIP("10.0.2.10"), packet.MustIP("2001:db8:1::10")},
		"six":  {MAC: packet.MustMAC("02:00:00:00:00:04"), Router: routerMAC, Addr6: packet.MustIP("2001:db8::6")},
	}
)

func (testNet) Guest(name string) (Guest, bool) {
	g, ok := guests[name]
	return g, ok
}

func (testNet) NextHop(_ string, dst netip.Addr) packet.MAC {
	for _, name := range []string{"web", "web2"} {
		if g := guests[name]; g.Addr4 == dst || g.Addr6 == dst {
			return g.MAC
		}
	}
	return routerMAC
}

func (testNet) NameOf(_ string, a netip.Addr) string {
	for name, g := range guests {
		if a.IsValid() && (g.Addr4 == a || g.Addr6 == a) {
			return name
		}
	}
	return ""
}

// What a text means, by what the same packet is when it is built of layers.
func TestParse(t *testing.T) {
	web, app := guests["web"], guests["app"]
	routed := packet.Ether{Dst: routerMAC, Src: web.MAC}
	ip4 := packet.IPv4{Src: web.Addr4, Dst: app.Addr4}
	ip6 := packet.IPv6{Src: web.Addr6, Dst: app.Addr6}
	long := packet.Build(routed, packet.IPv4{Src: web.Addr4, Dst: app.Addr4}, packet.UDP{SrcPort: 40000, DstPort: 80}, packet.Fill(3000))
	with := func(change func(*packet.IPv4)) packet.IPv4 { h := ip4; change(&h); return h }
	for _, c := range []struct {
		text string
		want []byte
	}{
		{"web > app tcp", packet.Build(routed, ip4, packet.TCP{SrcPort: 40000, DstPort: 80, Flags: packet.TCPSyn})},
		{"web > app tcp 1 > 2 SA seq 5 ack 6 win 7 len 3", packet.Build(routed, ip4, packet.TCP{SrcPort: 1, DstPort: 2, Flags: 0x12, Seq: 5, Ack: 6, Window: 7}, packet.Fill(3))},
		{"web > app tcp > 443 R", packet.Build(routed, ip4, packet.TCP{SrcPort: 40000, DstPort: 443, Flags: packet.TCPRst})},
		{"web > app tcp S mss 1460 sackok ts 7/0 wscale 7", packet.Build(routed, ip4, packet.TCP{SrcPort: 40000, DstPort: 80, Flags: packet.TCPSyn,
			Options: packet.TCPOptions{MSS: 1460, SACKPermitted: true, HasTimestamp: true, TSVal: 7, HasScale: true, WindowScale: 7}.Bytes()})},
		{"web > app ipv6 udp 5 > 6 len 4", packet.Build(routed, ip6, packet.UDP{SrcPort: 5, DstPort: 6}, packet.Fill(4))},
		{"web > six udp 5 > 6", packet.Build(routed, packet.IPv6{Src: web.Addr6, Dst: guests["six"].Addr6}, packet.UDP{SrcPort: 5, DstPort: 6})},
		{"web > web2 udp 10.0.1.99:5 > 6 ttl 9 df ipid 77 tos 8", packet.Build(packet.Ether{Dst: guests["web2"].MAC, Src: web.MAC},
			packet.IPv4{Src: packet.MustIP("10.0.1.99"), Dst: guests["web2"].Addr4, TTL: 9, DF: true, ID: 77, TOS: 8}, packet.UDP{SrcPort: 5, DstPort: 6})},
		{"web > app icmp", packet.Build(routed, ip4, packet.ICMP{Type: 8, ID: 1, Seq: 1})},
		{"web > app icmp echo reply id 9 seq 3 len 2", packet.Build(routed, ip4, packet.ICMP{Type: 0, ID: 9, Seq: 3}, packet.Fill(2))},
		{"web > app icmp6 echo request", packet.Build(routed, ip6, packet.ICMPv6{Type: 128, Rest: 1<<16 | 1})},
		{"web > app proto 47 len 8", packet.Build(routed, with(func(h *packet.IPv4) { h.Proto = 47 }), packet.Fill(8))},
		{"web > 8.8.8.8 udp 1 > 53 data 0a0b", packet.Build(routed, packet.IPv4{Src: web.Addr4, Dst: packet.MustIP("8.8.8.8")}, packet.UDP{SrcPort: 1, DstPort: 53}, packet.Payload{10, 11})},
		{"web > app icmp type 3 code 4 mtu 1400 quote (app > web udp 80 > 40000 len 9)", packet.Build(routed, ip4, packet.ICMP{Type: 3, Code: 4, Seq: 1400},
			packet.Quote(packet.Build(packet.Ether{}, packet.IPv4{Src: app.Addr4, Dst: web.Addr4}, packet.UDP{SrcPort: 80, DstPort: 40000}, packet.Fill(9)), 28))},
		{"web > app udp len 3000 ipid 7 piece 2 of 1500", packet.Fragment(long, 1500, 7)[1]},
		{"web > app udp ulen 9 sum 1", packet.Build(routed, ip4, packet.UDP{SrcPort: 40000, DstPort: 80, Len: 9, Checksum: 1})},
		{"web arp who has 10.0.1.1", packet.Build(packet.Ether{Dst: packet.Broadcast, Src: web.MAC}, packet.ARP{SenderMAC: web.MAC, Sender: web.Addr4, Target: packet.MustIP("10.0.1.1")})},
		{"web arp 10.0.1.10 is at web to app dmac app", packet.Build(packet.Ether{Dst: app.MAC, Src: web.MAC}, packet.ARP{Op: 2, SenderMAC: web.MAC, Sender: web.Addr4, TargetMAC: app.MAC})},
		{"web nd who has 2001:db8::11", packet.NeighborSolicit(web.MAC, web.Addr6, packet.MustIP("2001:db8::11"))},
		{"web nd who has 2001:db8::11 probe", packet.NeighborSolicit(web.MAC, netip.Addr{}, packet.MustIP("2001:db8::11"))},
		{"web raw 01 02 0a0b", []byte{1, 2, 10, 11}},
		{"web > app udp trunc 20", packet.Build(routed, ip4, packet.UDP{SrcPort: 40000, DstPort: 80})[:20]},
		{"web > app udp vlan 5 qinq 6", packet.Build(packet.Ether{Dst: routerMAC, Src: web.MAC, Type: packet.EtherTypeVLAN},
			packet.VLAN{ID: 5, Type: packet.EtherTypeQinQ}, packet.VLAN{ID: 6, Type: packet.EtherTypeIPv4}, ip4, packet.UDP{SrcPort: 40000, DstPort: 80})},
		{"web ethertype 0x88cc len 4", packet.Build(packet.Ether{Src: web.MAC, Type: 0x88cc}, packet.Fill(4))},
		{"web2 > app udp at web", packet.Build(routed, packet.IPv4{Src: guests["web2"].Addr4, Dst: app.Addr4}, packet.UDP{SrcPort: 40000, DstPort: 80})},
	} {
		p, err := Parse(c.text, "", testNet{})
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		got := p.Frame()
		if strings.Contains(c.text, "qinq 6") { // Build derives the inner types from its layers
			if p := Decode(got); len(p.Tags) != 2 || p.Tags[0] != (Tag{packet.EtherTypeVLAN, 5}) || p.Tags[1] != (Tag{packet.EtherTypeQinQ, 6}) {
				t.Errorf("%s: %x", c.text, got)
			}
			continue
		}
		if !bytes.Equal(got, c.want) {
			t.Errorf("%s:\n\tis   %x\n\twant %x", c.text, got, c.want)
		}
	}
}

// A mistake is one sentence about one place.
func TestParseErrors(t *testing.T) {
	for _, c := range []struct {
		text   string
		column int
		want   string
	}{
		{"", 1, "lacks its protocol"},
		{"web > app", 10, "lacks its protocol"},
		{"nobody > app udp", 1, "neither an ENI nor an address"},
		{"web > nobody udp", 7, "neither an ENI nor an address"},
		{"wbe udp", 1, "there is no ENI"},
		{"udp 1 > 2", 1, "which ENI sends"},
		{"web > app udp 1 > 2 udp", 21, "a second one"},
		{"web > app udp 70000 > 2", 15, "is not a port"},
		{"web > app udp 1 > 2 seq 1", 21, "a field of a TCP packet"},
		{"web > app udp 1 > 2 ttl", 24, "the packet ends where"},
		{"web > app udp 1 > 2 ttl 300", 25, "a number up to 255"},
		{"web > app udp ttl 1 ttl 2", 21, "given twice"},
		{"web > app tcp SS", 15, "twice"},
		{"web > app tcp window 5", 15, "it is written win"},
		{"web > app udp len 1 data 01", 21, "both given"},
		{"web > app udp frag id 1 off 7", 29, "multiple of 8"},
		{"web > app udp frag id 1 off 8", 1, "a later fragment has no transport header"},
		{"web > app icmp type 3 code 1 quote (icmp", 41, "the packet lacks its source address"},
		{"web > app icmp type 3 code 1 quote (app > web udp", 50, "should follow"},
		{"web > six udp 10.0.0.1:1 > 2", 1, "no address of the packet's IP version"},
		{"web > app udp 10.0.0.1:1 > [2001:db8::1]:2", 1, "mixes"},
		{"web > app icmp ipv6", 1, "icmp6"},
		{"web dhcp hello", 10, "no type of a DHCP message"},
		{"web raw 012", 9, "two digits each"},
		{"web > app udp piece 2 of 1500", 15, "1 pieces only"},
		{"web > app udp at nobody", 18, "no ENI"},
		{"web > app udp len 65535", 1, "longer than its IP header can say"},
	} {
		_, err := Parse(c.text, "", testNet{})
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Msg, c.want) || e.Column != c.column && !strings.Contains(c.want, "source address") {
			t.Errorf("%q: %v; want %q at %d", c.text, err, c.want, c.column)
		}
	}
}

// TestPrintIsParsesInverse: what is printed of any packet is read as the same
// frame, byte by byte, and printed again as the same text.
func TestPrintIsParsesInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame := anyFrame(t)
		at, net := "web", Net(testNet{})
		if rapid.Bool().Draw(t, "nameless") {
			at, net = "", nil
		}
		inverse(t, frame, at, net)
	})
}

type failer interface{ Fatalf(string, ...any) }

func inverse(t failer, frame []byte, at string, net Net) {
	s := Print(frame, at, net)
	p, err := Parse(s, at, net)
	if err != nil {
		t.Fatalf("%s\n\tof %x: %v", s, frame, err)
	}
	if got := p.Frame(); !bytes.Equal(got, frame) {
		t.Fatalf("%s\n\tof %x\n\tis %x", s, frame, got)
	}
	if again := Print(p.Frame(), at, net); again != s {
		t.Fatalf("printed %q, and again %q", s, again)
	}
}

// anyFrame draws a frame: a good one, of any layers, and then perhaps damaged.
func anyFrame(t *rapid.T) []byte {
	names := []string{"web", "web2", "app"}
	from, to := guests[rapid.SampledFrom(names).Draw(t, "from")], guests[rapid.SampledFrom(names).Draw(t, "to")]
	u16 := func(label string) uint16 { return rapid.Uint16().Draw(t, label) }
	u32 := func(label string) uint32 { return rapid.Uint32().Draw(t, label) }
	u8 := func(label string) uint8 { return rapid.Uint8().Draw(t, label) }
	layers := []packet.Layer{packet.Ether{Dst: rapid.SampledFrom([]packet.MAC{routerMAC, to.MAC, packet.Broadcast}).Draw(t, "dmac"), Src: from.MAC}}
	v6 := rapid.Bool().Draw(t, "v6")
	if v6 {
		layers = append(layers, packet.IPv6{Src: from.Addr6, Dst: to.Addr6, HopLimit: u8("hops"), FlowLabel: u32("flow") & 0xfffff, TrafficClass: u8("class")})
		for range rapid.IntRange(0, 2).Draw(t, "extensions") {
			layers = append(layers, packet.IPv6Ext{Proto: rapid.SampledFrom([]uint8{0, 43, 51, 60}).Draw(t, "ext"), Data: rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "ext data")})
		}
		if rapid.Bool().Draw(t, "fragment") {
			layers = append(layers, packet.IPv6Frag{ID: u32("id"), Offset: 8 * int(u16("off")&7), More: rapid.Bool().Draw(t, "more")})
		}
	} else {
		layers = append(layers, packet.IPv4{Src: from.Addr4, Dst: to.Addr4, TTL: u8("ttl"), TOS: u8("tos"), ID: u16("id"), DF: rapid.Bool().Draw(t, "df"),
			MF: rapid.Bool().Draw(t, "mf"), FragOffset: 8 * rapid.SampledFrom([]int{0, 0, 1, 185}).Draw(t, "off"), Options: rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "options")})
	}
	payload := packet.Fill(rapid.IntRange(0, 40).Draw(t, "len"))
	if rapid.Bool().Draw(t, "random payload") {
		payload = rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "payload")
	}
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0:
		o := packet.TCPOptions{MSS: u16("mss"), SACKPermitted: rapid.Bool().Draw(t, "sack"), HasScale: rapid.Bool().Draw(t, "scale"), WindowScale: u8("shift") & 15}.Bytes()
		layers = append(layers, packet.TCP{SrcPort: u16("sport"), DstPort: u16("dport"), Seq: u32("seq"), Ack: u32("ack"), Flags: u8("flags"), Window: u16("win"), Options: o})
	case 1:
		layers = append(layers, packet.UDP{SrcPort: u16("sport"), DstPort: u16("dport"), NoChecksum: rapid.Bool().Draw(t, "no sum")})
	case 2:
		layers = append(layers, packet.ICMP{Type: u8("type"), Code: u8("code"), ID: u16("id"), Seq: u16("seq")})
	case 3:
		layers = append(layers, packet.ICMPv6{Type: u8("type"), Code: u8("code"), Rest: u32("rest")})
	case 4:
		layers = []packet.Layer{layers[0], packet.ARP{Op: rapid.SampledFrom([]uint16{1, 2, 9}).Draw(t, "op"), SenderMAC: from.MAC, TargetMAC: to.MAC, Sender: from.Addr4, Target: to.Addr4}}
	}
	if rapid.Bool().Draw(t, "error") { // an ICMP error that quotes
		inner := packet.Build(append(layers, payload)...)
		if l, err := packet.Locate(inner); err == nil && l.EtherType != packet.EtherTypeARP {
			payload = packet.Quote(inner, rapid.IntRange(20, 80).Draw(t, "quote"))
			if v6 {
				layers = append(layers[:2:2], packet.ICMPv6{Type: 1, Code: u8("code")})
			} else {
				layers = append(layers[:2:2], packet.ICMP{Type: 3, Code: 4, Seq: u16("mtu")})
			}
		}
	}
	frame := packet.Build(append(layers, payload)...)
	switch rapid.IntRange(0, 3).Draw(t, "damage") {
	case 0:
		frame[rapid.IntRange(0, len(frame)-1).Draw(t, "place")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
	case 1:
		frame = frame[:rapid.IntRange(0, len(frame)).Draw(t, "cut")]
	case 2:
		frame = append(frame, rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "trailer")...)
	}
	return frame
}

// Packets of the kinds that people write are not printed as bytes.
func TestPrintHasWords(t *testing.T) {
	for _, text := range []string{
		"web > app tcp 10.0.1.10:40000 > 10.0.2.10:80 S seq 0 win 64240 mss 1460 sackok wscale 7 len 0 ttl 64",
		"web > app udp 10.0.1.10:40000 > 10.0.2.10:80 len 5 ttl 64 frag id 7 off 0+",
		"web > app proto 17 10.0.1.10 > 10.0.2.10 len 5 ttl 64 frag id 7 off 1480",
		"web > app icmp 10.0.1.10 > 10.0.2.10 echo request id 1 seq 1 len 0 ttl 64",
		"web > app icmp 10.0.1.10 > 10.0.2.10 type 3 code 1 quote (udp 10.0.2.10:80 > 10.0.1.10:40000 len 4 ttl 64) ttl 64",
		"web > app icmp 10.0.1.10 > 10.0.2.10 type 3 code 1 quote (tcp 10.0.2.10:80 > 10.0.1.10:40000 S seq 5 win 64240 len 9 ttl 64) ttl 64",
		"web > app icmp6 2001:db8::10 > 2001:db8:1::10 type 2 code 0 mtu 1280 quote (udp [2001:db8:1::10]:80 > [2001:db8::10]:40000 len 4 hops 64) hops 64",
		"web arp who has 10.0.1.1 tell 10.0.1.10 from 02:00:00:00:00:01",
		"10.0.9.9 > app udp 10.0.9.9:1 > 10.0.2.10:2 len 0 ttl 64 at web",
	} {
		p, err := Parse(text, "", testNet{})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := Print(p.Frame(), "web", testNet{}); got != text {
			t.Errorf("%s\n\tis printed as %s", text, got)
		}
	}
}

func TestDiffers(t *testing.T) {
	send := func(text string) []byte {
		p, err := Parse(text, "", testNet{})
		if err != nil {
			t.Fatal(err)
		}
		return p.Frame()
	}
	for _, c := range []struct{ want, sent, differs string }{
		{"web > app tcp", "web > app tcp 1 > 2 A seq 9", ""},
		{"web > app tcp > 80 S", "web > app tcp > 81 S", "the destination port is 81, want 80"},
		{"web > app udp", "web > app tcp", "the protocol is 6, want 17"},
		{"web > app tcp ttl 63", "web > app tcp", "ttl is 64, want 63"},
		{"web > app udp", "web2 > app udp", "the source address is 10.0.1.11, want 10.0.1.10"},
		{"web > app udp", "web > app udp sum 7", "the transport checksum is wrong"},
		{"web > app udp sum 7", "web > app udp sum 7", ""},
		{"web > app udp", "web > app udp sum 0", ""},
		{"web > app udp", "web > app udp ipsum 7", "the IPv4 header checksum is wrong"},
		{"web > app udp", "web > app udp ulen 11", "the UDP length does not fit the packet"},
		{"web > app udp", "web arp who has 10.0.1.1", "it is ARP, want IPv4"},
		{"arp who has 10.0.1.2 at app", "web arp who has 10.0.1.1", "the target's address is 10.0.1.1, want 10.0.1.2"},
		{"raw 0102 at app", "web raw 0102", ""},
		{"raw 0102 at app", "web raw 0103", "other bytes"},
		{"web > app udp len 3", "web > app udp len 4", "len is 4, want 3"},
		{"dhcp discover xid 7 at app", "web dhcp discover xid 7", ""},
		{"dhcp discover xid 7 at app", "web dhcp discover xid 8", "dhcp xid 8, want 7"},
		{"dhcp offer at app", "web > app udp", "no DHCP message"},
		{"web > app icmp type 3 quote (app > web udp len 4)", "web > app icmp type 3 code 1 quote (app > web udp len 4)", ""},
	} {
		want, err := ParseExpected(c.want, testNet{})
		if err != nil {
			t.Errorf("%s: %v", c.want, err)
			continue
		}
		if got := want.Differs(send(c.sent)); got != c.differs {
			t.Errorf("%s compared with %s: %q, want %q", c.sent, c.want, got, c.differs)
		}
	}
}

// FuzzParse: whatever is written, the answer is a packet or an error with a
// place in the text, and a packet is printed and read as the same.
func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text, "", testNet{})
		var e *Error
		switch {
		case err == nil:
			inverse(t, p.Frame(), p.At, testNet{})
		case !errors.As(err, &e) || e.Column < 1 || e.Column > len(text)+1 || e.Msg == "":
			t.Fatalf("%q: %v", text, err)
		}
		_, err = ParseExpected(text, testNet{})
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("%q: %v", text, err)
		}
	})
}

// FuzzPrint: every frame has a text that gives it back.
func FuzzPrint(f *testing.F) {
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) > maxLen {
			return
		}
		inverse(t, frame, "web", testNet{})
		inverse(t, frame, "", nil)
		PrintReceived(frame, "app", testNet{})
	})
}
