package pipeline

import (
	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/pipeline/flowcache"
	"github.com/nitrod/nitrod/policy"
)

// LiveFlow is a flow that the engine knows, and what a policy would make of it.
type LiveFlow struct {
	Lcore      int
	HasSession bool // else only the flow cache knows it
	Session    conntrack.Session
	// Cut and Drains say that the choice of a security group ends the session,
	// because its rules no longer admit the flow: at once, or after so many
	// nanoseconds (policy.LiveFlows).
	Cut    bool
	Drains int64
	// Ways are its directions: that of the session's first packet and the
	// reply's. A flow without a session may have one only.
	Ways [2]LiveWay
	N    int // of Ways in use
}

// LiveWay is one direction of a live flow.
type LiveWay struct {
	Key       hash.FlowKey
	Now, Then Fate
	link      [6]byte // the MAC to which its frames are addressed, if it is not routed
}

// Fate is what becomes of a flow's next packet, as far as policy decides.
type Fate struct {
	Verdict Verdict
	Reason  drop.Reason // for a drop
	Egress  uint16      // ENI
	Session bool        // the session that there is admits it
	Tracked [2]bool     // where it is tracked: at the ENI that sends it, and that receives it
	By      policy.Decision
}

// Foresight tells what would become of the flows that live now, if another
// snapshot were put in force. A flow's next packet is taken to be like its last
// ones, sent to the same MAC, and within TCP's windows; what depends on the
// packet itself, its length and its TTL, is left out, and so is what other
// flows do meanwhile: that they use up an allowance or fill a table.
//
// Thread-safety: none, but any goroutine may have one, beside running lcores: it
// reads what readers may read, holds up no lcore and changes nothing. Limits:
// its memory does not grow with the number of flows.
type Foresight struct {
	e         *Engine
	now, then *view
	flow      LiveFlow
	x         Explanation
}

// Foresee prepares to look ahead to next, which must have been compiled with the
// snapshot in force as the one before.
func (e *Engine) Foresee(next *policy.Snapshot) (*Foresight, error) {
	e.changing.Lock()
	defer e.changing.Unlock()
	now := e.view.Load()
	then, err := e.newView(next, now)
	if err != nil {
		return nil, err
	}
	return &Foresight{e: e, now: now, then: then}, nil
}

// Each calls visit for each live flow at whose ENIs the snapshot changes
// anything, until visit returns false. The others stay as they are. Flows that
// begin meanwhile may be left out. visit must not keep the flow, which is used
// again, but may copy it.
func (f *Foresight) Each(visit func(*LiveFlow) bool) {
	goOn := true
	f.e.EachSession(func(lcore int, s *conntrack.Session) bool {
		if f.ofSession(lcore, s) {
			goOn = visit(&f.flow)
		}
		return goOn
	})
	if !goOn {
		return
	}
	f.e.EachFlow(func(lcore int, entry *flowcache.Entry) bool {
		return !f.ofEntry(lcore, entry) || visit(&f.flow)
	})
}

// Explain returns the steps of policy by which a direction of a flow would meet
// its fate under the new snapshot.
func (f *Foresight) Explain(w *LiveWay) []policy.Step {
	f.x.ahead = false
	f.judge(f.then, w)
	return f.x.Policy.Steps
}

// ofSession looks at a session, and reports whether next changes anything at
// its ENIs.
func (f *Foresight) ofSession(lcore int, s *conntrack.Session) bool {
	a, b := s.Originator(), s.Responder()
	if !f.lives(a) || !f.lives(b) || !f.changes(a) && !f.changes(b) {
		return false
	}
	f.flow.Lcore, f.flow.HasSession, f.flow.Session, f.flow.N = lcore, true, *s, 1
	f.choices(s)
	f.way(0, *s.Key(), b)
	if answered(s.Key()) {
		f.flow.N = 2
		f.way(1, f.reply(lcore, s.Key(), b), a)
	}
	return true
}

// choices notes what the choices of security groups mean to a session. One that
// drains already goes on doing so.
func (f *Foresight) choices(s *conntrack.Session) {
	now := f.e.Now()
	fate, until := fateOf(f.then, s, now)
	f.flow.Cut, f.flow.Drains = fate == fateCut, 0
	if fate == fateDrains {
		f.flow.Drains = until - now
	}
}

// ofEntry looks at a flow-cache entry whose flow has no session.
func (f *Foresight) ofEntry(lcore int, entry *flowcache.Entry) bool {
	from, to := entry.Key.ENI(), entry.Egress()
	if !f.lives(from) || !f.lives(to) || !f.changes(from) && !f.changes(to) || !f.current(entry) {
		return false
	}
	var s conntrack.Session
	vpc := f.now.snap.ENIs[from].VPC
	h := f.e.hasher.Hash(&entry.Key, uint32(vpc))
	if _, dir := f.e.workers[lcore].sessions.Lookup(h, &entry.Key, vpc, &s); dir >= 0 {
		return false // it was looked at with its session
	}
	f.flow.Lcore, f.flow.HasSession, f.flow.N, f.flow.Cut, f.flow.Drains = lcore, false, 1, false, 0
	f.way(0, entry.Key, to)
	if entry.Forward() {
		reverse := f.reply(lcore, &entry.Key, to)
		var back flowcache.Entry
		if f.e.workers[lcore].cache.Lookup(h, &reverse, &back) && f.current(&back) && back.Forward() {
			if before(&reverse, &entry.Key) {
				return false // it is looked at with the other direction
			}
			f.flow.N = 2
			f.way(1, reverse, from)
		}
	}
	return true
}

// before orders the two directions of a flow.
func before(a, b *hash.FlowKey) bool {
	switch {
	case a.Src.Hi != b.Src.Hi:
		return a.Src.Hi < b.Src.Hi
	case a.Src.Lo != b.Src.Lo:
		return a.Src.Lo < b.Src.Lo
	}
	return a.Tail < b.Tail
}

func (f *Foresight) lives(eni uint16) bool {
	return int(eni) < len(f.now.snap.ENIs) && !f.now.snap.ENIs[eni].Dead()
}

// changes reports whether next changes the policy in force at an ENI.
func (f *Foresight) changes(eni uint16) bool {
	then := &f.then.snap.ENIs[eni]
	return then.Dead() || then.Gen != f.now.snap.ENIs[eni].Gen
}

// current reports whether an entry was judged by the policy in force.
func (f *Foresight) current(entry *flowcache.Entry) bool {
	enis := f.now.snap.ENIs
	return entry.Gens() == flowcache.Gens(enis[entry.Key.ENI()].Gen, enis[entry.Egress()].Gen)
}

// reply returns the key of the answers to k, which ENI from sends: by the path
// by which it sent the last one, else by the path of what it answers.
func (f *Foresight) reply(lcore int, k *hash.FlowKey, from uint16) hash.FlowKey {
	r := hash.FlowKey{Src: k.Dst, Dst: k.Src}
	h := f.e.hasher.Hash(k, uint32(f.now.snap.ENIs[from].VPC))
	var entry flowcache.Entry
	for _, flags := range [2]uint8{k.Flags() ^ hash.KeyRouted, k.Flags()} {
		r.Tail = hash.Tail(k.DstPort(), k.SrcPort(), from, k.Proto(), flags)
		if f.e.workers[lcore].cache.Lookup(h, &r, &entry) {
			break
		}
	}
	return r
}

// way judges one direction of the flow, whose packets go to ENI to.
func (f *Foresight) way(i int, k hash.FlowKey, to uint16) {
	w := &f.flow.Ways[i]
	w.Key, w.link = k, f.now.snap.ENIs[to].MAC
	f.x.ahead = true
	w.Now = f.judge(f.now, w)
	w.Then = f.judge(f.then, w)
}

// judge says what becomes of the next packet of one direction.
func (f *Foresight) judge(v *view, w *LiveWay) Fate {
	x, k := &f.x, &w.Key
	eni := k.ENI()
	*x = Explanation{Egress: noENI, Key: *k, ahead: x.ahead, madeUp: true}
	if v.snap.ENIs[eni].Dead() {
		return Fate{Verdict: VerdictDrop, Reason: drop.PortWithoutENI, Egress: noENI}
	}
	if !f.arrives(v, k) {
		x.refuseTranslation(v.snap, eni, policy.AddrOf(k.Dst, false))
		return Fate{Verdict: VerdictDrop, Reason: x.Reason, Egress: noENI}
	}
	m := &x.Meta
	m.ENI, m.VPC, m.Proto, m.TCPFlags, m.Egress = eni, v.snap.ENIs[eni].VPC, k.Proto(), conntrack.ACK, noENI
	m.ICMPType, m.ICMPCode = icmpOf(k)
	if k.Flags()&hash.KeyRouted != 0 {
		m.Flags |= flagRouted
	}
	x.Shard = f.e.sharder.Shard(k)
	x.Lcore, x.HostRule = f.e.ownerOf(k, x.Shard)
	x.Hash = f.e.hasher.Hash(k, uint32(m.VPC))
	m.Hash = x.Hash
	var frame [ethHeader]byte
	copy(frame[:], w.link[:])
	x.flow(f.e, v, frame[:])
	return Fate{x.Verdict, x.Reason, x.Egress, x.HasSession, x.halves(), x.by}
}

// halves tells at which ends of a packet that passes its flow is tracked then.
func (x *Explanation) halves() [2]bool {
	switch {
	case x.Verdict != VerdictForward:
		return [2]bool{}
	case !x.Cached:
		return [2]bool{x.by.TrackOut, x.by.TrackIn}
	case x.HasSession:
		return [2]bool{x.Session.Tracked(x.Dir), x.Session.Tracked(1 - x.Dir)}
	}
	return [2]bool{}
}

// arrives reports whether what the world sends to the public address of a key's
// destination, as it is now, still comes to that destination in v.
func (f *Foresight) arrives(v *view, k *hash.FlowKey) bool {
	r := &v.snap.ENIs[k.ENI()]
	if r.Flags&policy.IsInternetGateway == 0 || k.IsIPv6() {
		return true
	}
	public, _ := f.now.snap.NAT(r.VPC).Public(uint32(k.Dst.Lo))
	private, ok := v.snap.NAT(r.VPC).Private(public)
	return ok && private == uint32(k.Dst.Lo)
}

// answered reports whether packets with a key can have answers of their flow: of
// ICMP's messages only queries have.
func answered(k *hash.FlowKey) bool {
	if p := k.Proto(); p != protoICMP && p != protoICMPv6 {
		return true
	}
	typ, code := icmpOf(k)
	_, _, query := queryOf(typ, k.IsIPv6())
	return query && code == 0
}

// icmpOf returns type and code of the messages that have a key; see parseICMP.
func icmpOf(k *hash.FlowKey) (typ, code uint8) {
	if p := k.Proto(); p != protoICMP && p != protoICMPv6 {
		return 0, 0
	}
	src, dst := k.SrcPort(), k.DstPort()
	for _, request := range [...]uint8{8, 13, 15, 17, icmp6EchoRequest} {
		if (request == icmp6EchoRequest) != k.IsIPv6() {
			continue
		}
		switch {
		case dst == answerPort(request, src):
			return request, 0
		case src != answerPort(request, dst):
		case request == 8:
			return 0, 0
		default:
			return request + 1, 0
		}
	}
	if src == oddReply {
		return 0, uint8(dst)
	}
	return uint8(dst >> 8), uint8(dst)
}
