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
	case classDHCP6:
		w.answerDHCP6(i)
	case classICMPError:
		w.relayICMPError(i)
	default:
		w.judgeFlow(i, m, k)
	}
}

// judgeFlow decides a packet by the sessions that speak for it and the policy.
func (w *Worker) judgeFlow(i int, m *Meta, k *hash.FlowKey) {
	w.query = flowQuery(m, k, [6]byte(w.burst.frame(i)[0:6]))
	w.admit(m, k)
	a, d := &w.admission, &w.decision
	if d.Verdict != policy.Forward {
		if d.Reason == drop.RouterNoService && w.answerUnicastDHCP(i) {
			return
		}
		m.Reason, m.Egress = d.Reason, d.Egress
		if w.cacheable(m, a, d) {
			r := w.refusalOf(m, a, d)
			w.install(m, k, &r)
		}
		return
	}
	fresh := false
	if out, in := a.missing(d); out || in {
		w.sessions.Keep(a.Main, a.Out, a.In)
		if fresh = a.Main == conntrack.NoSession; fresh {
			a.Main, m.Reason = w.openSession(m, k, d, [2]bool{out, in})
			if a.Main == conntrack.NoSession {
				return
			}
			a.Out, a.In = either(out, a.Main, a.Out), either(in, a.Main, a.In)
		} else if m.Reason = w.extend(m, k, a, d, out, in); m.Reason != drop.Unset {
			return
		}
	}
	f := w.acceptanceOf(k, a, d)
	if a.settled() {
		w.install(m, k, &f)
	}
	for _, p := range a.Parts() {
		if fresh && p.ID == a.Main {
			w.trackFirst(i, m, p.ID)
		} else if w.track(i, m, p.ID, p.Dir) != trackPass {
			return
		}
	}
	w.forward(m, k, f.Egress, f.Queue)
}

func either(is bool, a, b uint32) uint32 {
	if is {
		return a
	}
	return b
}

// flowQuery asks about a packet of a flow.
func flowQuery(m *Meta, k *hash.FlowKey, dstMAC [6]byte) policy.Query {
	return policy.Query{
		Key: *k, ICMPType: m.ICMPType, ICMPCode: m.ICMPCode, DstMAC: dstMAC,
		Opens: m.opens(),
	}
}

// opens reports whether the packet is a TCP SYN without ACK.
func (m *Meta) opens() bool {
	return m.Proto == protoTCP && m.Flags&flagLater == 0 && m.TCPFlags&(conntrack.SYN|conntrack.ACK) == conntrack.SYN
}

// cacheable reports whether a refusal holds for the flow's next packets. Besides
// what policy knows: a session that begins elsewhere may admit what one that
// forwards for others sends (an internet gateway sends for the world, and all
// sessions that may admit that are known when they begin); fragments at the
// router's address share their key with messages to the DHCP server there; and
// one that would have begun a connection anew is refused where the old one's
// packets may not be.
func (w *Worker) cacheable(m *Meta, a *admission, d *policy.Decision) bool {
	return d.Cacheable && !a.anew && !m.halfOfDHCP(d.Reason) &&
		(d.Reason != drop.SecurityGroupIn || w.enis[m.ENI].Flags&(policy.SourceDestCheck|policy.IsInternetGateway) != 0)
}

// refusalOf is the flow-cache entry for a flow that policy refuses. Where a
// session has spared it the sender's groups, it holds as long as that lives, and
// for no packet that may end it: the reason may be theirs then.
func (w *Worker) refusalOf(m *Meta, a *admission, d *policy.Decision) flowcache.Action {
	r := flowcache.Action{Reason: uint8(d.Reason), Egress: d.Egress, SrcGen: d.SrcGen, DstGen: d.DstGen, Session: a.Out}
	if d.Egress == policy.NoENI { // it rests on the sender's policy alone
		r.Egress, r.DstGen = m.ENI, d.SrcGen
	}
	if a.Out != conntrack.NoSession {
		r.Incarnation, r.Answer = w.sessions.At(a.Out).Incarnation(), true
	}
	return r
}

// acceptanceOf is the flow-cache entry for a flow that policy lets pass.
func (w *Worker) acceptanceOf(k *hash.FlowKey, a *admission, d *policy.Decision) flowcache.Action {
	f := flowcache.Action{
		Forward: true, Egress: d.Egress, Queue: w.view.queueOf(d.Egress, k, 0), // of a flow that rules part it is not used
		Session: a.Main, SrcGen: d.SrcGen, DstGen: d.DstGen, Answer: d.AsAnswer,
	}
	if a.Main != conntrack.NoSession {
		f.Reply, f.Incarnation = a.MainDir == 1, w.sessions.At(a.Main).Incarnation()
	}
	return f
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
	if m.Flags&flagFragment != 0 || w.choosing {
		queue = w.queueFor(egress, k, m.TOS, m.Flags&flagFragment != 0)
	}
	m.Verdict, m.Egress, m.Queue = VerdictForward, egress, queue
}

// renews reports whether a packet opens a new connection in the place of s.
func (m *Meta) renews(s *conntrack.Session, dir int) bool {
	return s.State().IsTCP() && m.Flags&flagLater == 0 && s.Renews(dir, m.TCPFlags, m.Seq, m.Payload)
}

func (w *Worker) install(m *Meta, k *hash.FlowKey, a *flowcache.Action) {
	a.Queued = w.waiting.holds(m.Hash) // this packet itself may be among them
	if _, evicted := w.cache.Set(m.Hash, k, a, w.tick); evicted {
		w.counters.local[countEvicted]++
	}
	w.changed = true
}
