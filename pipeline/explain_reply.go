package pipeline

import (
	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/policy"
)

// Tracked tells at which ends the flow of a packet that passes is tracked with
// it: at the ENI that sends it, and at the one that receives it.
func (x *Explanation) Tracked() [2]bool { return x.halves() }

// Reply says what policy would do with the answer to a packet that is
// forwarded, once that has passed: sent by the ENI that received it, to where
// the packet came from, by the same way.
//
// Thread-safety: any goroutine, beside running lcores.
func (e *Engine) Reply(x *Explanation) (policy.Decision, []policy.Step) {
	snap := e.view.Load().snap
	m, k, tracked := &x.Meta, &x.Key, x.Tracked()
	q := policy.Query{
		Key: hash.FlowKey{Src: k.Dst, Dst: k.Src, Tail: hash.Tail(k.DstPort(), k.SrcPort(), x.Egress, k.Proto(), k.Flags())},
		// What admits the packet admits its answers, where the flow is tracked.
		AdmittedOut: tracked[1], AdmittedIn: tracked[0], Far: m.ENI,
		DstMAC: snap.ENIs[m.ENI].MAC,
	}
	q.ICMPType, q.ICMPCode = answerOf(m.ICMPType, k.IsIPv6()), m.ICMPCode
	var tr policy.Trace
	d := snap.Decide(&q, &tr)
	return d, tr.Steps
}

// answerOf returns the type of the ICMP message that answers a query, or for an
// answer that of the query.
func answerOf(typ uint8, v6 bool) uint8 {
	request, asks, ok := queryOf(typ, v6)
	switch {
	case !ok:
		return typ
	case !asks:
		return request
	case request == 8:
		return 0
	}
	return request + 1
}

// Answerable reports whether packets like this one are answered by packets of
// their flow.
func (x *Explanation) Answerable() bool {
	return x.Meta.class == classFlow && answered(&x.Key)
}

// IsFragment reports whether the packet is a fragment.
func (x *Explanation) IsFragment() bool { return x.Meta.Flags&flagFragment != 0 }
