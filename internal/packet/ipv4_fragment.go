package packet

import "encoding/binary"

// ipv4CopiedOption is the bit of an option's type that says that every fragment
// has the option, not the first alone (RFC 791 sec. 3.1).
const ipv4CopiedOption = 0x80

// IPv4Fragments cuts an IPv4 packet up (RFC 791 sec. 2.3 and 3.2). It may itself
// be a fragment.
//
// The zero value is of no use; see NewIPv4Fragments.
type IPv4Fragments struct {
	header  [60]byte // of the first fragment
	first   int      // its length
	later   [60]byte // of the others: with the options that are copied
	others  int
	payload int // bytes to send
	size    int // of an IP packet, at most
	at      int // bytes of the payload sent so far
}

// NewIPv4Fragments starts cutting up the packet that begins with header h, its
// options included, into packets of at most size bytes. The packet's total
// length must not be below the header's. It reports false where size has no room
// for a header and eight bytes.
func NewIPv4Fragments(h IPv4Header, size int, f *IPv4Fragments) bool {
	*f = IPv4Fragments{first: h.HeaderLen(), others: IPv4MinLen, size: size}
	f.payload = int(h.TotalLen()) - f.first
	copy(f.header[:], h[:f.first])
	copy(f.later[:], h[:IPv4MinLen])
	for opts := h[IPv4MinLen:f.first]; len(opts) > 0; {
		n := 1
		switch typ := opts[0]; {
		case typ == 0: // the end
			n = len(opts)
		case typ == 1: // a filler
		case len(opts) < 2 || opts[1] < 2 || int(opts[1]) > len(opts):
			n = len(opts) // no option begins here; what follows cannot be told apart
		default:
			if n = int(opts[1]); typ&ipv4CopiedOption != 0 {
				f.others += copy(f.later[f.others:], opts[:n])
			}
		}
		opts = opts[n:]
	}
	f.others = (f.others + 3) &^ 3
	f.later[0] = 4<<4 | byte(f.others/4)
	return size >= max(f.first, f.others)+8
}

// Count returns how many fragments are still to come.
func (f *IPv4Fragments) Count() int {
	n := 0
	for at := f.at; at < f.payload; n++ {
		take, _ := f.take(at)
		at += take
	}
	return n
}

// take returns how many bytes the fragment holds that begins at byte at of the
// payload, and whether it is the last.
func (f *IPv4Fragments) take(at int) (n int, last bool) {
	room := f.size - f.others
	if at == 0 {
		room = f.size - f.first
	}
	if left := f.payload - at; left <= room {
		return left, true
	}
	return room &^ 7, false
}

// Next writes the header of the next fragment to b, with a time to live lower by
// one, and returns the header's length, where in the packet the bytes lie that
// follow it, and how many they are; none when the packet is used up.
func (f *IPv4Fragments) Next(b []byte) (header, from, length int) {
	h, hlen := &f.header, f.first
	if f.at > 0 {
		h, hlen = &f.later, f.others
	}
	n, last := f.take(f.at)
	copy(b, h[:hlen])
	ip := IPv4Header(b)
	binary.BigEndian.PutUint16(ip[2:4], uint16(hlen+n))
	field := binary.BigEndian.Uint16(ip[6:8]) // of the packet; its own MF stands in the last one
	if !last {
		field |= ipv4MF
	}
	binary.BigEndian.PutUint16(ip[6:8], field+uint16(f.at/8))
	ip[8]--
	ip.UpdateChecksum()
	from = f.first + f.at
	f.at += n
	return hlen, from, n
}
