package control

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/pipeline"
	"github.com/nitrod/nitrod/policy"
)

// Explain answers an ExplainRequest on a running engine. Errors are sentences
// about the request.
func Explain(e *pipeline.Engine, req *ExplainRequest) (*Explanation, error) {
	snap := e.Policy()
	made, explain := tupleFrame, e.ExplainMadeUp
	if req.Frame != "" {
		made, explain = frameOf, e.Explain
	}
	eni, frame, err := made(snap, req)
	if err != nil {
		return nil, err
	}
	x := explain(eni, frame)
	out := &Explanation{
		Packet: packet.Summary(frame), Verdict: x.Verdict.String(), ENI: snap.ENI(eni).ID,
		Class: x.Class, Shard: int(x.Shard), Lcore: x.Lcore, Egress: snap.ENI(x.Egress).ID, Queue: int(x.Queue),
		Steps: x.Policy.Steps,
	}
	if x.HostRule >= 0 {
		out.HostRule = &x.HostRule
	}
	if x.Verdict == pipeline.VerdictDrop {
		info := x.Reason.Info()
		out.Reason, out.Code, out.Help = info.Name, info.AWS, info.Help
	}
	switch {
	case x.Cached:
		out.Cache = "hit"
	case x.Stale:
		out.Cache = "stale"
	case x.Class == "flow":
		out.Cache = "miss"
	}
	switch {
	case x.HasSession:
		dir := "original"
		if x.Dir == 1 {
			dir = "reply"
		}
		out.Session = fmt.Sprintf("%s, %s direction", x.Session.State(), dir)
		if x.NewState != 0 && x.NewState != x.Session.State() {
			out.Session = fmt.Sprintf("%s to %s, %s direction", x.Session.State(), x.NewState, dir)
		}
		out.LeftNS = max(0, x.Session.Timeout()-(e.Now()-x.Session.Last(e.Now())))
	case x.Verdict == pipeline.VerdictForward && x.NewState != 0:
		out.Session = "new, " + x.NewState.String()
	}
	out.Datagram = datagramText[x.Datagram]
	out.more(e, snap, &x, len(frame), req.Both)
	return out, nil
}

// frameOf decodes a frame given in hexadecimal, and finds its sender.
func frameOf(snap *policy.Snapshot, req *ExplainRequest) (uint16, []byte, error) {
	text := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\r\n:", r) {
			return -1
		}
		return r
	}, req.Frame)
	frame, err := hex.DecodeString(text)
	if err != nil {
		return 0, nil, fmt.Errorf("the frame is not hexadecimal: %w", err)
	}
	if req.ENI != "" {
		eni, ok := snap.ENIByID(req.ENI)
		if !ok {
			return 0, nil, fmt.Errorf("there is no ENI %q", req.ENI)
		}
		return eni, frame, nil
	}
	if len(frame) >= 12 {
		found := policy.NoENI
		for i := range snap.ENIs {
			if r := &snap.ENIs[i]; !r.Dead() && r.MAC == [6]byte(frame[6:12]) {
				if found != policy.NoENI {
					return 0, nil, errors.New("several ENIs have the frame's source MAC; say which one sends it")
				}
				found = i
			}
		}
		if found != policy.NoENI {
			return uint16(found), frame, nil
		}
	}
	return 0, nil, errors.New("no ENI has the frame's source MAC; say which one sends it")
}

// tupleFrame makes the frame that a guest would send for a tuple, addressed as
// the guest would: to its neighbour in the subnet, else to the router.
func tupleFrame(snap *policy.Snapshot, req *ExplainRequest) (uint16, []byte, error) {
	src, err := netip.ParseAddr(req.Src)
	if err != nil {
		return 0, nil, fmt.Errorf("source %q is not an address", req.Src)
	}
	dst, err := netip.ParseAddr(req.Dst)
	if err != nil {
		return 0, nil, fmt.Errorf("destination %q is not an address", req.Dst)
	}
	if src.Is4() != dst.Is4() {
		return 0, nil, errors.New("source and destination are not of one family")
	}
	eni, err := senderOf(snap, req, src)
	if err != nil {
		return 0, nil, err
	}
	r := &snap.ENIs[eni]
	to, ok := snap.ResolveMAC(eni, dst)
	if !ok {
		to = r.RouterMAC
	}
	layers := []packet.Layer{packet.Ether{Dst: to, Src: r.MAC}}
	proto, upper, err := upperLayers(req, src.Is6())
	if err != nil {
		return 0, nil, err
	}
	if src.Is6() {
		layers = append(layers, packet.IPv6{Src: src, Dst: dst, Next: proto})
	} else {
		layers = append(layers, packet.IPv4{Src: src, Dst: dst, Proto: proto})
	}
	return eni, packet.Build(append(layers, upper...)...), nil
}

// senderOf finds the ENI that sends: the one that was named, else the one that
// has the source address.
func senderOf(snap *policy.Snapshot, req *ExplainRequest, src netip.Addr) (uint16, error) {
	if req.ENI != "" {
		eni, ok := snap.ENIByID(req.ENI)
		if !ok {
			return 0, fmt.Errorf("there is no ENI %q", req.ENI)
		}
		return eni, nil
	}
	found := uint16(policy.NoENI)
	for i := range snap.ENIs {
		if snap.ENIs[i].Dead() || req.VPC != "" && snap.ENI(uint16(i)).VPC != req.VPC {
			continue
		}
		if owner, ok := snap.ENIByAddress(snap.ENIs[i].VPC, src); ok && owner == uint16(i) {
			if found != policy.NoENI {
				return 0, fmt.Errorf("several VPCs have %s; name the VPC or the ENI", src)
			}
			found = uint16(i)
		}
	}
	if found == policy.NoENI {
		return 0, fmt.Errorf("no ENI has the address %s; name the ENI that sends", src)
	}
	return found, nil
}

// upperLayers makes what follows the IP header.
func upperLayers(req *ExplainRequest, v6 bool) (proto uint8, layers []packet.Layer, err error) {
	name := strings.ToLower(req.Protocol)
	if name == "" {
		name = "tcp"
	}
	if name == "icmp" && v6 {
		name = "icmpv6"
	}
	proto, ok := protocols[name]
	if !ok {
		n, err := strconv.ParseUint(name, 10, 8)
		if err != nil {
			return 0, nil, fmt.Errorf("protocol %q is neither tcp, udp, icmp, icmpv6 nor a number up to 255", req.Protocol)
		}
		proto = uint8(n)
	}
	switch proto {
	case protocols["tcp"]:
		flags, err := tcpFlags(req.TCPFlags)
		if err != nil {
			return 0, nil, err
		}
		return proto, []packet.Layer{packet.TCP{SrcPort: req.SrcPort, DstPort: req.DstPort, Flags: flags}}, nil
	case protocols["udp"]:
		return proto, []packet.Layer{packet.UDP{SrcPort: req.SrcPort, DstPort: req.DstPort}}, nil
	case protocols["icmp"]:
		typ := uint8(8)
		if req.ICMPType != nil {
			typ = *req.ICMPType
		}
		return proto, []packet.Layer{packet.ICMP{Type: typ, Code: req.ICMPCode, ID: req.SrcPort}}, nil
	case protocols["icmpv6"]:
		typ := uint8(128)
		if req.ICMPType != nil {
			typ = *req.ICMPType
		}
		return proto, []packet.Layer{packet.ICMPv6{Type: typ, Code: req.ICMPCode, Rest: uint32(req.SrcPort) << 16}}, nil
	}
	return proto, []packet.Layer{packet.Payload(make([]byte, 8))}, nil
}

func tcpFlags(letters string) (uint8, error) {
	if letters == "" {
		letters = "S"
	}
	flags := uint8(0)
	for _, c := range strings.ToUpper(letters) {
		i := strings.IndexRune("FSRPAU", c)
		if i < 0 {
			return 0, fmt.Errorf("TCP flag %q is none of F, S, R, P, A, U", c)
		}
		flags |= 1 << i
	}
	return flags, nil
}

// This package was written for this meaning of a key's bits.
var _ = [1]struct{}{}[hash.FlowKeySeq-1]
