package control

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/rebalance"
	"github.com/nitrod/nitrod/pipeline"
	"github.com/nitrod/nitrod/pipeline/flowcache"
	"github.com/nitrod/nitrod/policy"
)

// Host tells the server what the engine does not know.
type Host interface {
	// Port describes the port of an ENI and its link.
	Port(eni uint16) (device, link string)
	// LcoreCPU returns the CPU of an lcore.
	LcoreCPU(lcore int) int
	// Mbufs returns the use of the packet buffers.
	Mbufs() Mbufs
	// Driver returns the counters of the ports and of what serves them.
	Driver() Driver
	// Version returns the versions of nitrod and DPDK.
	Version() (nitrod, dpdk string)
	// Running returns the configuration in force. Nobody changes it.
	Running() *config.Config
	// Balancer returns what balances the receive queues of the ENIs.
	Balancer() *rebalance.Balancer
}

// Server answers on the control socket.
//
// Thread-safety: requests are served concurrently; they read what lcores
// publish, and change nothing but how ENIs choose their queues.
//
// Limits: a request body of 1 MiB, of 40 MiB for a plan, of which one is made at
// a time; answers of at most 100,000 flows or sessions.
type Server struct {
	engine *pipeline.Engine
	host   Host
	start  time.Time
	http   http.Server
	routes http.Handler

	mu     sync.RWMutex // held for reading by every request that is served
	closed bool

	planning   sync.Mutex // held while a plan is made
	coalescing sync.Mutex // held from reading the moderation to changing it
}

const (
	maxBody = 1 << 20
	// MaxItems is how many flows or sessions one answer lists at most.
	MaxItems = 100_000
)

// Listen makes the socket at path, readable by its owner only, and serves it
// until Close. A socket that a dead daemon left is replaced; one that answers
// is an error.
func Listen(path string, e *pipeline.Engine, h Host) (*Server, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if err := CheckFree(path); err != nil {
		return nil, err
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == os.ModeSocket {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	mask := syscall.Umask(0o177)
	l, err := net.Listen("unix", path)
	syscall.Umask(mask)
	if err != nil {
		return nil, err
	}
	s := newServer(e, h)
	go s.http.Serve(l) //nolint:errcheck // it ends with ErrServerClosed
	return s, nil
}

func newServer(e *pipeline.Engine, h Host) *Server {
	s := &Server{engine: e, host: h, start: time.Now()}
	s.routes = s.newRoutes()
	s.http = http.Server{Handler: s, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	return s
}

// CheckFree returns an error unless it is certain that no daemon listens on the
// socket at path. A daemon that starts asks first, before it touches what the
// other one uses.
func CheckFree(path string) error {
	conn, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		conn.Close()
		return errors.New("another nitrod answers on " + path)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
		return nil // nobody listens, or it is no socket
	}
	return err
}

// Close stops serving and removes the socket. No request reads the engine or
// the host after it returned, so they may be freed.
func (s *Server) Close() error {
	err := s.http.Close() // before the lock: a client that reads slowly holds its request up no longer
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	return err
}

// ServeHTTP serves one request, unless the server was closed meanwhile.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		refuse(w, http.StatusServiceUnavailable, errors.New("nitrod is stopping"))
		return
	}
	s.routes.ServeHTTP(w, r)
}

func (s *Server) newRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/stats", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.stats()) })
	mux.HandleFunc("GET /v1/version", func(w http.ResponseWriter, _ *http.Request) {
		v := Version{Go: runtime.Version()}
		v.Nitrod, v.DPDK = s.host.Version()
		reply(w, v)
	})
	mux.HandleFunc("GET /v1/flows", s.flows)
	mux.HandleFunc("GET /v1/queues", s.queues)
	mux.HandleFunc("GET /v1/conntrack", s.sessions)
	mux.HandleFunc("GET /v1/profile", s.profile)
	mux.HandleFunc("GET /v1/bursts", s.bursts)
	mux.HandleFunc("GET /v1/coalesce", func(w http.ResponseWriter, _ *http.Request) { reply(w, coalesceOf(s.engine)) })
	mux.HandleFunc("POST /v1/coalesce", s.setCoalesce)
	mux.HandleFunc("POST /v1/explain", s.explain)
	mux.HandleFunc("POST /v1/plan", s.plan)
	s.queueRoutes(mux)
	s.rebalanceRoutes(mux)
	return mux
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that left needs no answer
}

func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(Problem{err.Error()})
}

func (s *Server) stats() Stats {
	e := s.engine
	t := e.Total()
	out := Stats{
		TimeNS: time.Now().UnixNano(), UptimeNS: int64(time.Since(s.start)),
		Rx: t.Rx, Originated: t.Originated, Tx: t.Tx, Consumed: t.Consumed, Held: t.Held(), Dropped: t.Dropped(),
		Drops:    map[string]uint64{},
		FlowHits: t.FlowHits, SlowPath: t.SlowPath, Waited: t.Waited, Redecided: t.Redecided,
		Flows: t.FlowsLive, Evicted: t.Evicted, Sessions: t.SessionsLive, Begun: t.Sessions, Expired: t.Expired,
		Fragmented: t.Fragmented, FragmentsWaited: t.FragmentsWaited, ICMPErrors: t.ICMPErrors,
		Early:    map[string]uint64{},
		TableMem: e.Memory().String(),
		ENIs:     map[string]ENI{}, Instances: map[string]Instance{}, Mbufs: s.host.Mbufs(), Driver: s.host.Driver(),
	}
	for r, n := range t.Drops {
		if n != 0 {
			out.Drops[drop.Reason(r).String()] = n
		}
	}
	for k := conntrack.HalfOpen; k < conntrack.NumKinds; k++ {
		out.Early[k.String()] = t.Early[k]
	}
	snap := e.Policy()
	exceeded := map[uint16]uint64{} // by instance
	for i := range snap.ENIs {
		if snap.ENIs[i].Dead() {
			continue
		}
		c := e.ENI(uint16(i))
		eni := ENI{RxPackets: c.RxPackets, RxBytes: c.RxBytes, TxPackets: c.TxPackets, TxBytes: c.TxBytes, Drops: c.Drops,
			PPSExceeded: c.PPSExceeded, ConntrackExceeded: c.ConntrackExceeded, LinkLocalExceeded: c.LinkLocalExceeded,
			ConntrackUsed: e.Allowances().UsedByENI(uint16(i)), HalfOpen: e.Allowances().HalfOpen(uint16(i))}
		if left, limited := e.Allowances().AvailableToENI(uint16(i)); limited {
			eni.ConntrackAvailable = &left
		}
		eni.limited(e.Limited(uint16(i)))
		exceeded[snap.ENIs[i].Instance] += c.ConntrackExceeded
		eni.Port, eni.Link = s.host.Port(uint16(i))
		out.ENIs[snap.ENI(uint16(i)).ID] = eni
	}
	for i := range snap.NumInstances() {
		info := snap.Instance(uint16(i))
		if info.ID == "" {
			continue
		}
		inst := Instance{Used: e.Allowances().Used(uint16(i)), Exceeded: exceeded[uint16(i)]}
		if left, limited := e.Allowances().Available(uint16(i)); limited {
			inst.Available = &left
		}
		out.Instances[info.ID] = inst
	}
	for i := range e.Lcores() {
		l, g := e.Lcore(i), e.Gaps(i)
		out.Lcores = append(out.Lcores, Lcore{
			CPU: s.host.LcoreCPU(i), Rounds: l.Rounds, Rx: l.Rx, Tx: l.Tx,
			FlowHits: l.FlowHits, SlowPath: l.SlowPath, HandOver: l.HandOver, Shards: e.Shards(i),
			Gaps: Gaps{g.Count, g.P50, g.P99, g.P9999, g.Max}, Polling: pollingOf(e.Polling(i)),
		})
	}
	return out
}

func pollingOf(p pipeline.Polling) Polling {
	return Polling{
		Mode: p.Mode.String(), Interrupts: p.Interrupts, Rest: p.Rest.String(),
		RxUsecs: p.RxUsecs, AdaptiveRx: p.AdaptiveRx, TxUsecs: p.TxUsecs,
		Pauses: p.Pauses, PausedNS: p.Paused.Nanoseconds(),
		Sleeps: p.Sleeps, AsleepNS: p.Asleep.Nanoseconds(), Woken: p.Woken,
	}
}

// limitOf reads the query's limit, at most MaxItems.
func limitOf(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return MaxItems, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, errors.New("limit " + strconv.Quote(text) + " is not a number above zero")
	}
	return min(n, MaxItems), nil
}

// listed reads what a list is asked for: at most limit items, of one ENI if it
// is not policy.NoENI.
func listed(r *http.Request, snap *policy.Snapshot) (limit int, eni uint16, err error) {
	if limit, err = limitOf(r); err != nil {
		return 0, 0, err
	}
	id := r.URL.Query().Get("eni")
	if id == "" {
		return limit, policy.NoENI, nil
	}
	eni, ok := snap.ENIByID(id)
	if !ok {
		return 0, 0, errors.New("there is no ENI " + strconv.Quote(id))
	}
	return limit, eni, nil
}

func (s *Server) flows(w http.ResponseWriter, r *http.Request) {
	snap, now := s.engine.Policy(), s.engine.Tick()
	n, eni, err := listed(r, snap)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	names := newNames(snap)
	out := []Flow{}
	s.engine.EachFlow(func(lcore int, e *flowcache.Entry) bool {
		if eni == policy.NoENI || e.Key.ENI() == eni || e.Egress() == eni {
			f := flowOf(snap, names, e, now)
			f.Lcore = lcore
			out = append(out, f)
		}
		return len(out) < n
	})
	reply(w, out)
}

func (s *Server) sessions(w http.ResponseWriter, r *http.Request) {
	snap, now := s.engine.Policy(), s.engine.Now()
	n, eni, err := listed(r, snap)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	names := newNames(snap)
	out := []Session{}
	s.engine.EachSession(func(lcore int, c *conntrack.Session) bool {
		if eni == policy.NoENI || c.Originator() == eni || c.Responder() == eni {
			x := sessionOf(snap, names, c, now)
			x.Lcore = lcore
			out = append(out, x)
		}
		return len(out) < n
	})
	reply(w, out)
}

func (s *Server) explain(w http.ResponseWriter, r *http.Request) {
	var req ExplainRequest
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(&req); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	out, err := Explain(s.engine, &req)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	reply(w, out)
}
