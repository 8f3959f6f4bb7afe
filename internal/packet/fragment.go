package packet

import "encoding/binary"

// Fragment cuts an IPv4 or IPv6 frame into fragments whose IP packets are at
// most mtu bytes long, with identification id (16 bits of it for IPv4). The
// checksums inside stay those of the whole datagram. An IPv6 frame is cut
// behind its fixed header. A frame that fits is returned whole, alone.
//
// It panics on a frame that is not IP and on an mtu without room for 8 bytes of
// payload.
func Fragment(frame []byte, mtu int, id uint32) [][]byte {
	l, err := Locate(frame)
	if err != nil || l.EtherType != EtherTypeIPv4 && l.EtherType != EtherTypeIPv6 {
		panic("packet: cannot fragment what is not a whole IP packet")
	}
	if l.End-l.L3 <= mtu {
		return [][]byte{frame}
	}
	v4 := l.EtherType == EtherTypeIPv4
	headerLen, extra := IPv6Len, IPv6FragmentLen
	if v4 {
		headerLen, extra = IPv4Header(frame[l.L3:]).HeaderLen(), 0
	}
	step := (mtu - headerLen - extra) &^ 7
	if step < 8 {
		panic("packet: MTU without room for 8 bytes of payload")
	}
	head, payload := frame[:l.L3+headerLen], frame[l.L3+headerLen:l.End]
	var out [][]byte
	for off := 0; off < len(payload); off += step {
		part := payload[off:min(off+step, len(payload))]
		more := off+len(part) < len(payload)
		f := append([]byte(nil), head...)
		if v4 {
			f = append(f, part...)
			fragment4(f[l.L3:], off, more, id)
		} else {
			h := IPv6Frag{Next: f[l.L3+6], Offset: off, More: more, ID: id}
			f = append(f, h.wrap(part, nil, nil)...)
			ip := f[l.L3:]
			binary.BigEndian.PutUint16(ip[4:6], uint16(len(ip)-IPv6Len))
			ip[6] = ProtoFragment
		}
		out = append(out, f)
	}
	return out
}

func fragment4(ip IPv4Header, off int, more bool, id uint32) {
	binary.BigEndian.PutUint16(ip[2:4], uint16(len(ip)))
	binary.BigEndian.PutUint16(ip[4:6], uint16(id))
	// A fragment of a fragment keeps its place.
	field := uint16((ip.FragmentOffset() + off) / 8)
	if more || ip.MoreFragments() {
		field |= ipv4MF
	}
	binary.BigEndian.PutUint16(ip[6:8], field)
	ip.UpdateChecksum()
}
