// Package pipeline is the hot path: what becomes of a packet between the port
// it came from and the one it leaves by.
//
// worker.go is the list of stages; each stage is a file of its name. An Engine
// has one Worker per lcore, and each Worker carries its bursts through all
// stages by itself. The package knows ports only as pktio.IO.
package pipeline

import (
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/pipeline/flowcache"
	"github.com/nitrod/nitrod/pipeline/microburst"
	"github.com/nitrod/nitrod/pipeline/pacer"
	"github.com/nitrod/nitrod/pipeline/profile"
	"github.com/nitrod/nitrod/pipeline/shaper"
	"github.com/nitrod/nitrod/policy"
	"github.com/nitrod/nitrod/rings"
)

// Config sizes an Engine. Tables are per host and divided among the lcores.
type Config struct {
	Burst           int           // packets from the devices per round, 1 to pktio.MaxBurst
	SlowPathBudget  int           // slow-path runs per round, 1 to pktio.MaxBurst
	SlowPathQueue   int           // packets of an lcore that may wait for the slow path
	Redecide        int           // flows that an lcore judges anew a second after a change of policy, as their packets come
	RedecideWithin  time.Duration // for so long others may go on by their old verdicts then
	Flows           int           // flow-cache entries
	FlowIdle        time.Duration // after which an entry unused is removed
	Sessions        int           // tracked connections
	PickupMidstream bool          // track TCP connections whose beginning was not seen
	EvictEarly      bool          // end half-open, closing and one-way sessions where there is no room for new ones
	LiberalWindows  bool          // follow TCP's windows, but drop nothing for them
	Timeouts        conntrack.Timeouts
	ICMPErrors      int           // a second to each ENI about packets that cannot go on; 0 sends none
	AdvertEvery     time.Duration // between two unasked advertisements of the routers to each ENI; 0 sends none
	Fragments       FragmentConfig
	Bursts          microburst.Config // how the receive queues are measured
	NoHeavyFlows    bool              // the flows that carry most are not looked for
	Poll            PollConfig
	Shares          []uint32         // by lcore: of the flows, in proportion to each other; nil gives all as much
	Steering        []hash.SteerRule // the host's rules: which flows go to which lcore, whatever their shard
	RingSize        int              // of the rings between lcores, a power of two
	LimitQueue      int              // packets of an lcore that may wait for limits; 0 is DefaultLimitQueue
	Receive         Receive
	Clock           Clock
}

func (c *Config) flowIdleTicks() uint16 {
	return uint16(min(max(1, int64(c.FlowIdle)>>tickShift), 1<<15))
}

// Port is the device port on which an ENI's packets come and go.
type Port struct {
	ENI    uint16
	Port   uint16 // number, as in pktio.Desc
	Queues int    // transmit queues of the device
	Depth  int    // of each of the guest's receive queues
	// SendDepth is that of the queues with which the guest sends: what waits there is
	// not here yet. Only readers are told of it; 0 where it is not known.
	SendDepth int
	// Headers is how many bytes of a packet's headers the guest's device takes, at
	// least commonHeaders; 0: any number.
	Headers int
	// Polled tells the lcore that polls each receive queue of the device: those with
	// which the guest sends. Nil: there are as many as Queues, polled by nobody knows
	// whom.
	Polled []uint16
	// Served lists the lcores that serve the guest's receive queues, in turn. Nil: the
	// queues of all such ports go round all lcores.
	Served []uint16
}

// Engine is the workers and what they share.
//
// Thread-safety: SetPolicy, Stop and the methods of stats.go and explain.go may
// be called from any goroutine; RunLcore once for each lcore, by the thread that
// is to be it.
type Engine struct {
	cfg        Config
	workers    []*Worker
	view       atomic.Pointer[view]
	guests     []guest // by ENI: what its port was made for
	ports      []Port
	hasher     hash.FlowHasher
	sharder    hash.Sharder
	owners     [hash.NumShards]uint16 // lcore by shard
	steering   *hash.SteeringTable    // the host's rules, which come before the shards; nil if there are none
	lcores     int
	queues     queueSettings
	measured   measured
	allowances *conntrack.Allowances
	tellers    tellers
	changing   sync.Mutex // held while a policy is put in force
	stopping   atomic.Bool
	polling    sync.WaitGroup

	fragBuckets      []shaper.Shared // by ENI: the fragments that it sent
	linkLocalBuckets []shaper.Shared // by ENI: the packets that it sent to link-local services
	plan             limitPlan
	clocks           []shaper.SharedClock // the buckets of limits, as plan says
	pacers           [][]*pacer.Pacer     // by ENI and queue; nil without any
}

// guest is who is behind the port of an ENI.
type guest struct {
	id      string
	queues  uint16
	headers uint32 // as Port.Headers
}

// New makes an engine with one worker for each element of ios. Every ENI of the
// snapshot has one port.
func New(cfg Config, snap *policy.Snapshot, ports []Port, ios []pktio.IO) (*Engine, error) {
	switch {
	case len(ios) == 0:
		return nil, errors.New("pipeline: no lcores")
	case cfg.Burst < 1 || cfg.Burst > pktio.MaxBurst:
		return nil, errors.New("pipeline: burst is not from 1 to " + strconv.Itoa(pktio.MaxBurst))
	case cfg.SlowPathBudget < 1 || cfg.SlowPathBudget > pktio.MaxBurst:
		return nil, errors.New("pipeline: slow-path budget is not from 1 to " + strconv.Itoa(pktio.MaxBurst))
	case cfg.SlowPathQueue < 1:
		return nil, errors.New("pipeline: slow-path queue holds no packet")
	case cfg.Clock == nil:
		return nil, errors.New("pipeline: no clock")
	}
	if err := errors.Join(cfg.Fragments.check(), cfg.Bursts.Check()); err != nil {
		return nil, err
	}
	if err := cfg.Poll.check(ios); err != nil {
		return nil, err
	}
	owners, err := shardOwners(cfg.Shares, len(ios))
	if err != nil {
		return nil, err
	}
	e := &Engine{
		cfg:        cfg,
		ports:      slices.Clone(ports),
		lcores:     len(ios),
		hasher:     hash.NewFlowHasher(hash.RandomSeed()),
		sharder:    hash.NewSharder(hash.RandomKey()),
		allowances: conntrack.NewAllowances(),
	}
	copy(e.owners[:], owners)
	if err := e.steer(cfg.Steering); err != nil {
		return nil, err
	}
	e.tellers = newTellers(cfg.ICMPErrors, len(snap.ENIs), len(ios))
	if err := e.admit(snap, ports); err != nil {
		return nil, err
	}
	if err := e.receiving(snap); err != nil {
		return nil, err
	}
	if err := e.SetPolicy(snap); err != nil {
		return nil, err
	}
	for i, io := range ios {
		w, err := e.newWorker(i, io)
		if err != nil {
			_ = e.Free()
			return nil, err
		}
		e.workers = append(e.workers, w)
	}
	if err = e.connect(); err == nil {
		err = e.attach(ports)
	}
	if err != nil {
		_ = e.Free()
		return nil, err
	}
	e.polling.Add(len(e.workers))
	return e, nil
}

// admit notes which ENIs there are.
func (e *Engine) admit(snap *policy.Snapshot, ports []Port) error {
	e.guests = make([]guest, len(snap.ENIs))
	e.fragBuckets = make([]shaper.Shared, len(snap.ENIs))
	e.linkLocalBuckets = make([]shaper.Shared, len(snap.ENIs))
	for _, p := range ports {
		switch {
		case int(p.ENI) >= len(snap.ENIs) || snap.ENIs[p.ENI].Dead():
			return errors.New("pipeline: port " + strconv.Itoa(int(p.Port)) + " is given to no ENI")
		case e.guests[p.ENI].id != "":
			return errors.New("pipeline: ENI " + e.guests[p.ENI].id + " has two ports")
		case p.Queues < 1:
			return errors.New("pipeline: port " + strconv.Itoa(int(p.Port)) + " has no queues")
		}
		if err := errors.Join(p.checkHeaders(), p.checkServed(e.lcores)); err != nil {
			return err
		}
		e.guests[p.ENI] = guest{snap.ENI(p.ENI).ID, snap.ENIs[p.ENI].Queues, uint32(p.Headers)}
	}
	e.plan = newLimitPlan(e.guests)
	e.clocks = make([]shaper.SharedClock, e.plan.buckets)
	return nil
}

func (e *Engine) newWorker(id int, io pktio.IO) (*Worker, error) {
	n := len(e.view.Load().snap.ENIs)
	w := &Worker{
		made: newMade(), told: make([]shaper.Share, n),
		engine: e, id: id, io: io, clock: e.cfg.Clock, poll: newPoller(&e.cfg.Poll, io),
		waiting: newWaitQueue(e.cfg.SlowPathQueue, n), redecision: newRedecision(e.cfg.Redecide), eniCounts: newENICounters(n),
		touched:  make([]touchedBucket, 0, (departures+2)*pktio.MaxBurst), // a round's departures, retries and burst
		eniQueue: make([]uint32, n), fragShares: make([]shaper.Share, n), linkLocalShares: make([]shaper.Share, n),
	}
	if !e.cfg.NoHeavyFlows {
		w.heavy = profile.NewRecorder(hash.RandomSeed())
	}
	w.frags = newFragStore(e.cfg.Fragments, n)
	// What one round frees at most: its burst, what it makes, what it collects from
	// others, and fragments that have waited. Pacers make room for what they drop.
	w.flush.Frees = make([]uint64, 0, pktio.MaxBurst*(1+2*pktio.MaxBurst)+maxMade+spareChunk+len(w.frags.items))
	w.flush.Resizes = make([]pktio.Resize, 0, pktio.MaxBurst+maxMade)
	var err error
	if w.cache, err = flowcache.New(max(16, e.shareOf(id, e.cfg.Flows))); err != nil {
		return nil, err
	}
	if w.sessions, err = conntrack.NewTable(max(16, e.shareOf(id, e.cfg.Sessions)), e.allowances); err != nil {
		_ = w.cache.Free()
		return nil, err
	}
	if w.limits, err = newLimiter(&e.cfg, e.plan.buckets, n, w.cache.Cap()); err != nil {
		_ = w.cache.Free()
		_ = w.sessions.Free()
		return nil, err
	}
	w.sessions.EvictEarly(e.cfg.EvictEarly)
	return w, nil
}

// connect makes the rings between every two workers.
func (e *Engine) connect() error {
	n := len(e.workers)
	for _, w := range e.workers {
		w.in, w.handed = make([]*rings.SPSC[item], n), make([]*rings.SPSC[item], n)
		w.sendIn, w.sendOut = make([]*rings.SPSC[sendItem], n), make([]*rings.SPSC[sendItem], n)
		w.flowIn, w.flowOut = make([]*rings.SPSC[uint64], n), make([]*rings.SPSC[uint64], n)
	}
	for i, from := range e.workers {
		for j, to := range e.workers {
			if i == j {
				continue
			}
			packets, err := rings.NewSPSC[item](e.cfg.RingSize)
			if err != nil {
				return err
			}
			from.handed[j], to.in[i] = packets, packets
			sends, err := rings.NewSPSC[sendItem](e.cfg.RingSize)
			if err != nil {
				return err
			}
			from.sendOut[j], to.sendIn[i] = sends, sends
			flows, err := rings.NewSPSC[uint64](e.cfg.RingSize)
			if err != nil {
				return err
			}
			from.flowOut[j], to.flowIn[i] = flows, flows
		}
	}
	return nil
}

// attach gives every ENI its receive queues, each served by one worker. Queues
// that share a queue of the device share its worker.
func (e *Engine) attach(ports []Port) error {
	highest := 0
	for _, p := range ports {
		highest = max(highest, int(p.Port))
	}
	portENI := make([]uint16, highest+1)
	for i := range portENI {
		portENI[i] = noENI
	}
	serving := 0
	for _, p := range ports {
		if portENI[p.Port] != noENI {
			return errors.New("pipeline: port " + strconv.Itoa(int(p.Port)) + " is given twice")
		}
		portENI[p.Port] = p.ENI
		queues := int(e.guests[p.ENI].queues)
		for _, w := range e.workers {
			w.eniQueue[p.ENI] = uint32(len(w.out))
		}
		for q := range queues {
			device := q % p.Queues
			owner := (serving + device) % len(e.workers)
			if len(p.Served) != 0 {
				owner = int(p.Served[device%len(p.Served)])
			}
			for _, w := range e.workers {
				d := destQueue{owner: uint16(owner), eni: p.ENI}
				if w.id == owner {
					var err error
					if d.queue, err = rings.NewReceiveQueue(p.Port, uint16(device), p.Depth); err != nil {
						return err
					}
				}
				w.out = append(w.out, d)
			}
		}
		if len(p.Served) == 0 {
			serving += p.Queues
		}
	}
	for _, w := range e.workers {
		w.portENI = portENI
		w.dirty = make([]uint32, 0, len(w.out))
		w.paced = make([]uint32, 0, len(w.out))
		w.stale = make([]uint32, 0, len(w.out))
		w.sent = newSendCounters(ports, highest)
		w.flush.Runs = make([]pktio.TxRun, 0, len(w.out))
		w.watchQueues()
	}
	return nil
}

// SetPolicy puts a snapshot in force. Every lcore takes it up with its next
// round; flows whose ENIs' generations changed are judged anew with their next
// packet. It refuses a snapshot with an ENI that has no port, or has other
// queues than its port was made for, since packets for it had nowhere to go; and
// one with other room for packets that wait for their pace than was made.
func (e *Engine) SetPolicy(snap *policy.Snapshot) error {
	e.changing.Lock()
	defer e.changing.Unlock()
	for i := range snap.ENIs {
		r := &snap.ENIs[i]
		if r.Dead() {
			continue
		}
		switch id := snap.ENI(uint16(i)).ID; {
		case i >= len(e.guests) || e.guests[i].id != id:
			return errors.New("pipeline: ENI " + id + " has no port")
		case e.guests[i].queues != r.Queues:
			return errors.New("pipeline: ENI " + id + " has another number of queues than its port was made for")
		}
	}
	v, err := e.newView(snap, e.view.Load())
	if err != nil {
		return err
	}
	e.setAllowances(snap)
	e.view.Store(v)
	return nil
}

func (e *Engine) setAllowances(snap *policy.Snapshot) {
	for i := range snap.NumInstances() {
		e.allowances.SetLimit(uint16(i), int64(snap.Instance(uint16(i)).ConntrackAllowance))
	}
	for i := range snap.ENIs {
		r := &snap.ENIs[i]
		if r.Dead() { // what it still uses stays with its instance
			e.allowances.ForgetENI(uint16(i))
		} else {
			e.allowances.SetENI(uint16(i), r.Instance, int(r.Guaranteed))
		}
	}
}

// Policy returns the snapshot in force.
func (e *Engine) Policy() *policy.Snapshot { return e.view.Load().snap }

// Lcores returns the number of workers.
func (e *Engine) Lcores() int { return len(e.workers) }

// Worker returns worker i, for tests that call Round themselves.
func (e *Engine) Worker(i int) *Worker { return e.workers[i] }

// RunLcore is the life of lcore i: it polls until Stop, then gives back what it
// holds and returns. Stop must find all lcores running.
func (e *Engine) RunLcore(i int) { e.workers[i].run() }

// Stop tells the lcores to end. It does not wait for them.
func (e *Engine) Stop() {
	e.stopping.Store(true)
	for _, w := range e.workers {
		w.io.Wake()
	}
}

// Free returns the memory of all tables. The lcores must have returned.
func (e *Engine) Free() error {
	var all []error
	for _, w := range e.workers {
		all = append(all, w.cache.Free(), w.sessions.Free(), w.limits.free())
		for _, r := range w.in {
			if r != nil {
				all = append(all, r.Free())
			}
		}
		for _, r := range w.sendIn {
			if r != nil {
				all = append(all, r.Free())
			}
		}
		for _, r := range w.flowIn {
			if r != nil {
				all = append(all, r.Free())
			}
		}
		for i := range w.out {
			if q := w.out[i].queue; q != nil {
				all = append(all, q.Free())
			}
		}
	}
	for _, queues := range e.pacers {
		for _, p := range queues {
			all = append(all, p.Free())
		}
	}
	return errors.Join(all...)
}
