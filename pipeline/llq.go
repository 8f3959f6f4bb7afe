package pipeline

import (
	"errors"
	"strconv"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/policy"
)

// commonHeaders are the longest headers of the packets that parseCommon takes,
// which nobody looks at again: Ethernet, and IPv4 with TCP and all its options.
const commonHeaders = ethHeader + ipv4Header + tcpHeader + 40

func (p *Port) checkHeaders() error {
	if p.Headers != 0 && p.Headers < commonHeaders {
		return errors.New("pipeline: port " + strconv.Itoa(int(p.Port)) + " takes headers of " + strconv.Itoa(p.Headers) +
			" bytes, fewer than " + strconv.Itoa(commonHeaders))
	}
	return nil
}

// parse is parseFrame for what the guest sends by a device that takes no more
// than g.headers bytes of headers (docs/semantics.md S5.5).
func (g *guest) parse(frame []byte, total uint32, eni *policy.ENIRecord, index uint16, k *hash.FlowKey, m *Meta) drop.Reason {
	r := parseFrame(frame, total, eni, index, k, m)
	if r == drop.Unset && g.headers != 0 && m.headers(frame) > g.headers {
		return drop.LLQHeadersExceeded
	}
	return r
}

// headers returns the length of the headers of a frame that parseFrame has
// accepted, from the Ethernet header to the last that nitrod knows.
func (m *Meta) headers(frame []byte) uint32 {
	const arp, udp, icmp = 28, 8, 8
	at := uint32(m.L4)
	switch {
	case m.class == classARP:
		return uint32(m.L3) + arp
	case m.Flags&flagLater != 0: // what comes before its piece of the datagram
		return uint32(m.L3) + m.L3Len - uint32(m.FragLen)
	case m.Proto == protoTCP:
		return at + uint32(frame[at+12]>>4)*4
	case m.Proto == protoUDP:
		return at + udp
	case m.Proto == protoICMP && m.Flags&flagIPv6 == 0, m.Proto == protoICMPv6 && m.Flags&flagIPv6 != 0:
		return at + icmp
	}
	return at
}
