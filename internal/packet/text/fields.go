package text

import (
	"strconv"
	"strings"

	"github.com/nitrod/nitrod/internal/packet"
)

// words are those that name a field, with what they belong to.
var words = map[string]string{
	"at": "", "smac": "", "dmac": "", "vlan": "", "qinq": "", "trailer": "", "trunc": "", "poke": "", "split": "", "ipv6": "",
	"ttl": "ip", "hops": "ip", "tos": "ip", "flow": "ip6", "ipid": "ip", "df": "ip4", "frag": "ip", "ipopts": "ip4", "ext": "ip6",
	"iplen": "ip", "ipsum": "ip4", "piece": "ip",
	"seq": "tcp", "ack": "tcp", "win": "tcp", "urg": "tcp", "mss": "tcp", "sackok": "tcp", "ts": "tcp", "wscale": "tcp", "opts": "tcp", "doff": "tcp",
	"ulen": "udp", "sum": "header",
	"type": "icmp", "code": "icmp", "mtu": "icmp", "rest": "icmp", "quote": "icmp", "cut": "icmp",
	"len": "data", "data": "data",
}

func isField(w string) bool {
	_, ok := words[w]
	return ok
}

// hint proposes what a wrong word was probably meant to be.
func (p *parser) hint(w string) string {
	for _, pair := range [][2]string{{"window", "win"}, {"length", "len"}, {"sequence", "seq"}, {"hoplimit", "hops"}, {"payload", "data"},
		{"icmpv6", "icmp6"}, {"flags", "the letters of FSRPAUEC"}, {"syn", "S"}, {"SYN", "S"}, {"ACK", "A"}, {"SYN-ACK", "SA"}} {
		if strings.EqualFold(w, pair[0]) {
			return "; it is written " + pair[1]
		}
	}
	return ""
}

// fits complains where a field does not belong to the packet.
func (p *parser) fits(w string) {
	q := p.p
	tcp := q.isIP() && q.Proto == packet.ProtoTCP && !q.Headless
	udp := q.isIP() && q.Proto == packet.ProtoUDP && !q.Headless
	icmp := q.isIP() && (q.Proto == packet.ProtoICMP || q.Proto == packet.ProtoICMPv6) && !q.Headless
	ok, of := true, ""
	switch words[w] {
	case "ip":
		ok, of = q.isIP(), "an IP packet"
	case "ip4":
		ok, of = q.isIP(), "an IPv4 packet"
	case "ip6":
		ok, of = q.isIP(), "an IPv6 packet"
		p.ipv6 = p.ipv6 || ok && !q.Src.IsValid() && !q.Dst.IsValid()
	case "tcp":
		ok, of = tcp, "a TCP packet"
	case "udp":
		ok, of = udp, "a UDP packet"
	case "icmp":
		ok, of = icmp, "an ICMP message"
	case "header":
		ok, of = tcp || udp || icmp, "a TCP, UDP or ICMP packet"
	case "data":
		ok, of = q.isIP() || q.Kind == Other, "an IP packet or a frame with an EtherType"
	}
	if !ok {
		p.fail("%s is a field of %s, whose protocol comes before it", quoted(w), of)
	}
}

// anywhere reads a word that does not depend on the protocol.
func (p *parser) anywhere(w string) bool {
	q := p.p
	switch w {
	case "at":
		name := p.word("an ENI")
		if _, ok := p.guestNamed(name); !ok {
			p.fail("there is no ENI %s", quoted(name))
		}
		q.At = name
	case "smac":
		p.set(SrcMAC, w)
		q.SrcMAC = p.mac(w)
	case "dmac":
		p.set(DstMAC, w)
		q.DstMAC = p.mac(w)
	case "vlan", "qinq":
		tag := Tag{packet.EtherTypeVLAN, uint16(p.number(w, 4095))}
		if w == "qinq" {
			tag.Type = packet.EtherTypeQinQ
		}
		q.Tags = append(q.Tags, tag)
		q.Given |= VLAN
	case "trailer":
		p.set(Trailer, w)
		q.Trailer = p.hex(w)
	case "trunc":
		p.truncate = int(p.number(w, maxLen))
	case "poke":
		at := int(p.number("the place", maxLen))
		p.pokes = append(p.pokes, poke{at, p.hex(w)})
	case "split":
		q.Split = int(p.number(w, maxLen))
	case "ipv6":
		p.ipv6 = true
	default:
		return false
	}
	return true
}

// field reads a word that belongs to a protocol.
func (p *parser) field(w string) bool {
	if !isField(w) {
		return false
	}
	p.fits(w)
	return p.ipField(w) || p.tcpField(w) || p.otherField(w)
}

func (p *parser) ipField(w string) bool {
	q := p.p
	switch w {
	case "ttl", "hops":
		p.set(TTL, w)
		q.TTL = uint8(p.number(w, 255))
	case "tos":
		p.set(TOS, w)
		q.TOS = uint8(p.number(w, 255))
	case "flow":
		p.set(FlowLabel, w)
		q.FlowLabel = uint32(p.number(w, 0xfffff))
	case "ipid":
		p.set(IPID, w)
		q.FragID = uint32(p.number(w, 0xffffffff))
		q.IPID = uint16(q.FragID)
	case "df":
		p.set(DF, w)
		q.DF = true
	case "frag":
		p.fragment()
	case "ipopts":
		p.set(IPOptions, w)
		if q.IPOptions = p.hex(w); len(q.IPOptions)%4 != 0 || len(q.IPOptions) > 40 {
			p.fail("ipopts must be at most 40 bytes, in fours")
		}
	case "ext":
		p.extension()
	case "iplen":
		p.set(IPLen, w)
		q.IPLen = uint16(p.number(w, 0xffff))
	case "ipsum":
		p.set(IPSum, w)
		q.IPSum = uint16(p.number(w, 0xffff))
	case "piece":
		p.pieceAt = p.tokens[p.next-1].at
		p.piece = int(p.number("the piece", maxLen))
		p.expect("of")
		p.pieceSize = int(p.number("the MTU", maxLen))
		if p.piece == 0 || p.pieceSize < 128 {
			p.fail("pieces are counted from 1, and the MTU is at least 128")
		}
	default:
		return false
	}
	return true
}

// fragment reads `frag id N off N`, with a plus behind the offset if more
// fragments follow.
func (p *parser) fragment() {
	q := p.p
	p.set(Frag, "frag")
	q.IsFragment = true
	p.expect("id")
	q.FragID = uint32(p.number("id", 0xffffffff))
	q.IPID = uint16(q.FragID)
	q.Given |= IPID
	p.expect("off")
	w := p.word("an offset")
	off, more := strings.CutSuffix(w, "+")
	n, err := strconv.ParseUint(off, 10, 16)
	if err != nil || n%8 != 0 {
		p.fail("the offset of a fragment must be a multiple of 8 up to 65528, not %s", quoted(w))
	}
	q.FragOffset, q.More = int(n), more
}

func (p *parser) extension() {
	q := p.p
	proto := uint8(p.number("the extension header", 255))
	if !isExtension(proto) || proto == packet.ProtoFragment {
		p.fail("an extension header is 0, 43, 51, 60 or 135; the fragment header is written frag")
	}
	if len(q.Extensions) == 16 {
		p.fail("a packet has at most 16 extension headers here")
	}
	data := p.hex("the extension header")
	unit := 8
	if proto == packet.ProtoAH {
		unit = 4
	}
	if len(data) < 6 || (len(data)+2)%unit != 0 || (len(data)+2)/unit > 256 {
		p.fail("the bytes of an extension header, without its first two, must fill it to a multiple of %d", unit)
	}
	q.Extensions = append(q.Extensions, Ext{proto, data})
	q.Given |= Extensions
}

func (p *parser) tcpField(w string) bool {
	q := p.p
	switch w {
	case "seq":
		p.set(Seq, w)
		q.Seq = uint32(p.number(w, 0xffffffff))
	case "ack":
		p.set(Ack, w)
		q.Ack = uint32(p.number(w, 0xffffffff))
	case "win":
		p.set(Window, w)
		q.Window = uint16(p.number(w, 0xffff))
	case "urg":
		p.set(Urgent, w)
		q.Urgent = uint16(p.number(w, 0xffff))
	case "doff":
		p.set(DataOffset, w)
		q.DataOffset = uint8(p.number(w, 15))
	case "opts":
		p.set(TCPOptions, w)
		if q.TCPOptions = p.hex(w); len(q.TCPOptions)%4 != 0 || len(q.TCPOptions) > 40 {
			p.fail("opts must be at most 40 bytes, in fours")
		}
	case "mss", "sackok", "ts", "wscale":
		p.next--
		p.tcpOptions()
	default:
		return false
	}
	return true
}

// tcpOptions reads options by their names, one after the other.
func (p *parser) tcpOptions() {
	var o packet.TCPOptions
	p.set(TCPOptions, p.peek())
	for {
		switch {
		case o.MSS == 0 && p.accept("mss"):
			if o.MSS = uint16(p.number("mss", 0xffff)); o.MSS == 0 {
				p.fail("mss must be above 0")
			}
		case !o.SACKPermitted && p.accept("sackok"):
			o.SACKPermitted = true
		case !o.HasTimestamp && p.accept("ts"):
			o.HasTimestamp = true
			w := p.word("two numbers")
			val, ecr, ok := strings.Cut(w, "/")
			v, err := strconv.ParseUint(val, 10, 32)
			e, err2 := strconv.ParseUint(ecr, 10, 32)
			if !ok || err != nil || err2 != nil {
				p.fail("ts must be two numbers such as 100/0, not %s", quoted(w))
			}
			o.TSVal, o.TSEcr = uint32(v), uint32(e)
		case !o.HasScale && p.accept("wscale"):
			o.HasScale, o.WindowScale = true, uint8(p.number("wscale", 255))
		default:
			p.p.TCPOptions = optionBytes(o)
			return
		}
	}
}

func (p *parser) otherField(w string) bool {
	q := p.p
	switch w {
	case "ulen":
		p.set(UDPLen, w)
		q.UDPLen = uint16(p.number(w, 0xffff))
	case "sum":
		p.set(Sum, w)
		q.Sum = uint16(p.number(w, 0xffff))
	case "type":
		p.set(Type, w)
		q.Type = uint8(p.number(w, 255))
	case "code":
		p.set(Code, w)
		q.Code = uint8(p.number(w, 255))
	case "mtu", "rest":
		p.set(Rest, w)
		q.Rest = uint32(p.number(w, 0xffffffff))
	case "len":
		p.set(Len, w)
		n := int(p.number(w, maxLen))
		if !q.has(Data) {
			q.Data = packet.Fill(n)
		} else if !p.expected || n != len(q.Data) {
			p.fail("len and data are both given")
		}
	case "data":
		if q.has(Len) {
			p.fail("len and data are both given")
		}
		p.set(Data, w)
		q.Data = p.hex(w)
	case "quote":
		p.quotation()
	case "cut":
		p.cut = int(p.number(w, maxLen))
	default:
		return false
	}
	return true
}

// quotation reads the packet that an ICMP error quotes.
func (p *parser) quotation() {
	if p.quote {
		p.fail("a quoted packet quotes another; write it with data")
	}
	p.set(Data, "quote")
	p.expect("(")
	inner := newParser(p.text, p.net)
	inner.tokens, inner.next, inner.quote = p.tokens, p.next, true
	inner.p.At = p.p.At
	inner.ipv6 = p.ipv6
	inner.packet(false)
	inner.fill()
	if !inner.p.isIP() {
		p.failAt(p.tokens[p.next-1].at, "an ICMP error quotes an IP packet only")
	}
	p.next = inner.next
	p.expect(")")
	p.quoted = inner.p
}

// quoted is the packet as an ICMP error may quote it, from its IP header on.
func (q *Packet) quoted() []byte { return q.Frame()[packet.EtherLen:] }

// quoteLen is how much of a packet of that length an ICMP error quotes if
// nothing else is said: the header and 8 bytes of an IPv4 packet (RFC 792), as
// much of an IPv6 packet as the least MTU holds (RFC 4443).
func (q *Packet) quoteLen(whole int) int {
	if q.Kind == IPv4 {
		return min(whole, packet.IPv4MinLen+len(q.IPOptions)+8)
	}
	return min(whole, 1280-packet.IPv6Len-packet.ICMPLen)
}
