package pipeline

import (
	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/policy"
)

// SetRSS changes how an ENI spreads what it receives, while packets flow and
// without reordering any flow. Errors: ErrQueueENI, ErrQueueRange, ErrQueueBusy;
// on any of them nothing has changed.
//
// Thread-safety: any goroutine, as of all methods in this file.
func (e *Engine) SetRSS(id string, r RSS) error {
	return e.changeQueues(id, func(_ *policy.Snapshot, _ *policy.ENIInfo, eni uint16) error {
		if err := checkTable(&r.Table, e.guests[eni].queues); err != nil {
			return err
		}
		e.queues.spread[id] = newSpread(&r)
		return nil
	})
}

// AddSteering adds a rule to its instance's table. Errors: those of SetRSS, and
// those of hash.SteeringTable.
func (e *Engine) AddSteering(s Steer) error {
	return e.changeQueues(s.ENI, func(snap *policy.Snapshot, _ *policy.ENIInfo, _ uint16) error {
		instance, rule, err := ruleOf(snap, &s)
		if err != nil {
			return err
		}
		return e.putSteering(instance)(e.queues.steering[instance].Add(rule))
	})
}

// RemoveSteering removes an ENI's rule at a location. Errors: those of SetRSS,
// and hash.ErrSteerUnused or hash.ErrSteerIndex.
func (e *Engine) RemoveSteering(id string, location uint32) error {
	return e.changeQueues(id, func(_ *policy.Snapshot, info *policy.ENIInfo, eni uint16) error {
		return e.putSteering(info.Instance)(e.queues.steering[info.Instance].Remove(eni, location))
	})
}

func (e *Engine) putSteering(instance string) func(hash.SteeringTable, error) error {
	return func(t hash.SteeringTable, err error) error {
		if err == nil {
			e.queues.steering[instance] = t
		}
		return err
	}
}

// QueuesMoving reports whether a change of an ENI's queues is under way: some of
// its flows may still go by their old queue.
func (e *Engine) QueuesMoving(id string) bool {
	v := e.view.Load()
	eni, ok := v.snap.ENIByID(id)
	return ok && v.rss[eni].move != nil && !v.rss[eni].move.done()
}

// changeQueues changes the settings of an ENI's queues and puts them in force.
func (e *Engine) changeQueues(id string, change func(*policy.Snapshot, *policy.ENIInfo, uint16) error) error {
	e.changing.Lock()
	defer e.changing.Unlock()
	v := e.view.Load()
	eni, ok := v.snap.ENIByID(id)
	if !ok {
		return ErrQueueENI
	}
	if m := v.rss[eni].move; m != nil && !m.done() {
		return ErrQueueBusy
	}
	info := v.snap.ENI(eni)
	if err := change(v.snap, &info, eni); err != nil {
		return err
	}
	side := e.queues.side(eni, e.guests[eni].queues, &info)
	side.load = e.loadOf(id, eni, &side.table)
	e.view.Store(e.moveTo(v, eni, side))
	return nil
}
