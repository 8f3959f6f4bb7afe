package pipeline

import (
	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/pipeline/flowcache"
	"github.com/nitrod/nitrod/policy"
)

// slowPath is the stage for what the flow cache cannot decide: the first packet
// of a flow in its direction, flows judged under an older policy, and what is
// exceptional. It installs what it decides, so that the flow's next packet does
// not come here.
func (w *Worker) slowPath(i int) {
	m, k := &w.burst.meta[i], &w.burst.keys[i]
	switch m.class {
	case classARP:
		w.answerARP(i)
	case classND:
		w.answerND(i)
	case classDHCP:
		w.answerDHCP(i)
	case classICMPError:
		w.relayICMPError(i)
	default:
		w.judgeFlow(i, m, k)
	}
}

// judgeFlow decides a packet by its session and the policy.
func (w *Worker) judgeFlow(i int, m *Meta, k *hash.FlowKey) {
	id, dir := w.sessions.Find(m.Hash, k, m.VPC, w.now)
	if id != conntrack.NoSession && m.renews(w.sessions.At(id), dir) {
		w.sessions.Remove(id)
		id = conntrack.NoSession
	}
	w.query = policy.Query{
		Key: *k, ICMPType: m.ICMPType, ICMPCode: m.ICMPCode,
		DstMAC: [6]byte(w.burst.frame(i)[0:6]),
	}
	far := noENI
	if id != conntrack.NoSession {
		far = farEnd(w.sessions.At(id), dir)
	}
	d, inSession := decideFlow(w.view.snap, &w.query, far, nil)
	if id != conntrack.NoSession && !inSession && d.Verdict == policy.Forward {
		w.sessions.Remove(id) // the flow goes another way now
		id = conntrack.NoSession
	}
	if d.Verdict != policy.Forward {
		if d.Reason == drop.RouterNoService && w.answerUnicastDHCP(i) {
			return
		}
		m.Reason, m.Egress = d.Reason, d.Egress
		if d.Cacheable && !m.halfOfDHCP(d.Reason) {
			a := flowcache.Action{Reason: uint8(d.Reason), Egress: d.Egress, SrcGen: d.SrcGen, DstGen: d.DstGen}
			if d.Egress == policy.NoENI { // it rests on the sender's policy alone
				a.Egress, a.DstGen = m.ENI, d.SrcGen
			}
			w.install(m, k, &a)
		}
		return
	}
	fresh := id == conntrack.NoSession
	if fresh {
		if id, m.Reason = w.openSession(m, k, &d); id == conntrack.NoSession {
			return
		}
		dir = 0
	}
	s := w.sessions.At(id)
	a := flowcache.Action{
		Forward: true, Reply: dir == 1, Egress: d.Egress, Queue: w.view.queueOf(d.Egress, k),
		Session: id, Incarnation: s.Incarnation(), SrcGen: d.SrcGen, DstGen: d.DstGen,
	}
	w.install(m, k, &a)
	if fresh { // the packet has made the state already
		s.Count(0, m.L3Len, w.now)
	} else if w.track(m, id, dir) != trackPass {
		return
	}
	w.forward(m, k, a.Egress, a.Queue)
}

// farEnd returns the ENI to which a session's packets in direction dir go.
func farEnd(s *conntrack.Session, dir int) uint16 {
	if dir == 0 {
		return s.Responder()
	}
	return s.Originator()
}

// decideFlow asks policy about a packet whose session leads to ENI far, noENI if
// it has none, and reports whether the session admits it. A session speaks for
// its two ENIs only: where a packet with its addresses is led to a third one, by
// another MAC or a changed route, the rules decide.
func decideFlow(snap *policy.Snapshot, q *policy.Query, far uint16, tr *policy.Trace) (policy.Decision, bool) {
	q.Established = far != noENI
	d := snap.Decide(q, tr)
	if !q.Established || d.Egress == far || d.Egress == policy.NoENI {
		return d, q.Established
	}
	if tr != nil {
		tr.Steps = tr.Steps[:0]
	}
	q.Established = false
	return snap.Decide(q, tr), false
}

// halfOfDHCP tells a fragment that was refused at the router's address: it
// shares its key with messages to the DHCP server there, so that its verdict is
// not the flow's.
func (m *Meta) halfOfDHCP(r drop.Reason) bool {
	return r == drop.RouterNoService && m.Flags&flagFragment != 0
}

// forward sets a packet's way out. A fragment goes to the queue that ENA gives
// fragments, whatever the queue of its flow (docs/semantics.md, RSS).
func (w *Worker) forward(m *Meta, k *hash.FlowKey, egress uint16, queue uint8) {
	if m.Flags&flagFragment != 0 {
		queue = w.view.fragmentQueueOf(egress, k)
	}
	m.Verdict, m.Egress, m.Queue = VerdictForward, egress, queue
}

// renews reports whether a packet opens a new connection in the place of s.
func (m *Meta) renews(s *conntrack.Session, dir int) bool {
	return s.State().IsTCP() && m.Flags&flagLater == 0 &&
		conntrack.NextTCP(s.State(), dir, m.TCPFlags) == conntrack.Renew
}

// openSession makes the session of a flow's first packet, or says why not.
func (w *Worker) openSession(m *Meta, k *hash.FlowKey, d *policy.Decision) (uint32, drop.Reason) {
	state := conntrack.Initial(m.Proto, m.TCPFlags, w.engine.cfg.PickupMidstream)
	if state == conntrack.None {
		if !conntrack.ValidFlags(m.TCPFlags) {
			return conntrack.NoSession, drop.TCPInvalidFlags
		}
		return conntrack.NoSession, drop.MidstreamTCP
	}
	n := conntrack.New{
		Key: *k, Hash: m.Hash, Responder: d.Egress, VPC: m.VPC,
		Instances: [2]uint16{w.enis[m.ENI].Instance, w.enis[d.Egress].Instance}, Tracked: [2]bool{true, true},
		Groups: [2]uint16{d.SGOut.Group(), d.SGIn.Group()},
		State:  state, Now: w.now, TimeoutNanosec: w.timeout(state, m.ENI, d.Egress, false),
		HalfOpen: w.enis[m.ENI].HalfOpen,
	}
	id, result := w.sessions.Create(&n)
	if result != conntrack.Created {
		return conntrack.NoSession, noSession[result]
	}
	w.counters.local[countSessions]++
	// If the other side sent something before it was asked, its flow may be
	// known as one to drop. From now on it is a reply.
	reverse := hash.FlowKey{Src: k.Dst, Dst: k.Src,
		Tail: hash.Tail(k.DstPort(), k.SrcPort(), d.Egress, k.Proto(), k.Flags()&^hash.KeyRouted)}
	w.cache.Remove(m.Hash, &reverse)
	reverse.Tail |= uint64(hash.KeyRouted)
	w.cache.Remove(m.Hash, &reverse)
	return id, drop.Unset
}

// noSession names the reasons for which a session cannot be created.
var noSession = [...]drop.Reason{
	conntrack.TableFull:                  drop.SessionTableFull,
	conntrack.AllowanceExceeded:          drop.ConntrackAllowanceExceeded,
	conntrack.ResponderAllowanceExceeded: drop.ConntrackAllowanceExceeded,
	conntrack.HalfOpenExceeded:           drop.ConntrackHalfOpenExceeded,
}

func (w *Worker) install(m *Meta, k *hash.FlowKey, a *flowcache.Action) {
	a.Queued = w.waiting.holds(m.Hash) // this packet itself may be among them
	if _, evicted := w.cache.Set(m.Hash, k, a, w.tick); evicted {
		w.counters.local[countEvicted]++
	}
	w.changed = true
}
