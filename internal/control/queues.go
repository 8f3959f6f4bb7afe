package control

import (
	"net/http"

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
		q.Rx = append(q.Rx, RxQueue{r.Packets, r.Bytes, r.Depth, r.Waiting, r.HighWater, r.Overruns, r.Lcore})
	}
	for _, r := range tx {
		q.Tx = append(q.Tx, TxQueue{r.Packets, r.Bytes, r.Depth, r.Lcore})
	}
	return q
}
