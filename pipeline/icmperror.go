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
	if m.Flags&(flagQuoted|flagQuotedLater) == 0 || k.Dst != outer.Dst {
		m.Reason = drop.ICMPErrorUnmatched
		return
	}
	w.query = errorQuery(frame, m, &outer)
	d := &w.decision
	if w.admitError(m, k); d.Verdict != policy.Forward {
		m.Reason, m.Egress = d.Reason, d.Egress
		return
	}
	key := &w.query.Key // outer would escape to the heap
	w.forward(m, key, d.Egress, w.view.queueOf(d.Egress, key, m.TOS))
}

// admitError asks policy about an ICMP error about the flow that answers by key
// k. Each end admits it by the session that speaks for the flow there, where the
// error comes from an ENI of that session; or because the flow is not tracked
// there (docs/semantics.md S4.4); or by its rules for ICMP. The answer is in
// w.decision.
func (w *Worker) admitError(m *Meta, k *hash.FlowKey) {
	d, snap := &w.decision, w.view.snap
	if m.Flags&flagQuoted == 0 { // its ports are not known
		snap.DecideInto(d, &w.query, nil)
		return
	}
	a, far := noAdmission, noENI
	var s *conntrack.Session
	id, dir := w.sessions.Find(m.Hash, k, m.VPC, w.now)
	if id != conntrack.NoSession {
		s = w.sessions.At(id)
		a, far = admissionBy(id, s, dir), s.End(1-dir)
	}
	a.ask(&w.query, far)
	snap.DecideInto(d, &w.query, nil)
	if s != nil && wider(s, dir, d) {
		a.Between = w.sessions.Between(m.Hash, k, m.VPC, d.Egress, w.now)
	}
	if a.askError(snap, &w.query, k, d) {
		snap.DecideInto(d, &w.query, nil)
	}
}

// askError puts the admission of an ICMP error into the query again, now that
// d says where it goes, and reports whether that can change the decision.
func (a *admission) askError(snap *policy.Snapshot, q *policy.Query, k *hash.FlowKey, d *policy.Decision) bool {
	if d.Reason != drop.SecurityGroupIn && d.Reason != drop.SecurityGroupOut || d.Egress == policy.NoENI {
		return false
	}
	before := *q
	a.ask(q, d.Egress)
	q.AdmittedOut = q.AdmittedOut || snap.Untracked(k, k.ENI(), false)
	q.AdmittedIn = q.AdmittedIn || snap.Untracked(k, d.Egress, true)
	return *q != before
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
