package pipeline

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/policy"
)

// stageTranslation is what an internet gateway does before anything else with
// what comes from outside.
const stageTranslation policy.Stage = "translation"

// explainArrival adds the step that comes before all others for a frame that
// came by port, an internet gateway's: from which public address its destination
// was translated.
func (x *Explanation) explainArrival(snap *policy.Snapshot, port uint16, frame []byte) {
	if snap.ENIs[port].Flags&policy.IsInternetGateway == 0 || len(frame) < ethHeader+ipv4Header ||
		binary.BigEndian.Uint16(frame[12:14]) != etherIPv4 || frame[0]&1 != 0 {
		return
	}
	if x.Reason == drop.GatewayNoPrivateAddress && len(x.Policy.Steps) == 0 {
		x.refuseTranslation(snap, port, netip.AddrFrom4([4]byte(frame[ethHeader+destinationField:])))
		return
	}
	id := snap.ENI(port).ID
	public := netip.AddrFrom4([4]byte(frame[ethHeader+destinationField:]))
	st := policy.Step{Stage: stageTranslation, Half: drop.HalfEgress, Outcome: policy.Passed, Object: id}
	private, ok := snap.NAT(snap.ENIs[port].VPC).Private(binary.BigEndian.Uint32(frame[ethHeader+destinationField:]))
	if !ok {
		return // addressed to nobody's MAC
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], private)
	st.Text = "Internet gateway " + id + " translates the destination " + public.String() + " to " + netip.AddrFrom4(b).String() + "."
	x.Policy.Steps = slices.Insert(x.Policy.Steps, 0, st)
}

// refuseTranslation is the one step for a packet that came by port, an internet
// gateway's, for a destination that stands for no private address.
func (x *Explanation) refuseTranslation(snap *policy.Snapshot, port uint16, dst netip.Addr) {
	x.Reason = drop.GatewayNoPrivateAddress
	if x.ahead {
		return
	}
	st := policy.Step{Stage: stageTranslation, Half: drop.HalfEgress, Outcome: policy.Dropped,
		Reason: x.Reason, Code: x.Reason.Info().AWS, Object: snap.ENI(port).ID}
	st.Text = "No public address of an ENI of VPC " + snap.ENI(port).VPC + " is or leads to " + dst.String() + "."
	x.Policy.Steps = append(x.Policy.Steps, st)
}
