package pipeline

import (
	"encoding/binary"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/policy"
)

// rewrite is the stage that makes the frame what the receiver shall see. A
// routed packet gets the MACs of its last hop and one TTL less; a packet sent to
// its neighbour's own MAC stays as it is.
func (w *Worker) rewrite() {
	b := &w.burst
	metas, descs, hops := b.meta[:b.n], b.desc[:b.n], w.view.hops
	for i := range metas {
		m := &metas[i]
		if m.Verdict != VerdictForward {
			continue
		}
		hop := &hops[m.Egress]
		length := descs[i].PktLen - ethHeader // with what is behind the IP packet: it is sent too
		if m.Flags&(flagRouted|flagService) != flagRouted || length > hop.mtu || m.TTL <= 1 {
			w.rewriteRest(i, m, length)
			continue
		}
		// Parse has seen the whole IP header; a tagged frame did not come here.
		route((*[ethHeader + ipv4Header]byte)(pktio.Bytes(descs[i].Data, ethHeader+ipv4Header)), m.Flags, hop)
	}
}

// checkForward returns why a packet that policy admits cannot be sent to dst as
// it is, or Unset. frame is read only; length counts the frame's bytes behind
// its Ethernet header.
func checkForward(frame []byte, length uint32, m *Meta, dst *policy.ENIRecord) drop.Reason {
	if m.Flags&flagRouted != 0 && m.TTL <= 1 && !m.keepsTTL(dst) {
		return drop.TTLExpired
	}
	if length > uint32(dst.MTU) {
		return drop.MTUExceeded
	}
	if m.Flags&flagRouted == 0 && [6]byte(frame[0:6]) != dst.MAC {
		return drop.DestinationMACUnknown
	}
	return drop.Unset
}

// route rewrites an untagged frame that crosses the router.
func route(f *[ethHeader + ipv4Header]byte, flags uint16, hop *lastHop) {
	hop.address(f)
	le := binary.LittleEndian
	if flags&flagIPv6 != 0 {
		f[ethHeader+7]--
		return
	}
	// TTL, protocol and checksum in one word. One less in the TTL, the high byte
	// of its 16-bit word, is one more in the checksum's high byte, with the carry
	// brought round (RFC 1624); such a sum may be taken in either byte order.
	word := le.Uint32(f[ethHeader+8 : ethHeader+12])
	sum := word>>16 + 1
	le.PutUint32(f[ethHeader+8:ethHeader+12], (word-1)&0xffff|(sum+sum>>16)<<16)
}
