package pipeline

import (
	"errors"
	"syscall"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/policy"
)

// RSS is how an ENI spreads over its receive queues what no steering rule takes
// (docs/semantics.md S5.7).
type RSS struct {
	CRC32 bool      // the function is CRC32, else Toeplitz
	Key   hash.Key  // of Toeplitz
	Mode  hash.Mode // of Toeplitz
	Table hash.IndirectionTable
}

func (r *RSS) function() hash.RSSFunction {
	if r.CRC32 {
		return hash.NewCRC32(rssInitial)
	}
	return hash.NewToeplitz(r.Key, r.Mode)
}

// rssInitial is the initial value of CRC32: ours, since AWS publishes none.
const rssInitial = 0xffffffff

// Steer is a steering rule of an ENI. The rule's own ENI is not read.
type Steer struct {
	ENI  string
	Rule hash.SteerRule
}

// Receive says how ENIs choose receive queues when the engine begins.
type Receive struct {
	RSS      map[string]RSS // by ENI; the others have a random key and the default table
	Steering map[string]int // by instance: how many rules it has room for, where that is not the default
	Rules    []Steer
}

// Errors of changes to the choice of queues. They wrap the error number that
// ENA's driver, or the kernel before it, gives.
var (
	ErrQueueENI   = errors.New("pipeline: there is no such ENI")
	ErrQueueRange = queueError{"pipeline: the ENI has no such receive queue", syscall.EINVAL}
	ErrQueueBusy  = queueError{"pipeline: an earlier change of the ENI's queues is still under way", syscall.EBUSY}
)

type queueError struct {
	text  string
	errno syscall.Errno
}

func (e queueError) Error() string { return e.text }
func (e queueError) Unwrap() error { return e.errno }

// queueSettings is how ENIs choose receive queues. Engine.changing guards it.
type queueSettings struct {
	standard spread                        // of ENIs that have none of their own, but for its table
	spread   map[string]*spread            // by ENI
	steering map[string]hash.SteeringTable // by instance
}

// spread is an RSS with its function.
type spread struct {
	RSS
	function hash.RSSFunction
}

func newSpread(r *RSS) *spread { return &spread{*r, r.function()} }

// receiving makes the settings with which the engine begins. What Config.Receive
// does not say is Toeplitz with a random key, the default table, and no steering
// rules, for which an instance has room as the most queues that an ENI of its has.
// ENA has an entry for each vCPU, and by default as many queues
// (docs/semantics.md S5.8).
func (e *Engine) receiving(snap *policy.Snapshot) error {
	q := queueSettings{
		standard: *newSpread(&RSS{Key: hash.RandomKey(), Mode: hash.ModeStandard}),
		spread:   map[string]*spread{}, steering: map[string]hash.SteeringTable{},
	}
	for i := range snap.ENIs {
		r := &snap.ENIs[i]
		if r.Dead() {
			continue
		}
		id := snap.ENI(uint16(i)).ID
		q.spread[id] = q.standardFor(r.Queues)
		if given, is := e.cfg.Receive.RSS[id]; is {
			if err := checkTable(&given.Table, r.Queues); err != nil {
				return err
			}
			q.spread[id] = newSpread(&given)
		}
		if instance := snap.ENI(uint16(i)).Instance; !r.Outside() && q.steering[instance].Size() < int(r.Queues) {
			q.steering[instance] = hash.NewSteeringTable(int(r.Queues))
		}
	}
	for instance, size := range e.cfg.Receive.Steering {
		q.steering[instance] = hash.NewSteeringTable(size)
	}
	for i := range e.cfg.Receive.Rules {
		instance, rule, err := ruleOf(snap, &e.cfg.Receive.Rules[i])
		if err != nil {
			return err
		}
		if q.steering[instance], err = q.steering[instance].Add(rule); err != nil {
			return err
		}
	}
	e.queues = q
	return nil
}

// checkTable refuses a table that leads to queues which an ENI does not have.
func checkTable(t *hash.IndirectionTable, queues uint16) error {
	for _, q := range t.Entries() {
		if q >= queues {
			return ErrQueueRange
		}
	}
	return nil
}

// ruleOf completes a rule, and returns whose table it belongs to.
func ruleOf(snap *policy.Snapshot, s *Steer) (instance string, r hash.SteerRule, err error) {
	eni, ok := snap.ENIByID(s.ENI)
	if !ok {
		return "", r, ErrQueueENI
	}
	r = s.Rule
	r.ENI = eni
	if r.Queue >= snap.ENIs[eni].Queues {
		return "", r, ErrQueueRange
	}
	return snap.ENI(eni).Instance, r, nil
}

// standardFor is the spread with which an ENI of so many queues begins.
func (q *queueSettings) standardFor(queues uint16) *spread {
	own := q.standard
	own.Table, _ = hash.NewIndirectionTable(hash.DefaultIndirection, max(1, int(queues))) // within its bounds
	return &own
}

// side is the choice of an ENI's queue by the settings in force. An ENI that was
// not there when the engine began, which a plan may have, is as one that begins.
func (q *queueSettings) side(eni uint16, queues uint16, info *policy.ENIInfo) receiveSide {
	own := q.spread[info.ID]
	if own == nil {
		own = q.standardFor(queues)
	}
	side := receiveSide{function: own.function, table: own.Table}
	rules := q.steering[info.Instance]
	for _, r := range rules.Rules() {
		if r.ENI == eni {
			side.rules = &rules
			side.byClass = side.byClass || r.TrafficMask != 0
		}
	}
	return side
}

// RSSOf returns how an ENI spreads what it receives.
//
// Thread-safety: any goroutine, as of all methods in this file.
func (e *Engine) RSSOf(id string) (RSS, error) {
	e.changing.Lock()
	defer e.changing.Unlock()
	if own := e.queues.spread[id]; own != nil {
		return own.RSS, nil
	}
	return RSS{}, ErrQueueENI
}

// SteeringOf returns the table of an instance's steering rules.
func (e *Engine) SteeringOf(instance string) hash.SteeringTable {
	e.changing.Lock()
	defer e.changing.Unlock()
	return e.queues.steering[instance]
}
