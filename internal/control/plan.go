package control

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/internal/plan"
	"github.com/nitrod/nitrod/policy"
)

// PlanRequest is the body of POST /v1/plan, whose answer is a plan.Plan.
type PlanRequest struct {
	File  string `json:"file"`  // what positions call it
	Text  string `json:"text"`  // the configuration itself
	Flows int    `json:"flows"` // flows listed of each group, at most plan.MaxFlows
}

// maxPlanBody holds the largest configuration file, whatever JSON escapes in it.
const maxPlanBody = 40 << 20

// plan answers what a file would change. One is made at a time, since each
// compiles a policy.
func (s *Server) plan(w http.ResponseWriter, r *http.Request) {
	var req PlanRequest
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxPlanBody))
	d.DisallowUnknownFields()
	if err := d.Decode(&req); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if req.Flows < 0 || req.Flows > plan.MaxFlows {
		refuse(w, http.StatusBadRequest, errors.New("flows "+strconv.Itoa(req.Flows)+" is not between 0 and "+strconv.Itoa(plan.MaxFlows)))
		return
	}
	s.planning.Lock()
	defer s.planning.Unlock()
	// A large host takes longer than the server's own limit.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	running := s.host.Running()
	cfg, err := config.Parse(req.File, []byte(req.Text), cpusOf(running))
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	now := s.engine.Policy()
	next, err := policy.Compile(&cfg.Objects, now)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	p := plan.Compare(running, cfg, now, next)
	if err := p.Foresee(r.Context(), s.engine, next, req.Flows, tupleText); err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	reply(w, p)
}

// cpusOf returns the CPUs that a file may name: those of this thread, which may
// be control's alone, and those of the lcores.
func cpusOf(running *config.Config) []int {
	cpus, err := config.AllowedCPUs()
	if err != nil {
		cpus = nil // the lcores' will do
	}
	cpus = append(cpus, running.Host.Lcores.CPUs...)
	slices.Sort(cpus)
	return slices.Compact(cpus)
}

// tupleText writes a flow on one line.
func tupleText(k *hash.FlowKey) string {
	t := tupleOf(k)
	return t.Protocol + " " + endpoint(t.Src, t.SrcPort, k) + " > " + endpoint(t.Dst, t.DstPort, k)
}

// endpoint writes an address and its port, where the protocol has ports.
func endpoint(addr string, port uint16, k *hash.FlowKey) string {
	switch k.Proto() {
	case policy.ProtoTCP, policy.ProtoUDP:
	default:
		return addr
	}
	if k.IsIPv6() {
		addr = "[" + addr + "]"
	}
	return addr + ":" + strconv.Itoa(int(port))
}
