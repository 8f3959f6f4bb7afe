// Package rebalance evens out what an ENI's receive queues carry, by moving
// entries of its indirection table from one queue to another.
//
// plan.go says which, from what was measured, and does nothing else. balancer.go
// says when: it measures at intervals, and is slow to act.
package rebalance

// Load is what an ENI received in some time, in packets.
type Load struct {
	Table   []uint16 // queue by entry
	Entries []uint64 // packets by entry
	Fixed   []uint64 // packets by queue that came there by no entry: by steering rules
}

// Queues returns what each queue carries if the entries lead where table says.
func (l *Load) Queues(table []uint16) []uint64 {
	q := append([]uint64(nil), l.Fixed...)
	for e, n := range l.Entries {
		q[table[e]] += n
	}
	return q
}

// Move is an entry that shall lead to another queue.
type Move struct {
	Entry    int
	From, To uint16
	Packets  uint64 // that came by it
}

// maxMoves bounds what one plan changes; a larger table takes several.
const maxMoves = 256

// Plan returns the entries to move so that the fullest queue carries no more than
// target percent above the mean, or as little above it as moving one entry after
// the other to the emptiest queue leads to. The fullest queue carries less
// afterwards, or the plan is empty: one that is full by a single entry, or by
// steering rules, cannot be helped. A plan that would take less than gain percent
// from the fullest queue is not worth it, and is empty too.
//
// It is a pure function; an entry is moved once at most. It takes time in
// proportion to the entries and maxMoves.
func Plan(l *Load, target, gain float64) []Move {
	queues := l.Queues(l.Table)
	mean, most := meanOf(queues), uint64(0)
	moved := make(map[int]bool)
	var moves []Move
	for len(moves) < maxMoves {
		full, empty := extremes(queues)
		if len(moves) == 0 {
			most = queues[full]
		}
		if float64(queues[full]) <= mean*(1+target/100) {
			break
		}
		e := best(l, uint16(full), queues[full]-queues[empty], moved)
		if e < 0 {
			break
		}
		moved[e] = true
		queues[full] -= l.Entries[e]
		queues[empty] += l.Entries[e]
		moves = append(moves, Move{e, uint16(full), uint16(empty), l.Entries[e]})
	}
	if full, _ := extremes(queues); float64(most-queues[full]) < float64(most)*gain/100 {
		return nil
	}
	return moves
}

// best returns the entry of the fullest queue that brings it and the emptiest one
// closest together, or -1 if the other would be as full as this one is, whichever
// is moved. gap is what lies between them.
func best(l *Load, full uint16, gap uint64, moved map[int]bool) int {
	found, distance := -1, gap
	for e, n := range l.Entries {
		if l.Table[e] != full || n == 0 || n >= gap || moved[e] {
			continue
		}
		d := 2*n - gap
		if 2*n < gap {
			d = gap - 2*n
		}
		if d < distance {
			found, distance = e, d
		}
	}
	return found
}

// extremes returns the fullest and the emptiest queue, the first of equals.
func extremes(queues []uint64) (full, empty int) {
	for q, n := range queues {
		if n > queues[full] {
			full = q
		}
		if n < queues[empty] {
			empty = q
		}
	}
	return full, empty
}

func meanOf(queues []uint64) float64 {
	sum := uint64(0)
	for _, n := range queues {
		sum += n
	}
	return float64(sum) / float64(max(len(queues), 1))
}

// Excess returns by how many percent the fullest queue is above the mean.
func Excess(queues []uint64) float64 {
	mean := meanOf(queues)
	if mean == 0 {
		return 0
	}
	full, _ := extremes(queues)
	return (float64(queues[full])/mean - 1) * 100
}

// Apply returns the table after the moves.
func Apply(table []uint16, moves []Move) []uint16 {
	to := append([]uint16(nil), table...)
	for _, m := range moves {
		to[m.Entry] = m.To
	}
	return to
}
