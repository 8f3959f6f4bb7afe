package pipeline

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/policy/mapping"
)

// natPairs are two guests' addresses; natThere translates them, and natBack
// undoes what natThere did, since it has them the other way round.
var (
	natPairs = []mapping.Pair{{Private: 0x0a00010a, Public: 0xc612000a}, {Private: 0x0a00020a, Public: 0xc6120014}}
	natThere = mapping.NewNAT(natPairs)
	natBack  = mapping.NewNAT([]mapping.Pair{
		{Private: natPairs[0].Public, Public: natPairs[0].Private}, {Private: natPairs[1].Public, Public: natPairs[1].Private},
	})
)

func addr4(a uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], a)
	return netip.AddrFrom4(b)
}

// natFrames builds packets that differ in their addresses only, or a fragment of
// each. One that is an ICMP error quotes a packet with the addresses given last.
type natFrames func(src, dst, quotedSrc, quotedDst netip.Addr) []byte

func drawNAT(t *rapid.T) natFrames {
	options := rapid.SliceOfN(rapid.Byte(), 0, 40)
	header := packet.IPv4{ID: rapid.Uint16().Draw(t, "id"), Options: options.Draw(t, "options")}
	kind := rapid.SampledFrom([]string{"tcp", "udp", "udp without checksum", "echo", "other", "error", "error"}).Draw(t, "kind")
	cut := rapid.SampledFrom([]int{0, 0, 200, 600}).Draw(t, "mtu")
	nth := rapid.IntRange(0, 9).Draw(t, "fragment")
	if kind != "error" {
		layers := drawUpper(t, kind)
		return func(src, dst, _, _ netip.Addr) []byte { return natFrame(header, src, dst, layers, cut, nth) }
	}
	quotedHeader := packet.IPv4{ID: header.ID, Options: options.Draw(t, "quoted options")}
	quoted := drawUpper(t, rapid.SampledFrom([]string{"tcp", "udp", "udp without checksum", "echo", "other"}).Draw(t, "quoted"))
	quotedCut, quotedNth := rapid.SampledFrom([]int{0, 0, 200}).Draw(t, "quoted mtu"), rapid.IntRange(0, 9).Draw(t, "quoted fragment")
	most := 2 * rapid.IntRange(0, 300).Draw(t, "half of the bytes quoted") // half a checksum stays as it is, and nobody can check it
	says := packet.ICMP{Type: rapid.SampledFrom([]uint8{3, 4, 5, 11, 12}).Draw(t, "type"), Code: rapid.Byte().Draw(t, "code")}
	return func(src, dst, quotedSrc, quotedDst netip.Addr) []byte {
		q := packet.Quote(natFrame(quotedHeader, quotedSrc, quotedDst, quoted, quotedCut, quotedNth), most)
		if len(q) < packet.IPv4MinLen || len(q) < packet.IPv4Header(q).HeaderLen() {
			q = nil // it would not be told whose it is
		}
		return natFrame(header, src, dst, []packet.Layer{says, q}, cut, nth)
	}
}

// drawUpper draws what follows the IP header.
func drawUpper(t *rapid.T, kind string) []packet.Layer {
	a, b := rapid.Uint16().Draw(t, "a"), rapid.Uint16().Draw(t, "b")
	payload := packet.Payload(rapid.SliceOfN(rapid.Byte(), 0, 700).Draw(t, "payload"))
	switch kind {
	case "tcp":
		return []packet.Layer{packet.TCP{SrcPort: a, DstPort: b, Seq: rapid.Uint32().Draw(t, "seq"), Flags: rapid.Byte().Draw(t, "flags"),
			Options: rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "tcp options")}, payload}
	case "udp", "udp without checksum":
		return []packet.Layer{packet.UDP{SrcPort: a, DstPort: b, NoChecksum: kind != "udp"}, payload}
	case "echo":
		return []packet.Layer{packet.ICMP{Type: 8, ID: a, Seq: b}, payload}
	}
	return []packet.Layer{payload}
}

// natFrame builds a packet, and of one that is cut the nth fragment.
func natFrame(h packet.IPv4, src, dst netip.Addr, upper []packet.Layer, cut, nth int) []byte {
	h.Src, h.Dst = src, dst
	if _, ok := upper[0].(packet.Payload); ok {
		h.Proto = 47
	}
	frame := packet.Build(append([]packet.Layer{packet.Ether{}, h}, upper...)...)
	if cut == 0 {
		return frame
	}
	pieces := packet.Fragment(frame, cut, uint32(h.ID))
	return pieces[nth%len(pieces)]
}

// A translated packet is, byte by byte, the one that has the other addresses from
// the beginning, with all its checksums computed anew; and translated back it is
// what it was.
func TestTranslationTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame := drawNAT(t)
		host := addr4(rapid.Uint32Range(1, 1<<24-1).Draw(t, "host")) // in the world
		own, its := natPairs[0], natPairs[rapid.IntRange(0, 1).Draw(t, "quoted pair")]
		for _, c := range []struct {
			name       string
			translate  func(ip []byte, nat *mapping.NAT) bool
			from, want []byte
		}{
			{"out", natOut, frame(addr4(own.Private), host, host, addr4(its.Private)), frame(addr4(own.Public), host, host, addr4(its.Public))},
			{"in", natIn, frame(host, addr4(own.Public), addr4(its.Public), host), frame(host, addr4(own.Private), addr4(its.Private), host)},
		} {
			got := bytes.Clone(c.from)
			if !c.translate(got[ethHeader:], natThere) {
				t.Fatalf("%s: there is no address", c.name)
			}
			if !bytes.Equal(got, c.want) {
				t.Fatalf("%s: translated, and built anew:\n%s\n%s\n%x\n%x", c.name, packet.Summary(got), packet.Summary(c.want), got, c.want)
			}
			if !c.translate(got[ethHeader:], natBack) || !bytes.Equal(got, c.from) {
				t.Fatalf("%s: there and back, and before:\n%x\n%x", c.name, got, c.from)
			}
		}
	})
}

// natSums are the sums over all that checksums of a packet cover which
// translation is to keep. They do not change if each checksum changes with its
// addresses, whether it was right before or not.
func natSums(ip []byte, isQuote bool) []uint16 {
	h := packet.IPv4Header(ip)
	upper := ip[h.HeaderLen():]
	sums := []uint16{packet.Sum(ip[:h.HeaderLen()])}
	if csum := transportChecksum(ip); csum != nil && h.FragmentOffset() == 0 && (h.Protocol() == protoTCP || csum[0]|csum[1] != 0) {
		sums = append(sums, h.TransportSum(h.Protocol(), upper))
	}
	if q := quoted(ip); q != nil && !isQuote {
		sums = append(append(sums, packet.Sum(upper)), natSums(q, true)...)
	}
	for i, s := range sums {
		if s == 0 {
			sums[i] = 0xffff // the same number
		}
	}
	return sums
}

// sameButZero reports whether two packets are the same but for words that are
// 0 in one and 0xffff in the other: two ways to write one sum.
func sameButZero(a, b []byte) bool {
	for i := 0; i+1 < len(a); i += 2 {
		x, y := binary.BigEndian.Uint16(a[i:]), binary.BigEndian.Uint16(b[i:])
		if x != y && x^y != 0xffff || x != y && x != 0 && y != 0 {
			return false
		}
	}
	return len(a)%2 == 0 || a[len(a)-1] == b[len(b)-1]
}

// Whatever the bytes: translation touches none beyond them, keeps every sum that
// a checksum stands for, and can be undone.
func FuzzTranslation(f *testing.F) {
	memory := newEdge(f)
	f.Fuzz(func(t *testing.T, data []byte, in bool) {
		if len(data) < ipv4Header || len(data) > edgeRoom {
			return
		}
		ip, there, field, own := memory.put(data), natOut, sourceField, natPairs[0].Private
		if in {
			there, field, own = natIn, destinationField, natPairs[0].Public
		}
		if ip[0]&1 == 0 { // the others keep theirs
			binary.BigEndian.PutUint32(ip[field:], own)
		}
		before := bytes.Clone(ip)
		translated := there(ip, natThere)
		if !translated {
			if !bytes.Equal(ip, before) {
				t.Fatalf("what has no address here has changed:\n%x\n%x", before, ip)
			}
			return
		}
		if n := packet.IPv4Header(before).HeaderLen(); n < ipv4Header || n > len(before) {
			return // the parser refuses it
		}
		if was, is := natSums(before, false), natSums(ip, false); !slices.Equal(was, is) {
			t.Fatalf("sums of %x became %x:\n%x\n%x", was, is, before, ip)
		}
		if !there(ip, natBack) || !sameButZero(before, ip) {
			t.Fatalf("there and back, and before:\n%x\n%x", ip, before)
		}
	})
}
