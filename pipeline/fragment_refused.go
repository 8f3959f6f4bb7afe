package pipeline

import (
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/relaxed"
	"github.com/nitrod/nitrod/pipeline/flowcache"
)

// fragRefusals are first fragments that an lcore has dropped, so that the later
// ones of their datagrams are dropped for the same reason: without headers they
// cannot be judged by what may have refused the first, such as TCP's state or an
// allowance used up.
//
// Thread-safety: one owner, that of the flow: all fragments of a datagram come to
// it, the first one in front. Others may look up.
//
// Limits: it is a memory of fixed size. If a later fragment finds its datagram
// forgotten it is judged by itself, and what passes then can never be put together
// without its first.
type fragRefusals struct{ entries [256]fragRefusal }

type fragRefusal struct {
	hash     uint64 // of the flow
	datagram uint64 // identification (32) | ENI (16) | ENI that judged it last (16)
	until    int64  // ns
	reason   uint64
}

func (r *fragRefusals) slot(hash uint64, id uint32) *fragRefusal {
	return &r.entries[(hash>>32^uint64(id))%uint64(len(r.entries))]
}

func (e *fragRefusal) is(hash uint64, m *Meta) bool {
	return e.hash == hash && e.datagram>>16 == uint64(m.FragID)<<16|uint64(m.ENI)
}

// noteRefusal remembers packet i, if it is a first fragment, as one that was
// dropped for reason why.
func (w *Worker) noteRefusal(i int, why drop.Reason) {
	m := &w.burst.meta[i]
	if m.Flags&(flagLater|flagResolved) != flagResolved {
		return
	}
	h := flowcache.HashOf(w.burst.places[i], &w.burst.keys[i])
	e := w.refusals.slot(h, m.FragID)
	relaxed.Store64(&e.hash, h)
	relaxed.Store64(&e.datagram, uint64(m.FragID)<<32|uint64(m.ENI)<<16|uint64(m.Egress))
	relaxed.Store64(&e.reason, uint64(why))
	relaxed.StoreInt64(&e.until, w.now+int64(w.frags.config.Lifetime))
}

// sharesRefusal drops packet i if it is a later fragment of a datagram whose first
// one was dropped here, and reports whether it did. A first fragment begins anew.
func (w *Worker) sharesRefusal(i int) bool {
	m := &w.burst.meta[i]
	if m.Flags&flagFragment == 0 {
		return false
	}
	h := flowcache.HashOf(w.burst.places[i], &w.burst.keys[i])
	e := w.refusals.slot(h, m.FragID)
	if !e.is(h, m) || e.until <= w.now {
		return false
	}
	if m.Flags&flagLater == 0 {
		relaxed.StoreInt64(&e.until, 0)
		return false
	}
	m.Egress = uint16(e.datagram)
	w.dropAt(i, drop.Reason(e.reason))
	return true
}
