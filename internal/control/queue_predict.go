package control

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/pipeline"
	"github.com/nitrod/nitrod/policy"
)

// predict says to which queue of an ENI the packet of a request goes: its tuple,
// its tos, and whether it is a fragment.
func predict(e *pipeline.Engine, eni string, q url.Values) (*Prediction, error) {
	k, err := parseTuple(q.Get("tuple"))
	if err != nil {
		return nil, err
	}
	tos, fragment := uint64(0), false
	if text := q.Get("tos"); text != "" {
		if tos, err = strconv.ParseUint(text, 0, 8); err != nil {
			return nil, fmt.Errorf("tos %q is no byte", text)
		}
	}
	if text := q.Get("fragment"); text != "" {
		if fragment, err = strconv.ParseBool(text); err != nil {
			return nil, fmt.Errorf("fragment %q is neither true nor false", text)
		}
	}
	c, err := e.PredictQueue(eni, &k, uint8(tos), fragment)
	if err != nil {
		return nil, err
	}
	return &Prediction{int(c.Queue), queueWhy(&c)}, nil
}

// parseTuple reads a protocol, a source and a destination between commas; of TCP
// and UDP the ends have ports, as in tcp,10.0.1.10:40000,10.0.2.10:443.
func parseTuple(s string) (k hash.FlowKey, err error) {
	parts := strings.Split(s, ",")
	if len(parts) != 3 {
		return k, fmt.Errorf("tuple %q is no protocol, source and destination between commas, such as tcp,10.0.1.10:40000,10.0.2.10:443", s)
	}
	proto, named := protocols[parts[0]]
	if !named {
		n, err := strconv.ParseUint(parts[0], 10, 8)
		if err != nil {
			return k, fmt.Errorf("protocol %q of the tuple is neither tcp, udp, icmp, icmpv6 nor a number", parts[0])
		}
		proto = uint8(n)
	}
	var ends [2]netip.AddrPort
	for i, text := range parts[1:] {
		if proto == protocols["tcp"] || proto == protocols["udp"] {
			ends[i], err = netip.ParseAddrPort(text)
		} else {
			var a netip.Addr
			a, err = netip.ParseAddr(text)
			ends[i] = netip.AddrPortFrom(a, 0)
		}
		if err != nil || ends[i].Addr().Zone() != "" {
			return k, fmt.Errorf("%q in the tuple is no address as protocol %s has them", text, parts[0])
		}
	}
	src, dst := ends[0].Addr(), ends[1].Addr()
	if src.Is4() != dst.Is4() {
		return k, fmt.Errorf("the ends of tuple %q are not of one family", s)
	}
	flags := hash.KeyIPv4
	if !src.Is4() {
		flags = hash.KeyIPv6
	}
	return hash.FlowKey{
		Src: policy.KeyAddr(src), Dst: policy.KeyAddr(dst),
		Tail: hash.Tail(ends[0].Port(), ends[1].Port(), 0, proto, flags),
	}, nil
}
