package pipeline

import (
	"encoding/binary"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/policy"
)

// relayICMPError decides an ICMP error: as part of the flow that it quotes if
// there is such a session, else by the rules as a message of its own. It is
// never accelerated, and keeps no session alive.
func (w *Worker) relayICMPError(i int) {
	m, k := &w.burst.meta[i], &w.burst.keys[i]
	frame := w.burst.frame(i)
	outer := outerKey(frame, m)
	if m.Flags&flagQuoted == 0 || k.Dst != outer.Dst {
		m.Reason = drop.ICMPErrorUnmatched
		return
	}
	far := noENI
	if id, dir := w.sessions.Find(m.Hash, k, m.VPC, w.now); id != conntrack.NoSession {
		far = farEnd(w.sessions.At(id), dir)
	}
	w.query = errorQuery(frame, m, &outer)
	d, _ := decideFlow(w.view.snap, &w.query, far, nil)
	if d.Verdict != policy.Forward {
		m.Reason, m.Egress = d.Reason, d.Egress
		return
	}
	key := &w.query.Key // outer would escape to the heap
	w.forward(m, key, d.Egress, w.view.queueOf(d.Egress, key))
}

// outerKey returns the key of an ICMP error itself, its type and code in the
// place of ports.
func outerKey(frame []byte, m *Meta) hash.FlowKey {
	var k hash.FlowKey
	ip := frame[m.L3:]
	flags := hash.KeyIPv4
	if m.Flags&flagIPv6 != 0 {
		flags = hash.KeyIPv6
		k.Src = hash.Addr{Hi: binary.BigEndian.Uint64(ip[8:16]), Lo: binary.BigEndian.Uint64(ip[16:24])}
		k.Dst = hash.Addr{Hi: binary.BigEndian.Uint64(ip[24:32]), Lo: binary.BigEndian.Uint64(ip[32:40])}
	} else {
		k.Src.Lo = uint64(binary.BigEndian.Uint32(ip[12:16]))
		k.Dst.Lo = uint64(binary.BigEndian.Uint32(ip[16:20]))
	}
	if m.Flags&flagRouted != 0 {
		flags |= hash.KeyRouted
	}
	k.Tail = hash.Tail(0, uint16(m.ICMPType)<<8|uint16(m.ICMPCode), m.ENI, m.Proto, flags)
	return k
}

func errorQuery(frame []byte, m *Meta, outer *hash.FlowKey) policy.Query {
	return policy.Query{Key: *outer, ICMPType: m.ICMPType, ICMPCode: m.ICMPCode, DstMAC: [6]byte(frame[0:6])}
}
