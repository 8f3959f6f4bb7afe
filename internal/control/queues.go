package control

import (
	"fmt"
	"net/http"

	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/pipeline"
	"github.com/nitrod/nitrod/policy"
)

// ENIQueues is the queues of one ENI, of GET /v1/queues, as its guest sees them:
// rx is what it receives. Counters are since the daemon's start.
//
// RxOverruns + RxDrops + TxDrops are the ENI's drops.
type ENIQueues struct {
	ENI        string    `json:"eni"`
	Port       string    `json:"port"`
	Rx         []RxQueue `json:"rx"`
	Tx         []TxQueue `json:"tx"`
	RxOverruns uint64    `json:"rx_overruns"` // dropped: the receive ring was full; the sum of those of Rx
	RxDrops    uint64    `json:"rx_drops"`    // dropped on their way to the guest, for another reason
	TxDrops    uint64    `json:"tx_drops"`    // sent by the guest and dropped
}

// RxQueue is a queue with which the guest receives.
type RxQueue struct {
	Packets   uint64 `json:"packets"` // that the port took
	Bytes     uint64 `json:"bytes"`
	Depth     int    `json:"depth"`      // packets that may wait in nitrod
	Waiting   uint64 `json:"waiting"`    // now
	HighWater uint64 `json:"high_water"` // the most that ever waited
	Overruns  uint64 `json:"overruns"`   // dropped: there was no room
	Lcore     int    `json:"lcore"`      // that serves it
	Pace      *Pace  `json:"pace,omitempty"`
}

// Pace is how a receive queue spaces out what it gives to its guest. The queue's
// own counters are of what comes after that.
type Pace struct {
	Rate     uint64 `json:"rate"`      // bits a second; 0 is no limit
	FlowRate uint64 `json:"flow_rate"` // of each flow
	Flows    uint64 `json:"flows"`     // under way
	Waiting  uint64 `json:"waiting"`   // packets, now
	High     uint64 `json:"high_water"`
	Left     uint64 `json:"left"`     // packets that have passed
	Delayed  uint64 `json:"delayed"`  // those of them that had to wait
	DelayNS  uint64 `json:"delay_ns"` // for how long, in all
	FlowFull uint64 `json:"flow_full"`
	Full     uint64 `json:"full"`
	Late     uint64 `json:"late"`
}

// paceText says how a queue spaces packets out; "" if it does not.
func paceText(p *pipeline.Pace) string {
	if p == nil || p.Rate == 0 && p.FlowRate == 0 {
		return ""
	}
	rate := func(bits uint64) string {
		if bits == 0 {
			return "any rate"
		}
		return config.BitRate(bits).String()
	}
	return fmt.Sprintf("%s in all and %s of a flow; %d packets of %d flows wait", rate(p.Rate), rate(p.FlowRate), p.Waiting, p.Flows)
}

func paceOf(p *pipeline.Pace) *Pace {
	if p == nil {
		return nil
	}
	return &Pace{
		Rate: p.Rate, FlowRate: p.FlowRate, Flows: p.Flows, Waiting: p.Waiting, High: p.HighWater,
		Left: p.Left, Delayed: p.Delayed, DelayNS: p.Delay, FlowFull: p.FlowFull, Full: p.Full, Late: p.Late,
	}
}

// TxQueue is a queue with which the guest sends.
type TxQueue struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
	Depth   int    `json:"depth"` // packets that may wait for the lcore; 0 where that is not known
	Lcore   int    `json:"lcore"` // that polls it; -1 where that is not known
}

// queues answers with the queues of all ENIs, or of one.
func (s *Server) queues(w http.ResponseWriter, r *http.Request) {
	snap := s.engine.Policy()
	_, only, err := listed(r, snap)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	out := []ENIQueues{}
	for i := range snap.ENIs {
		if eni := uint16(i); !snap.ENIs[i].Dead() && (only == policy.NoENI || only == eni) {
			out = append(out, s.queuesOf(snap, eni))
		}
	}
	reply(w, out)
}

func (s *Server) queuesOf(snap *policy.Snapshot, eni uint16) ENIQueues {
	c := s.engine.ENI(eni)
	q := ENIQueues{ENI: snap.ENI(eni).ID, RxOverruns: c.RxOverruns, RxDrops: c.RxDrops, TxDrops: c.TxDrops}
	q.Port, _ = s.host.Port(eni)
	rx, tx := s.engine.Rings(eni)
	for _, r := range rx {
		q.Rx = append(q.Rx, RxQueue{r.Packets, r.Bytes, r.Depth, r.Waiting, r.HighWater, r.Overruns, r.Lcore, paceOf(r.Pace)})
	}
	for _, r := range tx {
		q.Tx = append(q.Tx, TxQueue{r.Packets, r.Bytes, r.Depth, r.Lcore})
	}
	return q
}
