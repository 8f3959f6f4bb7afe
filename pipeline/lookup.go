package pipeline

import "github.com/nitrod/nitrod/pipeline/flowcache"

// lookup is the stage that finds the flow-cache entries of the burst, in passes:
// hashes, buckets, entries, and the sessions that the entries refer to, so that
// the cache misses of a burst overlap. What it touches, decide finds near.
func (w *Worker) lookup() {
	b := &w.burst
	n := b.n
	metas := b.meta[:n]
	if w.retrying {
		for i := range metas {
			b.hashes[i] = metas[i].Hash
		}
	} else {
		for i := range metas {
			b.scopes[i] = uint32(metas[i].VPC)
		}
		w.engine.hasher.HashBurst(b.keys[:n], b.scopes[:n], b.hashes[:n])
	}
	w.cache.LookupBurst(b.hashes[:n], b.keys[:n], b.entry[:n])
	acc := uint64(0)
	for _, id := range b.entry[:n] {
		if id != flowcache.None {
			if e := w.cache.At(id); e.Forward() {
				acc += uint64(w.sessions.At(e.Session()).Incarnation())
			}
		}
	}
	w.sink = acc
}
