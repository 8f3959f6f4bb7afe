// Package traffic makes the frames that the benchmark replays: pcap files of
// the shortest legal frames, one frame per flow, in a random but repeatable
// order.
//
// The files are for DPDK's net_pcap with infinite_rx=1, which loads a whole
// file into mbufs and repeats it for ever. A flow's frames are therefore all
// the same frame, which for TCP is a retransmission that every tracker
// accepts.
package traffic

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Kind says what the frames of a case are.
type Kind string

// The kinds. UDP cases flow from A to B only; TCP cases both ways, half of the
// frames in each direction. The frames of NewTCP4 are SYNs from A to B, to which
// a Source gives new ports each time they are received.
const (
	UDP4    Kind = "udp4"
	TCP4    Kind = "tcp4"
	UDP6    Kind = "udp6"
	NewTCP4 Kind = "new4"
)

// Bidirectional says whether the kind has frames from B to A as well.
func (k Kind) Bidirectional() bool { return k == TCP4 }

// MinFrames is the least number of frames in a file. Fewer would let the
// source live in fewer buffers than a burst has, which no device does; with
// fewer flows each flow's frame is there several times.
const MinFrames = 1024

// MaxFlows is the number of distinct port pairs that Spec can draw.
const MaxFlows = portSpan * portSpan

// Ports are drawn from [portBase, portBase+portSpan): above the well-known
// ones, so that no rule of an example singles one out.
const (
	portBase = 1024
	portSpan = 60000
)

// Endpoint is one side of the traffic: an ENI, and the MAC of the router in
// its subnet, to which it sends.
type Endpoint struct {
	MAC, Router net.HardwareAddr
	IPv4, IPv6  netip.Addr
}

// Spec is what a set of files holds. Equal specs make equal files.
type Spec struct {
	Kind  Kind
	Flows int
	A, B  Endpoint
}

// Frames returns how many frames each file of the spec has: a multiple of
// Flows, so that every flow has the same share.
func (s Spec) Frames() int {
	n := max(s.Flows, 1)
	return n * ((MinFrames + n - 1) / n)
}

// Flow is one connection of a spec, seen from A.
type Flow struct {
	PortA, PortB uint16
	SeqA, SeqB   uint32 // next sequence number of each side
	LenA, LenB   int    // TCP payload that each side's segment carries, 0 to 6
}

// Flow returns the i-th flow, for i in [0, Flows). All flows of a spec differ
// in their ports.
func (s Spec) Flow(i int) Flow {
	// A step that shares no factor with MaxFlows = 2^10 * 3^2 * 5^8 visits every
	// port pair once before it repeats one.
	const step = 2654435761
	x := (uint64(i)*step + 12345) % MaxFlows
	r := rand.New(rand.NewPCG(x, 0x6e6974726f64))
	return Flow{
		PortA: portBase + uint16(x%portSpan),
		PortB: portBase + uint16(x/portSpan),
		SeqA:  r.Uint32(),
		SeqB:  r.Uint32(),
		LenA:  r.IntN(7),
		LenB:  r.IntN(7),
	}
}

// Order returns the flow of each frame: every flow equally often, shuffled
// with a fixed seed. The two directions of a TCP case are shuffled apart, so
// that a reply does not find its session still warm from the request.
func (s Spec) Order(reply bool) []int {
	seed := uint64(1)
	if reply {
		seed = 2
	}
	order := make([]int, s.Frames())
	for i := range order {
		order[i] = i % max(s.Flows, 1)
	}
	rand.New(rand.NewPCG(seed, uint64(s.Flows))).Shuffle(len(order), func(i, j int) {
		order[i], order[j] = order[j], order[i]
	})
	return order
}

// Frame returns the frame of flow f from A to B, or from B to A if reply.
//
// The TCP segments are those of an established connection whose peers have
// seen each other's data: a tracker that checks windows accepts either one
// first and both for ever.
func (s Spec) Frame(f Flow, reply bool) ([]byte, error) {
	from, to := s.A, s.B
	sport, dport := f.PortA, f.PortB
	seq, ack, n := f.SeqA, f.SeqB, f.LenA
	if reply {
		from, to = to, from
		sport, dport = dport, sport
		seq, ack, n = f.SeqB, f.SeqA+uint32(f.LenA), f.LenB
	}

	eth := &layers.Ethernet{SrcMAC: from.MAC, DstMAC: from.Router, EthernetType: layers.EthernetTypeIPv4}
	ip4 := &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Flags: layers.IPv4DontFragment, SrcIP: from.IPv4.AsSlice(), DstIP: to.IPv4.AsSlice()}
	udp := &layers.UDP{SrcPort: layers.UDPPort(sport), DstPort: layers.UDPPort(dport)}

	var stack []gopacket.SerializableLayer
	switch s.Kind {
	case UDP4:
		ip4.Protocol = layers.IPProtocolUDP
		_ = udp.SetNetworkLayerForChecksum(ip4) // fails for layers that are not IP only
		stack = []gopacket.SerializableLayer{eth, ip4, udp, gopacket.Payload(make([]byte, 18))}
	case TCP4:
		ip4.Protocol = layers.IPProtocolTCP
		tcp := &layers.TCP{
			SrcPort: layers.TCPPort(sport), DstPort: layers.TCPPort(dport),
			Seq: seq, Ack: ack, ACK: true, PSH: n > 0, Window: 65535,
		}
		_ = tcp.SetNetworkLayerForChecksum(ip4)
		stack = []gopacket.SerializableLayer{eth, ip4, tcp, gopacket.Payload(make([]byte, n))}
	case NewTCP4:
		ip4.Protocol = layers.IPProtocolTCP
		tcp := &layers.TCP{SrcPort: layers.TCPPort(sport), DstPort: layers.TCPPort(dport), Seq: seq, SYN: true, Window: 65535}
		_ = tcp.SetNetworkLayerForChecksum(ip4)
		stack = []gopacket.SerializableLayer{eth, ip4, tcp}
	case UDP6:
		eth.EthernetType = layers.EthernetTypeIPv6
		ip6 := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP, SrcIP: from.IPv6.AsSlice(), DstIP: to.IPv6.AsSlice()}
		_ = udp.SetNetworkLayerForChecksum(ip6)
		stack = []gopacket.SerializableLayer{eth, ip6, udp}
	default:
		return nil, fmt.Errorf("traffic: unknown kind %q", s.Kind)
	}

	buf := gopacket.NewSerializeBufferExpectedSize(64, 0)
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, stack...); err != nil {
		return nil, fmt.Errorf("traffic: %w", err)
	}
	frame := buf.Bytes()
	for len(frame) < 60 { // Ethernet's minimum without the check sequence
		frame = append(frame, 0)
	}
	return frame, nil
}

// fingerprint tells the files of two specs apart.
func (s Spec) fingerprint() string {
	h := fnv.New32a()
	fmt.Fprintf(h, "%d %v %v", formatVersion, s.A, s.B)
	return fmt.Sprintf("%08x", binary.BigEndian.Uint32(h.Sum(nil)))
}

// formatVersion changes when Frame, Flow or Order does, so that files written
// by an older generator are not taken for new ones.
const formatVersion = 1
