package packet_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/packet"
)

// cut sends a packet in fragments.
func cut(ip packet.IPv4Header, size int) (out []packet.IPv4Header, ok bool) {
	var f packet.IPv4Fragments
	if !packet.NewIPv4Fragments(ip, size, &f) {
		return nil, false
	}
	for n := f.Count(); n > 0; n-- {
		b := make([]byte, size)
		header, from, length := f.Next(b)
		copy(b[header:], ip[from:from+length])
		out = append(out, packet.IPv4Header(b[:header+length]))
		if f.Count() != n-1 {
			return nil, false
		}
	}
	_, _, length := f.Next(make([]byte, 60))
	return out, length == 0
}

// Put together again by their offsets, the fragments are the packet that was cut
// up; only the last says that it is, unless the packet was a fragment itself.
func TestIPv4FragmentsTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var options []byte
		copied := 0
		for range rapid.IntRange(0, 3).Draw(t, "options") {
			o := []byte{rapid.SampledFrom([]byte{7, 0x83, 0x88, 68}).Draw(t, "type"), 0}
			o = append(o, rapid.SliceOfN(rapid.Byte(), 1, 6).Draw(t, "data")...)
			o[1] = byte(len(o))
			options = append(options, o...)
			if o[0]&0x80 != 0 {
				copied += len(o)
			}
		}
		in := packet.IPv4{
			Src: ip4A, Dst: ip4B, Options: options, ID: 77, TTL: 9, TOS: 3, Proto: 47,
			MF: rapid.Bool().Draw(t, "more"), FragOffset: 8 * rapid.IntRange(0, 4000).Draw(t, "offset"),
		}
		payload := packet.Fill(rapid.IntRange(1, 9000).Draw(t, "length"))
		ip := packet.IPv4Header(packet.Build(in, payload))
		size := rapid.IntRange(128, 2000).Draw(t, "size")
		got, ok := cut(ip, size)
		if !ok {
			t.Fatal("it cannot be cut up, or the counts are wrong")
		}
		var whole []byte
		for i, f := range got {
			last := i == len(got)-1
			switch {
			case !f.IsValid() || !f.ChecksumOK() || len(f) > size:
				t.Fatalf("fragment %d is no good: %x", i, f[:20])
			case f.TTL() != 8 || f.TOS() != 3 || f.ID() != 77 || f.Src() != ip.Src() || f.Dst() != ip.Dst() || f.Protocol() != 47 || f.DontFragment():
				t.Fatalf("fragment %d is of another packet: %x", i, f[:20])
			case f.FragmentOffset() != in.FragOffset+len(whole):
				t.Fatalf("fragment %d is at %d, want %d", i, f.FragmentOffset(), in.FragOffset+len(whole))
			case f.MoreFragments() != (!last || in.MF):
				t.Fatalf("fragment %d of %d says more: %v", i, len(got), f.MoreFragments())
			case !last && len(f)+8 <= size:
				t.Fatalf("fragment %d has %d bytes of %d", i, len(f), size)
			case i > 0 && f.HeaderLen() != 20+(copied+3)&^3:
				t.Fatalf("fragment %d has %d bytes of options, %d are to be copied", i, f.HeaderLen()-20, copied)
			case i == 0 && !bytes.Equal(f.Options(), ip.Options()):
				t.Fatalf("the first fragment has options %x, want %x", f.Options(), ip.Options())
			}
			whole = append(whole, f.Payload()...)
		}
		if !bytes.Equal(whole, payload) {
			t.Fatal("the payload changed")
		}
	})
}

func TestIPv4FragmentsRefuses(t *testing.T) {
	ip := packet.IPv4Header(packet.Build(packet.IPv4{Src: ip4A, Dst: ip4B, Options: make([]byte, 40)}, packet.Fill(100)))
	var f packet.IPv4Fragments
	if packet.NewIPv4Fragments(ip, 67, &f) || !packet.NewIPv4Fragments(ip, 68, &f) {
		t.Error("60 bytes of header and 8 of payload are what every network takes (RFC 791 section 3.2)")
	}
}

// An option that goes wrong ends the list; nothing behind it is copied.
func TestIPv4FragmentsOddOptions(t *testing.T) {
	for _, options := range [][]byte{{0x83}, {0x83, 1, 9}, {0x83, 9, 9}, {0, 0x83, 3, 1}, {1, 1, 1, 0x83}} {
		ip := packet.IPv4Header(packet.Build(packet.IPv4{Src: ip4A, Dst: ip4B, Options: options}, packet.Fill(500)))
		got, ok := cut(ip, 128)
		if !ok || got[1].HeaderLen() != 20 {
			t.Errorf("options %x: the second fragment has a header of %d bytes", options, got[1].HeaderLen())
		}
	}
}
