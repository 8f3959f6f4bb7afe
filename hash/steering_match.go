package hash

// steerTest is a rule as masks and values over the words of a FlowKey, with
// family and protocol among the bits of the tail, so that a rule of any type
// is the same few operations.
type steerTest struct {
	srcHiMask, srcHi uint64
	srcLoMask, srcLo uint64
	dstHiMask, dstHi uint64
	dstLoMask, dstLo uint64
	tailMask, tail   uint64
	location         uint32
	queue, eni       uint16
	tosMask, tos     uint8
}

// compileSteer returns the test of a rule, or false if the rule asks for what
// its type cannot compare.
func compileSteer(r *SteerRule) (steerTest, bool) {
	var proto, flags, protoMask uint8
	switch r.Type {
	case FlowIPv4, FlowIPv6:
		if r.SrcPortMask|r.DstPortMask != 0 {
			return steerTest{}, false
		}
	case FlowIPv4TCP, FlowIPv6TCP:
		proto, protoMask = protoTCP, 0xff
	case FlowIPv4UDP, FlowIPv6UDP:
		proto, protoMask = protoUDP, 0xff
	default:
		return steerTest{}, false
	}
	switch r.Type {
	case FlowIPv6, FlowIPv6TCP, FlowIPv6UDP:
		flags = KeyIPv6
		if r.TrafficMask != 0 {
			return steerTest{}, false
		}
	default:
		// An IPv4 address has 32 bits.
		if m := (r.SrcMask.Hi | r.DstMask.Hi) | (r.SrcMask.Lo|r.DstMask.Lo)>>32; m != 0 {
			return steerTest{}, false
		}
	}
	tailMask := Tail(r.SrcPortMask, r.DstPortMask, 0, protoMask, KeyIPv6)
	return steerTest{
		srcHiMask: r.SrcMask.Hi, srcHi: r.Src.Hi & r.SrcMask.Hi,
		srcLoMask: r.SrcMask.Lo, srcLo: r.Src.Lo & r.SrcMask.Lo,
		dstHiMask: r.DstMask.Hi, dstHi: r.Dst.Hi & r.DstMask.Hi,
		dstLoMask: r.DstMask.Lo, dstLo: r.Dst.Lo & r.DstMask.Lo,
		tailMask: tailMask, tail: Tail(r.SrcPort, r.DstPort, 0, proto, flags) & tailMask,
		location: r.Location, queue: r.Queue, eni: r.ENI,
		tosMask: r.TrafficMask, tos: r.TrafficClass & r.TrafficMask,
	}, true
}

func (s *steerTest) match(k *FlowKey) bool {
	// Most rules that do not match differ in protocol or port.
	if k.Tail&s.tailMask != s.tail {
		return false
	}
	return (k.Src.Lo&s.srcLoMask^s.srcLo)|(k.Dst.Lo&s.dstLoMask^s.dstLo)|
		(k.Src.Hi&s.srcHiMask^s.srcHi)|(k.Dst.Hi&s.dstHiMask^s.dstHi) == 0
}

// Match returns the queue and the location of the first rule of the receiving
// ENI that matches a packet. The ENI within k is the sender's and does not
// count. tos is the second byte of the IPv4 header; for IPv6 it does not
// matter. A fragment has to come with the key of its first: rules compare ports,
// and a later fragment has none of its own.
func (t *SteeringTable) Match(eni uint16, k *FlowKey, tos uint8) (queue uint16, location uint32, ok bool) {
	for i := range t.tests {
		s := &t.tests[i]
		if s.match(k) && tos&s.tosMask == s.tos && s.eni == eni {
			return s.queue, s.location, true
		}
	}
	return 0, 0, false
}

// MatchEither returns the lcore and the location of the first rule of the host
// that matches a packet as it is or with its endpoints exchanged. So both
// directions of a flow match the same rule.
func (t *SteeringTable) MatchEither(k *FlowKey) (queue uint16, location uint32, ok bool) {
	if len(t.tests) == 0 {
		return 0, 0, false
	}
	back := FlowKey{
		Src: k.Dst, Dst: k.Src,
		Tail: Tail(k.DstPort(), k.SrcPort(), k.ENI(), k.Proto(), k.Flags()),
	}
	for i := range t.tests {
		if s := &t.tests[i]; s.match(k) || s.match(&back) {
			return s.queue, s.location, true
		}
	}
	return 0, 0, false
}
