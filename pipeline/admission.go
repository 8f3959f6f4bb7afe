package pipeline

import (
	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/pipeline/flowcache"
	"github.com/nitrod/nitrod/policy"
)

// admission is what connection tracking says of a packet: which sessions speak
// for it at the ENI that sends it and at the one that receives it. In almost
// all cases that is one session, the one between these two. Where a flow goes
// one way and comes back another, each end may have one of its own
// (docs/semantics.md S1.10).
type admission struct {
	conntrack.Between
	anew bool // asked as if sessions were gone in whose place the packet would begin a new one
}

// noAdmission is that of a packet of no session.
var noAdmission = admission{Between: conntrack.NoBetween}

// admissionBy is that of a packet of one session, which goes to its other end.
func admissionBy(id uint32, s *conntrack.Session, dir int) admission {
	a := noAdmission
	a.Main, a.MainDir = id, dir
	if s.Tracked(dir) {
		a.Out, a.OutDir = id, dir
	}
	if s.Tracked(1 - dir) {
		a.In, a.InDir = id, dir
	}
	return a
}

// settled reports whether both halves rest on the packet's own session or on
// the rules, so that a flow-cache entry can say all.
func (a *admission) settled() bool {
	return (a.Out == a.Main || a.Out == conntrack.NoSession) && (a.In == a.Main || a.In == conntrack.NoSession)
}

// ask puts the admission into a query; far is the ENI for which a.In speaks.
func (a *admission) ask(q *policy.Query, far uint16) {
	q.AdmittedOut, q.AdmittedIn, q.Far = a.Out != conntrack.NoSession, a.In != conntrack.NoSession, far
}

// missing says of a packet that policy lets pass at which halves its flow is to
// be tracked and is not.
func (a *admission) missing(d *policy.Decision) (out, in bool) {
	return d.TrackOut && a.Out == conntrack.NoSession, d.TrackIn && a.In == conntrack.NoSession
}

// wider reports whether more sessions than the packet's own, s, may have a say,
// now that it is known where the packet goes.
func wider(s *conntrack.Session, dir int, d *policy.Decision) bool {
	if d.Egress == policy.NoENI || d.Verdict != policy.Forward && d.Reason != drop.SecurityGroupIn && d.Reason != drop.SecurityGroupOut {
		return false
	}
	return s == nil || s.End(1-dir) != d.Egress || !s.Tracked(0) || !s.Tracked(1)
}

// admit finds the sessions that speak for a packet and asks policy about it.
// Those that their security group's choice ends (policy.LiveFlows) go first, and
// so do those in whose place the packet opens a new connection, if it passes
// without them: what is refused ends nothing. The packet is w.query; the answer is
// in w.admission and w.decision.
func (w *Worker) admit(m *Meta, k *hash.FlowKey) {
	a, d := &w.admission, &w.decision
	for {
		w.admitBy(m, k)
		if *a == noAdmission {
			return
		}
		goOn, old := true, *a
		for _, p := range old.Parts() {
			if !w.meetsFate(p.ID) {
				goOn = false
			} else if m.renews(w.sessions.At(p.ID), p.Dir) {
				a.without(p.ID)
			}
		}
		switch {
		case !goOn:
			continue
		case *a == old:
			return
		}
		a.ask(&w.query, d.Egress)
		if w.view.snap.DecideInto(d, &w.query, nil); d.Verdict != policy.Forward {
			a.anew = true
			return
		}
		for _, p := range old.Parts() {
			if p.ID != a.Main && p.ID != a.Out && p.ID != a.In {
				w.sessions.Remove(p.ID)
			}
		}
	}
}

// without takes a session out.
func (a *admission) without(id uint32) {
	for _, part := range [3]*uint32{&a.Main, &a.Out, &a.In} {
		if *part == id {
			*part = conntrack.NoSession
		}
	}
}

// admitBy is admit by the sessions as they are.
func (w *Worker) admitBy(m *Meta, k *hash.FlowKey) {
	a, d, snap := &w.admission, &w.decision, w.view.snap
	*a = noAdmission
	far := noENI
	var s *conntrack.Session
	id, dir, alone := w.sessions.FindAlone(m.Hash, k, m.VPC, w.now)
	if id != conntrack.NoSession {
		s = w.sessions.At(id)
		*a, far = admissionBy(id, s, dir), s.End(1-dir)
	}
	a.ask(&w.query, far)
	snap.DecideInto(d, &w.query, nil)
	if alone || !wider(s, dir, d) {
		return
	}
	b := w.sessions.Between(m.Hash, k, m.VPC, d.Egress, w.now)
	if b == a.Between {
		return
	}
	a.Between = b
	a.ask(&w.query, d.Egress)
	snap.DecideInto(d, &w.query, nil)
}

// meetsFate does to a session what the policy in force means to it, and reports
// whether it lives on.
func (w *Worker) meetsFate(id uint32) bool {
	s := w.sessions.At(id)
	switch fate, until := fateOf(w.view, s, w.now); fate {
	case fateCut:
		w.sessions.Remove(id)
		return false
	case fateDrains:
		s.Drain(until)
	case fateSpared:
		s.Spare()
	}
	return true
}

// fate is what the choices of security groups for live flows mean to a session.
type fate uint8

const (
	fateNone   fate = iota // it goes on as it does
	fateCut                // it ends now
	fateDrains             // it ends at a given time
	fateSpared             // it would have ended at a given time and does no more
)

// fateOf returns what becomes of a session under a policy, and for fateDrains
// until when, in nanoseconds.
func fateOf(v *view, s *conntrack.Session, now int64) (f fate, until int64) {
	snap := v.snap
	draining, over := s.Draining(now)
	if over {
		return fateCut, 0
	}
	for end := range 2 {
		if eni := s.End(end); snap.ENIs[eni].Dead() || s.CreatedBefore(v.born[eni]) {
			return fateCut, 0 // it was another ENI's, or its ENI is no more
		}
		if !s.Tracked(end) {
			continue
		}
		live := snap.LiveFlows(s.Group(end))
		if live.Mode == policy.LiveAWS {
			continue
		}
		typ, code := icmpOf(s.Key())
		if _, ok := snap.StillAdmits(s.Key(), typ, code, end, s.End(end), s.End(1-end)); ok {
			continue
		}
		if live.Mode == policy.LiveCut {
			return fateCut, 0
		}
		if at := now + int64(live.Drain); f != fateDrains || at < until {
			f, until = fateDrains, at
		}
	}
	switch {
	case f == fateDrains && draining: // since it was first noticed
		return fateNone, 0
	case f == fateNone && draining:
		return fateSpared, 0
	}
	return f, until
}

// openSession makes the session of a flow's first packet, tracked at the halves
// where that is missing, or says why not.
func (w *Worker) openSession(m *Meta, k *hash.FlowKey, d *policy.Decision, tracked [2]bool) (uint32, drop.Reason) {
	pickup := w.engine.cfg.PickupMidstream || m.Proto == protoTCP && w.wentUntracked(m, k)
	state := conntrack.Initial(m.Proto, m.TCPFlags, pickup)
	if state == conntrack.None {
		if !conntrack.ValidFlags(m.TCPFlags) {
			return conntrack.NoSession, drop.TCPInvalidFlags
		}
		return conntrack.NoSession, drop.MidstreamTCP
	}
	n := conntrack.New{
		Key: *k, Hash: m.Hash, Responder: d.Egress, VPC: m.VPC,
		Instances: [2]uint16{w.enis[m.ENI].Instance, w.enis[d.Egress].Instance},
		Tracked:   tracked, Groups: [2]uint16{d.SGOut.Group(), d.SGIn.Group()},
		State: state, Now: w.now, TimeoutNanosec: w.timeout(state, m.ENI, d.Egress, false),
		HalfOpen: w.enis[m.ENI].HalfOpen,
	}
	id, result := w.sessions.Create(&n)
	if result != conntrack.Created {
		return conntrack.NoSession, w.noRoom(result, m.ENI, d.Egress)
	}
	w.counters.local[countSessions]++
	w.eniCounts.touch(m.ENI).Opened++
	w.eniCounts.touch(d.Egress).Accepted++
	w.expectReplies(m, k, d)
	return id, drop.Unset
}

// expectReplies forgets what the flow cache says of the other way of a flow
// that begins to be tracked: what was sent there before it was asked for may be
// known as refused, and is a reply from now on. It comes from the ENI that
// receives the flow, or from the one that has the address: the internet gateway,
// where no ENI has it. Refusals to those that forward for others are not cached.
func (w *Worker) expectReplies(m *Meta, k *hash.FlowKey, d *policy.Decision) {
	if w.cache.Loose() == 0 {
		return
	}
	reverse := hash.FlowKey{Src: k.Dst, Dst: k.Src,
		Tail: hash.Tail(k.DstPort(), k.SrcPort(), d.Egress, k.Proto(), k.Flags())}
	w.forget(m.Hash, &reverse)
	owner := d.Owner
	if owner == policy.NoENI {
		owner = w.view.gateway(m.VPC)
	}
	if owner != d.Egress && owner != policy.NoENI {
		reverse.Tail = hash.Tail(k.DstPort(), k.SrcPort(), owner, k.Proto(), k.Flags())
		w.forget(m.Hash, &reverse)
	}
}

// forget removes a flow from the flow cache, whichever way it takes.
func (w *Worker) forget(h uint64, k *hash.FlowKey) {
	k.Tail &^= uint64(hash.KeyRouted)
	w.cache.Remove(h, k)
	k.Tail |= uint64(hash.KeyRouted)
	w.cache.Remove(h, k)
}

// noRoom counts a session that cannot be created, or tracked at another half,
// at the ENI whose instance has no room for it, and names the reason.
func (w *Worker) noRoom(r conntrack.Result, originator, responder uint16) drop.Reason {
	switch r {
	case conntrack.AllowanceExceeded:
		w.eniCounts.touch(originator).ConntrackExceeded++
	case conntrack.ResponderAllowanceExceeded:
		w.eniCounts.touch(responder).ConntrackExceeded++
	}
	return noSession[r]
}

// noSession names the reasons for which a session cannot be created.
var noSession = [...]drop.Reason{
	conntrack.TableFull:                  drop.SessionTableFull,
	conntrack.AllowanceExceeded:          drop.ConntrackAllowanceExceeded,
	conntrack.ResponderAllowanceExceeded: drop.ConntrackAllowanceExceeded,
	conntrack.HalfOpenExceeded:           drop.ConntrackHalfOpenExceeded,
}

// wentUntracked reports whether the flow went without a session until its rules
// began to track it: then it goes on from where it is, whatever midstream says
// (docs/semantics.md S1.4).
func (w *Worker) wentUntracked(m *Meta, k *hash.FlowKey) bool {
	id := w.cache.Find(m.Hash, k)
	if id == flowcache.None {
		return false
	}
	e := w.cache.At(id)
	return e.Forward() && e.Session() == conntrack.NoSession
}

// noGroup is the index of no security group, whose choice for live flows is
// AWS's.
const noGroup = ^uint16(0)

// extend tracks a session at a half where it was not, or says why not. A group
// that has admitted an answer makes no choice for the flow: it was not asked about
// its first packet.
func (w *Worker) extend(m *Meta, k *hash.FlowKey, a *admission, d *policy.Decision, out, in bool) drop.Reason {
	s := w.sessions.At(a.Main)
	groups := [2]uint16{d.SGOut.Group(), d.SGIn.Group()}
	if a.MainDir == 1 {
		groups = [2]uint16{noGroup, noGroup}
	}
	if out {
		if r := w.sessions.Track(a.Main, a.MainDir, groups[0]); r != conntrack.Created {
			return w.noRoom(r, s.Originator(), s.Responder())
		}
	}
	if in {
		if r := w.sessions.Track(a.Main, 1-a.MainDir, groups[1]); r != conntrack.Created {
			return w.noRoom(r, s.Originator(), s.Responder())
		}
	}
	w.expectReplies(m, k, d)
	return drop.Unset
}
