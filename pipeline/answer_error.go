package pipeline

import (
	"net/netip"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/pipeline/shaper"
	"github.com/nitrod/nitrod/policy"
	"github.com/nitrod/nitrod/policy/mapping"
)

// This file is the router's complaint: what the sender of a packet is told by
// ICMP when its packet cannot go on. The packet is dropped and counted under its
// reason all the same; the message lies in a buffer of its own and counts as
// originated. It goes to the ENI that sent the packet and to nobody else, after
// the source check, so that no one can be made to hear complaints about what
// others sent (docs/semantics.md S4.8).

// A speaker is the addresses by which the router of an ENI's subnet speaks to
// it. A family without one stays silent.
type speaker struct{ addr4, addr6 netip.Addr }

// speakerOf returns the router's addresses in a subnet. In one without IPv6 it
// has a link-local address still.
func speakerOf(subnet *policy.SubnetInfo) speaker {
	s := speaker{addr4: subnet.Router4, addr6: subnet.Router6}
	if !s.addr6.IsValid() {
		s.addr6 = subnet.RouterLinkLocal
	}
	return s
}

// complain sets e to what the sender of a packet is told about its being
// dropped for r, and reports whether there is anything to tell. Nothing is told
// about frames that do not cross the router, since no router has seen them; about
// ICMP errors and IP fragments other than the first (RFC 1812 section 4.3.2.7);
// nor to addresses that are no single host's. Multicast and broadcast have not
// come as far as here.
func (v *view) complain(frame []byte, m *Meta, r drop.Reason, e *packet.ICMPError) bool {
	if m.Flags&flagRouted == 0 || m.class != classFlow || m.Flags&flagLater != 0 {
		return false
	}
	v6 := m.Flags&flagIPv6 != 0
	*e = packet.ICMPError{Src: v.says[m.ENI].addr4}
	if v6 {
		e.Src, e.Dst = v.says[m.ENI].addr6, packet.IPv6Header(frame[m.L3:]).SrcAddr()
	} else {
		e.Dst = packet.IPv4Header(frame[m.L3:]).SrcAddr()
	}
	if v.snap.ENIs[m.ENI].Outside() {
		e.Src = destinationOf(frame, m)
	}
	mtu := uint32(v.snap.ENIs[m.Egress].MTU)
	switch {
	case r == drop.TTLExpired && v6:
		e.Type = packet.ICMPv6TimeExceeded // code 0: in transit
	case r == drop.TTLExpired:
		e.Type = packet.ICMPTimeExceeded
	case r == drop.MTUExceeded && m.L3Len > mtu: // not what is behind it
		if e.Type, e.Code = packet.ICMPUnreachable, packet.ICMPCodeFragNeeded; v6 {
			e.Type, e.Code = packet.ICMPv6PacketTooBig, 0
		}
		e.MTU = uint16(mtu)
	default:
		return false
	}
	owner := v.snap.Owner(m.VPC, e.Dst).Kind
	return e.Src.IsValid() && owner != mapping.Reserved && owner != mapping.Resolver
}

// tellers hold the rate of the router's complaints to each ENI.
type tellers struct {
	limit   shaper.SharedLimit
	buckets []shaper.Shared // by ENI, of all lcores
}

func newTellers(rate, enis, lcores int) tellers {
	r := uint32(rate)
	return tellers{shaper.NewSharedLimit(r, shaper.DefaultDepth(r), lcores), make([]shaper.Shared, enis)}
}

// refuseAndTell drops packet i and tells its sender, if that is to be told and
// has not been told too much lately.
func (w *Worker) refuseAndTell(i int, r drop.Reason) {
	m, d := &w.burst.meta[i], &w.burst.desc[i]
	var e packet.ICMPError
	told := w.view.complain(w.burst.frame(i), m, r, &e) && w.mayTell(m.ENI) && w.tell(i, d, m, &e)
	w.dropAt(i, r)
	if told {
		m.Verdict, m.Egress, m.Queue = VerdictReplaced, m.ENI, 0
	}
}

func (w *Worker) mayTell(eni uint16) bool {
	t := &w.engine.tellers
	return t.limit.Limits() && w.told[eni].Take(&t.buckets[eni], t.limit, w.now)
}

// tell makes the message about packet i, and reports whether there was a buffer
// for it.
func (w *Worker) tell(i int, d *pktio.Desc, m *Meta, e *packet.ICMPError) bool {
	out, ok := w.newPacket(i)
	if !ok {
		return false
	}
	r := &w.enis[m.ENI]
	e.Router, e.Sender = r.RouterMAC, r.MAC
	at, most := e.Quote(int(r.MTU))
	n := min(most, int(m.L3Len))
	buf := pktio.Bytes(out.Data, uint32(at+n))
	n = w.copyOut(d, uint32(m.L3), buf[at:])
	n = e.Put(buf[:at+n])
	if r.Flags&policy.IsInternetGateway != 0 && e.Src.Is4() { // the world knows the public address, here and in the quote
		natOut(buf[ethHeader:n], w.view.snap.NAT(m.VPC))
	}
	w.finish(out, n)
	w.counters.local[countICMPErrors]++
	return true
}

// copyOut copies bytes of a packet and returns how many there were.
func (w *Worker) copyOut(d *pktio.Desc, from uint32, to []byte) int {
	if from+uint32(len(to)) <= d.Len {
		return copy(to, pktio.Bytes(d.Data, d.Len)[from:])
	}
	return w.io.Read(d.Buf, from, to)
}
