package pipeline

import (
	"slices"
	"strconv"
	"time"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/pipeline/flowcache"
	"github.com/nitrod/nitrod/policy"
)

// Explanation says what the datapath would do with a packet now, and why.
type Explanation struct {
	Verdict Verdict
	Reason  drop.Reason // for a drop

	Key   hash.FlowKey
	Meta  Meta
	Class string // flow, arp, nd, dhcp, icmp_error

	Shard    uint16
	Lcore    int
	HostRule int // location of the host's steering rule that chooses the lcore, -1 if the shard does
	Hash     uint64
	Cached   bool // the flow cache decides
	Stale    bool // the flow cache knows the flow, but by an older policy or an ended session

	HasSession bool
	Session    conntrack.Session // as it is before the packet
	Dir        int               // of the packet in it
	NewState   conntrack.State   // that the packet leads to

	Egress    uint16 // ENI
	Queue     uint8
	Fragments int              // in how many pieces it goes on, 0 if whole
	Tells     bool             // the router tells the sender why it is dropped, unless it has said too much lately
	Complaint packet.ICMPError // what it tells

	Datagram Datagram // of a fragment: what is known of its datagram

	Limits []LimitSays   // that speak for the packet, in the order in which they are asked
	Wait   time.Duration // for which they let it wait before it goes on

	Policy policy.Trace // the steps of policy, also where the flow cache spares them

	choice QueueChoice     // of the receive queue
	by     policy.Decision // what policy says, unless the flow cache spares it
	ahead  bool            // of policy alone: no steps, and no state of a session that stays
	madeUp bool            // a TCP segment has the numbers that its session expects, whatever the frame says
}

// trace is where policy writes its steps.
func (x *Explanation) trace() *policy.Trace {
	if x.ahead {
		return nil
	}
	return &x.Policy
}

// Explain says what the datapath would do with a frame that ENI eni sends now.
// It walks the datapath's own functions over copies of its tables and changes
// nothing. It does not foresee that the store of fragments is full, that an ENI's
// rate of them is used up, or that as many packets wait for limits as can.
//
// Thread-safety: any goroutine, beside running lcores.
func (e *Engine) Explain(eni uint16, frame []byte) Explanation {
	return e.explain(eni, frame, Explanation{Egress: noENI})
}

// ExplainMadeUp is Explain for a frame that nobody has sent: sequence number and
// acknowledgement of a TCP segment count as those that its session expects.
func (e *Engine) ExplainMadeUp(eni uint16, frame []byte) Explanation {
	return e.explain(eni, frame, Explanation{Egress: noENI, madeUp: true})
}

func (e *Engine) explain(eni uint16, frame []byte, start Explanation) (x Explanation) {
	x = start
	x.HostRule = noRule
	v := e.view.Load()
	if int(eni) >= len(v.snap.ENIs) || v.snap.ENIs[eni].Dead() {
		x.Reason = drop.PortWithoutENI
		return x
	}
	m, k := &x.Meta, &x.Key
	if v.snap.ENIs[eni].Outside() {
		defer x.explainArrival(v.snap, eni, frame)
		frame = slices.Clone(frame)
		if x.Reason = fromOutside(frame, &v.snap.ENIs[eni], v.snap); x.Reason != drop.Unset {
			return x
		}
	}
	if x.Reason = e.guests[eni].parse(frame, uint32(len(frame)), &v.snap.ENIs[eni], eni, k, m); x.Reason != drop.Unset {
		return x
	}
	if v.snap.ENIs[eni].Flags&policy.IsServicePort != 0 {
		m.Flags |= flagService
	}
	x.Class = classNames[m.class]
	switch {
	case m.Flags&flagFragment != 0:
		if x.Lcore = e.pairOwner(k); !x.fragment(e) {
			return x
		}
	case m.Flags&flagQuotedLater != 0:
		x.quotedFragment(e, v)
	}
	x.Shard = e.sharder.Shard(k)
	x.Lcore, x.HostRule = e.ownerOf(k, x.Shard)
	x.Hash = e.hasher.Hash(k, uint32(m.VPC))
	m.Hash = x.Hash
	switch m.class {
	case classARP, classND, classDHCP, classDHCP6:
		x.answer(v, frame)
	case classICMPError:
		x.icmpError(e, v, frame)
	default:
		if m.Flags&flagLater != 0 {
			if r, ok := e.workers[x.Lcore].refusals.lookup(x.Hash, m, e.Now()); ok {
				x.Reason = r
				return x
			}
		}
		x.flow(e, v, frame)
	}
	if x.Verdict == VerdictForward {
		x.limit(e, v, uint32(len(frame)))
	}
	if x.Verdict == VerdictForward {
		x.rewrite(v, frame)
	}
	return x
}

// rewrite explains what rewrite does with what policy lets pass.
func (x *Explanation) rewrite(v *view, frame []byte) {
	dst := &v.snap.ENIs[x.Egress]
	m, length := &x.Meta, uint32(len(frame)-ethHeader)
	m.Egress = x.Egress
	x.Reason = checkForward(frame, length, m, dst)
	if x.Reason == drop.MTUExceeded {
		var f packet.IPv4Fragments
		if x.Fragments = fragments(frame, m, uint32(dst.MTU), &f); x.Fragments != 0 {
			key := x.Key
			if m.class == classICMPError {
				key = outerKey(frame, m)
			}
			x.Reason = drop.Unset
			x.queued(v, &key, true)
		}
	}
	if x.Reason != drop.Unset {
		x.Verdict = VerdictDrop
		x.Tells = v.complain(frame, m, x.Reason, &x.Complaint)
	}
	x.explainRewrite(length, dst)
}

var classNames = [...]string{"flow", "arp", "nd", "dhcp", "dhcp6", "icmp_error"}

// answer explains what nitrod answers itself.
func (x *Explanation) answer(v *view, frame []byte) {
	switch x.Meta.class {
	case classARP:
		_, x.Reason = resolveARP(v, &x.Meta, frame)
	case classND:
		if x.Meta.ICMPType == ndRouterSolicit {
			var s packet.RouterSolicitation
			x.Reason = resolveRS(v, &x.Meta, frame, &s)
			break
		}
		var s packet.NeighborSolicitation
		_, _, x.Reason = resolveND(v, &x.Meta, frame, &s)
	case classDHCP6:
		var n int
		if n, x.Reason = replyDHCP6(v, &x.Meta, make([]byte, packet.DHCP6ReplyMax), frame); n == 0 && x.Reason == drop.Unset {
			x.Verdict = VerdictConsume
			return
		}
	default:
		x.dhcp(v, frame)
		return
	}
	if x.Reason == drop.Unset {
		x.Verdict, x.Egress = VerdictAnswer, x.Meta.ENI
	}
}

func (x *Explanation) dhcp(v *view, frame []byte) {
	x.Reason = drop.DHCPMalformed
	cfg := &v.dhcp[x.Meta.ENI]
	if !cfg.Addr.IsValid() {
		return
	}
	udp := packet.UDPHeader(frame[x.Meta.L4:])
	if !udp.IsValid() {
		return
	}
	switch _, verdict := cfg.Reply(make([]byte, packet.DHCPReplyMax), udp.Payload()); verdict {
	case packet.DHCPReplied:
		x.Verdict, x.Reason, x.Egress = VerdictAnswer, drop.Unset, x.Meta.ENI
	case packet.DHCPConsumed:
		x.Verdict, x.Reason = VerdictConsume, drop.Unset
	}
}

func (x *Explanation) icmpError(e *Engine, v *view, frame []byte) {
	m := &x.Meta
	outer := outerKey(frame, m)
	if m.Flags&(flagQuoted|flagQuotedLater) == 0 || x.Key.Dst != outer.Dst {
		x.Reason = drop.ICMPErrorUnmatched
		return
	}
	q := errorQuery(frame, m, &outer)
	if m.Flags&flagQuoted == 0 { // its ports are not known
		d := v.snap.Decide(&q, x.trace())
		x.decided(v, &d, &outer)
		return
	}
	_, d := x.admit(e, v, &q, x.find(e))
	x.decided(v, &d, &outer)
}

// find looks for the packet's own session and reports whether there is one that
// has not ended by time.
func (x *Explanation) find(e *Engine) bool {
	_, x.Dir = e.workers[x.Lcore].sessions.Lookup(x.Hash, &x.Key, x.Meta.VPC, &x.Session)
	x.HasSession = x.Dir >= 0 && !x.Session.Over(e.Now())
	return x.HasSession
}

// admit is Worker.admit for a reader. known says whether x.Session speaks for
// the packet.
func (x *Explanation) admit(e *Engine, v *view, q *policy.Query, known bool) (admission, policy.Decision) {
	const itself = 0 // any number: only whether there is one matters here
	a, far := noAdmission, noENI
	var s *conntrack.Session
	if known {
		s = &x.Session
		a, far = admissionBy(itself, s, x.Dir), s.End(1-x.Dir)
	}
	a.ask(q, far)
	d := v.snap.Decide(q, x.trace())
	isError := x.Meta.class == classICMPError
	if wider(s, x.Dir, &d) && (s != nil || !isError) {
		a.Between = x.between(e, v, d.Egress)
	}
	before := *q
	if isError {
		a.askError(v.snap, q, &x.Key, &d)
	} else if wider(s, x.Dir, &d) {
		a.ask(q, d.Egress)
	}
	if *q != before {
		x.Policy.Steps = x.Policy.Steps[:0]
		d = v.snap.Decide(q, x.trace())
	}
	return a, d
}

// between is Worker.between for a reader: without the sessions that the packet
// ends.
func (x *Explanation) between(e *Engine, v *view, to uint16) conntrack.Between {
	m, table := &x.Meta, e.workers[x.Lcore].sessions
	b := table.LookupBetween(x.Hash, &x.Key, m.VPC, to, e.Now())
	var s conntrack.Session
	goesOn := func(id uint32, dir int) bool {
		return id != conntrack.NoSession && table.Read(id, &s) && (m.class == classICMPError || goesOn(v, m, &s, dir, e.Now()))
	}
	if !goesOn(b.Main, b.MainDir) {
		b.Main = conntrack.NoSession
	}
	if !goesOn(b.Out, b.OutDir) {
		b.Out = conntrack.NoSession
	}
	if !goesOn(b.In, b.InDir) {
		b.In = conntrack.NoSession
	}
	return b
}

// decided takes over a decision of policy.
func (x *Explanation) decided(v *view, d *policy.Decision, k *hash.FlowKey) {
	x.Reason, x.Egress, x.by = d.Reason, d.Egress, *d
	if d.Verdict != policy.Forward {
		return
	}
	x.Verdict = VerdictForward
	x.queued(v, k, x.Meta.Flags&flagFragment != 0)
}

func (x *Explanation) flow(e *Engine, v *view, frame []byte) {
	m, k, w := &x.Meta, &x.Key, e.workers[x.Lcore]
	usable := x.find(e) && !m.renews(&x.Session, x.Dir)
	found := x.Dir >= 0
	var entry flowcache.Entry
	known := w.cache.Lookup(x.Hash, k, &entry)
	if known {
		src, dst := &v.snap.ENIs[m.ENI], &v.snap.ENIs[entry.Egress()]
		x.Cached = entry.Gens() == flowcache.Gens(src.Gen, dst.Gen) &&
			(m.Flags&flagRouted != 0 || spoofed(&entry) || [6]byte(frame[0:6]) == dst.MAC) &&
			(!entry.Answer() || !m.opens()) &&
			x.restsOn(e, &entry) && (!entry.Forward() || entry.Session() == conntrack.NoSession || usable)
		x.Stale = !x.Cached
	}
	x.HasSession = usable && (x.Cached || goesOn(v, m, &x.Session, x.Dir, e.Now()))
	ends := found && !x.HasSession // a session may also go on and be another ENI's
	q := flowQuery(m, k, [6]byte(frame[0:6]))
	a, d := x.admit(e, v, &q, x.HasSession)
	x.by = d
	if !x.Cached && a.Main == conntrack.NoSession {
		x.HasSession = false
	}
	if !x.HasSession {
		x.Dir = 0
	}
	if x.Cached {
		x.Egress = entry.Egress()
		if entry.Forward() {
			x.Verdict = VerdictForward
			x.queued(v, k, m.Flags&flagFragment != 0)
		} else {
			x.Reason = drop.Reason(entry.Reason())
		}
	} else {
		x.decided(v, &d, k)
		if x.Reason == drop.RouterNoService && !x.ahead && asksRouterForDHCP(v, m, k.SrcPort(), k.DstPort(), uint32(k.Dst.Lo)) {
			x.Class, x.Policy.Steps = classNames[classDHCP], nil
			x.dhcp(v, frame)
			return
		}
	}
	if x.Verdict != VerdictForward || x.ahead && x.HasSession {
		return
	}
	if x.HasSession {
		x.track(e, frame, &x.Session, x.Dir)
	}
	if x.Cached {
		return
	}
	wasUntracked := known && entry.Forward() && entry.Session() == conntrack.NoSession
	var replaced *conntrack.Session
	if ends {
		replaced = &x.Session
	}
	out, in := a.missing(&d)
	x.begin(e, v, [2]bool{out, in}, wasUntracked, replaced)
	x.trackOthers(e, frame, &a)
}

// restsOn reports whether the session on which an entry rests still lives, if it
// rests on one.
func (x *Explanation) restsOn(e *Engine, entry *flowcache.Entry) bool {
	id := entry.Session()
	if id == conntrack.NoSession {
		return true
	}
	var s conntrack.Session
	return e.workers[x.Lcore].sessions.Read(id, &s) && s.Incarnation() == entry.Incarnation() && !s.Over(e.Now())
}

// goesOn reports whether a session outlives a packet in direction dir.
func goesOn(v *view, m *Meta, s *conntrack.Session, dir int, now int64) bool {
	f, _ := fateOf(v, s, now)
	return f != fateCut && !m.renews(s, dir)
}

func (x *Explanation) refuse(r drop.Reason) { x.Verdict, x.Reason = VerdictDrop, r }

// track explains what the packet does to a session.
func (x *Explanation) track(e *Engine, frame []byte, s *conntrack.Session, dir int) {
	m := &x.Meta
	x.NewState = s.State()
	if x.NewState.IsTCP() && m.Flags&flagLater == 0 {
		g := segmentOf(m, frame)
		if x.madeUp {
			g.Seq, _ = s.Sent(dir)
			g.Ack, _ = s.Sent(1 - dir)
		}
		if next, standing := s.Judge(dir, &g, e.cfg.LiberalWindows); standing == conntrack.Outside {
			x.refuse(refusal(next, m.TCPFlags))
		} else {
			x.NewState = next
		}
	} else if x.NewState == conntrack.UDPSingle && becomesStream(s, dir) {
		x.NewState = conntrack.UDPStream
	}
}

// trackOthers explains what the packet does to sessions other than its own.
func (x *Explanation) trackOthers(e *Engine, frame []byte, a *admission) {
	state := x.NewState
	var s conntrack.Session
	for _, p := range a.Parts() {
		if x.Verdict == VerdictForward && p.ID != a.Main && e.workers[x.Lcore].sessions.Read(p.ID, &s) {
			x.track(e, frame, &s, p.Dir)
		}
	}
	x.NewState = state
}

// begin explains whether the packet's flow can be tracked where it is to be and
// is not yet: by a new session, in the place of an old one if replaced is not
// nil, or at another half of the one that it has.
func (x *Explanation) begin(e *Engine, v *view, tracked [2]bool, wasUntracked bool, replaced *conntrack.Session) {
	if tracked == [2]bool{} {
		return
	}
	m, w := &x.Meta, e.workers[x.Lcore]
	from, to := &v.snap.ENIs[m.ENI], &v.snap.ENIs[x.Egress]
	n := conntrack.New{
		Key: x.Key, Responder: x.Egress, Instances: [2]uint16{from.Instance, to.Instance}, Tracked: tracked, HalfOpen: from.HalfOpen,
	}
	if x.HasSession {
		if x.Dir == 1 {
			s := &x.Session
			n.Key, n.Responder = *s.Key(), s.Responder()
			n.Instances[0], n.Instances[1] = s.Instances()
			n.Tracked[0], n.Tracked[1] = tracked[1], tracked[0]
		}
		if result := w.sessions.ForeseeTrack(&n); result != conntrack.Created {
			x.refuse(noSession[result])
		}
		return
	}
	x.NewState = conntrack.Initial(m.Proto, m.TCPFlags, e.cfg.PickupMidstream || wasUntracked)
	if x.NewState == conntrack.None {
		if conntrack.ValidFlags(m.TCPFlags) {
			x.refuse(drop.MidstreamTCP)
		} else {
			x.refuse(drop.TCPInvalidFlags)
		}
		return
	}
	n.State = x.NewState
	if result := w.sessions.Foresee(&n, replaced); result != conntrack.Created {
		x.refuse(noSession[result])
	}
}

// explainRewrite adds the step that comes after policy.
func (x *Explanation) explainRewrite(length uint32, dst *policy.ENIRecord) {
	st := policy.Step{Stage: "rewrite", Half: x.Reason.Info().Half, Outcome: policy.Passed}
	if x.Reason != drop.Unset {
		st.Outcome, st.Reason, st.Code = policy.Dropped, x.Reason, x.Reason.Info().AWS
	}
	n, mtu, ttl := strconv.Itoa(int(length)), strconv.Itoa(int(dst.MTU)), strconv.Itoa(int(x.Meta.TTL))
	switch {
	case x.Reason == drop.MTUExceeded:
		st.Text = "The packet has " + n + " bytes, and the receiver's MTU is " + mtu + "."
	case x.Reason == drop.DestinationMACUnknown:
		st.Text = "The frame is addressed to another MAC than the receiver's."
	case x.Reason == drop.TTLExpired:
		st.Text = "The TTL of " + ttl + " does not suffice to cross the router."
	case x.Meta.Flags&flagRouted == 0:
		st.Text = n + " bytes fit the receiver's MTU of " + mtu + "; the frame stays as it is."
	case x.Meta.keepsTTL(dst):
		st.Text = n + " bytes fit the receiver's MTU of " + mtu + "; nitrod's MAC becomes the source, and the TTL of " + ttl + " stays."
	default:
		st.Text = n + " bytes fit the receiver's MTU of " + mtu + "; the router's MAC becomes the source, and the TTL of " + ttl + " is one less."
	}
	if x.Fragments != 0 {
		st.Text = "The packet has " + n + " bytes, and the receiver's MTU is " + mtu + "; it goes on as " + strconv.Itoa(x.Fragments) + " fragments."
	}
	if x.Tells {
		st.Text += " The router tells the sender: " + complaintText(&x.Complaint) + "."
	}
	x.Policy.Steps = append(x.Policy.Steps, st)
}

// complaintText names an ICMP error.
func complaintText(e *packet.ICMPError) string {
	name := "ICMP time exceeded"
	switch v6 := e.Src.Is6(); {
	case e.MTU != 0 && v6:
		name = "ICMPv6 packet too big"
	case e.MTU != 0:
		name = "ICMP fragmentation needed"
	case v6:
		name = "ICMPv6 time exceeded"
	}
	if e.MTU != 0 {
		name += ", MTU " + strconv.Itoa(int(e.MTU))
	}
	return name + ", from " + e.Src.String()
}
