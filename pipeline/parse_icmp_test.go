package pipeline

import (
	"testing"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/packet"
)

// backwards is what a packet's key is when the other end, at ENI eni, answers.
func backwards(k hash.FlowKey, eni uint16) hash.FlowKey {
	return hash.FlowKey{Src: k.Dst, Dst: k.Src, Tail: hash.Tail(k.DstPort(), k.SrcPort(), eni, k.Proto(), k.Flags())}
}

// Over all identifiers and queries: a reply's key is the reverse of its
// request's, and no key belongs to two different messages.
func TestQueryKeys(t *testing.T) {
	seen := make(map[uint64]uint32, 1<<20)
	note := func(k *hash.FlowKey, typ, code uint8, id uint16) {
		what := uint32(typ)<<24 | uint32(code)<<16 | uint32(id)
		if was, ok := seen[k.Tail]; ok && was != what {
			t.Fatalf("type/code/identifier %08x has the key of %08x", what, was)
		}
		seen[k.Tail] = what
	}
	key := func(typ, code uint8, id uint16, v6 bool) hash.FlowKey {
		flags, proto := hash.KeyIPv4, uint8(protoICMP)
		if v6 {
			flags, proto = hash.KeyIPv6, protoICMPv6
		}
		var m Meta
		var k hash.FlowKey
		src, dst := parseICMP([]byte{typ, code, 0, 0, byte(id >> 8), byte(id), 0, 0}, 7, flags, &k, &m)
		return hash.FlowKey{Tail: hash.Tail(src, dst, 7, proto, flags)}
	}
	for id := range 1 << 16 {
		id := uint16(id)
		for _, q := range []struct {
			ask, answer uint8
			v6          bool
		}{{8, 0, false}, {13, 14, false}, {15, 16, false}, {17, 18, false}, {128, 129, true}} {
			ask, answer := key(q.ask, 0, id, q.v6), key(q.answer, 0, id, q.v6)
			if backwards(ask, 7) != answer {
				t.Fatalf("query %d, identifier %d: %d to %d is answered by %d to %d", q.ask, id, ask.SrcPort(), ask.DstPort(), answer.SrcPort(), answer.DstPort())
			}
			note(&ask, q.ask, 0, id)
			note(&answer, q.answer, 0, id)
		}
	}
	for typ := range 256 {
		for code := range 256 {
			if _, _, query := queryOf(uint8(typ), false); query && code == 0 {
				continue
			}
			k := key(uint8(typ), uint8(code), 0, false)
			note(&k, uint8(typ), uint8(code), 0)
		}
	}
}

// An error belongs to the flow that it quotes: its key is the reverse of the
// key that the quoted packet had at its sender.
func TestErrorKeys(t *testing.T) {
	error4 := func(quote packet.Payload) []byte {
		return packet.Build(toRouter, packet.IPv4{Src: v4.Dst, Dst: v4.Src}, packet.ICMP{Type: 3, Code: 3}, quote)
	}
	error6 := func(quote packet.Payload) []byte {
		return packet.Build(toRouter, packet.IPv6{Src: v6.Dst, Dst: v6.Src}, packet.ICMPv6{Type: 1, Code: 4}, quote)
	}
	for _, c := range parseCases {
		if c.want != 0 || c.class != classFlow {
			continue
		}
		quoted := parseOf(c.frame, len(c.frame))
		build := error4
		if quoted.meta.Flags&flagIPv6 != 0 {
			build = error6
		}
		frame := build(packet.Quote(c.frame, 100))
		p := parseOf(frame, len(frame))
		if p.reason != 0 || p.meta.class != classICMPError {
			t.Errorf("%s: %v, class %d", c.name, p.reason, p.meta.class)
			continue
		}
		_, _, query := queryOf(quoted.meta.ICMPType, quoted.meta.Flags&flagIPv6 != 0)
		icmp := quoted.meta.Proto == protoICMP && quoted.meta.Flags&flagIPv6 == 0 || quoted.meta.Proto == protoICMPv6
		answerable := quoted.meta.Flags&flagLater == 0 && (!icmp || query)
		if got := p.meta.Flags&flagQuoted != 0; got != answerable {
			t.Errorf("%s: quoted %v, want %v", c.name, got, answerable)
			continue
		}
		want := backwards(quoted.key, 7)
		want.Tail |= uint64(hash.KeyRouted)
		if answerable && p.key != want {
			t.Errorf("%s: key %+v, want %+v", c.name, p.key, want)
		}
	}
	// Too little of it, or nothing of sense.
	for n := range 28 {
		frame := error4(packet.Quote(packet.Build(toRouter, v4, udpPorts), n))
		if p := parseOf(frame, len(frame)); p.reason != 0 || p.meta.Flags&flagQuoted != 0 && n < 24 {
			t.Errorf("%d bytes quoted: %v, flags %b", n, p.reason, p.meta.Flags)
		}
	}
	about := packet.Build(toRouter, v4, packet.ICMP{Type: 3}, packet.Quote(packet.Build(toRouter, v4, udpPorts), 28))
	frame := error4(packet.Quote(about, 64))
	if p := parseOf(frame, len(frame)); p.meta.Flags&flagQuoted != 0 {
		t.Error("an error about an error belongs to a flow")
	}
}
