package pipeline

import (
	"net/netip"

	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/policy"
	"pgregory.net/rapid"
)

// addOutside gives VPC v of defaultObjects an internet gateway, uplink, with
// public addresses for web and app, and a port for its link-local services, svc.
func addOutside(o *policy.Objects) {
	o.Gateways = []policy.InternetGateway{{ID: "uplink", VPC: "v", MAC: [6]byte{2, 0, 0, 0, 9, 1}, MTU: 1500, Queues: 2}}
	o.Services = []policy.ServicePort{{ID: "svc", VPC: "v", MAC: [6]byte{2, 0, 0, 0, 9, 2}, MTU: 1500, Queues: 1}}
	o.ENIs[0].Public = []policy.PublicAddress{{Private: packet.MustIP("10.0.1.10"), Public: packet.MustIP("198.18.0.10")}}
	o.ENIs[2].Public = []policy.PublicAddress{{Private: packet.MustIP("10.0.2.10"), Public: packet.MustIP("198.18.0.20")}}
}

// worldlyObjects is defaultObjects with what addOutside adds, and routes to the
// world from the front subnet.
func worldlyObjects() *policy.Objects {
	o := defaultObjects()
	addOutside(o)
	o.RouteTables = []policy.RouteTable{{ID: "rt", VPC: "v", Main: true, Routes: []policy.Route{
		{Destination: mustPrefix("0.0.0.0/0"), Target: policy.TargetInternetGateway, TargetID: "uplink"},
		{Destination: mustPrefix("::/0"), Target: policy.TargetInternetGateway, TargetID: "uplink"},
	}}}
	return o
}

// outside draws a frame that comes by a port that belongs to no ENI.
func (f *frameMaker) outside(t *rapid.T) (eni string, frame []byte) {
	eni = rapid.SampledFrom([]string{"uplink", "uplink", "svc"}).Draw(t, "port")
	switch kind := rapid.SampledFrom([]string{"flow", "flow", "flow", "error", "odd", "arp", "nd"}).Draw(t, "kind"); kind {
	case "arp":
		target := rapid.SampledFrom([]string{"198.18.0.10", "198.18.0.99", "10.0.1.10", "10.0.1.99"}).Draw(t, "target")
		frame = packet.Build(packet.Ether{Dst: packet.Broadcast, Src: f.b.record(eni).MAC},
			packet.ARP{Op: 1, SenderMAC: f.b.record(eni).MAC, Sender: packet.MustIP("192.0.2.9"), Target: packet.MustIP(target)})
	case "nd":
		target := rapid.SampledFrom([]string{"2001:db8:0:1::10", "2001:db8:0:1::99"}).Draw(t, "target")
		frame = packet.NeighborSolicit(f.b.record(eni).MAC, packet.MustIP("2001:db9::9"), packet.MustIP(target))
	default:
		frame = f.ip(t, eni, kind)
	}
	if rapid.IntRange(0, 11).Draw(t, "mutate") == 0 {
		frame = mutate(t, frame)
	}
	if len(f.history) < 32 {
		f.history = append(f.history, frame)
	}
	return eni, frame
}

func (f *frameMaker) outsideAddresses(t *rapid.T, eni string, v6 bool) (src, dst netip.Addr) {
	pick := func(what string, from ...string) netip.Addr {
		return packet.MustIP(rapid.SampledFrom(from).Draw(t, what))
	}
	switch {
	case eni == "svc" && v6:
		return pick("src", "fd00:ec2::254", "fd00:ec2::253", "2001:db9::1"), pick("dst", "2001:db8:0:1::10", "2001:db8:0:2::10", "2001:db8:0:2::99")
	case eni == "svc":
		return pick("src", "169.254.169.254", "169.254.169.253", "10.0.0.2", "8.8.8.8"), pick("dst", "10.0.1.10", "10.0.2.10", "10.0.2.99")
	case v6:
		return pick("src", "2001:db9::1", "2001:db9::2", "2001:db8:0:1::10", "fd12::1"), pick("dst", "2001:db8:0:1::10", "2001:db8:0:2::10", "2001:db8:0:2::99")
	}
	return pick("src", "8.8.8.8", "8.8.8.8", "192.0.2.1", "10.0.2.10", "172.16.0.1", "100.64.0.1", "198.18.0.20"),
		pick("dst", "198.18.0.10", "198.18.0.20", "198.18.0.20", "198.18.0.11", "10.0.1.10")
}

// answering returns by which port and with which addresses an answer with these
// addresses comes: the world answers public addresses, and an ENI that was asked
// by its public address answers from its private one.
func (f *frameMaker) answering(eni string, src, dst netip.Addr) (string, netip.Addr, netip.Addr) {
	for _, e := range f.b.objects.ENIs {
		for _, p := range e.Public {
			if p.Public == src {
				src = p.Private
			}
		}
	}
	if owner, ok := f.b.snap.ENIByAddress(0, src); ok {
		return f.b.snap.ENI(owner).ID, src, dst
	}
	if public, ok := f.b.snap.Public(0, dst); ok {
		return "uplink", src, public
	}
	return eni, src, dst
}

// published makes of the quote of a packet that a guest sent what the world
// quotes of it.
func (b *bed) published(quote packet.Payload, dst netip.Addr) (packet.Payload, netip.Addr) {
	if len(quote) < packet.IPv4MinLen || quote[0]>>4 != 4 {
		return quote, dst
	}
	h := packet.IPv4Header(append(packet.Payload(nil), quote...))
	if public, ok := b.snap.Public(0, h.SrcAddr()); ok {
		if dst == h.SrcAddr() {
			dst = public
		}
		a := public.As4()
		h.SetSrc(uint32(a[0])<<24 | uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3]))
	}
	return packet.Payload(h), dst
}
