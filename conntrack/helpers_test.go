package conntrack

import (
	"testing"

	"github.com/nitrod/nitrod/hash"
)

func newTable(t testing.TB, capacity int) *Table {
	t.Helper()
	tab, err := NewTable(capacity, NewAllowances())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tab.Free(); err != nil {
			t.Error(err)
		}
	})
	return tab
}

// mix spreads a number over 64 bits, one to one (the finaliser of MurmurHash3).
func mix(x uint64) uint64 {
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// numbered describes a session every part of which comes from one number.
func numbered(n uint64) New {
	return New{
		Key: hash.FlowKey{
			Src:  hash.Addr{Hi: mix(n + 1), Lo: mix(n + 2)},
			Dst:  hash.Addr{Hi: mix(n + 3), Lo: mix(n + 4)},
			Tail: hash.Tail(uint16(n), uint16(n>>16), uint16(n+5), protoTCP, hash.KeyIPv6),
		},
		Hash:      mix(n),
		Responder: uint16(mix(n + 6)), VPC: uint16(mix(n + 7)),
		Groups:    [2]uint16{uint16(mix(n + 8)), uint16(mix(n + 11))},
		Instances: [2]uint16{uint16(mix(n + 9)), uint16(mix(n + 10))},
		Tracked:   [2]bool{n%3 != 0, n%3 != 1},
		State:     State(n%uint64(NumStates-1)) + 1,
		Now:       int64(n) * second, TimeoutNanosec: (int64(n) + 1000) * millisecond,
	}
}

// replyKey is the key of the answer to a session's first packet.
func replyKey(n *New) hash.FlowKey {
	return hash.FlowKey{Src: n.Key.Dst, Dst: n.Key.Src,
		Tail: hash.Tail(n.Key.DstPort(), n.Key.SrcPort(), n.Responder, n.Key.Proto(), n.Key.Flags()^hash.KeyRouted)}
}
