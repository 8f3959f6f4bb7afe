package text

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/nitrod/nitrod/internal/packet"
)

// What a packet has where its text does not say.
const (
	defaultTTL     = 64
	defaultWindow  = 64240
	defaultSrcPort = 40000
	defaultDstPort = 80
	defaultID      = 1
)

// maxLen bounds the payload that `len` asks for.
const maxLen = 65535

// Parse reads the text of a packet that the guest at sends, or the guest that
// the text names if at is "". Fields that the text does not name have their
// defaults. Errors are of type *Error.
func Parse(text, at string, net Net) (*Packet, error) {
	p := newParser(text, net)
	p.p.At = at
	err := p.run(func() {
		p.packet(false)
		p.end()
		p.sendDefaults()
		p.derive()
	})
	return p.p, err
}

// ParseExpected reads the text of a packet that a guest receives: the one that
// the text names with `at`, else the one that the packet is for. Fields that the
// text does not name are not compared. Errors are of type *Error.
func ParseExpected(text string, net Net) (*Packet, error) {
	p := newParser(text, net)
	err := p.run(func() {
		p.packet(true)
		p.end()
		p.fill()
		if p.p.At == "" {
			p.failAt(0, "it is not said which ENI receives the packet; add at and its name")
		}
		p.derive()
	})
	return p.p, err
}

// ParseTuple reads a packet that stands for its flow, as nobody sends or receives
// it. Errors are of type *Error.
func ParseTuple(text string, net Net) (*Packet, error) {
	p := newParser(text, net)
	err := p.run(func() {
		p.packet(true)
		p.end()
		p.fill()
	})
	return p.p, err
}

// parseQuote reads what an ICMP error quotes.
func parseQuote(text string, v6 bool) (*Packet, error) {
	p := newParser(text, nil)
	p.quote = true
	p.p.Kind = IPv4
	err := p.run(func() {
		p.packet(false)
		p.end()
		p.fill()
		if v6 != (p.p.Kind == IPv6) {
			p.failAt(0, "a packet is quoted in the other family's ICMP")
		}
	})
	return p.p, err
}

type parser struct {
	text   string
	tokens []token
	next   int
	net    Net
	p      *Packet
	quote  bool // what is parsed is a quotation

	expected  bool
	ipv6      bool // the text says so
	arpBody   bool
	cut       int // bytes of the packet that are quoted, or -1
	truncate  int // bytes of the frame that are left, or -1
	pokes     []poke
	piece     int // of those into which the packet is cut, from 1, or 0
	pieceSize int
	quoted    *Packet
	noOption  bool // ND: without a link-layer address
	pieceAt   int  // offset of the word, for messages
}

// poke is bytes to be put into the frame.
type poke struct {
	at    int
	bytes []byte
}

func newParser(text string, net Net) *parser {
	return &parser{text: text, tokens: lex(text), net: net, p: &Packet{}, cut: -1, truncate: -1}
}

// run calls f and returns the Error that ended it.
func (p *parser) run(f func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			f, ok := r.(failure)
			if !ok {
				panic(r)
			}
			err = f.Error
		}
	}()
	f()
	return nil
}

func (p *parser) end() {
	if p.next < len(p.tokens) {
		p.next++
		p.fail("%s stands where the packet should end", quoted(p.tokens[p.next-1].text))
	}
}

func (p *parser) packet(expected bool) {
	p.expected = expected
	p.findAt()
	p.head()
	p.guessAt()
	hasBody := false
	for p.next < len(p.tokens) && p.peek() != ")" {
		w := p.word("a word")
		if p.body(w) {
			if hasBody {
				p.fail("the packet has a protocol already; %s is a second one", quoted(w))
			}
			hasBody = true
			continue
		}
		if !p.anywhere(w) && !p.field(w) {
			p.fail("%s is no word of a packet%s", quoted(w), p.hint(w))
		}
	}
	if !hasBody {
		p.failAt(len(p.text), "the packet lacks its protocol, such as tcp, udp, icmp, proto 47, arp or raw")
	}
}

// findAt finds the words that name the port, since other words depend on it.
func (p *parser) findAt() {
	for i := 0; i+1 < len(p.tokens); i++ {
		if p.tokens[i].text == "at" && (i == 0 || p.tokens[i-1].text != "is") && p.net != nil {
			if _, ok := p.net.Guest(p.tokens[i+1].text); ok {
				p.p.At = p.tokens[i+1].text
			}
			return
		}
	}
}

// head reads `FROM > TO` or `FROM`.
func (p *parser) head() {
	if p.peekAt(1) == ">" && !isBody(p.peek()) {
		p.p.From = p.endpoint("the sender")
		p.expect(">")
		p.p.To = p.endpoint("the receiver")
		return
	}
	w := p.peek()
	if w == "" || p.net == nil {
		return
	}
	if _, ok := p.net.Guest(w); ok && !isBody(w) {
		p.next++
		p.p.From = w
	} else if !isBody(w) && !isField(w) {
		p.next++
		p.fail("there is no ENI %s, and it is no word of a packet%s", quoted(w), p.hint(w))
	}
}

func (p *parser) endpoint(what string) string {
	w := p.word(what)
	if _, err := netip.ParseAddr(w); err == nil {
		return w
	}
	if p.net == nil {
		p.fail("%s is no address", quoted(w))
	}
	if _, ok := p.net.Guest(w); !ok {
		p.fail("%s is neither an ENI nor an address", quoted(w))
	}
	return w
}

// guessAt takes the port from the head where no word names it.
func (p *parser) guessAt() {
	if p.p.At != "" || p.net == nil {
		return
	}
	for _, name := range []string{map[bool]string{false: p.p.From, true: p.p.To}[p.expected], p.p.From} {
		if _, ok := p.net.Guest(name); ok && name != "" && (!p.expected || name == p.p.To || p.p.To == "") {
			p.p.At = name
			return
		}
	}
}

// guest returns who sends or receives the packet.
func (p *parser) guest() (Guest, bool) {
	if p.net == nil || p.p.At == "" {
		return Guest{}, false
	}
	return p.net.Guest(p.p.At)
}

// set notes that the text names a field.
func (p *parser) set(f Field, w string) {
	if p.p.has(f) {
		p.fail("%s is given twice", quoted(w))
	}
	p.p.Given |= f
}

func (p *parser) number(what string, max uint64) uint64 {
	w := p.word("a number")
	v, err := strconv.ParseUint(w, 0, 64)
	if err != nil || v > max {
		p.fail("%s must be a number up to %d, not %s", what, max, quoted(w))
	}
	return v
}

func (p *parser) addr(what string) netip.Addr {
	w := p.word("an address")
	a, err := netip.ParseAddr(w)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		if g, ok := p.guestNamed(w); ok && g.Addr4.IsValid() {
			return g.Addr4
		}
		p.fail("%s must be an address, not %s", what, quoted(w))
	}
	return a
}

func (p *parser) guestNamed(w string) (Guest, bool) {
	if p.net == nil {
		return Guest{}, false
	}
	return p.net.Guest(w)
}

// mac reads a MAC, or a word that stands for one.
func (p *parser) mac(what string) packet.MAC {
	w := p.word("a MAC address")
	if m, ok := packet.ParseMAC(w); ok {
		return m
	}
	if g, ok := p.guestNamed(w); ok {
		return g.MAC
	}
	switch w {
	case "broadcast":
		return packet.Broadcast
	case "router":
		if g, ok := p.guest(); ok {
			return g.Router
		}
	}
	p.fail("%s must be a MAC address, an ENI, router or broadcast, not %s", what, quoted(w))
	return packet.MAC{}
}

// hex reads bytes, in one word.
func (p *parser) hex(what string) []byte {
	w := p.word("hexadecimal bytes")
	if w == `""` {
		return nil
	}
	b, err := hex.DecodeString(w)
	if err != nil {
		p.fail("%s must be bytes in hexadecimal, not %s", what, quoted(w))
	}
	if len(b) > maxLen {
		p.fail("%s is longer than %d bytes", what, maxLen)
	}
	return b
}

var bodies = []string{"tcp", "udp", "icmp", "icmp6", "proto", "arp", "nd", "dhcp", "raw", "ethertype"}

func isBody(w string) bool { return slices.Contains(bodies, w) }

// body reads what follows the name of a protocol.
func (p *parser) body(w string) bool {
	q := p.p
	if !isBody(w) {
		return false
	}
	switch w {
	case "tcp":
		p.transport(packet.ProtoTCP)
		p.tcpFlags()
	case "udp":
		p.transport(packet.ProtoUDP)
	case "icmp":
		p.transport(packet.ProtoICMP)
		p.echo()
	case "icmp6":
		p.ipv6 = true
		p.transport(packet.ProtoICMPv6)
		p.echo()
	case "proto":
		n := uint8(p.number("the protocol", 255))
		q.Headless = true
		p.transport(n)
	case "arp":
		q.Kind = ARP
		p.arp()
	case "nd":
		p.nd()
	case "dhcp":
		p.dhcp()
	case "raw":
		p.raw()
	case "ethertype":
		q.Kind = Other
		q.EtherType = uint16(p.number("the EtherType", 0xffff))
		q.Given |= EtherType
	}
	return true
}

// transport notes the protocol, and reads the endpoints if they are there.
func (p *parser) transport(proto uint8) {
	q := p.p
	q.Kind, q.Proto = IPv4, proto
	q.Given |= Proto
	if p.peek() == ">" || p.peekAt(1) == ">" {
		if p.peek() != ">" {
			p.transportEnd(Src, SrcPort, &q.Src, &q.SrcPort)
		}
		p.expect(">")
		if w := p.peek(); looksLikeEnd(w) {
			p.transportEnd(Dst, DstPort, &q.Dst, &q.DstPort)
		}
	}
}

// looksLikeEnd reports whether a word can be an endpoint: it begins with a
// digit, a colon or a bracket, or has a colon.
func looksLikeEnd(w string) bool {
	return w != "" && (w[0] >= '0' && w[0] <= '9' || w[0] == '[' || strings.Contains(w, ":"))
}

// transportEnd reads ADDRESS:PORT, PORT or ADDRESS.
func (p *parser) transportEnd(addrField, portField Field, addr *netip.Addr, port *uint16) {
	w := p.word("an endpoint")
	hasPorts := !p.p.Headless && (p.p.Proto == packet.ProtoTCP || p.p.Proto == packet.ProtoUDP)
	if ap, err := netip.ParseAddrPort(w); err == nil && hasPorts && usable(ap.Addr()) {
		*addr, *port = ap.Addr(), ap.Port()
		p.p.Given |= addrField | portField
		return
	}
	if n, err := strconv.ParseUint(w, 10, 16); err == nil && hasPorts {
		*port = uint16(n)
		p.p.Given |= portField
		return
	}
	a, err := netip.ParseAddr(w)
	if err != nil || !usable(a) {
		want := "an address"
		if hasPorts {
			want = "a port, an address, or both such as 10.0.1.10:80 or [2001:db8::1]:80"
		}
		p.fail("%s is not %s", quoted(w), want)
	}
	*addr = a
	p.p.Given |= addrField
}

func usable(a netip.Addr) bool { return a.Zone() == "" && !a.Is4In6() }

func (p *parser) tcpFlags() {
	w := p.peek()
	if w == "" || strings.Trim(w, flagLetters) != "" && w != "-" {
		return
	}
	p.next++
	p.p.Given |= Flags
	if w == "-" {
		return
	}
	for _, c := range w {
		bit := uint8(1) << strings.IndexRune(flagLetters, c)
		if p.p.TCPFlags&bit != 0 {
			p.fail("the TCP flags %s name %c twice", quoted(w), c)
		}
		p.p.TCPFlags |= bit
	}
}

func (p *parser) echo() {
	if !p.accept("echo") {
		return
	}
	q := p.p
	q.Given |= Type | Code
	v6 := q.Proto == packet.ProtoICMPv6
	switch w := p.word("request or reply"); w {
	case "request":
		q.Type = packet.ICMPEchoRequest
		if v6 {
			q.Type = packet.ICMPv6EchoRequest
		}
	case "reply":
		q.Type = packet.ICMPEchoReply
		if v6 {
			q.Type = packet.ICMPv6EchoReply
		}
	default:
		p.fail("an echo is a request or a reply, not %s", quoted(w))
	}
	id, seq := uint32(defaultID), uint32(defaultID)
	if p.accept("id") {
		id = uint32(p.number("id", 0xffff))
		q.Given |= Rest
	}
	if p.accept("seq") {
		seq = uint32(p.number("seq", 0xffff))
		q.Given |= Rest
	}
	q.Rest = id<<16 | seq
}

func (p *parser) arp() {
	q := p.p
	q.Given |= ARPOp
	switch {
	case p.accept("who"):
		p.expect("has")
		q.ARPOp = packet.ARPRequest
		q.Target = p.addr4("the address asked for")
		q.Given |= Target
	case p.accept("op"):
		q.ARPOp = uint16(p.number("op", 0xffff))
		q.Sender = p.addr4("the sender")
		q.Given |= Sender
	default:
		q.ARPOp = packet.ARPAnswer
		q.Sender = p.addr4("the address that is told")
		q.Given |= Sender
		p.expect("is")
		p.expect("at")
		q.SenderMAC = p.mac("the address's MAC")
		q.Given |= SenderMAC
	}
	for {
		switch {
		case p.accept("tell"):
			at, f := &q.Sender, Sender
			if q.ARPOp != packet.ARPRequest {
				at, f = &q.Target, Target
			}
			p.set(f, "tell")
			*at = p.addr4("the address to tell")
		case p.accept("from"):
			p.set(SenderMAC, "from")
			q.SenderMAC = p.mac("the sender's MAC")
		case p.accept("to"):
			p.set(TargetMAC, "to")
			q.TargetMAC = p.mac("the target's MAC")
		default:
			return
		}
	}
}

func (p *parser) addr4(what string) netip.Addr {
	a := p.addr(what)
	if !a.Is4() {
		p.fail("%s must be an IPv4 address, not %s", what, a)
	}
	return a
}

func (p *parser) raw() {
	q := p.p
	q.Kind = Raw
	q.Given |= Data
	if p.accept(`""`) {
		return
	}
	var all strings.Builder
	for p.next < len(p.tokens) && strings.Trim(p.peek(), "0123456789abcdefABCDEF:") == "" {
		all.WriteString(strings.ReplaceAll(p.word("bytes"), ":", ""))
	}
	b, err := hex.DecodeString(all.String())
	if err != nil || len(b) == 0 || len(b) > maxLen {
		p.fail("raw must be followed by the bytes of the frame in hexadecimal, two digits each, at most %d of them", maxLen)
	}
	q.Data = b
}
