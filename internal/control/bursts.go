package control

import (
	"net/http"
	"slices"
	"time"

	"github.com/nitrod/nitrod/pipeline/microburst"
	"github.com/nitrod/nitrod/policy"
)

// Bursts is the answer to GET /v1/bursts. Rates are in bits per second.
type Bursts struct {
	Queues []BurstQueue `json:"queues"` // none if they are not measured
	Events []Burst      `json:"events"` // youngest first
}

// BurstQueue is what a receive queue has seen since the daemon's start.
type BurstQueue struct {
	ENI        string   `json:"eni"`
	Queue      int      `json:"queue"`
	Lcore      int      `json:"lcore"`
	Ring       int      `json:"ring"`       // packets that it holds
	HighWater  uint64   `json:"high_water"` // most that were in it
	Packets    uint64   `json:"packets"`
	Bytes      uint64   `json:"bytes"`
	Drops      uint64   `json:"drops"` // for want of room
	Bursts     uint64   `json:"bursts"`
	Short      uint64   `json:"short_bursts"` // too short to be told
	SecondRate uint64   `json:"second_rate"`  // over the last second
	Windows    []Window `json:"windows"`
	// Rounds of the lcore by packets queued, and by packets in the ring. The first
	// number counts zeros, number i what lies from 2^(i-1) to 2^i - 1.
	Fill  []uint64 `json:"fill"`
	Depth []uint64 `json:"depth"`
}

// Window is the most that windows of one length have seen.
type Window struct {
	LengthNS    int64  `json:"length_ns"`
	PeakBytes   uint64 `json:"peak_bytes"`
	PeakRate    uint64 `json:"peak_rate"`
	PeakPackets uint64 `json:"peak_packets"`
	TimeNS      int64  `json:"time_ns"` // when the one with those bytes began; of the day, since 1970
}

// Burst is one that has ended.
type Burst struct {
	TimeNS     int64       `json:"time_ns"` // when it began; of the day, since 1970
	ENI        string      `json:"eni"`
	Queue      int         `json:"queue"`
	Lcore      int         `json:"lcore"`
	LengthNS   int64       `json:"length_ns"`
	Bytes      uint64      `json:"bytes"`
	Packets    uint64      `json:"packets"`
	Drops      uint64      `json:"drops"`       // for want of room
	MeanRate   uint64      `json:"mean_rate"`   // over its length
	PeakRate   uint64      `json:"peak_rate"`   // in 10 us
	SecondRate uint64      `json:"second_rate"` // over the second that ended with it
	Depth      uint32      `json:"depth"`       // most packets in the ring
	Ring       uint32      `json:"ring"`        // packets that it holds
	StepNS     int64       `json:"step_ns"`     // of Shape
	Shape      []uint32    `json:"shape"`       // bytes
	Flows      []BurstFlow `json:"flows"`       // largest first
}

// BurstFlow is a flow's part in a burst, estimated from samples.
type BurstFlow struct {
	Tuple
	ENI   string `json:"eni"` // that sent it
	Bytes uint64 `json:"bytes"`
}

func (s *Server) bursts(w http.ResponseWriter, r *http.Request) {
	snap := s.engine.Policy()
	n, eni, err := listed(r, snap)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	names := newNames(snap)
	epoch := time.Now().UnixNano() - s.engine.Now() // of the engine's clock
	out := Bursts{Queues: []BurstQueue{}, Events: []Burst{}}
	s.engine.EachQueue(func(lcore int, q *microburst.Stats) bool {
		if eni == policy.NoENI || q.ENI == eni {
			out.Queues = append(out.Queues, burstQueueOf(names, lcore, q, epoch))
		}
		return true
	})
	s.engine.Bursts(func(lcore int, e *microburst.Event) bool {
		if eni == policy.NoENI || e.ENI == eni {
			out.Events = append(out.Events, burstOf(names, lcore, e, epoch))
		}
		return true
	})
	slices.SortStableFunc(out.Events, func(a, b Burst) int { return int(b.TimeNS - a.TimeNS) })
	out.Events = out.Events[:min(n, len(out.Events))]
	reply(w, out)
}

func burstQueueOf(names eniNames, lcore int, q *microburst.Stats, epoch int64) BurstQueue {
	out := BurstQueue{
		ENI: names.of(q.ENI), Queue: int(q.Queue), Lcore: lcore, Ring: int(q.Ring), HighWater: q.High,
		Packets: q.Packets, Bytes: q.Bytes, Drops: q.Drops, Bursts: q.Bursts, Short: q.Short, SecondRate: q.Second,
		Fill: q.Fill[:], Depth: q.Depth[:],
	}
	for i, length := range microburst.Lengths {
		p := &q.Peaks[i]
		w := Window{LengthNS: length, PeakBytes: p.Bytes, PeakRate: p.Rate(length), PeakPackets: p.Packets}
		if p.Bytes != 0 {
			w.TimeNS = epoch + p.At
		}
		out.Windows = append(out.Windows, w)
	}
	return out
}

func burstOf(names eniNames, lcore int, e *microburst.Event, epoch int64) Burst {
	out := Burst{
		TimeNS: epoch + e.Start, ENI: names.of(e.ENI), Queue: int(e.Queue), Lcore: lcore, LengthNS: e.Length,
		Bytes: e.Bytes, Packets: e.Packets, Drops: e.Drops,
		MeanRate: uint64(float64(e.Bytes) * 8e9 / float64(e.Length)), PeakRate: e.PeakRate, SecondRate: e.Second,
		Depth: e.Depth, Ring: e.Ring, StepNS: e.Step, Shape: []uint32{}, Flows: []BurstFlow{},
	}
	for i, n := range e.Shape {
		if n != 0 {
			out.Shape = append([]uint32(nil), e.Shape[:i+1]...)
		}
	}
	for i := range e.Flows {
		if f := &e.Flows[i]; f.Key.Tail != 0 {
			out.Flows = append(out.Flows, BurstFlow{tupleOf(&f.Key), names.of(f.Key.ENI()), f.Bytes})
		}
	}
	return out
}
