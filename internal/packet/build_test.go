package packet_test

import (
	"bytes"
	"strconv"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/packet/check"
)

var (
	macA = packet.MustMAC("02:00:00:00:00:0a")
	macB = packet.MustMAC("02:00:00:00:00:0b")
	ip4A = packet.MustIP("10.0.0.4")
	ip4B = packet.MustIP("10.0.1.4")
	ip6A = packet.MustIP("2001:db8::4")
	ip6B = packet.MustIP("2001:db8:1::4")
	eth  = packet.Ether{Dst: macB, Src: macA}
)

func sizeName(n int) string { return strconv.Itoa(n) }

// decode lets gopacket decode a frame, and has it build the same layers anew
// with its own lengths and checksums: the two must agree byte for byte.
func decode(t testing.TB, frame []byte) gopacket.Packet {
	t.Helper()
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{})
	if e := p.ErrorLayer(); e != nil {
		t.Fatalf("gopacket: %v in %x", e.Error(), frame)
	}
	var ls []gopacket.SerializableLayer
	var network gopacket.NetworkLayer
	for _, l := range p.Layers() {
		switch l := l.(type) {
		case *layers.IPv4:
			network = l
		case *layers.IPv6:
			network = l
		}
		if c, ok := l.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			if err := c.SetNetworkLayerForChecksum(network); err != nil {
				t.Fatal(err)
			}
		}
		s, ok := l.(gopacket.SerializableLayer)
		if !ok {
			s = gopacket.Payload(l.LayerContents())
		}
		ls = append(ls, s)
		// What lies below these is not written back byte for byte: the body of
		// an ICMPv6 message is lost, the padding of a DHCP message too.
		if t := l.LayerType(); t == layers.LayerTypeICMPv6 || t == layers.LayerTypeUDP {
			ls = append(ls, gopacket.Payload(l.LayerPayload()))
			break
		}
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
		t.Fatalf("gopacket: %v", err)
	}
	got := buf.Bytes()
	if len(got) > len(frame) {
		got = got[:len(frame)] // gopacket pads to 60 bytes
	}
	check.Equal(t, frame, got)
	return p
}

func TestBuildAgainstGopacket(t *testing.T) {
	v4 := packet.IPv4{Src: ip4A, Dst: ip4B, TTL: 9, TOS: 0x28, ID: 77, DF: true}
	v6 := packet.IPv6{Src: ip6A, Dst: ip6B, HopLimit: 9, TrafficClass: 0x28, FlowLabel: 0xabcde}
	syn := packet.TCP{SrcPort: 40000, DstPort: 80, Seq: 1 << 31, Flags: packet.TCPSyn,
		Options: packet.TCPOptions{MSS: 8961, WindowScale: 7, HasScale: true, SACKPermitted: true, HasTimestamp: true, TSVal: 5}.Bytes()}
	for _, c := range []struct {
		name   string
		layers []packet.Layer
	}{
		{"tcp", []packet.Layer{eth, v4, syn}},
		{"tcp with data", []packet.Layer{eth, v4, packet.TCP{SrcPort: 1, DstPort: 2, Flags: packet.TCPAck | packet.TCPPsh}, packet.Payload("odd")}},
		{"tcp6", []packet.Layer{eth, v6, syn}},
		{"udp", []packet.Layer{eth, v4, packet.UDP{SrcPort: 5000, DstPort: 5001}, packet.Fill(33)}},
		{"udp6", []packet.Layer{eth, v6, packet.UDP{SrcPort: 5000, DstPort: 5001}, packet.Fill(1400)}},
		{"vlan", []packet.Layer{eth, packet.VLAN{ID: 4095, Priority: 5, DropEligible: true}, v4, packet.UDP{SrcPort: 1}}},
		{"qinq", []packet.Layer{packet.Ether{Dst: macB, Src: macA, Type: packet.EtherTypeQinQ}, packet.VLAN{ID: 7}, packet.VLAN{ID: 8}, v4, syn}},
		{"echo", []packet.Layer{eth, v4, packet.ICMP{Type: packet.ICMPEchoRequest, ID: 3, Seq: 4}, packet.Fill(56)}},
		{"echo6", []packet.Layer{eth, v6, packet.ICMPv6{Type: packet.ICMPv6EchoRequest, Rest: 3<<16 | 4}, packet.Fill(57)}},
		{"arp", []packet.Layer{eth, packet.ARP{SenderMAC: macA, Sender: ip4A, Target: ip4B}}},
		{"ipip", []packet.Layer{eth, v4, v4, packet.UDP{SrcPort: 1, DstPort: 2}}},
		{"icmp error", []packet.Layer{eth, v4, packet.ICMP{Type: packet.ICMPUnreachable, Code: packet.ICMPCodeFragNeeded, Seq: 1500},
			packet.Quote(packet.Build(eth, v4, packet.UDP{SrcPort: 1, DstPort: 2}, packet.Fill(100)), 28)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			frame := packet.Build(c.layers...)
			decode(t, frame)
			check.Any(t, frame, check.Len(len(frame)), check.EtherDst(macB), check.EtherSrc(macA))
		})
	}
}

func TestBuildFields(t *testing.T) {
	frame := packet.Build(eth, packet.IPv4{Src: ip4A, Dst: ip4B, Options: []byte{148, 4, 0, 0, 1}},
		packet.TCP{SrcPort: 40000, DstPort: 80, Seq: 7, Ack: 8, Flags: packet.TCPAck}, packet.Payload("hello"))
	check.IPv4(t, frame, check.Src("10.0.0.4"), check.Dst("10.0.1.4"), check.TTL(64), check.VLANs(), check.Fragment(0, false),
		check.TCP(check.SrcPort(40000), check.DstPort(80), check.Seq(7), check.Ack(8), check.Flags(packet.TCPAck), check.Payload([]byte("hello"))))
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{})
	ip := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	if ip.IHL != 7 || len(ip.Options) == 0 || ip.Options[0].OptionType != 148 {
		t.Errorf("options: IHL %d, %v", ip.IHL, ip.Options)
	}
	if got := packet.IPv4Header(frame[packet.EtherLen:]).Options(); len(got) != 8 {
		t.Errorf("options of %d bytes, want 8", len(got))
	}
}

func TestBuildExtensionHeaders(t *testing.T) {
	frame := packet.Build(eth, packet.IPv6{Src: ip6A, Dst: ip6B},
		packet.IPv6Ext{Proto: packet.ProtoHopByHop, Data: []byte{5, 2, 0, 0}},
		packet.IPv6Ext{Proto: packet.ProtoDestOpts},
		packet.IPv6Ext{Proto: packet.ProtoAH, Data: make([]byte, 22)},
		packet.IPv6Frag{ID: 9},
		packet.UDP{SrcPort: 1, DstPort: 2}, packet.Payload("x"))
	// The atomic fragment hides the checksum from check.IPv6, so ask for it.
	ip := packet.IPv6Header(frame[packet.EtherLen:])
	up, ok := ip.Upper()
	if !ok || up.Proto != packet.ProtoUDP || up.Fragment != packet.IPv6Len+8+8+24 || up.Offset != up.Fragment+8 {
		t.Fatalf("Upper = %+v, %t", up, ok)
	}
	if ip.TransportSum(packet.ProtoUDP, ip[up.Offset:]) != 0xffff {
		t.Error("UDP checksum is wrong")
	}
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{})
	for _, want := range []gopacket.LayerType{layers.LayerTypeIPv6HopByHop, layers.LayerTypeIPv6Destination, layers.LayerTypeIPSecAH} {
		if p.Layer(want) == nil {
			t.Errorf("gopacket sees no %v in %v", want, p)
		}
	}
}

func TestUpperRefuses(t *testing.T) {
	ext := packet.IPv6Ext{Proto: packet.ProtoDestOpts}
	chain := func(n int) []packet.Layer {
		ls := []packet.Layer{packet.IPv6{Src: ip6A, Dst: ip6B}}
		for range n {
			ls = append(ls, ext)
		}
		return append(ls, packet.UDP{})
	}
	for _, c := range []struct {
		name   string
		layers []packet.Layer
		ok     bool
	}{
		{"as many as allowed", chain(packet.MaxIPv6Extensions), true},
		{"one too many", chain(packet.MaxIPv6Extensions + 1), false},
		{"hop-by-hop is not first", []packet.Layer{packet.IPv6{}, ext, packet.IPv6Ext{Proto: packet.ProtoHopByHop}, packet.UDP{}}, false},
		{"two fragment headers", []packet.Layer{packet.IPv6{}, packet.IPv6Frag{}, packet.IPv6Frag{}, packet.UDP{}}, false},
		{"longer than the packet", []packet.Layer{packet.IPv6{}, packet.IPv6Ext{Proto: packet.ProtoRouting, Len: 3}, packet.UDP{}}, false},
		{"missing", []packet.Layer{packet.IPv6{Next: packet.ProtoDestOpts}}, false},
		{"missing fragment header", []packet.Layer{packet.IPv6{Next: packet.ProtoFragment}, packet.Fill(7)}, false},
		{"missing AH", []packet.Layer{packet.IPv6{Next: packet.ProtoAH}, packet.Fill(7)}, false},
		{"no next header", []packet.Layer{packet.IPv6{}}, true},
		{"ESP ends the walk", []packet.Layer{packet.IPv6{Next: packet.ProtoESP}, packet.Fill(3)}, true},
	} {
		ip := packet.IPv6Header(packet.Build(c.layers...))
		if !ip.IsValid() {
			t.Fatalf("%s: packet is not valid", c.name)
		}
		if up, ok := ip.Upper(); ok != c.ok {
			t.Errorf("%s: Upper = %+v, %t", c.name, up, ok)
		}
	}
}

// Fragments put together again are the packet that was cut.
func TestFragment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload := packet.Fill(rapid.IntRange(0, 3000).Draw(t, "payload"))
		mtu := rapid.IntRange(68, 1500).Draw(t, "mtu")
		v4 := rapid.Bool().Draw(t, "v4")
		var ip packet.Layer = packet.IPv6{Src: ip6A, Dst: ip6B}
		if v4 {
			ip = packet.IPv4{Src: ip4A, Dst: ip4B}
		}
		frame := packet.Build(eth, ip, packet.UDP{SrcPort: 1, DstPort: 2}, payload)
		want, _ := packet.Locate(frame)
		frags := packet.Fragment(frame, mtu, 0xbeef)
		if len(frags) == 1 {
			if !bytes.Equal(frags[0], frame) || len(frame)-packet.EtherLen > mtu {
				t.Fatal("one fragment that is not the frame, or does not fit")
			}
			return
		}
		got := make([]byte, len(frame)-want.L4)
		for i, f := range frags {
			if len(f)-packet.EtherLen > mtu {
				t.Fatalf("fragment of %d bytes, MTU %d", len(f)-packet.EtherLen, mtu)
			}
			l, err := packet.Locate(f)
			if err != nil || !l.Fragment || (l.L4 != 0) != (i == 0) {
				t.Fatalf("fragment %d: %+v, %v", i, l, err)
			}
			var off int
			var more bool
			var part []byte
			if v4 {
				h := packet.IPv4Header(f[packet.EtherLen:])
				off, more, part = h.FragmentOffset(), h.MoreFragments(), h.Payload()
				if !h.ChecksumOK() || h.ID() != 0xbeef {
					t.Fatalf("fragment %d: checksum or identification is wrong", i)
				}
			} else {
				h := packet.IPv6Header(f[packet.EtherLen:])
				fh := packet.IPv6Fragment(h[packet.IPv6Len:])
				off, more, part = fh.Offset(), fh.More(), h.Payload()[packet.IPv6FragmentLen:]
				if fh.ID() != 0xbeef || fh.NextHeader() != packet.ProtoUDP {
					t.Fatalf("fragment %d: identification or next header is wrong", i)
				}
			}
			if more != (i < len(frags)-1) {
				t.Fatalf("fragment %d of %d: more is %t", i, len(frags), more)
			}
			copy(got[off:], part)
		}
		if !bytes.Equal(got, frame[want.L4:]) {
			t.Fatal("put together again the datagram is another")
		}
	})
}

func TestBuildWrongPackets(t *testing.T) {
	bad := packet.IPv4Header(packet.Build(packet.IPv4{Src: ip4A, Dst: ip4B, BadChecksum: true}))
	if bad.ChecksumOK() {
		t.Error("BadChecksum made a right checksum")
	}
	for name, frame := range map[string][]byte{
		"total length": packet.Build(eth, packet.IPv4{TotalLen: 100}, packet.UDP{}),
		"short total":  packet.Build(eth, packet.IPv4{TotalLen: 19}, packet.UDP{}),
		"udp length":   packet.Build(eth, packet.IPv4{}, packet.UDP{Len: 7}),
		"tcp offset":   packet.Build(eth, packet.IPv4{}, packet.TCP{DataOffset: 4}),
		"v6 payload":   packet.Build(eth, packet.IPv6{PayloadLen: 9}, packet.UDP{}),
		"short":        packet.Build(eth)[:13],
		"short tag":    packet.Build(eth, packet.VLAN{})[:17],
		"arp":          packet.Build(eth, packet.ARP{})[:41],
		"icmp":         packet.Build(eth, packet.IPv4{Proto: packet.ProtoICMP}, packet.Fill(7)),
	} {
		if l, err := packet.Locate(frame); err == nil {
			t.Errorf("%s: Locate = %+v, want an error", name, l)
		}
	}
}

func TestTCPOptions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := packet.TCPOptions{
			MSS:           rapid.Uint16().Draw(t, "mss"),
			SACKPermitted: rapid.Bool().Draw(t, "sack"),
			HasScale:      rapid.Bool().Draw(t, "scale"),
			HasTimestamp:  rapid.Bool().Draw(t, "ts"),
		}
		if want.HasScale {
			want.WindowScale = rapid.Uint8Max(14).Draw(t, "shift")
		}
		if want.HasTimestamp {
			want.TSVal, want.TSEcr = rapid.Uint32().Draw(t, "val"), rapid.Uint32().Draw(t, "ecr")
		}
		h := packet.TCPHeader(packet.Build(packet.TCP{Options: want.Bytes()}))
		if got := packet.ParseTCPOptions(h.Options()); got != want {
			t.Fatalf("options %+v, want %+v", got, want)
		}
	})
	if got := packet.ParseTCPOptions([]byte{3, 3, 200}); got.WindowScale != 14 {
		t.Errorf("shift %d, want 14 as RFC 7323 says", got.WindowScale)
	}
}

func TestParseMAC(t *testing.T) {
	for s, ok := range map[string]bool{
		"02:00:5e:10:00:ff": true, "02-00-5E-10-00-FF": true, "02:00:5e:10:00-ff": false,
		"02:00:5e:10:00": false, "0g:00:5e:10:00:ff": false, "": false, "02.00.5e.10.00.ff": false,
	} {
		if m, got := packet.ParseMAC(s); got != ok || ok && m.String() != "02:00:5e:10:00:ff" {
			t.Errorf("ParseMAC(%q) = %v, %t", s, m, got)
		}
	}
	if m := packet.MustMAC("02:00:5e:10:00:ff"); m.Uint64() != 0x02005e1000ff || m.IsGroup() || m.IsZero() {
		t.Errorf("MAC %v: %#x", m, m.Uint64())
	}
}
