package text

import (
	"net/netip"

	"github.com/nitrod/nitrod/internal/packet"
)

// sendDefaults gives a packet that is sent what the text does not say.
func (p *parser) sendDefaults() {
	q := p.p
	guest, known := p.guest()
	if p.net != nil && !known {
		p.failAt(0, "it is not said which ENI sends the packet; begin with its name, or add at and its name")
	}
	p.fill()
	if q.Kind == Raw {
		return
	}
	if !q.has(SrcMAC) {
		q.SrcMAC = guest.MAC
	}
	if !q.has(DstMAC) {
		switch {
		case q.Kind == ARP:
			q.DstMAC = packet.Broadcast
		case q.isIP():
			q.DstMAC = hopOf(p.net, q.At, q.Dst)
		}
	}
	if q.Kind == ARP {
		p.arpDefaults(guest)
	}
}

// hopOf returns the MAC to which a guest sends packets for an address.
func hopOf(net Net, at string, dst netip.Addr) packet.MAC {
	switch {
	case dst == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return packet.Broadcast
	case dst.Is4() && dst.IsMulticast(): // RFC 1112 sec. 6.4
		b := dst.As4()
		return packet.MAC{1, 0, 0x5e, b[1] & 0x7f, b[2], b[3]}
	case dst.IsMulticast():
		return packet.MulticastMAC6(dst.As16())
	case net == nil:
		return packet.MAC{}
	}
	return net.NextHop(at, dst)
}

func (p *parser) arpDefaults(guest Guest) {
	q := p.p
	if !q.has(SenderMAC) {
		q.SenderMAC = guest.MAC
	}
	for _, a := range []*netip.Addr{&q.Sender, &q.Target} {
		if !a.IsValid() && a == &q.Sender {
			*a = guest.Addr4
		}
		if !a.IsValid() {
			*a = netip.IPv4Unspecified()
		}
	}
}

// fill completes an IP packet: its family and addresses by the names, and what
// does not depend on who sends it.
func (p *parser) fill() {
	q := p.p
	if !q.isIP() {
		return
	}
	p.family()
	p.addresses()
	for _, d := range []struct {
		f   Field
		set func()
	}{
		{TTL, func() { q.TTL = defaultTTL }},
		{SrcPort, func() { q.SrcPort = defaultSrcPort }},
		{DstPort, func() { q.DstPort = defaultDstPort }},
		{Flags, func() { q.TCPFlags = packet.TCPSyn }},
	} {
		if !q.has(d.f) {
			d.set()
		}
	}
	if !q.has(Window) && q.TCPFlags&packet.TCPRst == 0 {
		q.Window = defaultWindow
	}
	icmp := q.Proto == packet.ProtoICMP || q.Proto == packet.ProtoICMPv6
	if icmp && !q.Headless && !q.has(Type) && !p.expected {
		q.Type, q.Rest = packet.ICMPEchoRequest, defaultID<<16|defaultID
		if q.Proto == packet.ProtoICMPv6 {
			q.Type = packet.ICMPv6EchoRequest
		}
	}
	if icmp && !q.Headless && (q.Kind == IPv4) != (q.Proto == packet.ProtoICMP) {
		p.failAt(0, "icmp goes with IPv4 addresses, and icmp6 with IPv6 addresses")
	}
	if q.Kind == IPv4 && (len(q.Extensions) > 0 || q.FlowLabel != 0) || q.Kind == IPv6 && (q.DF || len(q.IPOptions) > 0 || q.has(IPSum)) {
		p.failAt(0, "a field of the packet belongs to the other IP version")
	}
	if q.Kind == IPv4 && q.FragID > 0xffff {
		p.failAt(0, "the identification of an IPv4 packet must be a number up to 65535")
	}
	if q.IsFragment && q.FragOffset != 0 && !q.Headless {
		p.failAt(0, "a later fragment has no transport header; write proto and the number of its protocol")
	}
	if p.quoted != nil {
		p.quoteData()
	}
	longest := 0xffff - 120 // the longest headers of IP and TCP
	for _, e := range q.Extensions {
		longest -= len(e.Data) + 2
	}
	if len(q.Data) > longest && !q.has(IPLen) {
		p.failAt(0, "the packet is longer than its IP header can say; with iplen it is built all the same")
	}
}

func (p *parser) quoteData() {
	q := p.p
	if p.quoted.Kind != q.Kind {
		p.failAt(0, "the quoted packet is of the other IP version")
	}
	whole := p.quoted.quoted()
	n := p.quoted.quoteLen(len(whole))
	if p.cut >= 0 {
		n = p.cut
	} else {
		q.whole = whole
	}
	if n > len(whole) {
		p.failAt(0, "the quoted packet has %d bytes only, less than cut asks for", len(whole))
	}
	q.Data = whole[:n]
}

// family decides between IPv4 and IPv6: by the addresses, by what the text says,
// else IPv4 where the names allow it.
func (p *parser) family() {
	q := p.p
	v6 := p.ipv6
	decided := p.ipv6
	for _, a := range []netip.Addr{q.Src, q.Dst, asAddr(q.From), asAddr(q.To)} {
		if !a.IsValid() {
			continue
		}
		if decided && v6 != a.Is6() {
			p.failAt(0, "the packet mixes IPv4 and IPv6")
		}
		v6, decided = a.Is6(), true
	}
	if !decided && p.net != nil {
		for _, name := range []string{q.From, q.To} {
			if g, ok := p.net.Guest(name); ok && !g.Addr4.IsValid() {
				v6 = true
			}
		}
	}
	if q.Kind = IPv4; v6 {
		q.Kind = IPv6
	}
}

func asAddr(s string) netip.Addr {
	a, _ := netip.ParseAddr(s)
	return a
}

// addresses takes those that the text does not name from its head.
func (p *parser) addresses() {
	q := p.p
	for _, end := range []struct {
		f    Field
		addr *netip.Addr
		name string
		what string
	}{{Src, &q.Src, q.From, "source"}, {Dst, &q.Dst, q.To, "destination"}} {
		if q.has(end.f) || end.addr.IsValid() {
			continue
		}
		if a := asAddr(end.name); a.IsValid() {
			*end.addr = a
		} else if g, ok := p.guestNamed(end.name); ok {
			if *end.addr = g.Addr4; q.Kind == IPv6 {
				*end.addr = g.Addr6
			}
			if !end.addr.IsValid() && (!p.expected || end.name != "") {
				p.failAt(0, "ENI %q has no address of the packet's IP version for its %s", end.name, end.what)
			}
		}
		switch {
		case end.addr.IsValid():
			if end.name != "" {
				q.Given |= end.f
			}
		case p.expected:
		default:
			p.failAt(0, "the packet lacks its %s address", end.what)
		}
	}
}

// derive applies what changes the frame as a whole: pieces, truncation, bytes
// put in.
func (p *parser) derive() {
	q := p.p
	if p.piece > 0 {
		p.fragments()
	}
	if q.Split > len(q.frameIf(!p.expected)) && !p.expected {
		p.failAt(0, "split is beyond the end of the frame")
	}
	if p.truncate < 0 && len(p.pokes) == 0 {
		return
	}
	if p.expected {
		p.failAt(0, "trunc and poke are for packets that are sent")
	}
	b := q.Frame()
	for _, k := range p.pokes {
		if k.at+len(k.bytes) > len(b) {
			p.failAt(0, "poke is beyond the end of the frame of %d bytes", len(b))
		}
		copy(b[k.at:], k.bytes)
	}
	if p.truncate >= 0 {
		if p.truncate > len(b) {
			p.failAt(0, "trunc is beyond the end of the frame of %d bytes", len(b))
		}
		b = b[:p.truncate]
	}
	*q = Packet{Given: Data, From: q.From, To: q.To, At: q.At, Split: q.Split, Kind: Raw, Data: b}
}

func (q *Packet) frameIf(whole bool) []byte {
	if whole {
		return q.Frame()
	}
	return nil
}

// fragments replaces the packet by one of the pieces into which its MTU cuts
// it.
func (p *parser) fragments() {
	q := p.p
	if !q.Src.IsValid() || !q.Dst.IsValid() || q.IsFragment || q.has(IPLen) || len(q.Tags) > 0 {
		p.failAt(p.pieceAt, "piece needs a whole packet with both addresses")
	}
	frames := packet.Fragment(q.Frame(), p.pieceSize, q.FragID)
	if p.piece > len(frames) {
		p.failAt(p.pieceAt, "the packet is cut into %d pieces only", len(frames))
	}
	r := Decode(frames[p.piece-1])
	r.From, r.To, r.At, r.Split = q.From, q.To, q.At, q.Split
	r.Given |= q.Given&(TTL|TOS|SrcMAC|DstMAC|Src|Dst) | Proto | Frag | IPID | Data
	*q = *r
}
