package pipeline

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/policy"
	"pgregory.net/rapid"
)

// propertyObjects is defaultObjects with what makes paths differ: an appliance
// whose source/destination check is off, several queues, a network ACL and a
// route table to change, a small MTU.
func propertyObjects() *policy.Objects {
	o := defaultObjects()
	all := policy.Match{Protocol: policy.ProtoAll}
	all4, all6 := mustPrefix("0.0.0.0/0"), mustPrefix("::/0")
	any := []policy.SGRule{{Match: all, CIDR: all4}, {Match: all, CIDR: all6}}
	o.SecurityGroups = append(o.SecurityGroups, policy.SecurityGroup{ID: "fw", VPC: "v", Inbound: any, Outbound: any})
	fw := o.ENIs[0]
	fw.ID, fw.Instance, fw.MAC[5], fw.SecurityGroups, fw.SourceDestCheck = "fw", "web", 12, []string{"fw"}, false
	fw.Addresses = []netip.Addr{packet.MustIP("10.0.1.12"), packet.MustIP("2001:db8:0:1::12")}
	o.ENIs = append(o.ENIs, fw)
	o.ENIs[2].Queues = 3
	open := []policy.ACLRule{{Number: 100, Allow: true, Match: all, CIDR: all4}, {Number: 101, Allow: true, Match: all, CIDR: all6}}
	o.NetworkACLs = []policy.NetworkACL{{ID: "edge", VPC: "v", Inbound: open, Outbound: open}}
	o.Subnets[1].NetworkACL = "edge"
	o.RouteTables = []policy.RouteTable{{ID: "rt", VPC: "v", Routes: []policy.Route{
		{Destination: mustPrefix("192.0.2.0/24"), Target: policy.TargetBlackhole},
		{Destination: mustPrefix("198.51.100.0/24"), Target: policy.TargetENI, TargetID: "fw"},
		{Destination: mustPrefix("203.0.113.0/24"), Target: policy.TargetGateway, TargetID: "igw"},
		{Destination: all4, Target: policy.TargetInternetGateway, TargetID: "uplink"},
		{Destination: all6, Target: policy.TargetInternetGateway, TargetID: "uplink"},
	}}}
	o.Subnets[0].RouteTable = "rt"
	addOutside(o)
	return o
}

// frameMaker draws frames as the guests of a bed might send them: few flows, so
// that they meet, in every state and with everything that can be wrong.
type frameMaker struct {
	b       *bed
	history [][]byte
}

func (f *frameMaker) draw(t *rapid.T) (eni string, frame []byte) {
	eni = rapid.SampledFrom([]string{"web", "web", "app", "app", "web2", "fw"}).Draw(t, "from")
	if _, ok := f.b.snap.ENIByID(eni); !ok {
		eni = "web"
	}
	if rapid.IntRange(0, 5).Draw(t, "outside") == 0 {
		return f.outside(t)
	}
	kind := rapid.SampledFrom([]string{
		"flow", "flow", "flow", "flow", "flow", "reverse", "reverse", "reverse", "error", "arp", "nd", "dhcp", "rs", "dhcp6", "odd",
	}).Draw(t, "kind")
	switch kind {
	case "arp":
		frame = f.arp(t, eni)
	case "nd":
		frame = f.nd(t, eni)
	case "dhcp":
		frame = f.dhcp(t, eni)
	case "rs":
		frame = f.b.routerSolicit(eni, rapid.SampledFrom([]netip.Addr{packet.MustIP("fe80::9"), netip.IPv6Unspecified(), packet.MustIP("2001:db8:0:1::11")}).Draw(t, "source"))
	case "dhcp6":
		frame = f.dhcp6(t, eni)
	case "reverse":
		eni, frame = f.reverse(t, eni)
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

// reverse answers a frame of the past, from the ENI that received it.
func (f *frameMaker) reverse(t *rapid.T, eni string) (string, []byte) {
	if len(f.history) == 0 {
		return eni, f.ip(t, eni, "flow")
	}
	old := rapid.SampledFrom(f.history).Draw(t, "answered")
	l, err := packet.Locate(old)
	if err != nil || l.L4 == 0 || l.Tags > 0 || l.Fragment {
		return eni, f.ip(t, eni, "flow")
	}
	var src, dst netip.Addr
	if l.EtherType == packet.EtherTypeIPv4 {
		h := packet.IPv4Header(old[l.L3:])
		src, dst = h.DstAddr(), h.SrcAddr()
	} else {
		h := packet.IPv6Header(old[l.L3:])
		src, dst = h.DstAddr(), h.SrcAddr()
	}
	eni, src, dst = f.answering(eni, src, dst)
	seg := old[l.L4:]
	var layer packet.Layer
	switch l.Proto {
	case packet.ProtoTCP:
		h := packet.TCPHeader(seg)
		tcp := f.tcp(t, h.DstPort(), h.SrcPort())
		if rapid.IntRange(0, 3).Draw(t, "numbers") != 0 && h.IsValid() { // as its receiver does
			tcp.Seq, tcp.Ack = h.Ack(), h.Seq()+uint32(len(seg)-h.HeaderLen())+uint32(h.Flags()&1+h.Flags()>>1&1)
		}
		layer = tcp
	case packet.ProtoUDP:
		h := packet.UDPHeader(seg)
		layer = packet.UDP{SrcPort: h.DstPort(), DstPort: h.SrcPort()}
	case packet.ProtoICMP:
		layer = packet.ICMP{Type: packet.ICMPHeader(seg).Type() &^ 8, ID: packet.ICMPHeader(seg).ID()}
	case packet.ProtoICMPv6:
		layer = packet.ICMPv6{Type: packet.ICMPHeader(seg).Type() | 1, Rest: packet.ICMPHeader(seg).Rest()}
	default:
		layer = packet.Payload("anything")
	}
	return eni, packet.Build(f.ether(t, eni), f.network(t, src, dst, l.Proto, false), layer)
}

// tcp is a TCP header with numbers that are within windows often enough.
func (f *frameMaker) tcp(t *rapid.T, sport, dport uint16) packet.TCP {
	number := rapid.SampledFrom([]uint32{0, 0, 1, 1, 6, 17, 1 << 17, 1 << 31, 1<<32 - 1})
	l := packet.TCP{
		SrcPort: sport, DstPort: dport, Flags: drawFlags(t), Seq: number.Draw(t, "seq"), Ack: number.Draw(t, "ack"),
		Window: rapid.SampledFrom([]uint16{0, 1, 1000, 65535}).Draw(t, "window"),
	}
	if l.Flags&packet.TCPSyn != 0 && rapid.Bool().Draw(t, "scale") {
		l.Options = packet.TCPOptions{MSS: 1460, HasScale: true, WindowScale: uint8(rapid.IntRange(0, 15).Draw(t, "by"))}.Bytes()
	}
	return l
}

func drawFlags(t *rapid.T) uint8 {
	const s, a, f, r = packet.TCPSyn, packet.TCPAck, packet.TCPFin, packet.TCPRst
	return rapid.OneOf(rapid.SampledFrom([]uint8{s, s | a, a, a, a | packet.TCPPsh, f | a, r, r | a}), rapid.Uint8Range(0, 63)).Draw(t, "flags")
}

// ether addresses a frame to the router, mostly, or to one ENI or another.
func (f *frameMaker) ether(t *rapid.T, eni string) packet.Ether {
	r := f.b.record(eni)
	e := packet.Ether{Dst: r.RouterMAC, Src: r.MAC}
	switch to := rapid.SampledFrom([]string{"", "", "", "", "web", "web2", "app", "fw", "nobody", "group"}).Draw(t, "mac"); to {
	case "":
	case "nobody":
		e.Dst = packet.MAC{2, 9, 9, 9, 9, 9}
	case "group":
		e.Dst = packet.Broadcast
	default:
		if i, ok := f.b.snap.ENIByID(to); ok {
			e.Dst = f.b.snap.ENIs[i].MAC
		}
	}
	return e
}

// network is the IP header, with what may be odd about one.
func (f *frameMaker) network(t *rapid.T, src, dst netip.Addr, proto uint8, odd bool) packet.Layer {
	ttl := rapid.SampledFrom([]uint8{64, 64, 64, 64, 1, 2}).Draw(t, "ttl")
	if !src.Is4() {
		return packet.IPv6{Src: src, Dst: dst, HopLimit: ttl, Next: proto}
	}
	ip := packet.IPv4{Src: src, Dst: dst, TTL: ttl, Proto: proto, DF: rapid.Bool().Draw(t, "df")}
	if odd {
		switch rapid.IntRange(0, 3).Draw(t, "oddity") {
		case 0:
			ip.Options = []byte{7, 3, 4}
		case 1: // few datagrams, so that the store never fills up
			ip.MF, ip.ID = true, 1
		case 2:
			ip.FragOffset, ip.MF = rapid.SampledFrom([]int{8, 24, 32, 48}).Draw(t, "offset"), rapid.Bool().Draw(t, "more")
			ip.ID = uint16(rapid.IntRange(1, 2).Draw(t, "id"))
		case 3:
			ip.BadChecksum = true
		}
	}
	return ip
}

var elsewhere = []string{
	"10.0.1.1", "10.0.1.99", "10.0.2.99", "10.0.1.255", "192.0.2.1", "198.51.100.1", "203.0.113.1", "8.8.8.8", "224.0.0.5", "255.255.255.255", "169.254.169.254",
	"198.18.0.20", "172.16.0.1", "100.64.0.1", "169.254.169.253", "10.0.0.2", "fd00:ec2::253", "fd12::1",
	"2001:db8:0:2::99", "fe80::1", "ff02::1", "2001:db9::1",
}

// addresses draws source and destination of one family.
func (f *frameMaker) addresses(t *rapid.T, eni string) (src, dst netip.Addr) {
	v6 := rapid.IntRange(0, 2).Draw(t, "family") == 0
	of := func(id string) netip.Addr {
		i, ok := f.b.snap.ENIByID(id)
		if !ok {
			return packet.MustIP("10.0.1.11")
		}
		if v6 {
			return f.b.snap.ENI(i).Primary6
		}
		return f.b.snap.ENI(i).Primary4
	}
	names := []string{"web", "app", "web2", "fw"}
	if f.b.record(eni).Outside() {
		return f.outsideAddresses(t, eni, v6)
	}
	src, dst = of(eni), of(rapid.SampledFrom(names).Draw(t, "to"))
	switch rapid.IntRange(0, 9).Draw(t, "where") {
	case 0:
		src = of(rapid.SampledFrom(names).Draw(t, "spoofed"))
	case 1:
		dst = packet.MustIP(rapid.SampledFrom(elsewhere).Draw(t, "elsewhere"))
	}
	if src.Is4() != dst.Is4() {
		v6 = dst.Is6()
		src = of(eni)
		if src.Is4() != dst.Is4() { // an ENI that is gone
			return packet.MustIP("10.0.1.11"), packet.MustIP("10.0.2.10")
		}
	}
	return src, dst
}

func (f *frameMaker) ip(t *rapid.T, eni, kind string) []byte {
	src, dst := f.addresses(t, eni)
	if kind == "error" && len(f.history) > 0 {
		return f.icmpError(t, eni, src, dst)
	}
	odd := kind == "odd"
	layers := []packet.Layer{f.ether(t, eni)}
	if odd && rapid.IntRange(0, 3).Draw(t, "vlan") == 0 {
		layers = append(layers, packet.VLAN{ID: 5})
	}
	sport := rapid.SampledFrom([]uint16{40000, 40001, 80, 68}).Draw(t, "sport")
	dport := rapid.SampledFrom([]uint16{80, 80, 5201, 8080, 40000, 67}).Draw(t, "dport")
	size := rapid.SampledFrom([]int{0, 5, 16, 16, 1300}).Draw(t, "size") // 16 and 1300 serve fragments too
	var proto uint8
	var l4 packet.Layer
	switch rapid.SampledFrom([]string{"tcp", "tcp", "tcp", "udp", "udp", "icmp", "icmp", "other"}).Draw(t, "proto") {
	case "tcp":
		proto, l4 = packet.ProtoTCP, f.tcp(t, sport, dport)
	case "udp":
		proto, l4 = packet.ProtoUDP, packet.UDP{SrcPort: sport, DstPort: dport}
	case "icmp":
		typ := rapid.SampledFrom([]uint8{8, 8, 0, 13, 14, 3, 9, 128, 129, 128, 135, 143}).Draw(t, "type")
		code := rapid.SampledFrom([]uint8{0, 0, 0, 1, 8}).Draw(t, "code")
		id := rapid.SampledFrom([]uint16{0, 7, 8, 128}).Draw(t, "id")
		if src.Is4() {
			proto, l4 = packet.ProtoICMP, packet.ICMP{Type: typ, Code: code, ID: id}
		} else {
			proto, l4 = packet.ProtoICMPv6, packet.ICMPv6{Type: typ, Code: code, Rest: uint32(id) << 16}
		}
	default:
		proto, l4 = packet.ProtoGRE, packet.Payload("tunnelled")
	}
	next := proto
	var chain []packet.Layer
	if odd && src.Is6() {
		for _, ext := range rapid.SliceOfN(rapid.SampledFrom([]uint8{0, 43, 51, 60, 44}), 1, 3).Draw(t, "extensions") {
			if ext == packet.ProtoFragment {
				chain = append(chain, packet.IPv6Frag{More: rapid.Bool().Draw(t, "more"), ID: 1})
			} else {
				chain = append(chain, packet.IPv6Ext{Proto: ext, Data: make([]byte, rapid.SampledFrom([]int{6, 6, 30, 134}).Draw(t, "long"))})
			}
		}
		next = 0 // by the chain
	}
	layers = append(layers, f.network(t, src, dst, next, odd))
	return packet.Build(append(append(layers, chain...), l4, packet.Fill(size))...)
}

// icmpError quotes something that was sent before.
func (f *frameMaker) icmpError(t *rapid.T, eni string, src, dst netip.Addr) []byte {
	old := rapid.SampledFrom(f.history).Draw(t, "quoted")
	quote := packet.Payload("nothing of sense")
	if l, err := packet.Locate(old); l.L3 != 0 && err == nil {
		quote = packet.Quote(old, rapid.SampledFrom([]int{28, 48, 100, 10}).Draw(t, "length"))
	}
	if len(quote) >= 40 && rapid.IntRange(0, 3).Draw(t, "true") != 0 {
		// To the one who sent it, as a receiver of it does.
		if quote[0]>>4 == 4 && src.Is4() {
			dst = netip.AddrFrom4([4]byte(quote[12:16]))
		} else if quote[0]>>4 == 6 && src.Is6() {
			dst = netip.AddrFrom16([16]byte(quote[8:24]))
		}
	}
	if eni == "uplink" {
		quote, dst = f.b.published(quote, dst)
	}
	var l4 packet.Layer = packet.ICMP{Type: rapid.SampledFrom([]uint8{3, 11, 5}).Draw(t, "error"), Code: 1}
	if src.Is6() {
		l4 = packet.ICMPv6{Type: rapid.SampledFrom([]uint8{1, 2, 3}).Draw(t, "error")}
	}
	return packet.Build(f.ether(t, eni), f.network(t, src, dst, 0, false), l4, quote)
}

func (f *frameMaker) arp(t *rapid.T, eni string) []byte {
	r := f.b.record(eni)
	a := packet.ARP{SenderMAC: r.MAC, Sender: f.b.snap.ENI(f.b.eni(eni)).Primary4}
	a.Op = rapid.SampledFrom([]uint16{1, 1, 1, 2}).Draw(t, "op")
	a.Target = packet.MustIP(rapid.SampledFrom([]string{"10.0.1.10", "10.0.1.11", "10.0.1.12", "10.0.1.1", "10.0.2.1", "10.0.1.2", "10.0.1.77", "169.254.169.254"}).Draw(t, "target"))
	a.Sender = rapid.SampledFrom([]netip.Addr{a.Sender, a.Sender, {}, packet.MustIP("10.0.1.11"), a.Target}).Draw(t, "sender")
	return packet.Pad(packet.Build(packet.Ether{Dst: packet.Broadcast, Src: r.MAC}, a), 60)
}

func (f *frameMaker) nd(t *rapid.T, eni string) []byte {
	r := f.b.record(eni)
	target := packet.MustIP(rapid.SampledFrom([]string{"2001:db8:0:1::10", "2001:db8:0:1::11", "2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:1::77", "fe80::1"}).Draw(t, "target"))
	own := f.b.snap.ENI(f.b.eni(eni)).Primary6
	src := rapid.SampledFrom([]netip.Addr{own, own, {}, packet.MustIP("fe80::9"), packet.MustIP("2001:db8:0:1::11")}).Draw(t, "source")
	return packet.NeighborSolicit(r.MAC, src, target)
}

func (f *frameMaker) dhcp(t *rapid.T, eni string) []byte {
	r := f.b.record(eni)
	info := f.b.snap.ENI(f.b.eni(eni))
	msg := packet.DHCP{
		Type:   rapid.SampledFrom([]packet.DHCPType{packet.DHCPDiscover, packet.DHCPRequest, packet.DHCPInform, packet.DHCPRelease, packet.DHCPOffer}).Draw(t, "type"),
		Client: rapid.SampledFrom([]packet.MAC{r.MAC, r.MAC, {2, 1}}).Draw(t, "client"), XID: 1,
		CIAddr: rapid.SampledFrom([]netip.Addr{{}, info.Primary4, packet.MustIP("10.0.9.9")}).Draw(t, "ciaddr"),
	}
	ports := packet.UDP{SrcPort: 68, DstPort: 67}
	if rapid.Bool().Draw(t, "unicast") {
		return f.b.frame(eni, packet.IPv4{Src: info.Primary4, Dst: info.Router4}, ports, msg)
	}
	return packet.Build(packet.Ether{Dst: packet.Broadcast, Src: r.MAC}, packet.IPv4{Dst: packet.MustIP("255.255.255.255")}, ports, msg)
}

func (f *frameMaker) dhcp6(t *rapid.T, eni string) []byte {
	m := packet.DHCP6{Type: packet.DHCP6Type(rapid.IntRange(1, 12).Draw(t, "type")), RapidCommit: rapid.Bool().Draw(t, "rapid")}
	if rapid.Bool().Draw(t, "server") {
		mac := f.b.record(eni).RouterMAC
		m.ServerID = append([]byte{0, 3, 0, 1}, mac[:]...)
	}
	m.Associations = []packet.DHCP6Association{{ID: 1, Addrs: []netip.Addr{packet.MustIP(rapid.SampledFrom([]string{"2001:db8:0:1::10", "2001:db8::1"}).Draw(t, "address"))}}}
	return f.b.dhcp6(eni, m)
}

// mutate spoils a frame: some bytes, or its length.
func mutate(t *rapid.T, frame []byte) []byte {
	out := append([]byte(nil), frame...)
	switch rapid.IntRange(0, 2).Draw(t, "how") {
	case 0:
		for range rapid.IntRange(1, 3).Draw(t, "bytes") {
			at := rapid.IntRange(0, len(out)-1).Draw(t, "at")
			out[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		}
	case 1:
		out = out[:rapid.IntRange(1, len(out)).Draw(t, "cut")]
	default:
		out = packet.Pad(out, len(out)+rapid.IntRange(1, 40).Draw(t, "padding"))
	}
	return out
}

func sortedNames[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
