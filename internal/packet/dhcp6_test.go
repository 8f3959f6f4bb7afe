package packet_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/packet/check"
)

var (
	routerLL = packet.MustIP("fe80::b")
	guestLL  = packet.MustIP("fe80::a")
	client   = []byte{0, 1, 0, 1, 9, 9, 9, 9, 2, 0, 0, 0, 0, 0x0a}
	server   = []byte{0, 3, 0, 1, 2, 0, 0, 0, 0, 0x0b} // DUID-LL of macB
)

func dhcp6Config() *packet.DHCP6Config {
	return &packet.DHCP6Config{
		Addrs: [][16]byte{ip6A.As16(), packet.MustIP("2001:db8::5").As16()}, Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8:0:0:7::/80")},
		Router: routerLL, RouterMAC: macB, DNS: packet.MustIP("fd00:ec2::253"),
	}
}

// dhcp6IA is what an answer says of an association.
type dhcp6IA struct {
	id, t1, t2 uint32
	addrs      map[string]uint32 // valid lifetimes
	status     int               // -1: none
}

// dhcp6Answer is an answer, read by gopacket as far as that goes.
type dhcp6Answer struct {
	*layers.DHCPv6
	opts   map[layers.DHCPv6Opt][]byte
	status int // -1: none
	ias    []dhcp6IA
}

func status(val []byte) int { return int(binary.BigEndian.Uint16(val)) }

func readDHCP6(t testing.TB, frame []byte) dhcp6Answer {
	t.Helper()
	d, ok := decode(t, frame).Layer(layers.LayerTypeDHCPv6).(*layers.DHCPv6)
	if !ok {
		t.Fatalf("gopacket sees no DHCPv6 in %x", frame)
	}
	a := dhcp6Answer{d, map[layers.DHCPv6Opt][]byte{}, -1, nil}
	for _, o := range d.Options {
		switch o.Code {
		case layers.DHCPv6OptStatusCode:
			a.status = status(o.Data)
		case layers.DHCPv6OptIANA, layers.DHCPv6OptIATA, 25:
			ia := dhcp6IA{id: binary.BigEndian.Uint32(o.Data), addrs: map[string]uint32{}, status: -1}
			rest := o.Data[4:]
			if o.Code != layers.DHCPv6OptIATA {
				ia.t1, ia.t2, rest = binary.BigEndian.Uint32(rest), binary.BigEndian.Uint32(rest[4:]), rest[8:]
			}
			for len(rest) > 0 {
				code, n := binary.BigEndian.Uint16(rest), int(binary.BigEndian.Uint16(rest[2:]))
				switch val := rest[4 : 4+n]; code {
				case 5:
					ia.addrs[netip.AddrFrom16([16]byte(val)).String()] = binary.BigEndian.Uint32(val[20:])
				case 13:
					ia.status = status(val)
				}
				rest = rest[4+n:]
			}
			a.ias = append(a.ias, ia)
		default:
			if a.opts[o.Code] != nil {
				t.Errorf("option %v comes twice", o.Code)
			}
			a.opts[o.Code] = append([]byte{}, o.Data...)
		}
	}
	return a
}

// ask6 sends a client's message and returns the frame of the reply.
func ask6(t testing.TB, c *packet.DHCP6Config, m packet.DHCP6) ([]byte, packet.DHCPVerdict) {
	t.Helper()
	msg := packet.Build(m)
	buf := packet.Pad(msg, packet.DHCP6ReplyMax) // in place
	n, v := c.Reply(buf, buf[:len(msg)], macA, guestLL.As16())
	if (n != 0) != (v == packet.DHCPReplied) {
		t.Fatalf("%d bytes with verdict %d", n, v)
	}
	return buf[:n], v
}

func TestDHCP6Answers(t *testing.T) {
	one := packet.DHCP6Association{ID: 7}
	with := func(addrs ...string) []packet.DHCP6Association {
		ia := one
		for _, a := range addrs {
			ia.Addrs = append(ia.Addrs, packet.MustIP(a))
		}
		return []packet.DHCP6Association{ia}
	}
	all := map[string]uint32{"2001:db8::4": 86400, "2001:db8::5": 86400}
	full := dhcp6IA{7, 43200, 69120, all, -1}
	for _, c := range []struct {
		name   string
		m      packet.DHCP6
		typ    layers.DHCPv6MsgType
		status int
		ias    []dhcp6IA
	}{
		{"solicit", packet.DHCP6{Type: packet.DHCP6Solicit, Associations: with()}, layers.DHCPv6MsgTypeAdverstise, -1, []dhcp6IA{full}},
		{"rapid commit", packet.DHCP6{Type: packet.DHCP6Solicit, RapidCommit: true, Associations: with()}, layers.DHCPv6MsgTypeReply, -1, []dhcp6IA{full}},
		{"solicit with a wish", packet.DHCP6{Type: packet.DHCP6Solicit, Associations: with("2001:db8::99")}, layers.DHCPv6MsgTypeAdverstise, -1, []dhcp6IA{full}},
		{"request", packet.DHCP6{Type: packet.DHCP6Request, ServerID: server, Associations: with("2001:db8::4")}, layers.DHCPv6MsgTypeReply, -1, []dhcp6IA{full}},
		{"request of another's address", packet.DHCP6{Type: packet.DHCP6Request, ServerID: server, Associations: with("2001:db8::99")}, layers.DHCPv6MsgTypeReply, -1,
			[]dhcp6IA{{7, 0, 0, map[string]uint32{}, 4}}},
		{"renew", packet.DHCP6{Type: packet.DHCP6Renew, ServerID: server, Associations: with("2001:db8::4", "2001:db8::5")}, layers.DHCPv6MsgTypeReply, -1, []dhcp6IA{full}},
		{"renew of an address that is gone", packet.DHCP6{Type: packet.DHCP6Renew, ServerID: server, Associations: with("2001:db8::99")}, layers.DHCPv6MsgTypeReply, -1,
			[]dhcp6IA{{7, 43200, 69120, map[string]uint32{"2001:db8::4": 86400, "2001:db8::5": 86400, "2001:db8::99": 0}, -1}}},
		{"rebind", packet.DHCP6{Type: packet.DHCP6Rebind, Associations: with("2001:db8:0:0:7::1")}, layers.DHCPv6MsgTypeReply, -1, []dhcp6IA{full}},
		{"confirm", packet.DHCP6{Type: packet.DHCP6Confirm, Associations: with("2001:db8::5", "2001:db8:0:0:7::1")}, layers.DHCPv6MsgTypeReply, 0, nil},
		{"confirm after a move", packet.DHCP6{Type: packet.DHCP6Confirm, Associations: with("2001:db8::5", "2001:db8::6")}, layers.DHCPv6MsgTypeReply, 4, nil},
		{"release", packet.DHCP6{Type: packet.DHCP6Release, ServerID: server, Associations: with("2001:db8::4")}, layers.DHCPv6MsgTypeReply, 0, nil},
		{"decline", packet.DHCP6{Type: packet.DHCP6Decline, ServerID: server, Associations: with("2001:db8::4")}, layers.DHCPv6MsgTypeReply, 0, nil},
		{"information", packet.DHCP6{Type: packet.DHCP6Information}, layers.DHCPv6MsgTypeReply, -1, nil},
		{"all kinds of associations", packet.DHCP6{Type: packet.DHCP6Solicit, Associations: []packet.DHCP6Association{{Option: 25, ID: 1}, {Option: 4, ID: 2}, {ID: 3}, {ID: 4}}},
			layers.DHCPv6MsgTypeAdverstise, -1, []dhcp6IA{{1, 0, 0, map[string]uint32{}, 6}, {2, 0, 0, map[string]uint32{}, 2}, {3, 43200, 69120, all, -1}, {4, 0, 0, map[string]uint32{}, 2}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.m.ClientID, c.m.Transaction, c.m.Wants = client, 0xabcdef, []uint16{24, 23}
			frame, v := ask6(t, dhcp6Config(), c.m)
			if v != packet.DHCPReplied {
				t.Fatalf("verdict %d", v)
			}
			check.IPv6(t, frame, check.EtherSrc(macB), check.EtherDst(macA), check.Src("fe80::b"), check.Dst("fe80::a"), check.UDP(check.SrcPort(547), check.DstPort(546)))
			a := readDHCP6(t, frame)
			if a.MsgType != c.typ || !bytes.Equal(a.TransactionID, []byte{0xab, 0xcd, 0xef}) || a.status != c.status {
				t.Errorf("%v, transaction %x, status %d", a.MsgType, a.TransactionID, a.status)
			}
			if !bytes.Equal(a.opts[layers.DHCPv6OptClientID], client) || !bytes.Equal(a.opts[layers.DHCPv6OptServerID], server) {
				t.Errorf("client %x, server %x", a.opts[layers.DHCPv6OptClientID], a.opts[layers.DHCPv6OptServerID])
			}
			if dns := a.opts[layers.DHCPv6OptDNSServers]; !bytes.Equal(dns, packet.MustIP("fd00:ec2::253").AsSlice()) {
				t.Errorf("resolver %x", dns)
			}
			if _, rapid := a.opts[layers.DHCPv6OptRapidCommit]; rapid != c.m.RapidCommit {
				t.Errorf("rapid commit %v", rapid)
			}
			if p := a.opts[layers.DHCPv6OptPreference]; bytes.Equal(p, []byte{255}) != (c.typ == layers.DHCPv6MsgTypeAdverstise) {
				t.Errorf("preference %x", p)
			}
			if !slices.EqualFunc(a.ias, c.ias, func(a, b dhcp6IA) bool {
				return a.id == b.id && a.t1 == b.t1 && a.t2 == b.t2 && a.status == b.status && equalMaps(a.addrs, b.addrs)
			}) {
				t.Errorf("associations %+v, want %+v", a.ias, c.ias)
			}
		})
	}
}

func equalMaps(a, b map[string]uint32) bool {
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return len(a) == len(b)
}

// What the client did not ask for is not told, and what is not there neither.
func TestDHCP6LeavesOut(t *testing.T) {
	c := dhcp6Config()
	frame, _ := ask6(t, c, packet.DHCP6{Type: packet.DHCP6Information, ClientID: client, Wants: []uint16{24}})
	if a := readDHCP6(t, frame); len(a.opts) != 2 {
		t.Errorf("options %v", a.opts)
	}
	frame, _ = ask6(t, c, packet.DHCP6{Type: packet.DHCP6Information, Wants: []uint16{23}})
	if a := readDHCP6(t, frame); len(a.opts) != 2 || a.opts[layers.DHCPv6OptClientID] != nil {
		t.Errorf("options %v", a.opts)
	}
	c.DNS, c.Lease = netip.Addr{}, 100
	frame, _ = ask6(t, c, packet.DHCP6{Type: packet.DHCP6Solicit, ClientID: client, Wants: []uint16{23}, Associations: []packet.DHCP6Association{{ID: 1}}})
	if a := readDHCP6(t, frame); a.opts[layers.DHCPv6OptDNSServers] != nil || a.ias[0].t1 != 50 || a.ias[0].t2 != 80 || a.ias[0].addrs["2001:db8::4"] != 100 {
		t.Errorf("options %v, %+v", a.opts, a.ias)
	}
}

func TestDHCP6Silence(t *testing.T) {
	other := append([]byte{}, server...)
	other[9]++
	one := []packet.DHCP6Association{{ID: 1}}
	for _, c := range []struct {
		name string
		m    packet.DHCP6
		want packet.DHCPVerdict
		err  error
	}{
		{"another server's request", packet.DHCP6{Type: packet.DHCP6Request, ClientID: client, ServerID: other, Associations: one}, packet.DHCPConsumed, nil},
		{"another server's information", packet.DHCP6{Type: packet.DHCP6Information, ServerID: other}, packet.DHCPConsumed, nil},
		{"nothing to confirm", packet.DHCP6{Type: packet.DHCP6Confirm, ClientID: client, Associations: one}, packet.DHCPConsumed, nil},
		{"solicit without a client", packet.DHCP6{Type: packet.DHCP6Solicit, Associations: one}, 0, packet.ErrDHCP6Missing},
		{"solicit to a server", packet.DHCP6{Type: packet.DHCP6Solicit, ClientID: client, ServerID: server}, 0, packet.ErrDHCP6Option},
		{"rebind to a server", packet.DHCP6{Type: packet.DHCP6Rebind, ClientID: client, ServerID: server}, 0, packet.ErrDHCP6Option},
		{"confirm to a server", packet.DHCP6{Type: packet.DHCP6Confirm, ClientID: client, ServerID: server}, 0, packet.ErrDHCP6Option},
		{"request to no server", packet.DHCP6{Type: packet.DHCP6Request, ClientID: client}, 0, packet.ErrDHCP6Missing},
		{"renew to no server", packet.DHCP6{Type: packet.DHCP6Renew, ClientID: client}, 0, packet.ErrDHCP6Missing},
		{"release to no server", packet.DHCP6{Type: packet.DHCP6Release, ClientID: client}, 0, packet.ErrDHCP6Missing},
		{"decline to no server", packet.DHCP6{Type: packet.DHCP6Decline, ClientID: client}, 0, packet.ErrDHCP6Missing},
		{"information about addresses", packet.DHCP6{Type: packet.DHCP6Information, Associations: one}, 0, packet.ErrDHCP6Option},
		{"advertise", packet.DHCP6{Type: packet.DHCP6Advertise, ClientID: client, ServerID: server}, 0, packet.ErrDHCP6Type},
		{"relayed", packet.DHCP6{Type: 12, ClientID: client}, 0, packet.ErrDHCP6Type},
		{"empty client", packet.DHCP6{Type: packet.DHCP6Solicit, ClientID: []byte{0, 1}}, 0, packet.ErrDHCP6Option},
		{"long client", packet.DHCP6{Type: packet.DHCP6Solicit, ClientID: make([]byte, 131)}, 0, packet.ErrDHCP6Option},
		{"client twice", packet.DHCP6{Type: packet.DHCP6Solicit, ClientID: client, Options: []byte{0, 1, 0, 3, 1, 2, 3}}, 0, packet.ErrDHCP6Option},
		{"elapsed twice", packet.DHCP6{Type: packet.DHCP6Solicit, ClientID: client, Options: []byte{0, 8, 0, 2, 0, 0}}, 0, packet.ErrDHCP6Option},
		{"rapid commit with a value", packet.DHCP6{Type: packet.DHCP6Solicit, ClientID: client, Options: []byte{0, 14, 0, 1, 0}}, 0, packet.ErrDHCP6Option},
		{"half a requested option", packet.DHCP6{Type: packet.DHCP6Solicit, ClientID: client, Options: []byte{0, 6, 0, 1, 0}}, 0, packet.ErrDHCP6Option},
		{"address in no association", packet.DHCP6{Type: packet.DHCP6Solicit, ClientID: client, Options: append([]byte{0, 5, 0, 24}, make([]byte, 24)...)}, 0, packet.ErrDHCP6Option},
		{"short association", packet.DHCP6{Type: packet.DHCP6Solicit, ClientID: client, Options: []byte{0, 3, 0, 4, 0, 0, 0, 1}}, 0, packet.ErrDHCP6Option},
		{"short address", packet.DHCP6{Type: packet.DHCP6Solicit, ClientID: client, Options: append([]byte{0, 3, 0, 17, 15: 0}, 0, 5, 0, 1, 0)}, 0, packet.ErrDHCP6Option},
		{"cut off inside an association", packet.DHCP6{Type: packet.DHCP6Solicit, ClientID: client, Options: append([]byte{0, 3, 0, 14, 15: 0}, 0, 5)}, 0, packet.ErrDHCP6Truncated},
		{"cut off", packet.DHCP6{Type: packet.DHCP6Solicit, ClientID: client, Options: []byte{0, 99, 0, 4, 1}}, 0, packet.ErrDHCP6Truncated},
		{"five associations", packet.DHCP6{Type: packet.DHCP6Solicit, ClientID: client, Associations: slices.Repeat(one, 5)}, 0, packet.ErrDHCP6TooMuch},
		{"nine addresses", packet.DHCP6{Type: packet.DHCP6Renew, ClientID: client, ServerID: server, Associations: []packet.DHCP6Association{{Addrs: slices.Repeat([]netip.Addr{ip6A}, 9)}}}, 0, packet.ErrDHCP6TooMuch},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, v := ask6(t, dhcp6Config(), c.m); v != c.want {
				t.Errorf("verdict %d, want %d", v, c.want)
			}
			var m packet.DHCP6Message
			if err := packet.ParseDHCP6(packet.Build(c.m), &m); !errors.Is(err, c.err) || err != nil && !strings.HasPrefix(err.Error(), "dhcp6: ") {
				t.Errorf("%v, want %v", err, c.err)
			}
		})
	}
	var m packet.DHCP6Message
	if err := packet.ParseDHCP6([]byte{1, 2, 3}, &m); !errors.Is(err, packet.ErrDHCP6Truncated) {
		t.Error(err)
	}
}

// However much a client asks for and an ENI has, the answer has room: the longest
// is exactly as long as is said, and an answer in place has it in every buffer.
func TestDHCP6ReplyBounds(t *testing.T) {
	longest := 0
	c := dhcp6Config()
	for i := range 40 {
		c.Addrs = append(c.Addrs, packet.MustIP("2001:db8::1:0").As16())
		c.Addrs[len(c.Addrs)-1][15] = byte(i)
	}
	rapid.Check(t, func(t *rapid.T) {
		m := packet.DHCP6{
			Type:        rapid.SampledFrom([]packet.DHCP6Type{packet.DHCP6Solicit, packet.DHCP6Request, packet.DHCP6Renew, packet.DHCP6Rebind}).Draw(t, "type"),
			ClientID:    make([]byte, rapid.SampledFrom([]int{3, 130}).Draw(t, "client")),
			RapidCommit: rapid.Bool().Draw(t, "rapid"), Wants: []uint16{23},
		}
		if m.Type == packet.DHCP6Request || m.Type == packet.DHCP6Renew {
			m.ServerID = server
		}
		left := 8
		for i := range rapid.SampledFrom([]int{0, 1, 4, 4, 4}).Draw(t, "associations") {
			ia := packet.DHCP6Association{ID: uint32(i)}
			n := rapid.SampledFrom([]int{0, left}).Draw(t, "addresses")
			left -= n
			ia.Addrs = slices.Repeat([]netip.Addr{packet.MustIP("2001:db8::99")}, n)
			m.Associations = append(m.Associations, ia)
		}
		msg := packet.Build(m)
		buf := make([]byte, packet.DHCP6ReplyMax)
		n, _ := c.Reply(buf, msg, macA, guestLL.As16())
		longest = max(longest, n)
		if n != 0 {
			_ = readUDP6(t, buf[:n])
		}
	})
	if packet.DHCP6ReplyMax > 1024 || longest != packet.DHCP6ReplyMax {
		t.Errorf("the longest answer had %d bytes of %d", longest, packet.DHCP6ReplyMax)
	}
}

func TestDHCP6ReplyNeedsRoom(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a short buffer must panic")
		}
	}()
	dhcp6Config().Reply(make([]byte, packet.DHCP6ReplyMax-1), nil, macA, guestLL.As16())
}

func FuzzDHCP6(f *testing.F) {
	for _, m := range []packet.DHCP6{
		{Type: packet.DHCP6Solicit, ClientID: client, Wants: []uint16{23}, Associations: []packet.DHCP6Association{{ID: 1}, {Option: 25}}},
		{Type: packet.DHCP6Renew, ClientID: client, ServerID: server, Associations: []packet.DHCP6Association{{ID: 1, Addrs: []netip.Addr{ip6A, ip6B}}}},
		{Type: packet.DHCP6Confirm, ClientID: client, Associations: []packet.DHCP6Association{{Option: 4, Addrs: []netip.Addr{ip6A}}}},
		{Type: packet.DHCP6Information, RapidCommit: true},
	} {
		f.Add(packet.Build(m))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		var m, again packet.DHCP6Message
		err := packet.ParseDHCP6(msg, &m)
		if packet.ParseDHCP6(msg, &again) != err || again != m {
			t.Fatal("two readings of one message differ")
		}
		c := dhcp6Config()
		own := bytes.Clone(msg)
		buf := make([]byte, packet.DHCP6ReplyMax)
		n, v := c.Reply(buf, msg, macA, guestLL.As16())
		if !bytes.Equal(own, msg) {
			t.Fatal("the request was changed")
		}
		if (v == packet.DHCPReplied) != (n != 0) || (err != nil) != (v == packet.DHCPMalformed) {
			t.Fatalf("%d bytes, verdict %d, %v", n, v, err)
		}
		if n != 0 {
			check.IPv6(t, buf[:n], check.UDP(check.SrcPort(547), check.DstPort(546)))
		}
		inPlace := packet.Pad(msg, packet.DHCP6ReplyMax)
		if n2, _ := c.Reply(inPlace, inPlace[:len(msg)], macA, guestLL.As16()); n2 != n || !bytes.Equal(inPlace[:n], buf[:n]) {
			t.Fatal("a reply in place differs")
		}
	})
}

// readUDP6 returns the payload of a UDP datagram, all of whose lengths agree.
func readUDP6(t *rapid.T, frame []byte) []byte {
	ip := packet.IPv6Header(frame[packet.EtherLen:])
	if !ip.IsValid() || int(ip.PayloadLen()) != len(ip)-packet.IPv6Len || ip.TransportSum(packet.ProtoUDP, ip.Payload()) != 0xffff {
		t.Fatalf("a bad datagram: %x", frame)
	}
	udp := packet.UDPHeader(ip.Payload())
	if int(udp.Len()) != len(udp) {
		t.Fatalf("the datagram has %d bytes and says %d", len(udp), udp.Len())
	}
	return udp.Payload()
}
