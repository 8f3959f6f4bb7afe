package pipeline

import (
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/pipeline/shaper"
	"github.com/nitrod/nitrod/policy"
)

// fragmentLimit returns how many fragments an ENI may send on all lcores
// together (docs/semantics.md S5.3).
func fragmentLimit(r *policy.ENIRecord, lcores int) shaper.SharedLimit {
	return shaper.NewSharedLimit(r.FragmentRate, shaper.DefaultDepth(r.FragmentRate), lcores)
}

// fragmentAllowed counts fragment i, which came from a device, against the rate
// of its ENI, and drops it if that is used up.
func (w *Worker) fragmentAllowed(i int) bool {
	eni := w.burst.meta[i].ENI
	w.eniCounts.touch(eni).Fragments++
	if w.fragShares[eni].Take(&w.engine.fragBuckets[eni], w.view.frag[eni], w.now) {
		return true
	}
	w.eniCounts.touch(eni).PPSExceeded++
	w.dropAt(i, drop.FragmentRateExceeded)
	return false
}
