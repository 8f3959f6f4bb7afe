package control

import (
	"net/http"

	"github.com/nitrod/nitrod/pipeline"
)

// Coalesce is for how long lcores let packets gather: the answer to GET
// /v1/coalesce, and after a change to POST as well. What rx_usecs is where an lcore
// finds it itself, the stats say for each.
type Coalesce struct {
	RxUsecs    int  `json:"rx_usecs"`
	TxUsecs    int  `json:"tx_usecs"`
	AdaptiveRx bool `json:"adaptive_rx"`
}

// CoalesceChange is the body of POST /v1/coalesce. What is absent stays as it is.
type CoalesceChange struct {
	RxUsecs    *int  `json:"rx_usecs,omitempty"`
	TxUsecs    *int  `json:"tx_usecs,omitempty"`
	AdaptiveRx *bool `json:"adaptive_rx,omitempty"`
}

func coalesceOf(e *pipeline.Engine) Coalesce {
	c := e.Coalesce()
	return Coalesce{c.RxUsecs, c.TxUsecs, c.Adaptive}
}

// setCoalesce makes a change whole or not at all. Who switches adaptive_rx on or
// gives rx_usecs means that the other one is no more.
func (s *Server) setCoalesce(w http.ResponseWriter, r *http.Request) {
	var change CoalesceChange
	if err := body(w, r, &change); err != nil {
		answer(w, nil, err)
		return
	}
	s.coalescing.Lock()
	defer s.coalescing.Unlock()
	c := s.engine.Coalesce()
	if change.AdaptiveRx != nil {
		if c.Adaptive = *change.AdaptiveRx; c.Adaptive {
			c.RxUsecs = 0
		}
	}
	if change.RxUsecs != nil {
		if c.RxUsecs = *change.RxUsecs; change.AdaptiveRx == nil {
			c.Adaptive = false
		}
	}
	if change.TxUsecs != nil {
		c.TxUsecs = *change.TxUsecs
	}
	if err := s.engine.SetCoalesce(c); err != nil {
		answer(w, nil, err)
		return
	}
	reply(w, coalesceOf(s.engine))
}
