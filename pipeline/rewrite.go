package pipeline

import (
	"encoding/binary"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/policy"
)

// rewrite is the stage that makes the frame what the receiver shall see. A
// routed packet gets the MACs of its last hop and one TTL less; a packet sent to
// its neighbour's own MAC stays as it is.
func (w *Worker) rewrite() {
	b := &w.burst
	for i := range b.n {
		m := &b.meta[i]
		if m.Verdict != VerdictForward {
			continue
		}
		if r := rewriteFrame(b.frame(i), m, &w.enis[m.Egress]); r != drop.Unset {
			w.dropAt(i, r)
		}
	}
}

// checkForward returns why a packet that policy admits cannot be sent to dst as
// it is, or Unset. frame is read only.
func checkForward(frame []byte, m *Meta, dst *policy.ENIRecord) drop.Reason {
	if m.L3Len > uint32(dst.MTU) {
		return drop.MTUExceeded
	}
	if m.Flags&flagRouted == 0 {
		if [6]byte(frame[0:6]) != dst.MAC {
			return drop.DestinationMACUnknown
		}
	} else if m.TTL <= 1 {
		return drop.TTLExpired
	}
	return drop.Unset
}

// rewriteFrame rewrites a frame for dst, or returns the reason to drop it.
func rewriteFrame(frame []byte, m *Meta, dst *policy.ENIRecord) drop.Reason {
	if r := checkForward(frame, m, dst); r != drop.Unset {
		return r
	}
	if m.Flags&flagRouted == 0 {
		return drop.Unset
	}
	*(*[6]byte)(frame[0:6]) = dst.MAC
	*(*[6]byte)(frame[6:12]) = dst.RouterMAC
	ip := frame[m.L3:]
	if m.Flags&flagIPv6 != 0 {
		ip[7]--
		return drop.Unset
	}
	ip[8]--
	// One less in the high byte of a word is one more in the checksum, with the
	// carry brought round (RFC 1624).
	sum := uint32(binary.BigEndian.Uint16(ip[10:12])) + 0x100
	binary.BigEndian.PutUint16(ip[10:12], uint16(sum+sum>>16))
	return drop.Unset
}
