package control

import (
	"fmt"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/pipeline"
	"github.com/nitrod/nitrod/policy"
)

// more adds what follows from an explanation: why this queue, where the flow is
// tracked, the limits that it may meet, and the answer's way.
func (out *Explanation) more(e *pipeline.Engine, snap *policy.Snapshot, x *pipeline.Explanation, frame int, both bool) {
	if x.Verdict == pipeline.VerdictForward {
		c := x.QueueChoice()
		out.QueueWhy = queueWhy(&c)
		out.Pace = paceText(e.Pace(x.Egress, int(x.Queue)))
		tracked := x.Tracked()
		out.Tracked = &tracked
		if both && x.Answerable() {
			out.Reply = replyOf(e, snap, x)
		}
	}
	out.Limits = append(limitsOf(e, snap, x, frame), bucketsOf(snap, x)...)
	out.WaitNS = int64(x.Wait)
}

// datagramText says of a fragment what is known of its datagram.
var datagramText = [...]string{
	pipeline.NoDatagram:     "",
	pipeline.DatagramBegins: "the first fragment, whose verdict all others get",
	pipeline.DatagramWaits:  "a later fragment, whose first one was not seen: it would wait for that",
	pipeline.DatagramKnown:  "a later fragment, whose first one was seen: it goes the same way",
}

func replyOf(e *pipeline.Engine, snap *policy.Snapshot, x *pipeline.Explanation) *Reply {
	d, steps := e.Reply(x)
	r := &Reply{ENI: snap.ENI(x.Egress).ID, Verdict: d.Verdict.String(), Egress: snap.ENI(d.Egress).ID, Steps: steps}
	if d.Verdict != policy.Forward {
		info := d.Reason.Info()
		r.Reason, r.Code, r.Help = info.Name, info.AWS, info.Help
		if n := len(steps); n != 0 {
			r.Code, r.Help = steps[n-1].Code, steps[n-1].Text
		}
	}
	return r
}

// limitsOf lists the limits that a packet of this kind may meet, with what is
// left of each now.
func limitsOf(e *pipeline.Engine, snap *policy.Snapshot, x *pipeline.Explanation, frame int) []Limit {
	if x.Egress == policy.NoENI || int(x.Egress) >= len(snap.ENIs) || x.Class != "flow" {
		return nil
	}
	var out []Limit
	length, mtu := frame-packet.EtherLen, int(snap.ENIs[x.Egress].MTU)
	out = append(out, Limit{
		Name: drop.MTUExceeded.String(), Of: snap.ENI(x.Egress).ID, Left: int64(mtu - length), Bites: length > mtu,
		Text: fmt.Sprintf("The packet has %d bytes of the MTU of %d.", length, mtu),
	})
	tracked := x.Tracked()
	if x.Reason == drop.ConntrackAllowanceExceeded { // both halves were to be tracked
		tracked = [2]bool{true, true}
	}
	for end, eni := range [2]uint16{x.Meta.ENI, x.Egress} {
		left, limited := e.Allowances().AvailableToENI(eni)
		if !limited || !tracked[end] {
			continue
		}
		out = append(out, Limit{
			Name: drop.ConntrackAllowanceExceeded.String(), Of: snap.ENI(eni).Instance, Left: left, Bites: left == 0 && !x.HasSession,
			Text: fmt.Sprintf("ENI %s may begin %d more tracked connections.", snap.ENI(eni).ID, left),
		})
	}
	if rate := snap.ENIs[x.Meta.ENI].FragmentRate; rate != 0 && x.IsFragment() {
		out = append(out, Limit{
			Name: drop.FragmentRateExceeded.String(), Of: snap.ENI(x.Meta.ENI).ID, Left: int64(rate), Bites: x.Reason == drop.FragmentRateExceeded,
			Text: fmt.Sprintf("ENI %s may send %d fragments a second.", snap.ENI(x.Meta.ENI).ID, rate),
		})
	}
	if rate := snap.ENIs[x.Meta.ENI].LinkLocalRate; rate != 0 && snap.ENIs[x.Egress].Flags&policy.IsServicePort != 0 {
		out = append(out, Limit{
			Name: drop.LinkLocalAllowanceExceeded.String(), Of: snap.ENI(x.Meta.ENI).ID, Left: int64(rate),
			Text: fmt.Sprintf("ENI %s may send %d packets a second to link-local services.", snap.ENI(x.Meta.ENI).ID, rate),
		})
	}
	if budget := snap.ENIs[x.Meta.ENI].HalfOpen; budget != 0 && x.NewState == conntrack.SynSent && !x.HasSession {
		left := max(0, int64(budget)-int64(e.Allowances().HalfOpen(x.Meta.ENI)))
		out = append(out, Limit{
			Name: drop.ConntrackHalfOpenExceeded.String(), Of: snap.ENI(x.Meta.ENI).ID, Left: left, Bites: x.Reason == drop.ConntrackHalfOpenExceeded,
			Text: fmt.Sprintf("ENI %s may have %d more half-open connections, of %d.", snap.ENI(x.Meta.ENI).ID, left, budget),
		})
	}
	return out
}
