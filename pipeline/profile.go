package pipeline

import "github.com/nitrod/nitrod/pipeline/profile"

// profile is the stage that looks at a packet of the burst now and then, so that
// flows which carry much are known by name (package profile). It comes when the
// packets have their verdicts, and counts those that are dropped too: a flood that
// nobody receives takes the lcore's time all the same.
func (w *Worker) profile() {
	n := w.burst.n
	if n == 0 || w.heavy == nil {
		return
	}
	if i, weight := w.heavy.Pick(n); weight != 0 {
		w.noteFlow(i, weight)
	}
}

// noteFlow counts packet i for as many as weight says. What belongs to no flow, or
// has yet to be decided and will be looked at then, is left out.
func (w *Worker) noteFlow(i int, weight uint32) {
	m := &w.burst.meta[i]
	if m.class != classFlow || m.Verdict == VerdictHold {
		return
	}
	w.heavy.Note(&profile.Packet{
		Key: &w.burst.keys[i], Length: w.burst.desc[i].PktLen, Weight: weight,
		Place: profile.Place{Egress: m.Egress, Queue: m.Queue, Dropped: m.Verdict == VerdictDrop},
	})
}

// Heavy copies what carried most in the last whole second on lcore i, and reports
// whether there is any: a second has passed, and heavy flows are looked for.
func (e *Engine) Heavy(i int, w *profile.Window) bool {
	heavy := e.workers[i].heavy
	return heavy != nil && heavy.Read(w)
}

// HeavyFlows reports whether the flows that carry most are looked for.
func (e *Engine) HeavyFlows() bool { return !e.cfg.NoHeavyFlows }
