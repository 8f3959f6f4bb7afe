package control

import (
	"net/http"

	"github.com/nitrod/nitrod/policy"
)

// Queue is a receive queue of an ENI, as its guest sees it: an item of the answer
// to GET /v1/queues, whose query is as that of /v1/flows. Counters are since the
// daemon's start.
type Queue struct {
	ENI       string `json:"eni"`
	Queue     int    `json:"queue"`
	Lcore     int    `json:"lcore"`        // that serves it
	Device    uint16 `json:"device_queue"` // of the ENI's port
	Packets   uint64 `json:"packets"`
	Bytes     uint64 `json:"bytes"`
	Depth     uint32 `json:"depth"` // packets that it holds at most
	Waiting   uint32 `json:"waiting"`
	HighWater uint32 `json:"high_water"`
	Overruns  uint64 `json:"overruns"` // packets for which there was no room
}

func (s *Server) queues(w http.ResponseWriter, r *http.Request) {
	snap := s.engine.Policy()
	n, only, err := listed(r, snap)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	out := []Queue{}
	for i := range snap.ENIs {
		eni := uint16(i)
		if snap.ENIs[i].Dead() || only != policy.NoENI && only != eni {
			continue
		}
		for number, q := range s.engine.Queues(eni) {
			out = append(out, Queue{
				ENI: snap.ENI(eni).ID, Queue: number, Lcore: q.Lcore, Device: q.Device, Packets: q.Packets, Bytes: q.Bytes,
				Depth: q.Depth, Waiting: q.Waiting, HighWater: q.HighWater, Overruns: q.Overruns,
			})
		}
	}
	reply(w, out[:min(n, len(out))])
}
