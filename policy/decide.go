package policy

import (
	"net/netip"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/policy/internal/classify"
	"github.com/nitrod/nitrod/policy/mapping"
	"github.com/nitrod/nitrod/policy/route"
	"github.com/nitrod/nitrod/policy/secgroup"
)

// Query is a packet to decide on.
type Query struct {
	// Key is the packet's direction of the flow; its ENI sent the packet.
	// Later fragments have no ports: their datagram's first one is asked for.
	Key hash.FlowKey
	// ICMPType and ICMPCode are those of an ICMP or ICMPv6 message. The
	// pseudo-ports in Key are never looked at.
	ICMPType, ICMPCode uint8
	// DstMAC is the frame's destination; it matters if Key is not routed.
	DstMAC [6]byte
	// Opens says that the packet is a TCP SYN without ACK, so that it is no
	// answer to anything.
	Opens bool
	// AdmittedOut says that a session admits the packet at the sending ENI, and
	// AdmittedIn that one does at ENI Far if that receives it. The security
	// groups there are then not asked; all else is, because network ACLs keep no
	// state (docs/semantics.md S1.4, S2).
	AdmittedOut, AdmittedIn bool
	Far                     uint16
}

// Verdict is what becomes of a packet. The zero value drops it.
type Verdict uint8

// The verdicts.
const (
	Drop Verdict = iota
	Forward
)

// String returns "drop" or "forward".
func (v Verdict) String() string {
	if v == Forward {
		return "forward"
	}
	return "drop"
}

// Decision is the answer to a Query.
type Decision struct {
	Verdict Verdict
	Reason  drop.Reason // why it is dropped
	// Routed: the packet crosses the router, so that its MACs are rewritten
	// and its TTL is lowered.
	Routed bool
	// TrackOut and TrackIn say of a packet that passes at which ENI its flow is
	// tracked: the sending, the receiving. It always is where a session admits
	// it already (docs/semantics.md S1.2).
	TrackOut, TrackIn bool
	// Cacheable: a flow with the same key will be decided the same way as long
	// as neither ENI's generation changes. What nobody has an address for may
	// change with any other ENI.
	Cacheable bool
	// AsAnswer: the flow is not tracked somewhere because the packet may be an
	// answer (S1.2). A TCP SYN with the same key is none, and is to be asked about
	// by itself.
	AsAnswer bool
	// Egress is the ENI that receives the packet, NoENI where none is known. It
	// is also set for a packet that is dropped on behalf of that ENI.
	Egress uint16
	// Owner is the ENI that has the destination address, NoENI where none has. It
	// is another than Egress where the packet goes by an appliance.
	Owner uint16
	// SrcGen and DstGen are the generations of the sending and the receiving
	// ENI that the decision rests on; 0 where there is no such ENI.
	SrcGen, DstGen uint32
	// What decided, zero for what was not asked. Snapshot.Route, ACL and
	// SecurityGroupRule tell the names.
	Route         RouteRef
	ACLOut, ACLIn ACLRef
	SGOut, SGIn   secgroup.Ref
}

// Decide says what becomes of a packet, and with a Trace also why, step by
// step. The order of the steps is that of docs/semantics.md S0.1 within either
// half; it only matters for which reason is named, since a packet must pass
// all of them.
//
// Thread-safety: as the snapshot.
func (s *Snapshot) Decide(q *Query, tr *Trace) Decision {
	own := struct {
		q Query
		d Decision
	}{q: *q} // so that the caller's stay on its stack
	s.DecideInto(&own.d, &own.q, tr)
	return own.d
}

// DecideInto is Decide without a copy of query or decision, which is a good part
// of what a decision costs. With tr == nil it does not allocate, but what q and d
// point to must be on the heap already.
func (s *Snapshot) DecideInto(d *Decision, q *Query, tr *Trace) {
	e := evaluation{s: s, q: q, tr: tr, d: d}
	*d = Decision{
		Egress: NoENI, Owner: NoENI, Cacheable: true,
		Routed: q.Key.Flags()&hash.KeyRouted != 0,
	}
	if e.pass(StageSource, e.source()) &&
		e.pass(e.hopStage(), e.hop()) &&
		e.pass(StageACLOut, e.aclOut()) &&
		e.pass(StageGroupsOut, e.groupsOut()) &&
		e.pass(StageMapping, e.deliver()) &&
		e.pass(StageACLIn, e.aclIn()) &&
		e.pass(StageGroupsIn, e.groupsIn()) {
		d.Verdict = Forward
	}
}

// evaluation is one run of Decide. Each of its steps returns the reason for
// which it drops the packet, or drop.Unset to let it pass.
type evaluation struct {
	s  *Snapshot
	q  *Query
	tr *Trace
	d  *Decision

	src, dst netip.Addr
	port     uint16
	from     *ENIRecord
	subnet   *subnetPolicy // of from; nil if it is no ENI's
	srcOwner mapping.Entry
	dstOwner mapping.Entry
	leaves   bool // the packet leaves its subnet
	exempt   bool // to a link-local service or from one: no policy is asked
}

func (e *evaluation) pass(stage Stage, why drop.Reason) bool {
	if e.tr != nil {
		e.explain(stage, why)
	}
	e.d.Reason = why
	return why == drop.Unset
}

// source finds the sending ENI and checks that the source address is its own.
func (e *evaluation) source() drop.Reason {
	k, s := &e.q.Key, e.s
	eni := k.ENI()
	if !s.live(eni) {
		e.d.Cacheable = false
		return drop.PortWithoutENI
	}
	e.from = &s.ENIs[eni]
	e.d.SrcGen = e.from.Gen
	v6 := k.IsIPv6()
	e.src, e.dst = addr(k.Src, v6), addr(k.Dst, v6)
	e.port = classify.Port(k.Proto(), k.DstPort(), e.q.ICMPType, e.q.ICMPCode)
	addresses := s.vpcs[e.from.VPC].addresses
	e.srcOwner, e.dstOwner = addresses.Lookup(e.src), addresses.Lookup(e.dst)
	if e.dstOwner.Kind == mapping.ENI {
		e.d.Owner = e.dstOwner.ENI
	}
	if e.from.Outside() {
		return e.fromOutside()
	}
	e.subnet = &s.subnets[e.from.Subnet]
	if !owns(e.srcOwner, eni) && (e.from.Flags&SourceDestCheck != 0 || !e.possibleSource()) {
		return drop.SourceIPSpoofed
	}
	return drop.Unset
}

// possibleSource reports whether any ENI may send from the address, given that
// it sends for others. Link-local addresses stay on their link (RFC 3927
// section 2.7, RFC 4291 section 2.5.6); the rest are no unicast addresses.
func (e *evaluation) possibleSource() bool {
	switch route.Classify(e.src) {
	case route.Routable:
		return true
	case route.LinkLocal:
		return !e.d.Routed
	}
	return false
}

// MaySend reports whether an ENI's source check lets it send from an address: it
// is one of its own, or the check is off. It does not allocate.
func (s *Snapshot) MaySend(eni uint16, src hash.Addr, v6 bool) bool {
	if !s.live(eni) {
		return false
	}
	r := &s.ENIs[eni]
	return r.Flags&SourceDestCheck == 0 || owns(s.Owner(r.VPC, addr(src, v6)), eni)
}

func owns(owner mapping.Entry, eni uint16) bool {
	return owner.Kind == mapping.ENI && owner.ENI == eni
}

// hop finds the ENI that receives the packet, by the router or by its MAC.
func (e *evaluation) hop() drop.Reason {
	class := route.Classify(e.dst)
	switch class {
	case route.Multicast:
		return drop.Multicast
	case route.Broadcast:
		return drop.Broadcast
	case route.Unusable:
		return drop.NoRoute
	}
	why := drop.Unset
	switch {
	case e.subnet == nil:
		why = e.inward()
	case e.d.Routed:
		why = e.byRoute(class)
	default:
		why = e.byMAC()
	}
	if e.d.Egress != NoENI {
		to := &e.s.ENIs[e.d.Egress]
		e.d.DstGen = to.Gen
		e.leaves = to.Subnet != e.from.Subnet
	}
	return why
}

func (e *evaluation) byRoute(class route.Class) drop.Reason {
	switch {
	case class == route.Service || e.dstOwner.Kind == mapping.Resolver:
		return e.toService()
	case e.dst == e.subnet.routerLL || e.dst == route.RouterLinkLocal:
		return drop.RouterNoService
	case class != route.Routable:
		return drop.NoRoute
	case e.dstOwner.Kind == mapping.Reserved:
		e.d.Cacheable = e.dstOwner.Subnet == e.from.Subnet
		return drop.RouterNoService
	}
	table := e.s.tables[e.subnet.table]
	i, ok := table.Lookup(e.dst)
	if !ok {
		return drop.NoRoute
	}
	e.d.Route = RouteRef{Table: e.subnet.table, Route: uint16(i + 1)}
	switch r := table.Entry(i); r.Target {
	case route.TargetLocal:
		if e.dstOwner.Kind == mapping.ENI {
			e.d.Egress = e.dstOwner.ENI
			return drop.Unset
		}
		// Nobody has the address: it still has a subnet, whose ACL and whose
		// groups are asked before deliver gives up.
		e.leaves = true
		for _, c := range e.subnet.cidrs {
			e.leaves = e.leaves && !c.Contains(e.dst)
		}
		return drop.Unset
	case route.TargetENI, route.TargetInternetGateway:
		e.d.Egress = r.ENI
		return drop.Unset
	case route.TargetGateway:
		return drop.RouteNoSuchTarget
	}
	return drop.RouteBlackhole
}

// byMAC delivers within the subnet: to the ENI that has both the address and
// the MAC, or to an ENI by its MAC alone if that forwards for others, its
// source/destination check being off (docs/semantics.md S4.1, S4.6).
func (e *evaluation) byMAC() drop.Reason {
	s, subnet := e.s, e.from.Subnet
	if o := e.dstOwner; o.Kind == mapping.ENI && o.Subnet == subnet && s.ENIs[o.ENI].MAC == e.q.DstMAC {
		e.d.Egress = o.ENI
		return drop.Unset
	}
	if eni, ok := s.ENIByMAC(subnet, e.q.DstMAC); ok && s.ENIs[eni].Flags&SourceDestCheck == 0 {
		e.d.Egress = eni
		return drop.Unset
	}
	e.d.Cacheable = false
	return drop.DestinationMACUnknown
}

// aclOut asks the ACL of the source's subnet about a packet that leaves it.
func (e *evaluation) aclOut() drop.Reason {
	if !e.leaves || e.exempt || e.subnet == nil {
		return drop.Unset
	}
	number, allow := e.s.acl(e.subnet).out.Match(e.dst, e.q.Key.Proto(), e.port)
	e.d.ACLOut = ACLRef{ACL: e.subnet.acl, Rule: number}
	if !allow {
		return drop.NACLOut
	}
	return drop.Unset
}

// groupsOut asks the security groups of the sending ENI.
func (e *evaluation) groupsOut() drop.Reason {
	if e.exempt || e.subnet == nil {
		return drop.Unset
	}
	e.d.TrackOut = true
	if e.q.AdmittedOut {
		return drop.Unset
	}
	set := e.s.enis[e.q.Key.ENI()].rules
	ref, ok := set.Out.Match(e.dst, e.groupsOf(e.dstOwner, e.d.Egress), e.q.Key.Proto(), e.port)
	if !ok {
		return drop.SecurityGroupOut
	}
	e.d.SGOut = ref
	e.d.TrackOut = e.tracked(set.Out, set.In)
	return drop.Unset
}

// tracked reports whether the flow of a packet that the rules of its way at an
// ENI admit is tracked there; back are the rules of the other way.
func (e *evaluation) tracked(way, back *secgroup.Rules) bool {
	asOpener, asAnswer := untracked(&e.q.Key, way, back)
	if asOpener {
		return false
	}
	if asAnswer && !e.q.Opens && e.q.Key.Proto() == ProtoTCP {
		e.d.AsAnswer = true
	}
	return !asAnswer || e.q.Opens
}

// untracked reports whether a packet that the rules of its way at an ENI admit
// belongs to a flow that is not tracked there (docs/semantics.md S1.2): as one
// that opens the flow, or as an answer to one that went the other way. back are
// the rules of that other way.
func untracked(k *hash.FlowKey, way, back *secgroup.Rules) (asOpener, asAnswer bool) {
	proto, v6 := k.Proto(), k.IsIPv6()
	if proto != ProtoTCP && proto != ProtoUDP {
		return false, false
	}
	asOpener = back.AllOpen(v6, proto) && way.OpenToAll(v6, proto, k.DstPort())
	asAnswer = way.AllOpen(v6, proto) && back.OpenToAll(v6, proto, k.SrcPort())
	return asOpener, asAnswer
}

// groupsOf returns the groups of the ENI that has an address. They count only
// where that ENI is itself the one at the end of the path: behind an appliance
// a reference to a group does not hold (docs/semantics.md S3).
func (e *evaluation) groupsOf(owner mapping.Entry, end uint16) []uint16 {
	if !owns(owner, end) {
		return nil
	}
	return e.s.groupSets[owner.Groups]
}

// deliver checks that the packet has a receiver and that this one takes
// packets for the address.
func (e *evaluation) deliver() drop.Reason {
	if e.d.Egress == NoENI {
		e.d.Cacheable = false
		return drop.UnknownDestination
	}
	if e.s.ENIs[e.d.Egress].Outside() {
		return e.outward()
	}
	if e.s.ENIs[e.d.Egress].Flags&SourceDestCheck != 0 && !owns(e.dstOwner, e.d.Egress) {
		return drop.DestinationCheck
	}
	return drop.Unset
}

// aclIn asks the ACL of the destination's subnet about a packet that enters it.
func (e *evaluation) aclIn() drop.Reason {
	if !e.leaves || e.exempt || e.s.ENIs[e.d.Egress].Outside() {
		return drop.Unset
	}
	p := &e.s.subnets[e.s.ENIs[e.d.Egress].Subnet]
	number, allow := e.s.acl(p).in.Match(e.src, e.q.Key.Proto(), e.port)
	e.d.ACLIn = ACLRef{ACL: p.acl, Rule: number}
	if !allow {
		return drop.NACLIn
	}
	return drop.Unset
}

// groupsIn asks the security groups of the receiving ENI.
func (e *evaluation) groupsIn() drop.Reason {
	if e.exempt || e.s.ENIs[e.d.Egress].Outside() {
		return drop.Unset
	}
	e.d.TrackIn = true
	if e.admittedIn() {
		return drop.Unset
	}
	set := e.s.enis[e.d.Egress].rules
	ref, ok := set.In.Match(e.src, e.groupsOf(e.srcOwner, e.q.Key.ENI()), e.q.Key.Proto(), e.port)
	if !ok {
		return drop.SecurityGroupIn
	}
	e.d.SGIn = ref
	e.d.TrackIn = e.tracked(set.In, set.Out)
	return drop.Unset
}

func (e *evaluation) admittedIn() bool { return e.q.AdmittedIn && e.d.Egress == e.q.Far }
