package text

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strconv"

	"github.com/nitrod/nitrod/internal/packet"
)

// Print writes the text of a frame that the guest at sends. Names are used as
// far as net knows them; "" and nil do without.
func Print(frame []byte, at string, net Net) string {
	p := Decode(frame)
	w := writer{net: net, at: at, sent: true}
	w.packet(p)
	// What decoding could not foresee, the raw bytes say.
	if net != nil && at != "" || net == nil {
		if again, err := Parse(w.String(), at, net); err != nil || !bytes.Equal(again.Frame(), frame) {
			w = writer{net: net, at: at, sent: true}
			w.packet(&Packet{Kind: Raw, Data: frame})
		}
	}
	return w.String()
}

// PrintReceived writes the text of a frame that the guest at receives: its MACs
// only where they are not the guest's own and its router's.
func PrintReceived(frame []byte, at string, net Net) string {
	w := writer{net: net, at: at}
	w.packet(Decode(frame))
	return w.String()
}

type writer struct {
	b    []byte
	net  Net
	at   string
	sent bool
}

func (w *writer) String() string { return string(w.b) }

func (w *writer) word(words ...string) {
	for _, s := range words {
		if len(w.b) > 0 {
			w.b = append(w.b, ' ')
		}
		w.b = append(w.b, s...)
	}
}

func (w *writer) num(label string, v uint64) { w.word(label, strconv.FormatUint(v, 10)) }

func (w *writer) hex(label string, v uint16) {
	w.word(label, "0x"+strconv.FormatUint(uint64(v), 16))
}

// bytes writes bytes after a label; none of them as an empty pair of quotes.
func (w *writer) bytes(label string, b []byte) {
	w.word(label)
	if len(b) == 0 {
		w.word(`""`)
		return
	}
	w.word(hex.EncodeToString(b))
}

func (w *writer) packet(p *Packet) {
	guest, known := Guest{}, false
	if w.net != nil {
		guest, known = w.net.Guest(w.at)
	}
	if p.Kind == Raw {
		if known && w.sent {
			w.word(w.at)
		}
		w.bytes("raw", p.Data)
		return
	}
	from, to := w.head(p, known)
	w.macs(p, guest, known, from, to)
	for _, t := range p.Tags {
		label := "vlan"
		if t.Type == packet.EtherTypeQinQ {
			label = "qinq"
		}
		w.num(label, uint64(t.ID))
	}
	switch p.Kind {
	case ARP:
		w.arp(p)
	case Other:
		w.hex("ethertype", p.EtherType)
		w.payload(p.Data)
	default:
		w.ip(p)
	}
	if len(p.Trailer) > 0 {
		w.bytes("trailer", p.Trailer)
	}
	if known && w.sent && from != w.at && (from != "" || p.isIP()) {
		w.word("at", w.at)
	}
}

// head writes who sends to whom, and returns the names.
func (w *writer) head(p *Packet, known bool) (from, to string) {
	if !known {
		return "", ""
	}
	if !p.isIP() {
		if w.sent {
			w.word(w.at)
			return w.at, ""
		}
		return "", ""
	}
	from, to = w.net.NameOf(w.at, p.Src), w.net.NameOf(w.at, p.Dst)
	left, right := from, to
	if left == "" {
		left = p.Src.String()
	}
	if right == "" {
		right = p.Dst.String()
	}
	if from != "" || to != "" {
		w.word(left, ">", right)
	}
	return from, to
}

// macs writes the MACs that are not those to be expected.
func (w *writer) macs(p *Packet, guest Guest, known bool, from, to string) {
	src, dst := guest.MAC, packet.MAC{}
	if p.isIP() && known {
		dst = hopOf(w.net, w.at, p.Dst)
	} else if p.Kind == ARP {
		dst = packet.Broadcast
	}
	if !w.sent && known {
		dst = guest.MAC
		src = guest.Router
		if g, ok := w.net.Guest(from); ok && g.MAC == p.SrcMAC {
			src = g.MAC
		}
	}
	if p.SrcMAC != src || !known {
		w.word("smac", p.SrcMAC.String())
	}
	if p.DstMAC != dst || !known {
		w.word("dmac", p.DstMAC.String())
	}
}

func (w *writer) arp(p *Packet) {
	switch p.ARPOp {
	case packet.ARPRequest:
		w.word("arp", "who", "has", p.Target.String(), "tell", p.Sender.String(), "from", p.SenderMAC.String())
		if !p.TargetMAC.IsZero() {
			w.word("to", p.TargetMAC.String())
		}
	case packet.ARPAnswer:
		w.word("arp", p.Sender.String(), "is", "at", p.SenderMAC.String(), "tell", p.Target.String(), "to", p.TargetMAC.String())
	default:
		w.num("arp op", uint64(p.ARPOp))
		w.word(p.Sender.String(), "from", p.SenderMAC.String(), "tell", p.Target.String(), "to", p.TargetMAC.String())
	}
}

// ip writes an IP packet, from its transport protocol on.
func (w *writer) ip(p *Packet) {
	switch {
	case p.Headless:
		w.num("proto", uint64(p.Proto))
		w.word(p.Src.String(), ">", p.Dst.String())
	case p.Proto == packet.ProtoTCP:
		w.word("tcp")
		w.ports(p)
		w.tcp(p)
	case p.Proto == packet.ProtoUDP:
		w.word("udp")
		w.ports(p)
	default:
		w.icmp(p)
	}
	if !p.isICMPError() || !w.quote(p) {
		w.payload(p.Data)
	}
	w.ipFields(p)
	if p.has(Sum) {
		w.hex("sum", p.Sum)
	}
}

func (w *writer) ports(p *Packet) {
	w.word(netip.AddrPortFrom(p.Src, p.SrcPort).String(), ">", netip.AddrPortFrom(p.Dst, p.DstPort).String())
}

const flagLetters = "FSRPAUEC"

// flags writes TCP flags by their letters.
func (w *writer) flags(flags uint8) {
	var letters []byte
	for i := range len(flagLetters) {
		if flags>>i&1 != 0 {
			letters = append(letters, flagLetters[i])
		}
	}
	if len(letters) == 0 {
		letters = []byte("-")
	}
	w.word(string(letters))
}

func (w *writer) tcp(p *Packet) {
	w.flags(p.TCPFlags)
	w.num("seq", uint64(p.Seq))
	if p.TCPFlags&packet.TCPAck != 0 || p.Ack != 0 {
		w.num("ack", uint64(p.Ack))
	}
	w.num("win", uint64(p.Window))
	if p.Urgent != 0 {
		w.num("urg", uint64(p.Urgent))
	}
	w.tcpOptions(p.TCPOptions)
	if p.has(DataOffset) {
		w.num("doff", uint64(p.DataOffset))
	}
}

// tcpOptions writes options by their names, if there are such that give the
// same bytes.
func (w *writer) tcpOptions(opts []byte) {
	if len(opts) == 0 {
		return
	}
	o := packet.ParseTCPOptions(opts)
	if !bytes.Equal(optionBytes(o), opts) {
		w.bytes("opts", opts)
		return
	}
	if o.MSS != 0 {
		w.num("mss", uint64(o.MSS))
	}
	if o.SACKPermitted {
		w.word("sackok")
	}
	if o.HasTimestamp {
		w.num("ts", uint64(o.TSVal))
		w.b = strconv.AppendUint(append(w.b, '/'), uint64(o.TSEcr), 10)
	}
	if o.HasScale {
		w.num("wscale", uint64(o.WindowScale))
	}
}

func optionBytes(o packet.TCPOptions) []byte {
	b := o.Bytes()
	return packet.Pad(b, (len(b)+3)&^3)
}

func (w *writer) icmp(p *Packet) {
	if p.Kind == IPv4 {
		w.word("icmp")
	} else {
		w.word("icmp6")
	}
	w.word(p.Src.String(), ">", p.Dst.String())
	if request, ok := p.echo(); ok && p.Code == 0 {
		w.word("echo", map[bool]string{true: "request", false: "reply"}[request])
		w.num("id", uint64(p.Rest>>16))
		w.num("seq", uint64(p.Rest&0xffff))
		return
	}
	w.num("type", uint64(p.Type))
	w.num("code", uint64(p.Code))
	switch {
	case p.hasMTU() && (p.Kind == IPv6 || p.Rest>>16 == 0):
		w.num("mtu", uint64(p.Rest))
	case p.Rest != 0:
		w.num("rest", uint64(p.Rest))
	}
}

// echo reports whether the message is an echo request or reply.
func (p *Packet) echo() (request, ok bool) {
	if p.Kind == IPv6 {
		return p.Type == packet.ICMPv6EchoRequest, p.Type == packet.ICMPv6EchoRequest || p.Type == packet.ICMPv6EchoReply
	}
	return p.Type == packet.ICMPEchoRequest, p.Type == packet.ICMPEchoRequest || p.Type == packet.ICMPEchoReply
}

// hasMTU reports whether the message's second word is an MTU.
func (p *Packet) hasMTU() bool {
	if p.Kind == IPv6 {
		return p.Type == packet.ICMPv6PacketTooBig
	}
	return p.Type == packet.ICMPUnreachable && p.Code == packet.ICMPCodeFragNeeded
}

func (p *Packet) isICMPError() bool {
	if p.Headless || !p.isIP() {
		return false
	}
	return p.Kind == IPv4 && p.Proto == packet.ProtoICMP && packet.ICMPIsError(p.Type) ||
		p.Kind == IPv6 && p.Proto == packet.ProtoICMPv6 && packet.ICMPv6IsError(p.Type)
}

// quote writes what an ICMP error quotes as a packet, where that says the same
// bytes.
func (w *writer) quote(p *Packet) bool {
	inner := decodeQuote(p.Data, p.Kind == IPv6)
	if inner == nil {
		return false
	}
	q := writer{}
	q.ip(inner)
	text := string(q.b)
	again, err := parseQuote(text, p.Kind == IPv6)
	if err != nil {
		return false
	}
	whole := again.quoted()
	if len(whole) < len(p.Data) || !bytes.Equal(whole[:len(p.Data)], p.Data) {
		return false
	}
	w.word("quote", "(")
	w.b = append(w.b, text...)
	w.b = append(w.b, ')')
	if len(p.Data) != again.quoteLen(len(whole)) {
		w.num("cut", uint64(len(p.Data)))
	}
	return true
}

// payload writes what follows the headers: its length where it counts up from 0.
func (w *writer) payload(b []byte) {
	if bytes.Equal(b, packet.Fill(len(b))) {
		w.num("len", uint64(len(b)))
		return
	}
	w.bytes("data", b)
}

func (w *writer) ipFields(p *Packet) {
	if p.Kind == IPv6 {
		w.num("hops", uint64(p.TTL))
	} else {
		w.num("ttl", uint64(p.TTL))
	}
	if p.TOS != 0 {
		w.num("tos", uint64(p.TOS))
	}
	if p.FlowLabel != 0 {
		w.num("flow", uint64(p.FlowLabel))
	}
	switch {
	case p.IsFragment:
		id := uint64(p.IPID)
		if p.Kind == IPv6 {
			id = uint64(p.FragID)
		}
		w.num("frag id", id)
		w.num("off", uint64(p.FragOffset))
		if p.More {
			w.b = append(w.b, '+')
		}
	case p.IPID != 0:
		w.num("ipid", uint64(p.IPID))
	}
	if p.DF {
		w.word("df")
	}
	if len(p.IPOptions) > 0 {
		w.bytes("ipopts", p.IPOptions)
	}
	for _, e := range p.Extensions {
		w.num("ext", uint64(e.Proto))
		w.word(hex.EncodeToString(e.Data))
	}
	if p.has(UDPLen) {
		w.num("ulen", uint64(p.UDPLen))
	}
	if p.has(IPLen) {
		w.num("iplen", uint64(p.IPLen))
	}
	if p.has(IPSum) {
		w.hex("ipsum", p.IPSum)
	}
}
