package control

import (
	"fmt"

	"github.com/nitrod/nitrod/pipeline"
)

// queueWhy says in one line why a packet goes to its queue.
func queueWhy(c *pipeline.QueueChoice) string {
	why := fmt.Sprintf("%s of %s is %#08x, entry %d of %d in the indirection table", c.Function, c.Fields, c.Hash, c.Entry, c.Entries)
	if c.Rule >= 0 {
		why = fmt.Sprintf("by the steering rule at location %d", c.Rule)
	}
	if c.Moving {
		why += "; a change is under way, and a flow goes by its old queue until that has sent its packets"
	}
	return why
}
