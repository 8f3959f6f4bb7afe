package microburst

import "github.com/nitrod/nitrod/hash"

const (
	// sketched is how many flows are followed at once in a burst.
	sketched = 8
	// NumFlows is how many flows an event names at most.
	NumFlows = 4
)

// sketch finds the largest flows among samples (Metwally, Agrawal and El Abbadi,
// "Efficient computation of frequent and top-k elements in data streams", 2005):
// a flow that is not known takes the place of the smallest one, and its weight
// as well. A flow with more than an eighth of the weight is never missed.
type sketch struct {
	n     int
	total uint64
	items [sketched]struct {
		key    hash.FlowKey
		weight uint64
	}
}

func (s *sketch) clear() { s.n, s.total = 0, 0 }

func (s *sketch) add(k *hash.FlowKey, weight uint64) {
	s.total += weight
	least := 0
	for i := range s.items[:s.n] {
		it := &s.items[i]
		if it.key.Equal(k) {
			it.weight += weight
			return
		}
		if it.weight < s.items[least].weight {
			least = i
		}
	}
	if s.n < sketched {
		least = s.n
		s.n++
		s.items[least].weight = 0
	}
	it := &s.items[least]
	it.key = *k
	it.weight += weight
}

// largest writes the largest flows into an event, with their share of its bytes.
func (s *sketch) largest(e *Event) {
	var taken [sketched]bool
	for n := range min(s.n, NumFlows) {
		best := -1
		for i := range s.items[:s.n] {
			if !taken[i] && (best < 0 || s.items[i].weight > s.items[best].weight) {
				best = i
			}
		}
		taken[best] = true
		it := &s.items[best]
		share := float64(it.weight) / float64(max(1, s.total))
		e.Flows[n] = Flow{it.key, uint64(share * float64(e.Bytes))}
	}
}

// Sample names a flow that stands for the bytes that were queued since the last
// sample. It is to be picked at random among the packets of the round.
func (q *Queue) Sample(k *hash.FlowKey) {
	q.flows.add(k, q.unsampled)
	q.unsampled = 0
	m := q.m
	m.random = m.random*1664525 + 1013904223 // a sequence modulo 2^32 of full length
	every := uint64(sampleEvery)
	if q.burst.on {
		every = max(every, uint64(m.now-q.burst.start)/samplesOfAll)
	}
	q.sampleAt = m.now + int64(every/2+uint64(m.random)*every>>32)
}
