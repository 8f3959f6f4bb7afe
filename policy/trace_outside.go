package policy

import (
	"fmt"

	"github.com/nitrod/nitrod/internal/drop"
)

// explainOutside writes a step of a packet that came by, or leaves by, a port
// that belongs to no ENI, and reports whether the step is its own.
func (e *evaluation) explainOutside(st *Step) bool {
	if e.from == nil {
		return false
	}
	came := e.from.Outside()
	leaves := e.d.Egress != NoENI && e.s.ENIs[e.d.Egress].Outside()
	switch {
	case st.Stage == StageSource && came:
		e.explainFromOutside(st)
	case (st.Stage == StageRoute || st.Stage == StageLink) && (came || leaves) && e.dst.IsValid():
		e.explainWay(st, came)
	case st.Stage == StageMapping && leaves:
		e.explainOutward(st)
	case e.exempt && (st.Stage == StageACLOut || st.Stage == StageACLIn || st.Stage == StageGroupsOut || st.Stage == StageGroupsIn):
		st.Outcome = Skipped
		st.Text = "Neither network ACLs nor security groups filter what goes to link-local services or comes from them."
	case came && (st.Stage == StageACLOut || st.Stage == StageGroupsOut), leaves && (st.Stage == StageACLIn || st.Stage == StageGroupsIn):
		st.Outcome = Skipped
		st.Text = "An internet gateway has neither a network ACL nor security groups."
	default:
		return false
	}
	return true
}

func (e *evaluation) explainFromOutside(st *Step) {
	id := e.s.eniNames.name(e.q.Key.ENI())
	st.Object = id
	switch st.Reason {
	case drop.ServiceSource:
		st.Text = fmt.Sprintf("%s is not an address of the platform's services, which alone may send by service port %s.", e.src, id)
	case drop.GatewaySourceSpoofed:
		st.Text = fmt.Sprintf("%s is an address of VPC %s itself, or no unicast address of a network; it cannot come by internet gateway %s.", e.src, e.s.vpcNames.name(e.from.VPC), id)
	case drop.GatewaySourcePrivate:
		st.Text = fmt.Sprintf("%s is a private address, and internet gateway %s takes none from outside.", e.src, id)
	case drop.GatewaySourceShared:
		st.Text = fmt.Sprintf("%s lies in the shared address space of RFC 6598, from which internet gateway %s takes nothing.", e.src, id)
	default:
		st.Text = fmt.Sprintf("%s may come by internet gateway %s.", e.src, id)
		if e.exempt {
			st.Text = fmt.Sprintf("%s is an address of the platform's services, behind service port %s.", e.src, id)
		}
	}
}

func (e *evaluation) explainWay(st *Step, came bool) {
	to := e.s.eniNames.name(e.d.Egress)
	st.Object = to
	vpc := e.s.vpcNames.name(e.from.VPC)
	switch st.Reason {
	case drop.GatewayNoPrivateAddress, drop.ServiceDestination:
		st.Text = fmt.Sprintf("No ENI of VPC %s has the address %s, or none that may be reached from here.", vpc, e.dst)
		return
	case drop.DestinationMACUnknown:
		st.Text = fmt.Sprintf("The frame is addressed to the MAC %s, which is not nitrod's.", macString(e.q.DstMAC))
		return
	case drop.Unset:
	default:
		st.Text = fmt.Sprintf("%s is an address that is never routed.", e.dst)
		return
	}
	if came {
		st.Text = fmt.Sprintf("%s is an address of ENI %s; no route table applies to what comes from outside.", e.dst, to)
		return
	}
	if e.exempt {
		st.Text = fmt.Sprintf("%s is an address of the platform's services, which no route diverts; they are behind service port %s.", e.dst, to)
		return
	}
	table, r := e.s.Route(e.d.Route)
	st.Object, st.Rule = table, r.Destination.String()
	st.Text = fmt.Sprintf("The longest prefix for %s is %s by internet gateway %s.", e.dst, r.Destination, to)
}

func (e *evaluation) explainOutward(st *Step) {
	id := e.s.eniNames.name(e.d.Egress)
	st.Object = id
	switch st.Reason {
	case drop.GatewayReflection:
		st.Text = fmt.Sprintf("%s is a public address of this VPC, and internet gateway %s reflects nothing.", e.dst, id)
	case drop.GatewayDestinationPrivate:
		st.Text = fmt.Sprintf("%s is a private address, to which internet gateway %s sends nothing.", e.dst, id)
	case drop.GatewayDestinationShared:
		st.Text = fmt.Sprintf("%s lies in the shared address space of RFC 6598, to which internet gateway %s sends nothing.", e.dst, id)
	case drop.GatewayNoPublicAddress:
		st.Text = fmt.Sprintf("%s has no public address, without which it cannot leave by internet gateway %s.", e.src, id)
	default:
		switch public, ok := e.s.Public(e.from.VPC, e.src); {
		case e.exempt:
			st.Text = fmt.Sprintf("Service port %s takes the packet as it is, with its own TTL.", id)
		case ok:
			st.Text = fmt.Sprintf("Internet gateway %s translates the source %s to %s.", id, e.src, public)
		default:
			st.Text = fmt.Sprintf("%s leaves by internet gateway %s untranslated.", e.src, id)
		}
	}
}
