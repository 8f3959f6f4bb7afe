package packet_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/packet/check"
)

func dhcpConfig() *packet.DHCPConfig {
	return &packet.DHCPConfig{
		Client: macA, Addr: ip4A, PrefixLen: 24, Router: packet.MustIP("10.0.0.1"), RouterMAC: macB,
		DNS: packet.MustIP("10.0.0.2"), MTU: 9001,
	}
}

// answer sends one message of a client and returns the frame of the reply.
func answer(t testing.TB, c *packet.DHCPConfig, m packet.DHCP) ([]byte, packet.DHCPVerdict) {
	t.Helper()
	buf := packet.Pad(packet.Build(m), packet.DHCPReplyMax) // in place
	n, v := c.Reply(buf, buf)
	if (n != 0) != (v == packet.DHCPReplied) {
		t.Fatalf("%d bytes with verdict %d", n, v)
	}
	return buf[:n], v
}

func options(t testing.TB, frame []byte) (*layers.DHCPv4, map[layers.DHCPOpt][]byte) {
	t.Helper()
	d, ok := decode(t, frame).Layer(layers.LayerTypeDHCPv4).(*layers.DHCPv4)
	if !ok {
		t.Fatal("gopacket sees no DHCP")
	}
	m := map[layers.DHCPOpt][]byte{}
	for _, o := range d.Options {
		m[o.Type] = o.Data
	}
	return d, m
}

func TestDHCPExchange(t *testing.T) {
	c := dhcpConfig()
	offer, v := answer(t, c, packet.DHCP{Type: packet.DHCPDiscover, XID: 0xabcd, Client: macA, ClientID: []byte{1, 2, 3}, Parameters: []byte{1, 3, 26}})
	if v != packet.DHCPReplied {
		t.Fatalf("discover: verdict %d", v)
	}
	check.IPv4(t, offer, check.EtherSrc(macB), check.EtherDst(macA), check.Src("10.0.0.1"), check.Dst("10.0.0.4"),
		check.UDP(check.SrcPort(67), check.DstPort(68)))
	d, o := options(t, offer)
	if d.Xid != 0xabcd || !d.YourClientIP.Equal(ip4A.AsSlice()) || !bytes.Equal(d.ClientHWAddr, macA[:]) || d.Operation != layers.DHCPOpReply {
		t.Errorf("offer %+v", d)
	}
	for opt, want := range map[layers.DHCPOpt][]byte{
		layers.DHCPOptMessageType:  {byte(packet.DHCPOffer)},
		layers.DHCPOptServerID:     {10, 0, 0, 1},
		layers.DHCPOptSubnetMask:   {255, 255, 255, 0},
		layers.DHCPOptRouter:       {10, 0, 0, 1},
		layers.DHCPOptDNS:          {10, 0, 0, 2},
		layers.DHCPOptInterfaceMTU: {0x23, 0x29},
		layers.DHCPOptLeaseTime:    {0, 1, 0x51, 0x80},
		layers.DHCPOptT1:           {0, 0, 0xa8, 0xc0},
		layers.DHCPOptT2:           {0, 1, 0x27, 0x50},
		layers.DHCPOptClientID:     {1, 2, 3},
	} {
		if !bytes.Equal(o[opt], want) {
			t.Errorf("option %v is %v, want %v", opt, o[opt], want)
		}
	}
	ack, v := answer(t, c, packet.DHCP{Type: packet.DHCPRequest, XID: 0xabcd, Client: macA,
		Requested: ip4A, ServerID: packet.MustIP("10.0.0.1")})
	if v != packet.DHCPReplied {
		t.Fatalf("request: verdict %d", v)
	}
	if _, o := options(t, ack); !bytes.Equal(o[layers.DHCPOptMessageType], []byte{byte(packet.DHCPAck)}) {
		t.Errorf("request was answered by %v", o)
	}
}

// The addresses of a reply, and what it is, for each state a client can be in
// (RFC 2131 sec. 4.1 and table 4).
func TestDHCPStates(t *testing.T) {
	other, server := packet.MustIP("10.0.0.9"), packet.MustIP("10.0.0.1")
	everybody, toAll := packet.Broadcast, "255.255.255.255"
	for _, c := range []struct {
		name    string
		msg     packet.DHCP
		verdict packet.DHCPVerdict
		want    packet.DHCPType
		dst     string
		mac     packet.MAC
		lease   bool
		yiaddr  bool
	}{
		{"discover", packet.DHCP{Type: packet.DHCPDiscover}, packet.DHCPReplied, packet.DHCPOffer, "10.0.0.4", macA, true, true},
		{"discover, broadcast", packet.DHCP{Type: packet.DHCPDiscover, Broadcast: true}, packet.DHCPReplied, packet.DHCPOffer, toAll, everybody, true, true},
		{"discover for another address", packet.DHCP{Type: packet.DHCPDiscover, Requested: other}, packet.DHCPReplied, packet.DHCPOffer, "10.0.0.4", macA, true, true},
		{"discover with ciaddr", packet.DHCP{Type: packet.DHCPDiscover, CIAddr: other, Broadcast: true}, packet.DHCPReplied, packet.DHCPOffer, toAll, everybody, true, true},
		{"selecting", packet.DHCP{Type: packet.DHCPRequest, ServerID: server, Requested: ip4A}, packet.DHCPReplied, packet.DHCPAck, "10.0.0.4", macA, true, true},
		{"selecting another server", packet.DHCP{Type: packet.DHCPRequest, ServerID: other, Requested: ip4A}, packet.DHCPConsumed, 0, "", macA, false, false},
		{"selecting a wrong address", packet.DHCP{Type: packet.DHCPRequest, ServerID: server, Requested: other}, packet.DHCPReplied, packet.DHCPNak, toAll, everybody, false, false},
		{"selecting nothing", packet.DHCP{Type: packet.DHCPRequest, ServerID: server}, packet.DHCPMalformed, 0, "", macA, false, false},
		{"init-reboot", packet.DHCP{Type: packet.DHCPRequest, Requested: ip4A, Broadcast: true}, packet.DHCPReplied, packet.DHCPAck, toAll, everybody, true, true},
		{"init-reboot elsewhere", packet.DHCP{Type: packet.DHCPRequest, Requested: other}, packet.DHCPReplied, packet.DHCPNak, toAll, everybody, false, false},
		{"renewing", packet.DHCP{Type: packet.DHCPRequest, CIAddr: ip4A}, packet.DHCPReplied, packet.DHCPAck, "10.0.0.4", macA, true, true},
		{"renewing, broadcast", packet.DHCP{Type: packet.DHCPRequest, CIAddr: ip4A, Broadcast: true}, packet.DHCPReplied, packet.DHCPAck, "10.0.0.4", macA, true, true},
		{"renewing a wrong address", packet.DHCP{Type: packet.DHCPRequest, CIAddr: other}, packet.DHCPReplied, packet.DHCPNak, toAll, everybody, false, false},
		{"request for nothing", packet.DHCP{Type: packet.DHCPRequest}, packet.DHCPMalformed, 0, "", macA, false, false},
		{"inform", packet.DHCP{Type: packet.DHCPInform, CIAddr: other}, packet.DHCPReplied, packet.DHCPAck, "10.0.0.9", macA, false, false},
		{"inform from nowhere", packet.DHCP{Type: packet.DHCPInform}, packet.DHCPMalformed, 0, "", macA, false, false},
		{"release", packet.DHCP{Type: packet.DHCPRelease, CIAddr: ip4A}, packet.DHCPConsumed, 0, "", macA, false, false},
		{"decline", packet.DHCP{Type: packet.DHCPDecline, Requested: ip4A}, packet.DHCPConsumed, 0, "", macA, false, false},
		{"relayed", packet.DHCP{Type: packet.DHCPDiscover, GIAddr: other}, packet.DHCPConsumed, 0, "", macA, false, false},
		{"another client", packet.DHCP{Type: packet.DHCPDiscover, Client: macB}, packet.DHCPConsumed, 0, "", macA, false, false},
		{"a server's message", packet.DHCP{Type: packet.DHCPOffer}, packet.DHCPMalformed, 0, "", macA, false, false},
		{"a reply", packet.DHCP{Op: 2, Type: packet.DHCPDiscover}, packet.DHCPMalformed, 0, "", macA, false, false},
		{"BOOTP", packet.DHCP{}, packet.DHCPMalformed, 0, "", macA, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.msg.Client.IsZero() {
				c.msg.Client = macA
			}
			frame, v := answer(t, dhcpConfig(), c.msg)
			if v != c.verdict {
				t.Fatalf("verdict %d, want %d", v, c.verdict)
			}
			if v != packet.DHCPReplied {
				return
			}
			check.IPv4(t, frame, check.Dst(c.dst), check.EtherDst(c.mac), check.Src("10.0.0.1"))
			d, o := options(t, frame)
			if got := o[layers.DHCPOptMessageType]; len(got) != 1 || packet.DHCPType(got[0]) != c.want {
				t.Errorf("type %v, want %d", got, c.want)
			}
			if (o[layers.DHCPOptLeaseTime] != nil) != c.lease || (binary.BigEndian.Uint32(d.YourClientIP) != 0) != c.yiaddr {
				t.Errorf("lease %v, yiaddr %v", o[layers.DHCPOptLeaseTime], d.YourClientIP)
			}
			if c.want == packet.DHCPNak && (o[layers.DHCPOptRouter] != nil || !bytes.Equal(d.ClientIP, []byte{0, 0, 0, 0})) {
				t.Errorf("a NAK gives nothing: %+v", d)
			}
			if len(d.Contents) < 300 {
				t.Errorf("message of %d bytes, want at least BOOTP's 300", len(d.Contents))
			}
		})
	}
}

func TestDHCPLeaseTimes(t *testing.T) {
	for lease, want := range map[uint32][3]uint32{
		0:          {packet.DefaultDHCPLease, 43200, 75600},
		3600:       {3600, 1800, 3150},
		0xfffffffe: {0xfffffffe, 0x7fffffff, 0xdffffffe},
		0xffffffff: {0xffffffff, 0xffffffff, 0xffffffff},
	} {
		c := dhcpConfig()
		c.Lease, c.DNS, c.MTU = lease, netip.Addr{}, 0
		frame, _ := answer(t, c, packet.DHCP{Type: packet.DHCPDiscover, Client: macA})
		_, o := options(t, frame)
		got := [3]uint32{binary.BigEndian.Uint32(o[layers.DHCPOptLeaseTime]), binary.BigEndian.Uint32(o[layers.DHCPOptT1]), binary.BigEndian.Uint32(o[layers.DHCPOptT2])}
		if got != want {
			t.Errorf("lease %d: %v, want %v", lease, got, want)
		}
		if o[layers.DHCPOptDNS] != nil || o[layers.DHCPOptInterfaceMTU] != nil {
			t.Error("options that are not configured were sent")
		}
	}
}

func TestDHCPDecode(t *testing.T) {
	parse := func(b []byte) (packet.DHCPMessage, error) {
		var m packet.DHCPMessage
		err := packet.ParseDHCP(b, &m)
		return m, err
	}
	discover := packet.DHCP{Type: packet.DHCPDiscover, Client: macA}
	with := func(opts ...byte) []byte { d := discover; d.Options = opts; return packet.Build(d) }

	m, err := parse(with(55, 2, 1, 200, 55, 1, 3, 61, 2, 9, 8, 61, 1, 7, 0, 0, 77, 0))
	if err != nil || !m.Wants(1) || !m.Wants(3) || !m.Wants(200) || m.Wants(2) || !bytes.Equal(m.ClientID(), []byte{9, 8, 7}) {
		t.Errorf("options in parts: %v, %v, id %v", err, m.Wanted, m.ClientID())
	}
	noEnd := bytes.TrimRight(packet.Build(discover), "\x00")
	if m, err = parse(noEnd[:len(noEnd)-1]); err != nil || m.Type != packet.DHCPDiscover {
		t.Errorf("without an end: %v", err)
	}

	// Option 52 sends the reader to file, then to sname; what stands there in
	// option 52 again is of no effect.
	over := packet.Build(packet.DHCP{Client: macA, Options: []byte{52, 1, 3}})
	copy(over[108:], []byte{53, 1, 3, 52, 1, 1, 255})
	copy(over[44:], []byte{50, 4, 10, 0, 0, 4, 255})
	if m, err = parse(over); err != nil || m.Type != packet.DHCPRequest || m.Requested != 0x0a000004 {
		t.Errorf("overloaded: %v, %+v", err, m.Requested)
	}
	over[242] = 1
	if m, err = parse(over); err != nil || m.Requested != 0 {
		t.Errorf("sname was read though option 52 names file only: %v", err)
	}

	bad := func(at int, v byte) []byte { b := packet.Build(discover); b[at] = v; return b }
	longID := append([]byte{61, 250}, make([]byte, 250)...)
	for _, c := range []struct {
		name string
		msg  []byte
		want error
	}{
		{"short", packet.Build(discover)[:239], packet.ErrDHCPTruncated},
		{"empty", nil, packet.ErrDHCPTruncated},
		{"hardware type", bad(1, 6), packet.ErrDHCPNotBOOTP},
		{"hardware length", bad(2, 8), packet.ErrDHCPNotBOOTP},
		{"op", bad(0, 2), packet.ErrDHCPNotBOOTP},
		{"cookie", bad(236, 0), packet.ErrDHCPCookie},
		{"no type", packet.Build(packet.DHCP{}), packet.ErrDHCPType},
		{"unknown type", with(53, 1, 1)[:240], packet.ErrDHCPType},
		{"type twice", with(53, 1, 1), packet.ErrDHCPOption},
		{"address of 3 bytes", with(50, 3, 1, 2, 3), packet.ErrDHCPOption},
		{"address twice", with(50, 4, 1, 2, 3, 4, 50, 4, 1, 2, 3, 4), packet.ErrDHCPOption},
		{"server id twice", with(54, 4, 1, 2, 3, 4, 54, 4, 1, 2, 3, 4), packet.ErrDHCPOption},
		{"overload of nothing", with(52, 1, 0), packet.ErrDHCPOption},
		{"client id beyond 255", with(append(longID, longID...)...), packet.ErrDHCPOption},
		{"option truncated", append(packet.Build(discover)[:243], 50, 4, 1), packet.ErrDHCPTruncated},
		{"option without length", append(packet.Build(discover)[:243], 50), packet.ErrDHCPTruncated},
	} {
		if _, err := parse(c.msg); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// Whatever the configuration and the client say, the reply fits its bounds and
// is a good packet.
func TestDHCPReplyBounds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := dhcpConfig()
		c.MTU = rapid.Uint16().Draw(rt, "mtu")
		c.Lease = rapid.Uint32().Draw(rt, "lease")
		c.PrefixLen = rapid.IntRange(0, 32).Draw(rt, "prefix")
		frame, v := answer(t, c, packet.DHCP{
			Type:      rapid.SampledFrom([]packet.DHCPType{packet.DHCPDiscover, packet.DHCPRequest, packet.DHCPInform}).Draw(rt, "type"),
			Client:    macA,
			Broadcast: rapid.Bool().Draw(rt, "broadcast"),
			CIAddr:    rapid.SampledFrom([]netip.Addr{{}, ip4A, ip4B}).Draw(rt, "ciaddr"),
			Requested: rapid.SampledFrom([]netip.Addr{{}, ip4A, ip4B}).Draw(rt, "requested"),
			ClientID:  rapid.SliceOfN(rapid.Byte(), 0, 255).Draw(rt, "id"),
		})
		if v != packet.DHCPReplied {
			return
		}
		if len(frame) > packet.DHCPReplyMax || len(frame)-packet.EtherLen > 576 {
			rt.Fatalf("reply of %d bytes", len(frame))
		}
		check.IPv4(t, frame)
	})
}

func TestDHCPReplyNeedsRoom(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a buffer that is too short was accepted")
		}
	}()
	dhcpConfig().Reply(make([]byte, packet.DHCPReplyMax-1, 2*packet.DHCPReplyMax), packet.Build(packet.DHCP{Type: packet.DHCPRelease, Client: macA}))
}

func TestDHCPTypeNames(t *testing.T) {
	if packet.DHCPInform.String() != "inform" || packet.DHCPType(200).String() != "unknown" {
		t.Error(packet.DHCPInform, packet.DHCPType(200))
	}
}
