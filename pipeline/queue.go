package pipeline

import "github.com/nitrod/nitrod/rings"

// QueueStats is one receive queue of an ENI, as its guest sees it.
type QueueStats struct {
	rings.QueueCounts
	Lcore  int    // that serves it
	Device uint16 // queue of the port to which it leads
}

// Queues returns the receive queues of an ENI in their order; none where there
// is no such ENI or it has no port.
//
// Thread-safety: any goroutine, beside running lcores.
func (e *Engine) Queues(eni uint16) []QueueStats {
	if int(eni) >= len(e.guests) {
		return nil
	}
	all := make([]QueueStats, e.guests[eni].queues)
	for i := range all {
		dest := e.workers[0].eniQueue[eni] + uint32(i) // alike at all of them
		owner := int(e.workers[0].out[dest].owner)
		q := e.workers[owner].out[dest].queue
		all[i] = QueueStats{QueueCounts: q.Counts(), Lcore: owner, Device: q.Queue}
	}
	return all
}
