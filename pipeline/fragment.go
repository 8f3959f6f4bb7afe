package pipeline

import (
	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
)

// fragStore remembers the ports of datagrams whose first fragment went by, so
// that the later ones follow it as packets of its flow.
//
// Limits: fragStoreSize datagrams, in sets of fragWays; the oldest in a set
// makes room for a new one, whose later fragments are nearer. A datagram is
// forgotten fragLifetime after its first fragment.
type fragStore struct {
	entries [fragStoreSize]fragEntry
	seed    uint64
}

const (
	fragStoreSize = 4096
	fragWays      = 4
	fragLifetime  = 30e9 // ns; RFC 791 and RFC 8200 let reassembly take that long or longer
)

type fragEntry struct {
	src, dst hash.Addr
	tail     uint64 // of a key without ports
	ports    uint32
	id       uint32
	until    int64
	typ      uint8 // ICMP's type and code, which rules ask for
	code     uint8
}

// resolve learns the ports from a first fragment, or completes the key of a
// later one.
func (s *fragStore) resolve(m *Meta, k *hash.FlowKey, now int64) drop.Reason {
	tail := k.Tail & 0xffffffff
	h := (k.Src.Lo ^ k.Dst.Hi ^ s.seed) * 0x9e3779b97f4a7c15
	h = (h ^ h>>29 ^ k.Dst.Lo ^ k.Src.Hi ^ uint64(m.FragID)<<32 ^ tail) * 0xbf58476d1ce4e5b9
	set := s.entries[h>>32%(fragStoreSize/fragWays)*fragWays:][:fragWays]
	free := &set[0]
	for i := range set {
		e := &set[i]
		if e.until < free.until {
			free = e
		}
		if e.until > now && e.id == m.FragID && e.tail == tail && e.src == k.Src && e.dst == k.Dst {
			if m.Flags&flagLater != 0 {
				k.Tail |= uint64(e.ports) << 32
				m.ICMPType, m.ICMPCode = e.typ, e.code
				return drop.Unset
			}
			free = e // the first fragment again
			break
		}
	}
	if m.Flags&flagLater != 0 {
		return drop.FragmentWithoutFirst
	}
	*free = fragEntry{k.Src, k.Dst, tail, uint32(k.Tail >> 32), m.FragID, now + fragLifetime, m.ICMPType, m.ICMPCode}
	return drop.Unset
}
