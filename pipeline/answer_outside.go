package pipeline

import (
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
)

// resolveOutside is resolveARP at a port that belongs to no ENI: nitrod answers
// for what is behind it, whoever asks, and for nothing else.
func resolveOutside(v *view, m *Meta, arp packet.ARPHeader) (packet.MAC, drop.Reason) {
	if arp.Op() != packet.ARPRequest || arp.IsAnnouncement() || !v.snap.ResolveOutside(m.ENI, arp.TargetAddr()) {
		return packet.MAC{}, drop.ARPNotAnswered
	}
	return v.snap.ENIs[m.ENI].RouterMAC, drop.Unset
}
