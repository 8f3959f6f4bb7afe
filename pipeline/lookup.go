package pipeline

import (
	"github.com/nitrod/nitrod/internal/prefetch"
	"github.com/nitrod/nitrod/pipeline/flowcache"
)

// hashGroup is how many packets are parsed and hashed at a time: a multiple of
// what the vector code takes, and half of a burst, so that the buckets of the
// one half are on their way while the other is parsed.
const hashGroup = 16

// hashGroups sets the places of the packets below to, once they are enough for
// the vector code, and asks for the flow cache's buckets. Parse calls it while
// there are more packets to parse, so that the buckets are there when lookup
// comes.
func (w *Worker) hashGroups(to int) {
	if to-w.hashed >= hashGroup {
		w.hash(to)
	}
}

func (w *Worker) hash(to int) {
	b, from := &w.burst, w.hashed
	w.engine.hasher.HashBurst(b.keys[from:to], b.scopes[from:to], b.places[from:to])
	w.cache.Prefetch(b.places[from:to], b.keys[from:to])
	w.hashed = to
}

// lookup is the stage that finds the flow-cache entries of the burst, and asks
// for the sessions to which they refer, or where there is no entry for the place
// where the slow path will look for one.
func (w *Worker) lookup() {
	b := &w.burst
	n := b.n
	w.cache.LookupBurst(b.places[:n], b.keys[:n], b.entry[:n])
	for i, id := range b.entry[:n] {
		if id != flowcache.None {
			w.lines[i&(prefetch.Max-1)] = w.sessions.Address(w.cache.At(id).Session())
		} else {
			w.lines[i&(prefetch.Max-1)] = w.sessions.Bucket(flowcache.HashOf(b.places[i], &b.keys[i]))
		}
	}
	prefetch.First(&w.lines, n)
	w.askForClocks()
}
