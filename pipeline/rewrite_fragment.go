package pipeline

import (
	"encoding/binary"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/pktio"
)

// maxFragments is how many fragments one packet may become: enough for 64 KiB and
// the smallest MTU of the configuration file.
const maxFragments = 64

// fragments starts cutting up a packet that crosses the router and is longer than
// size bytes, and returns how many pieces it gives; 0 if it is not to be cut up:
// it is IPv6, whose routers do not do that, has DF set, or gives too many.
func fragments(frame []byte, m *Meta, size uint32, f *packet.IPv4Fragments) int {
	if m.Flags&(flagRouted|flagIPv6) != flagRouted || m.L3Len <= size {
		return 0
	}
	ip := packet.IPv4Header(frame[m.L3:])
	if ip.DontFragment() || !packet.NewIPv4Fragments(ip, int(size), f) {
		return 0
	}
	if n := f.Count(); n <= maxFragments {
		return n
	}
	return 0
}

// fragment sends a packet that is too long for its receiver in pieces, and
// reports whether it is one to be sent so. The packet itself counts as consumed,
// each piece as originated.
func (w *Worker) fragment(i int, hop *lastHop) bool {
	m, d := &w.burst.meta[i], &w.burst.desc[i]
	var f packet.IPv4Fragments
	mtu := uint32(w.enis[m.Egress].MTU)
	n := fragments(w.burst.frame(i), m, mtu, &f)
	if n == 0 {
		return false
	}
	m.Queue = w.fragmentQueue(i)
	if w.enis[m.Egress].Outside() || m.Flags&flagService != 0 {
		if r := w.leaveInPieces(i, m); r != drop.Unset {
			w.dropAt(i, r)
			return true
		}
		fragments(w.burst.frame(i), m, mtu, &f) // anew: the header is another
	}
	first := len(w.made.descs)
	for got := 0; got < n; got++ {
		out, ok := w.newPacket(i)
		if ok && got == 0 && out.Len < ethHeader+mtu { // a buffer holds less than the MTU
			n = fragments(w.burst.frame(i), m, out.Len-ethHeader, &f)
			ok = n != 0
		}
		if !ok {
			w.unmake(len(w.made.descs) - first)
			w.dropAt(i, drop.NoBuffer)
			return true
		}
	}
	for k := range w.made.descs[first:] {
		w.finish(&w.made.descs[first+k], w.putFragment(&w.made.descs[first+k], d, m, hop, &f))
	}
	m.Verdict = VerdictReplaced
	w.counters.local[countConsumed]++
	w.counters.local[countFragmented]++
	w.free(d.Buf)
	return true
}

// fragmentQueue returns the receive queue for fragments of packet i.
func (w *Worker) fragmentQueue(i int) uint8 {
	m, key := &w.burst.meta[i], &w.burst.keys[i]
	if m.class == classICMPError { // its key is of what it quotes
		w.query.Key = outerKey(w.burst.frame(i), m)
		key = &w.query.Key
	}
	return w.queueFor(m.Egress, key, m.TOS, true)
}

// putFragment writes the next fragment of packet d to the buffer of out, as its
// receiver shall see it, and returns the length of the frame.
func (w *Worker) putFragment(out, d *pktio.Desc, m *Meta, hop *lastHop, f *packet.IPv4Fragments) int {
	buf := pktio.Bytes(out.Data, out.Len)
	hop.address((*[ethHeader + ipv4Header]byte)(buf))
	binary.BigEndian.PutUint16(buf[12:14], etherIPv4)
	header, from, n := f.Next(buf[ethHeader:])
	w.copyOut(d, uint32(m.L3)+uint32(from), buf[ethHeader+header:][:n])
	return ethHeader + header + n
}
