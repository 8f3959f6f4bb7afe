package policy

import (
	"fmt"
	"net/netip"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/policy/nacl"
	"github.com/nitrod/nitrod/policy/route"
	"github.com/nitrod/nitrod/policy/secgroup"
)

// Stage is a step of Decide.
type Stage string

// The steps, in their order. A packet takes either route or link.
const (
	StageSource    Stage = "source_check"
	StageRoute     Stage = "route"
	StageLink      Stage = "link"
	StageACLOut    Stage = "nacl_out"
	StageGroupsOut Stage = "security_group_out"
	StageMapping   Stage = "mapping"
	StageACLIn     Stage = "nacl_in"
	StageGroupsIn  Stage = "security_group_in"
)

// Half returns the half of a local flow that the step belongs to.
func (s Stage) Half() drop.Half {
	switch s {
	case StageMapping, StageACLIn, StageGroupsIn:
		return drop.HalfIngress
	}
	return drop.HalfEgress
}

// Outcome is what a step did with the packet.
type Outcome string

// The outcomes.
const (
	Passed  Outcome = "pass"
	Skipped Outcome = "skip" // the step does not apply to the packet
	Dropped Outcome = "drop"
)

// Step is what one step of Decide did and why.
type Step struct {
	Stage   Stage       `json:"stage"`
	Half    drop.Half   `json:"half"`
	Outcome Outcome     `json:"outcome"`
	Reason  drop.Reason `json:"-"`                // for a drop
	Object  string      `json:"object,omitempty"` // id of the object that decided
	Rule    string      `json:"rule,omitempty"`   // its rule, or the route
	Code    string      `json:"code,omitempty"`   // AWS Reachability Analyzer's code, for a drop
	Text    string      `json:"text"`             // one sentence
}

// Trace collects the steps of one Decide. The zero value is ready; a Trace
// that is used again grows.
//
// Thread-safety: none.
type Trace struct{ Steps []Step }

func (e *evaluation) hopStage() Stage {
	if e.d.Routed {
		return StageRoute
	}
	return StageLink
}

// explain writes the step that has just been taken.
func (e *evaluation) explain(stage Stage, why drop.Reason) {
	st := Step{Stage: stage, Half: stage.Half(), Outcome: Passed, Reason: why}
	if why != drop.Unset {
		info := why.Info()
		st.Outcome, st.Code = Dropped, info.AWS
		if info.Half != "" { // an address that nobody has is the sender's concern
			st.Half = info.Half
		}
	}
	if e.explainOutside(&st) {
		e.tr.Steps = append(e.tr.Steps, st)
		return
	}
	switch stage {
	case StageSource:
		e.explainSource(&st)
	case StageRoute, StageLink:
		e.explainHop(&st)
	case StageACLOut:
		e.explainACL(&st, e.d.ACLOut, e.from, "out of", e.dst)
	case StageACLIn:
		e.explainACL(&st, e.d.ACLIn, &e.s.ENIs[e.d.Egress], "into", e.src)
	case StageGroupsOut:
		e.explainGroups(&st, e.d.SGOut, e.q.Key.ENI(), false)
	case StageGroupsIn:
		e.explainGroups(&st, e.d.SGIn, e.d.Egress, true)
	case StageMapping:
		e.explainMapping(&st)
	}
	e.tr.Steps = append(e.tr.Steps, st)
}

func (e *evaluation) explainSource(st *Step) {
	id := e.s.eniNames.name(e.q.Key.ENI())
	st.Object = id
	switch {
	case st.Reason == drop.PortWithoutENI:
		st.Text = fmt.Sprintf("There is no ENI with index %d.", e.q.Key.ENI())
	case st.Reason != drop.Unset && e.from.Flags&SourceDestCheck == 0:
		st.Text = fmt.Sprintf("%s is no address from which a packet may come, whatever the source/destination check of ENI %s.", e.src, id)
	case st.Reason != drop.Unset:
		st.Text = fmt.Sprintf("%s is not an address of ENI %s, whose source/destination check is on.", e.src, id)
	case e.from.Flags&SourceDestCheck == 0:
		st.Outcome = Skipped
		st.Text = fmt.Sprintf("The source/destination check of ENI %s is off.", id)
	default:
		st.Text = e.s.ownership(e.src, e.q.Key.ENI())
	}
}

func (e *evaluation) explainHop(st *Step) {
	s := e.s
	table, r := s.Route(e.d.Route)
	st.Object = table
	if table != "" {
		st.Rule = r.Destination.String()
	}
	to := s.eniNames.name(e.d.Egress)
	switch st.Reason {
	case drop.Multicast:
		st.Text = fmt.Sprintf("%s is a multicast address, and a VPC carries no multicast.", e.dst)
	case drop.Broadcast:
		st.Text = "The packet is a broadcast, and a VPC carries no broadcast."
	case drop.LinkLocalNoService:
		st.Text = fmt.Sprintf("%s is an address of the platform's services, which no route diverts and no policy filters; none is here.", e.dst)
	case drop.RouterNoService:
		st.Text = fmt.Sprintf("%s is the router's or otherwise reserved by its subnet; no service answers there.", e.dst)
	case drop.DestinationMACUnknown:
		st.Object = s.subnetNames.name(e.from.Subnet)
		st.Text = fmt.Sprintf("No ENI of subnet %s has both the MAC %s and the address %s, and none with this MAC forwards for others.", st.Object, macString(e.q.DstMAC), e.dst)
	case drop.NoRoute:
		st.Object = s.tableNames.name(e.subnet.table)
		st.Text = fmt.Sprintf("Route table %s has no route to %s.", st.Object, e.dst)
		if route.Classify(e.dst) != route.Routable {
			st.Text = fmt.Sprintf("%s is an address that is never routed.", e.dst)
		}
	case drop.RouteBlackhole:
		st.Text = fmt.Sprintf("The longest prefix for %s is %s, a blackhole; no shorter one is tried.", e.dst, r.Destination)
	case drop.RouteNoSuchTarget:
		st.Text = fmt.Sprintf("The longest prefix for %s is %s by gateway %s, which this host does not have.", e.dst, r.Destination, r.Gateway)
	default:
		switch {
		case !e.d.Routed:
			st.Object = to
			st.Text = fmt.Sprintf("The frame is addressed to ENI %s in the same subnet; no route table applies.", to)
		case r.Target == route.TargetENI:
			st.Text = fmt.Sprintf("The longest prefix for %s is %s by ENI %s.", e.dst, r.Destination, to)
		default:
			st.Text = fmt.Sprintf("The longest prefix for %s is %s, local to the VPC.", e.dst, r.Destination)
		}
	}
}

func (e *evaluation) explainACL(st *Step, ref ACLRef, at *ENIRecord, way string, peer netip.Addr) {
	if ref.Rule == 0 {
		st.Outcome = Skipped
		st.Text = "The packet stays in its subnet, where no network ACL is asked."
		return
	}
	st.Object, st.Rule = e.s.ACL(ref), fmt.Sprint(ref.Rule)
	which := "rule " + st.Rule
	if ref.Rule > nacl.MaxNumber {
		st.Rule, which = "*", "the final rule"
	}
	verb := "allows"
	if st.Outcome == Dropped {
		verb = "denies"
	}
	st.Text = fmt.Sprintf("Of network ACL %s, %s %s %s %s subnet %s for %s.",
		st.Object, which, verb, e.service(), way, e.s.subnetNames.name(at.Subnet), peer)
}

func (e *evaluation) explainGroups(st *Step, ref secgroup.Ref, eni uint16, inbound bool) {
	id := e.s.eniNames.name(eni)
	if inbound && e.admittedIn() || !inbound && e.q.AdmittedOut {
		st.Outcome = Skipped
		st.Object = id
		st.Text = fmt.Sprintf("A session admits the packet; the security groups of ENI %s are not asked.", id)
		return
	}
	rules, way, peer, owner, end := e.s.enis[eni].rules.Out, "to", e.dst, e.dstOwner, e.d.Egress
	if inbound {
		rules, way, peer, owner, end = e.s.enis[eni].rules.In, "from", e.src, e.srcOwner, e.q.Key.ENI()
	}
	if st.Outcome != Dropped {
		st.Object, st.Rule = e.s.SecurityGroupRule(ref)
		st.Text = fmt.Sprintf("Rule %s of security group %s at ENI %s admits %s %s %s.", st.Rule, st.Object, id, e.service(), way, peer)
		if tracked := inbound && e.d.TrackIn || !inbound && e.d.TrackOut; !tracked {
			st.Text += " The flow is not tracked there: rules open it to all addresses, and all answers to it."
		}
		return
	}
	st.Object = id
	st.Text = fmt.Sprintf("No rule of the security groups of ENI %s admits %s %s %s.", id, e.service(), way, peer)
	if rules.Len() == 0 {
		st.Code = "SG_HAS_NO_RULES"
		st.Text = fmt.Sprintf("The security groups of ENI %s have no rules in this direction.", id)
	} else if owns(owner, owner.ENI) && owner.ENI != end {
		if ref, ok := rules.Match(peer, e.s.groupSets[owner.Groups], e.q.Key.Proto(), e.port); ok {
			group, rule := e.s.SecurityGroupRule(ref)
			st.Code = "SG_REFERENCES_NOT_PRESERVED"
			st.Text = fmt.Sprintf("Rule %s of security group %s would admit %s by its group, but the packet passes an appliance, behind which references to groups do not hold.", rule, group, peer)
		}
	}
}

func (e *evaluation) explainMapping(st *Step) {
	to := e.s.eniNames.name(e.d.Egress)
	st.Object = to
	switch st.Reason {
	case drop.UnknownDestination:
		st.Text = fmt.Sprintf("No ENI of VPC %s has the address %s.", e.s.vpcNames.name(e.from.VPC), e.dst)
	case drop.DestinationCheck:
		st.Text = fmt.Sprintf("%s is not an address of ENI %s, whose source/destination check is on.", e.dst, to)
	default:
		st.Text = e.s.ownership(e.dst, e.d.Egress)
		if !owns(e.dstOwner, e.d.Egress) {
			st.Text = fmt.Sprintf("ENI %s takes packets for others; its source/destination check is off.", to)
		}
	}
}

// ownership says how ENI eni comes by an address of its own.
func (s *Snapshot) ownership(a netip.Addr, eni uint16) string {
	for _, p := range s.enis[eni].prefixes {
		if p.Contains(a) {
			return fmt.Sprintf("%s is in prefix %s, which is delegated to ENI %s.", a, p, s.eniNames.name(eni))
		}
	}
	return fmt.Sprintf("%s is an address of ENI %s.", a, s.eniNames.name(eni))
}

// service names what rules look at: the protocol and its port or type.
func (e *evaluation) service() string {
	switch proto := e.q.Key.Proto(); proto {
	case ProtoTCP:
		return fmt.Sprintf("tcp/%d", e.port)
	case ProtoUDP:
		return fmt.Sprintf("udp/%d", e.port)
	case ProtoICMP:
		return fmt.Sprintf("icmp type %d code %d", e.q.ICMPType, e.q.ICMPCode)
	case ProtoICMPv6:
		return fmt.Sprintf("icmpv6 type %d code %d", e.q.ICMPType, e.q.ICMPCode)
	default:
		return fmt.Sprintf("protocol %d", proto)
	}
}
