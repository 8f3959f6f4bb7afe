package policy

import (
	"errors"
	"fmt"

	"github.com/nitrod/nitrod/hash"
)

// checkQueues sees that indirection tables and steering rules lead to queues
// that there are, and that an instance's rules are such as its table takes.
func (c *checker) checkQueues() {
	for i := range c.o.ENIs {
		if e := &c.o.ENIs[i]; e.RSS != nil {
			c.checkRSS(e)
		}
	}
	for i := range c.o.Instances {
		in := &c.o.Instances[i]
		if in.VCPUs < 0 || in.VCPUs > hash.MaxSteering {
			c.errorf(in.Pos, "instance %q: the number of vCPUs %d is not between 0 and %d", in.ID, in.VCPUs, hash.MaxSteering)
			continue
		}
		c.checkSteering(in)
	}
}

func (c *checker) checkRSS(e *ENI) {
	n := len(e.RSS.Entries)
	if n > hash.MaxIndirection || n&(n-1) != 0 {
		c.errorf(e.Pos, "ENI %q: its indirection table has %d entries; the number must be a power of two up to %d", e.ID, n, hash.MaxIndirection)
	}
	for i, q := range e.RSS.Entries {
		if int(q) >= e.Queues {
			c.errorf(e.Pos, "ENI %q: entry %d of its indirection table is receive queue %d; it has the queues 0 to %d", e.ID, i, q, e.Queues-1)
			return
		}
	}
}

// checkSteering puts an instance's rules into a table, which judges them. The
// index of an ENI does not matter for that.
func (c *checker) checkSteering(in *Instance) {
	table := hash.NewSteeringTable(in.VCPUs)
	for i := range in.Steering {
		r := &in.Steering[i]
		owner := fmt.Sprintf("instance %q, steering rule at location %d", in.ID, r.Rule.Location)
		if at, known := c.ref(r.Pos, owner, &c.enis, r.ENI); known {
			c.checkSteered(r, owner, in, &c.o.ENIs[at])
		}
		next, err := table.Add(r.Rule)
		table = next
		switch {
		case err == nil:
		case errors.Is(err, hash.ErrSteerTaken):
			c.errorf(r.Pos, "%s: there is one already; the ENIs of an instance share its locations", owner)
		case errors.Is(err, hash.ErrSteerUnsupported):
			c.errorf(r.Pos, "%s: it compares what rules of its type cannot", owner)
		case in.VCPUs == 0:
			c.errorf(r.Pos, "%s: there is room for as many rules as the instance has vCPUs, and it is given none", owner)
		default:
			c.errorf(r.Pos, "%s: with %d vCPUs there are the locations 0 to %d", owner, in.VCPUs, in.VCPUs-1)
		}
	}
}

func (c *checker) checkSteered(r *SteerRule, owner string, in *Instance, e *ENI) {
	if e.Instance != in.ID {
		c.errorf(r.Pos, "%s: ENI %q belongs to instance %q", owner, e.ID, e.Instance)
	}
	if int(r.Rule.Queue) >= e.Queues {
		c.errorf(r.Pos, "%s: ENI %q has no receive queue %d; it has the queues 0 to %d", owner, e.ID, r.Rule.Queue, e.Queues-1)
	}
}
