package control

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/nitrod/nitrod/internal/rebalance"
)

// Rebalance is what is done about an ENI's receive queues that carry unevenly: of
// GET /v1/queues/rebalance.
type Rebalance struct {
	ENI           string      `json:"eni"`
	Mode          string      `json:"mode"` // off, propose or on
	State         string      `json:"state"`
	Threshold     float64     `json:"threshold"` // percent above the mean from which on the queues are uneven
	IntervalNS    int64       `json:"interval_ns"`
	Intervals     int         `json:"intervals"` // that must be uneven in a row
	Queues        []uint64    `json:"queues"`    // packets a second in the last interval; empty where nothing was measured yet
	Excess        float64     `json:"excess"`    // percent that the fullest of them is above the mean
	Proposal      []EntryMove `json:"proposal"`
	ExcessAfter   float64     `json:"excess_after"` // with the proposal
	Changes       int         `json:"changes"`      // made since the start
	LastChange    []EntryMove `json:"last_change"`
	LastChangedNS int64       `json:"last_changed_ns"` // when it was made, since 1970; 0 if never
	Error         string      `json:"error,omitempty"` // why the last attempt failed
}

// EntryMove is an entry of the indirection table that leads to another queue.
type EntryMove struct {
	Entry   int    `json:"entry"`
	From    uint16 `json:"from"`
	To      uint16 `json:"to"`
	Packets uint64 `json:"packets"` // that came by it in the intervals which led to this
}

// RebalanceChange is the body of POST /v1/queues/rebalance.
type RebalanceChange struct {
	ENI  string `json:"eni"`
	Mode string `json:"mode"`
}

func movesOf(moves []rebalance.Move) []EntryMove {
	out := []EntryMove{}
	for _, m := range moves {
		out = append(out, EntryMove(m))
	}
	return out
}

func rebalanceOf(s *rebalance.Status) Rebalance {
	out := Rebalance{
		ENI: s.ENI, Mode: string(s.Settings.Mode), State: string(s.State), Threshold: s.Settings.Threshold,
		IntervalNS: s.Settings.Interval.Nanoseconds(), Intervals: s.Settings.Patience,
		Queues: append([]uint64{}, s.Queues...), Excess: s.Excess, Proposal: movesOf(s.Proposal), ExcessAfter: s.After,
		Changes: s.Changes, LastChange: movesOf(s.Last),
	}
	if !s.LastAt.IsZero() {
		out.LastChangedNS = s.LastAt.UnixNano()
	}
	if s.Err != nil {
		out.Error = s.Err.Error()
	}
	return out
}

// rebalanceRoutes adds what shows and changes the balancing of receive queues.
func (s *Server) rebalanceRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/queues/rebalance", func(w http.ResponseWriter, r *http.Request) {
		only := r.URL.Query().Get("eni")
		out := []Rebalance{}
		for _, st := range s.host.Balancer().Status() {
			if only == "" || only == st.ENI {
				out = append(out, rebalanceOf(&st))
			}
		}
		if only != "" && len(out) == 0 {
			refuse(w, http.StatusBadRequest, fmt.Errorf("there is no ENI %q", only))
			return
		}
		reply(w, out)
	})
	mux.HandleFunc("POST /v1/queues/rebalance", func(w http.ResponseWriter, r *http.Request) {
		var c RebalanceChange
		err := body(w, r, &c)
		if err == nil {
			err = s.host.Balancer().SetMode(c.ENI, rebalance.Mode(c.Mode))
		}
		if errors.Is(err, rebalance.ErrNoBalancer) {
			err = fmt.Errorf("there is no ENI %q", c.ENI)
		}
		answer(w, struct{}{}, err)
	})
}
