package pipeline

import (
	"errors"
	"strconv"

	"github.com/nitrod/nitrod/hash"
)

// noRule is the location of no steering rule.
const noRule = -1

// ownerOf returns the lcore that owns the flow of a key in a shard, and the
// location of the host's steering rule that says so; noRule if the shard does.
// Rules know no direction, so that both of a flow's come to one lcore, and the
// ICMP errors about it, whose key is of what they quote.
func (e *Engine) ownerOf(k *hash.FlowKey, shard uint16) (lcore, location int) {
	if e.steering != nil {
		if lcore, location, ok := e.steering.MatchEither(k); ok {
			return int(lcore), int(location)
		}
	}
	return int(e.owners[shard]), noRule
}

// steer takes the host's steering rules over. Where there are none they cost no
// packet anything.
func (e *Engine) steer(rules []hash.SteerRule) error {
	if len(rules) == 0 {
		return nil
	}
	t := hash.NewHostSteeringTable(hash.MaxSteering)
	for i := range rules {
		r, err := &rules[i], error(nil)
		if int(r.Queue) >= e.lcores {
			err = errors.New("it leads to lcore " + strconv.Itoa(int(r.Queue)) + ", which there is not")
		} else {
			t, err = t.Add(*r)
		}
		if err != nil {
			return errors.New("pipeline: the steering rule of the host at location " + strconv.Itoa(int(r.Location)) + ": " + err.Error())
		}
	}
	e.steering = &t
	return nil
}

// steeredTo reports whether a rule of the host leads to an lcore.
func (e *Engine) steeredTo(lcore int) bool {
	if e.steering == nil {
		return false
	}
	for _, r := range e.steering.Rules() {
		if int(r.Queue) == lcore {
			return true
		}
	}
	return false
}
