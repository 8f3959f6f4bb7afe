package pipeline

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
)

// edge is memory whose end is the end of the address space as far as the parser
// may know: behind it lies a page that nobody may read.
type edge struct{ mem []byte }

const edgeRoom = 4 * 4096

func newEdge(t testing.TB) edge {
	mem, err := unix.Mmap(-1, 0, edgeRoom+4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mprotect(mem[edgeRoom:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(mem) })
	return edge{mem[:edgeRoom]}
}

// put returns a copy of frame that ends where memory ends.
func (e edge) put(frame []byte) []byte {
	at := e.mem[edgeRoom-len(frame) : edgeRoom : edgeRoom]
	copy(at, frame)
	return at
}

// Whatever the bytes: the parser reads none beyond them, what it says fits the
// frame, two other parsers agree where they understand the frame at all, and it
// says the same of a frame whose first segment is shorter, or that the headers
// are split.
func FuzzParse(f *testing.F) {
	for _, c := range parseCases {
		f.Add(c.frame, uint16(len(c.frame)/2))
	}
	quoted := packet.Build(toRouter, v4, udpPorts, packet.Fill(9))
	f.Add(packet.Build(toRouter, v4, packet.ICMP{Type: 3, Code: 3}, packet.Quote(quoted, 28)), uint16(60))
	f.Add(packet.Build(toRouter, v6, packet.ICMPv6{Type: 2, Rest: 1280}, packet.Quote(packet.Build(toRouter, v6, tcpPorts), 48)), uint16(80))
	memory := newEdge(f)
	f.Fuzz(func(t *testing.T, data []byte, first uint16) {
		if len(data) > edgeRoom {
			return
		}
		frame := memory.put(data)
		if len(frame) >= ethHeader && frame[6]&4 == 0 { // most come from the ENI itself
			copy(frame[6:12], parseENI.MAC[:])
		}
		total := len(frame)
		p := parseOf(frame, total)
		if p.reason == drop.Unset {
			checkOffsets(t, frame, &p)
			checkSecondOpinion(t, frame, &p)
		}
		checkCommon(t, frame, total, &p)

		short := memory.put(append([]byte(nil), frame[:min(int(first), total)]...))
		s := parseOf(short, total)
		checkCommon(t, short, total, &s)
		if s.reason == drop.HeadersSplit && len(short) < total {
			return
		}
		if s.reason != p.reason {
			t.Fatalf("whole: %v; first %d of %d bytes: %v", p.reason, len(short), total, s.reason)
		}
		// How much of the packet that an error quotes is there may differ.
		if p.meta.class != classICMPError && p.reason == drop.Unset && s != p {
			t.Fatalf("whole:\n%+v\nfirst %d of %d bytes:\n%+v", p, len(short), total, s)
		}
	})
}

// checkCommon checks that the short way says nothing or the same.
func checkCommon(t *testing.T, frame []byte, total int, p *parsed) {
	var q parsed
	if oneCommon(frame, uint32(total), parseENI, &q.key, &q.meta) && q != *p {
		t.Fatalf("parseCommon:\n%+v\nparseFrame:\n%+v", q, *p)
	}
}

func checkOffsets(t *testing.T, frame []byte, p *parsed) {
	m, k := &p.meta, &p.key
	l3, l4, end := int(m.L3), int(m.L4), int(m.L3)+int(m.L3Len)
	if l3 != ethHeader || end > len(frame) {
		t.Fatalf("layer 3 is from %d to %d in %d bytes", l3, end, len(frame))
	}
	headless := m.class == classARP || m.Flags&flagLater != 0
	if headless != (l4 == 0) || !headless && (l4 < l3+ipv4Header || l4 > end) {
		t.Fatalf("layer 4 is at %d, of a packet from %d to %d", l4, l3, end)
	}
	if v4, v6 := k.Flags()&hash.KeyIPv4 != 0, k.Flags()&hash.KeyIPv6 != 0; v4 == v6 || v6 != (m.Flags&flagIPv6 != 0) {
		t.Fatalf("key flags %b, flags %b", k.Flags(), m.Flags)
	}
	if k.ENI() != 7 || m.class != classARP && m.Flags&flagQuoted == 0 && k.Proto() != m.Proto {
		t.Fatalf("key of ENI %d, protocol %d, of a packet of protocol %d", k.ENI(), k.Proto(), m.Proto)
	}
}

// checkSecondOpinion compares with packet.Locate and with gopacket.
func checkSecondOpinion(t *testing.T, frame []byte, p *parsed) {
	m := &p.meta
	l, err := packet.Locate(frame)
	if err == nil {
		if l.Tags != 0 || l.L3 != int(m.L3) {
			t.Fatalf("Locate finds %d tags and layer 3 at %d; the parser %d", l.Tags, l.L3, m.L3)
		}
		if m.class == classARP {
			return
		}
		if m.Proto == packet.ProtoMobility {
			return // Locate goes on behind it; for the parser it is a protocol (RFC 6275: nothing follows)
		}
		if l.End != int(m.L3)+int(m.L3Len) || l.Proto != m.Proto || m.Flags&flagFragment != 0 && !l.Fragment { // one in name only is one to Locate
			t.Fatalf("Locate: %+v\nthe parser: %+v", l, m)
		}
		if l.L4 != int(m.L4) && m.Proto != packet.ProtoNone {
			t.Fatalf("Locate finds layer 4 at %d, the parser at %d", l.L4, m.L4)
		}
	}
	if m.class == classARP || m.Flags&flagQuoted != 0 {
		return
	}
	checkGopacket(t, frame, p)
}

func checkGopacket(t *testing.T, frame []byte, p *parsed) {
	pkt := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	var src, dst net.IP
	switch ip := pkt.NetworkLayer().(type) {
	case *layers.IPv4:
		src, dst = ip.SrcIP, ip.DstIP
	case *layers.IPv6:
		src, dst = ip.SrcIP, ip.DstIP
	default:
		return
	}
	for what, pair := range map[string][2]netip.Addr{"source": {netipOf(src), keyAddr(p, p.key.Src)}, "destination": {netipOf(dst), keyAddr(p, p.key.Dst)}} {
		if pair[0] != pair[1] {
			t.Fatalf("gopacket finds %s %v, the parser %v", what, pair[0], pair[1])
		}
	}
	if p.meta.Flags&flagFragment != 0 {
		return // gopacket leaves fragments alone
	}
	switch l4 := pkt.TransportLayer().(type) {
	case *layers.TCP:
		if p.meta.Proto == protoTCP && (uint16(l4.SrcPort) != p.key.SrcPort() || uint16(l4.DstPort) != p.key.DstPort()) {
			t.Fatalf("gopacket finds ports %d and %d, the parser %d and %d", l4.SrcPort, l4.DstPort, p.key.SrcPort(), p.key.DstPort())
		}
		m := &p.meta
		if m.Proto == protoTCP && (l4.Seq != m.Seq || l4.Ack != m.Ack || l4.Window != m.Window) {
			t.Fatalf("gopacket finds sequence number %d, acknowledgement %d and window %d, the parser %d, %d and %d", l4.Seq, l4.Ack, l4.Window, m.Seq, m.Ack, m.Window)
		}
		if header := uint32(l4.DataOffset) * 4; m.Proto == protoTCP && uint32(m.L4-m.L3)+header+uint32(m.Payload) != m.L3Len {
			t.Fatalf("%d bytes of payload behind a header of %d at %d, in %d bytes from %d", m.Payload, header, m.L4, m.L3Len, m.L3)
		}
	case *layers.UDP:
		if p.meta.Proto == protoUDP && (uint16(l4.SrcPort) != p.key.SrcPort() || uint16(l4.DstPort) != p.key.DstPort()) {
			t.Fatalf("gopacket finds ports %d and %d, the parser %d and %d", l4.SrcPort, l4.DstPort, p.key.SrcPort(), p.key.DstPort())
		}
	}
}

func netipOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a
}

// keyAddr is an address of a key, in netip's form.
func keyAddr(p *parsed, a hash.Addr) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.Hi)
	binary.BigEndian.PutUint64(b[8:], a.Lo)
	if p.key.IsIPv6() {
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom4([4]byte(b[12:]))
}
