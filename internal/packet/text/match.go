package text

import (
	"bytes"
	"fmt"

	"github.com/nitrod/nitrod/internal/packet"
)

// Differs compares a frame with what is expected of it, field by field as far
// as want names them, and checks what holds of every good frame: its lengths
// and its checksums. It returns "" or what is wrong.
func (want *Packet) Differs(frame []byte) string {
	got := Decode(frame)
	if want.Kind == Raw {
		if !bytes.Equal(frame, want.Data) {
			return "other bytes"
		}
		return ""
	}
	if got.Kind != want.Kind {
		return fmt.Sprintf("it is %s, want %s", kindNames[got.Kind], kindNames[want.Kind])
	}
	for _, f := range comparisons {
		if f.field == Data && want.whole != nil { // an error may quote more than it must
			if len(got.Data) < min(len(want.Data), len(want.whole)) || !bytes.HasPrefix(want.whole, got.Data) {
				return fmt.Sprintf("it quotes %x, want so much of %x", got.Data, want.whole)
			}
			continue
		}
		if want.has(f.field) && !f.same(want, got) {
			return fmt.Sprintf("%s is %s, want %s", f.name, f.show(got), f.show(want))
		}
	}
	if want.has(DHCP) {
		if what := want.lacks(got); what != "" {
			return what
		}
	}
	if !want.isIP() {
		return ""
	}
	if want.has(Proto) && want.Headless != got.Headless && !want.Headless {
		return "it is a later fragment, which has no transport header"
	}
	for _, f := range []struct {
		field Field
		what  string
	}{{IPSum, "the IPv4 header checksum is wrong"}, {Sum, "the transport checksum is wrong"}, {IPLen, "the IP length does not fit the frame"}, {UDPLen, "the UDP length does not fit the packet"}} {
		if got.has(f.field) && !want.has(f.field) && !(got.IsFragment && f.field != IPSum && f.field != IPLen) &&
			!(f.field == Sum && got.Proto == packet.ProtoUDP && got.Sum == 0) {
			return f.what
		}
	}
	return ""
}

// Delivered is what is expected of a frame that was sent where it arrives at the
// guest of that name: all of it but the MACs, and the TTL one less where a
// router was in between.
func Delivered(frame []byte, at string, routed bool) *Packet {
	p := Decode(frame)
	p.At = at
	if !p.isIP() {
		return &Packet{Kind: Raw, Data: frame, At: at}
	}
	if routed {
		p.TTL--
	}
	p.Given |= Proto | Src | Dst | Frag | IPID | DF | TTL | TOS | FlowLabel | IPOptions | Extensions | Len | Data
	if !p.Headless {
		p.Given |= SrcPort | DstPort | Type | Code | Flags | Seq | Ack | Window | Urgent | TCPOptions | Rest
	}
	return p
}

var kindNames = [...]string{"a frame that the packet language has no words for", "a frame of another EtherType", "ARP", "IPv4", "IPv6"}

type comparison struct {
	field Field
	name  string
	same  func(a, b *Packet) bool
	show  func(p *Packet) string
}

func by[T comparable](field Field, name string, get func(*Packet) T) comparison {
	return comparison{field, name,
		func(a, b *Packet) bool { return get(a) == get(b) },
		func(p *Packet) string { return fmt.Sprint(get(p)) }}
}

func byBytes(field Field, name string, get func(*Packet) []byte) comparison {
	return comparison{field, name,
		func(a, b *Packet) bool { return bytes.Equal(get(a), get(b)) },
		func(p *Packet) string { return fmt.Sprintf("%x", get(p)) }}
}

// comparisons are in the order in which a difference says most.
var comparisons = []comparison{
	by(Proto, "the protocol", func(p *Packet) uint8 { return p.Proto }),
	by(Src, "the source address", func(p *Packet) string { return p.Src.String() }),
	by(Dst, "the destination address", func(p *Packet) string { return p.Dst.String() }),
	by(SrcPort, "the source port", func(p *Packet) uint16 { return p.SrcPort }),
	by(DstPort, "the destination port", func(p *Packet) uint16 { return p.DstPort }),
	by(Type, "type", func(p *Packet) uint8 { return p.Type }),
	by(Code, "code", func(p *Packet) uint8 { return p.Code }),
	by(Flags, "the flags", func(p *Packet) string { return flagText(p.TCPFlags) }),
	by(Seq, "seq", func(p *Packet) uint32 { return p.Seq }),
	by(Ack, "ack", func(p *Packet) uint32 { return p.Ack }),
	by(Window, "win", func(p *Packet) uint16 { return p.Window }),
	by(Urgent, "urg", func(p *Packet) uint16 { return p.Urgent }),
	byBytes(TCPOptions, "the TCP options", func(p *Packet) []byte { return p.TCPOptions }),
	by(DataOffset, "doff", func(p *Packet) uint8 { return p.DataOffset }),
	by(Rest, "the second word", func(p *Packet) uint32 { return p.Rest }),
	by(Frag, "the fragment", func(p *Packet) string { return fmt.Sprintf("%v off %d more %v", p.IsFragment, p.FragOffset, p.More) }),
	by(IPID, "the identification", func(p *Packet) uint32 {
		if p.Kind == IPv6 {
			return p.FragID
		}
		return uint32(p.IPID)
	}),
	by(DF, "df", func(p *Packet) bool { return p.DF }),
	by(TTL, "ttl", func(p *Packet) uint8 { return p.TTL }),
	by(TOS, "tos", func(p *Packet) uint8 { return p.TOS }),
	by(FlowLabel, "flow", func(p *Packet) uint32 { return p.FlowLabel }),
	byBytes(IPOptions, "ipopts", func(p *Packet) []byte { return p.IPOptions }),
	by(Extensions, "the extension headers", func(p *Packet) string { return fmt.Sprintf("%x", p.Extensions) }),
	by(IPLen, "iplen", func(p *Packet) uint16 { return p.IPLen }),
	by(IPSum, "ipsum", func(p *Packet) uint16 { return p.IPSum }),
	by(UDPLen, "ulen", func(p *Packet) uint16 { return p.UDPLen }),
	by(Sum, "sum", func(p *Packet) uint16 { return p.Sum }),
	by(Len, "len", func(p *Packet) int { return len(p.Data) }),
	byBytes(Data, "the data", func(p *Packet) []byte { return p.Data }),
	by(EtherType, "the EtherType", func(p *Packet) uint16 { return p.EtherType }),
	by(ARPOp, "op", func(p *Packet) uint16 { return p.ARPOp }),
	by(Sender, "the sender's address", func(p *Packet) string { return p.Sender.String() }),
	by(SenderMAC, "the sender's MAC", func(p *Packet) string { return p.SenderMAC.String() }),
	by(Target, "the target's address", func(p *Packet) string { return p.Target.String() }),
	by(TargetMAC, "the target's MAC", func(p *Packet) string { return p.TargetMAC.String() }),
	by(VLAN, "the VLAN tags", func(p *Packet) string { return fmt.Sprint(p.Tags) }),
	by(SrcMAC, "smac", func(p *Packet) string { return p.SrcMAC.String() }),
	by(DstMAC, "dmac", func(p *Packet) string { return p.DstMAC.String() }),
	byBytes(Trailer, "the trailer", func(p *Packet) []byte { return p.Trailer }),
}

func flagText(flags uint8) string {
	w := writer{}
	w.flags(flags)
	return w.String()
}
