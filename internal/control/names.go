package control

import (
	"net/netip"
	"strconv"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/pipeline"
	"github.com/nitrod/nitrod/pipeline/flowcache"
	"github.com/nitrod/nitrod/policy"
)

var protocols = map[string]uint8{"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58}

// protocolName names an IP protocol, by its number where it has no name here.
func protocolName(proto uint8) string {
	for name, p := range protocols {
		if p == proto {
			return name
		}
	}
	return strconv.Itoa(int(proto))
}

func addrOf(a hash.Addr, v6 bool) string {
	var b [16]byte
	for i := range 8 {
		b[i], b[8+i] = byte(a.Hi>>(56-8*i)), byte(a.Lo>>(56-8*i))
	}
	if v6 {
		return netip.AddrFrom16(b).String()
	}
	return netip.AddrFrom4([4]byte(b[12:])).String()
}

func tupleOf(k *hash.FlowKey) Tuple {
	return Tuple{
		Protocol: protocolName(k.Proto()), Src: addrOf(k.Src, k.IsIPv6()), Dst: addrOf(k.Dst, k.IsIPv6()),
		SrcPort: k.SrcPort(), DstPort: k.DstPort(),
	}
}

// eniNames gives the ids of ENIs by their index. A long list asks for each of
// them many times, and what it leaves to the collector costs polling time.
type eniNames []string

func newNames(snap *policy.Snapshot) eniNames {
	names := make(eniNames, len(snap.ENIs))
	for i := range names {
		names[i] = snap.ENI(uint16(i)).ID
	}
	return names
}

// of returns the id of an ENI, "" where there is none.
func (n eniNames) of(eni uint16) string {
	if int(eni) < len(n) {
		return n[eni]
	}
	return ""
}

func flowOf(snap *policy.Snapshot, names eniNames, e *flowcache.Entry, now uint16) Flow {
	k := &e.Key
	f := Flow{
		Tuple: tupleOf(k), ENI: names.of(k.ENI()), Path: "link", Verdict: "drop", Egress: names.of(e.Egress()),
		IdleNS: int64(now-e.Used()) * pipeline.TickNanoseconds,
	}
	if k.Flags()&hash.KeyRouted != 0 {
		f.Path = "routed"
	}
	if e.Forward() {
		f.Verdict, f.Queue, f.Dir = "forward", int(e.Queue()), "original"
		if e.Dir() == 1 {
			f.Dir = "reply"
		}
	} else {
		f.Reason = drop.Reason(e.Reason()).String()
	}
	if src, dst := int(k.ENI()), int(e.Egress()); src < len(snap.ENIs) && dst < len(snap.ENIs) {
		f.Current = e.Gens() == flowcache.Gens(snap.ENIs[src].Gen, snap.ENIs[dst].Gen)
	}
	return f
}

func sessionOf(snap *policy.Snapshot, names eniNames, c *conntrack.Session, now int64) Session {
	return Session{
		Tuple: tupleOf(c.Key()), VPC: snap.VPC(c.VPC()),
		Originator: names.of(c.Originator()), Responder: names.of(c.Responder()),
		State: c.State().String(), AgeNS: now - c.Created(), IdleNS: now - c.Last(now), TimeoutNS: c.Timeout(),
		OutPackets: c.Packets(0), OutBytes: c.Bytes(0), BackPackets: c.Packets(1), BackBytes: c.Bytes(1),
		OriginatorTracked: c.Tracked(0), ResponderTracked: c.Tracked(1),
	}
}
