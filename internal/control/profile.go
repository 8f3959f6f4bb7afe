package control

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/nitrod/nitrod/internal/traffic"
	"github.com/nitrod/nitrod/pipeline"
	"github.com/nitrod/nitrod/pipeline/flowcache"
	"github.com/nitrod/nitrod/pipeline/profile"
	"github.com/nitrod/nitrod/policy"
)

// defaultFlowLimit is what EC2 lets one flow have outside a cluster placement group,
// in bits a second (docs/semantics.md S6.1).
const defaultFlowLimit = 5e9

// flowLimit returns the bandwidth that policy lets a flow have, and where it sets none
// what EC2 would let it have.
func flowLimit(snap *policy.Snapshot, f *profile.Flow) float64 {
	if src, dst := f.Key.ENI(), f.Egress; int(src) < len(snap.ENIs) && int(dst) < len(snap.ENIs) {
		if l := snap.FlowLimit(src, dst, f.Key.Proto()); l.Limits() {
			return float64(l.Rate)
		}
	}
	return defaultFlowLimit
}

// profile answers with a sample of the traffic. With ?queues=true it also counts the
// flows of each receive queue, for which the whole flow cache is read.
func (s *Server) profile(w http.ResponseWriter, r *http.Request) {
	queues := false
	if text := r.URL.Query().Get("queues"); text != "" {
		var err error
		if queues, err = strconv.ParseBool(text); err != nil {
			refuse(w, http.StatusBadRequest, errors.New("queues "+strconv.Quote(text)+" is neither true nor false"))
			return
		}
	}
	reply(w, s.sample(queues))
}

func (s *Server) sample(queues bool) *traffic.Sample {
	e := s.engine
	snap := e.Policy()
	names := newNames(snap)
	out := &traffic.Sample{
		TimeNS: e.Now(), ENIs: map[string]traffic.ENICounters{}, Instances: map[string]traffic.InstanceCounters{}, Flows: []traffic.Flow{}, FlowsOff: !e.HeavyFlows(),
	}
	var flows [][]uint64
	if queues {
		flows = queueFlows(e, snap)
	}
	for i := range snap.ENIs {
		r := &snap.ENIs[i]
		if r.Dead() {
			continue
		}
		c := eniCounters(e, r, uint16(i))
		c.InBits, c.OutBits = snap.Limits[i].In.Rate, snap.Limits[i].Out.Rate
		c.Instance = snap.Instance(r.Instance).ID
		if queues {
			c.QueueFlows = flows[i]
		}
		out.ENIs[names[i]] = c
	}
	for i := range snap.NumInstances() {
		if id := snap.Instance(uint16(i)).ID; id != "" {
			l := &snap.Instances[i]
			out.Instances[id] = traffic.InstanceCounters{
				Tracked: e.Allowances().Used(uint16(i)), Packets: l.Packets.Rate,
				In: traffic.Bandwidth{Bits: l.In.Rate, Baseline: l.In.Baseline}, Out: traffic.Bandwidth{Bits: l.Out.Rate, Baseline: l.Out.Baseline},
			}
		}
	}
	for i := range e.Lcores() {
		l := e.Lcore(i)
		out.Lcores = append(out.Lcores, traffic.LcoreCounters{CPU: s.host.LcoreCPU(i), BusyNS: l.BusyNS, Rx: l.Rx, Tx: l.Tx})
		out.Flows = append(out.Flows, heavyFlows(e, snap, names, i, out.TimeNS)...)
	}
	return out
}

func eniCounters(e *pipeline.Engine, r *policy.ENIRecord, eni uint16) traffic.ENICounters {
	c := e.ENI(eni)
	out := traffic.ENICounters{
		RxPackets: c.RxPackets, RxBytes: c.RxBytes, TxPackets: c.TxPackets, TxBytes: c.TxBytes, Drops: c.Drops,
		Opened: c.Opened, Accepted: c.Accepted, Fragments: c.Fragments, LinkLocal: c.LinkLocal,
		FragmentsExceeded: c.PPSExceeded, ConntrackExceeded: c.ConntrackExceeded, LinkLocalExceeded: c.LinkLocalExceeded,
		FragmentRate: r.FragmentRate, LinkLocalRate: r.LinkLocalRate, RingOverruns: c.RxOverruns,
	}
	for k, l := range e.Limited(eni) {
		if n := l.Exceeded(); n != 0 {
			if out.LimitsExceeded == nil {
				out.LimitsExceeded = map[string]uint64{}
			}
			out.LimitsExceeded[pipeline.LimitKind(k).String()] = n
		}
	}
	rings, _ := e.Rings(eni)
	for i := range rings {
		if q := &rings[i]; out.RingDepth == 0 || q.Waiting*out.RingDepth > out.RingWaiting*uint64(q.Depth) {
			out.RingWaiting, out.RingDepth = q.Waiting, uint64(q.Depth)
		}
	}
	if left, limited := e.Allowances().AvailableToENI(eni); limited {
		out.ConntrackAvailable = &left
	}
	return out
}

// queueFlows counts the flow-cache entries that lead to each receive queue, by ENI.
func queueFlows(e *pipeline.Engine, snap *policy.Snapshot) [][]uint64 {
	counts := make([][]uint64, len(snap.ENIs))
	for i := range counts {
		counts[i] = make([]uint64, snap.ENIs[i].Queues)
	}
	e.EachFlow(func(_ int, f *flowcache.Entry) bool {
		if eni, q := int(f.Egress()), int(f.Queue()); f.Forward() && eni < len(counts) && q < len(counts[eni]) {
			counts[eni][q]++
		}
		return true
	})
	return counts
}

// heavyFlows lists the flows that carried most on an lcore in the last whole second.
// A window that ended long ago is left out: an lcore that has work publishes one
// every second.
func heavyFlows(e *pipeline.Engine, snap *policy.Snapshot, names eniNames, lcore int, now int64) []traffic.Flow {
	var w profile.Window
	if !e.Heavy(lcore, &w) || now-w.End > 2*profile.WindowLength || w.Packets == 0 {
		return nil
	}
	seconds := float64(w.End-w.Start) / 1e9
	var out []traffic.Flow
	for i := range w.Flows[:w.N] {
		f := &w.Flows[i]
		t := tupleOf(&f.Key)
		out = append(out, traffic.Flow{
			Protocol: traffic.ProtocolName(f.Key.Proto()), Number: f.Key.Proto(), Src: t.Src, Dst: t.Dst, SrcPort: t.SrcPort, DstPort: t.DstPort,
			ENI: names.of(f.Key.ENI()), Egress: names.of(f.Egress), Queue: int(f.Queue), Dropped: f.Dropped, Lcore: lcore,
			Packets: float64(f.Packets) / seconds, Bits: 8 * float64(f.Bytes) / seconds,
			LcoreShare: float64(f.Packets) / float64(w.Packets), LimitBits: flowLimit(snap, f),
		})
	}
	return out
}
