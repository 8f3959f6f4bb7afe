package pipeline

import (
	"encoding/binary"

	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/pipeline/shaper"
	"github.com/nitrod/nitrod/policy"
)

// view is a policy snapshot together with what the stages derive from it once,
// so that no lcore has to: the answers to DHCP, and how each ENI spreads what it
// receives over its queues. Immutable.
type view struct {
	snap      *policy.Snapshot
	dhcp      []packet.DHCPConfig  // by ENI; without an address where it has no IPv4
	rss       []receiveSide        // by ENI
	hops      []lastHop            // by ENI
	frag      []shaper.SharedLimit // by ENI: fragments that it may send
	linkLocal []shaper.SharedLimit // by ENI: packets that it may send to link-local services
	limits    []eniLimits          // by ENI; nil if there are none
	pacing    []eniPacing          // by ENI; nil if none has or had any
	says      []speaker            // by ENI: the addresses of its router
	six       []guest6             // by ENI
	gateways  []uint16             // by VPC, of those that may have one: the internet gateway's port
	born      []int64              // by ENI: when it came into being, ns
	parted    bool                 // some ENI's rules may part the packets of a flow
	moving    []uint16             // ENIs whose queues change
	coalesce  CoalesceConfig
	ends      bool // the change to it may end sessions by itself, or spare them
	tallied   bool // some ENI's packets are counted by entry
}

// lastHop is what rewrite needs of the receiving ENI: the twelve bytes of the
// MACs as they stand in a routed frame, in words.
type lastHop struct {
	macs  uint64 // destination, and the first two bytes of the source; little-endian
	macs2 uint32 // the rest of the source
	mtu   uint32 // bytes of the IP packet; 0 at a port that belongs to no ENI, where there is more to do
}

func lastHopOf(r *policy.ENIRecord) lastHop {
	var b [12]byte
	copy(b[0:6], r.MAC[:])
	copy(b[6:12], r.RouterMAC[:])
	hop := lastHop{binary.LittleEndian.Uint64(b[0:8]), binary.LittleEndian.Uint32(b[8:12]), uint32(r.MTU)}
	if r.Outside() {
		hop.mtu = 0
	}
	return hop
}

// address gives a frame the MACs of its last hop.
func (h *lastHop) address(f *[ethHeader + ipv4Header]byte) {
	binary.LittleEndian.PutUint64(f[0:8], h.macs)
	binary.LittleEndian.PutUint32(f[8:12], h.macs2)
}

// newView makes the view of a snapshot that is put in force now in the place of
// prev, which may be nil.
func (e *Engine) newView(snap *policy.Snapshot, prev *view) (*view, error) {
	n := len(snap.ENIs)
	v := &view{snap: snap, dhcp: make([]packet.DHCPConfig, n), rss: make([]receiveSide, n), hops: make([]lastHop, n),
		frag: make([]shaper.SharedLimit, n), linkLocal: make([]shaper.SharedLimit, n), says: make([]speaker, n), six: make([]guest6, n)}
	if v.coalesce = e.cfg.Poll.Coalesce; prev != nil {
		v.coalesce = prev.coalesce
	}
	v.age(prev, e.Now())
	v.gateways, v.limits = gatewaysOf(snap), e.limitsOf(snap)
	var err error
	if v.pacing, err = e.pacingOf(snap); err != nil {
		return nil, err
	}
	for i := range snap.ENIs {
		r := &snap.ENIs[i]
		if r.Dead() {
			continue
		}
		v.hops[i] = lastHopOf(r)
		v.frag[i] = fragmentLimit(r, e.lcores)
		subnet := snap.Subnet(r.Subnet)
		v.says[i] = speakerOf(&subnet)
		v.linkLocal[i] = linkLocalLimit(r, e.lcores)
		info := snap.ENI(uint16(i))
		side := e.queues.side(uint16(i), r.Queues, &info)
		side.load = e.loadOf(info.ID, uint16(i), &side.table)
		v.receives(uint16(i), side, prev)
		v.six[i] = guest6Of(r, &info, &subnet, e.cfg.AdvertEvery)
		if info.Primary4.IsValid() {
			v.dhcp[i] = packet.DHCPConfig{
				Client: r.MAC, Addr: info.Primary4, PrefixLen: info.Prefix4.Bits(),
				Router: info.Router4, RouterMAC: r.RouterMAC, DNS: info.Resolver, MTU: r.MTU,
			}
		}
	}
	return v, nil
}

// gatewaysOf lists the ports of internet gateways by VPC, noENI where there is
// none. A VPC has one at the most.
func gatewaysOf(snap *policy.Snapshot) (ports []uint16) {
	for i := range snap.ENIs {
		if r := &snap.ENIs[i]; !r.Dead() && r.Flags&policy.IsInternetGateway != 0 {
			for len(ports) <= int(r.VPC) {
				ports = append(ports, noENI)
			}
			ports[r.VPC] = uint16(i)
		}
	}
	return ports
}

// gateway returns the port of a VPC's internet gateway, or noENI.
func (v *view) gateway(vpc uint16) uint16 {
	if int(vpc) >= len(v.gateways) {
		return noENI
	}
	return v.gateways[vpc]
}

// age notes since when each ENI has been there, and whether sessions may have to
// end: because an ENI of theirs is no more, or by the choice of a group.
func (v *view) age(prev *view, now int64) {
	v.born = make([]int64, len(v.snap.ENIs))
	v.ends = v.snap.EndsFlows() || prev != nil && prev.snap.EndsFlows()
	for i := range v.born {
		v.born[i] = now
		if prev == nil || i >= len(prev.born) {
			continue
		}
		if was := &prev.snap.ENIs[i]; was.Born == v.snap.ENIs[i].Born {
			v.born[i] = prev.born[i]
		} else {
			v.ends = v.ends || !was.Dead()
		}
	}
}
