package pipeline

import (
	"strings"
	"testing"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/internal/simport"
	"github.com/nitrod/nitrod/policy"
)

// Headers of every kind pass up to a device's limit, byte by byte, and explain
// says so.
func TestLLQHeaders(t *testing.T) {
	opts := func(n int) []byte { return make([]byte, n) }
	ext := func(n int) packet.Layer { return packet.IPv6Ext{Proto: packet.ProtoDestOpts, Data: make([]byte, n-2)} }
	four := func(n int) packet.IPv4 { return v4of(func(ip *packet.IPv4) { ip.Options = opts(n) }) }
	later := v4of(func(ip *packet.IPv4) { ip.ID, ip.FragOffset, ip.Proto, ip.Options = 1, 1480, packet.ProtoUDP, opts(40) })
	for _, tt := range []struct {
		name   string
		length int
		layers []packet.Layer
	}{
		{"tcp", 54, []packet.Layer{v4, tcpPorts}},
		{"tcp with options", 94, []packet.Layer{v4, packet.TCP{SrcPort: 1, DstPort: 80, Flags: packet.TCPSyn, Options: opts(40)}}},
		{"tcp behind options", 94, []packet.Layer{four(40), tcpPorts}},
		{"tcp between options", 98, []packet.Layer{four(4), packet.TCP{SrcPort: 1, DstPort: 80, Flags: packet.TCPSyn, Options: opts(40)}}},
		{"most of IPv4", 134, []packet.Layer{four(40), packet.TCP{SrcPort: 1, DstPort: 80, Flags: packet.TCPSyn, Options: opts(40)}}},
		{"tcp over IPv6", 94, []packet.Layer{v6, packet.TCP{SrcPort: 1, DstPort: 80, Flags: packet.TCPSyn, Options: opts(20)}}},
		{"tcp over IPv6 with one more", 98, []packet.Layer{v6, packet.TCP{SrcPort: 1, DstPort: 80, Flags: packet.TCPSyn, Options: opts(24)}}},
		{"udp", 42, []packet.Layer{v4, udpPorts}},
		{"udp behind an extension", 222, []packet.Layer{v6, ext(160), udpPorts}},
		{"udp behind a longer one", 230, []packet.Layer{v6, ext(168), udpPorts}},
		{"icmp", 42, []packet.Layer{v4, packet.ICMP{Type: 8}}},
		{"icmpv6 behind an extension", 102, []packet.Layer{v6, ext(40), packet.ICMPv6{Type: 128}}},
		{"an icmp error", 42, []packet.Layer{v4, packet.ICMP{Type: 3}, packet.Quote(packet.Build(toRouter, v4, udpPorts), 28)}},
		{"a tunnel", 34, []packet.Layer{v4of(func(ip *packet.IPv4) { ip.Proto = packet.ProtoGRE })}},
		{"a later fragment", 74, []packet.Layer{later}},
		{"a later fragment over IPv6", 14 + 40 + 24 + 8, []packet.Layer{v6, ext(24), packet.IPv6Frag{Offset: 8, ID: 3, Next: packet.ProtoUDP}}},
	} {
		frame := packet.Build(append(append([]packet.Layer{toRouter}, tt.layers...), packet.Fill(400))...)
		for _, limit := range []int{tt.length, tt.length - 1} {
			if limit < commonHeaders {
				continue
			}
			o := defaultObjects()
			o.ENIs[0].MAC = parseENI.MAC
			b := newBed(t, bedOptions{objects: o, headers: limit})
			copy(frame[0:6], b.record("web").RouterMAC[:])
			x := b.engine.Explain(b.eni("web"), frame)
			b.inject("web", frame)
			dropped := b.settle().Drops[drop.LLQHeadersExceeded]
			if over := limit < tt.length; dropped != map[bool]uint64{true: 1}[over] || (x.Reason == drop.LLQHeadersExceeded) != over {
				t.Errorf("%s, headers of %d bytes, limit %d: %d dropped, explained as %v", tt.name, tt.length, limit, dropped, x.Reason)
			}
		}
		if p := parseOf(frameFor(frame), len(frame)); p.reason != drop.Unset || int(p.meta.headers(frame)) != tt.length {
			t.Errorf("%s: refused for %v, or has headers of %d bytes, want %d", tt.name, p.reason, p.meta.headers(frame), tt.length)
		}
	}
}

// frameFor readdresses a frame to the router that parseOf knows.
func frameFor(frame []byte) []byte {
	copy(frame[0:6], parseENI.RouterMAC[:])
	return frame
}

// A limit below what the common parser takes without looking is refused.
func TestLLQTooNarrow(t *testing.T) {
	snap, err := policy.Compile(defaultObjects(), nil)
	if err != nil {
		t.Fatal(err)
	}
	pool := simport.NewPool(1, simport.DefaultSlotSize)
	defer pool.Close()
	port := Port{Queues: 1, Depth: 2, Headers: commonHeaders - 1}
	cfg := Config{Burst: 1, SlowPathBudget: 1, SlowPathQueue: 1, Clock: &manualClock{}, Fragments: DefaultFragments}
	if _, err := New(cfg, snap, []Port{port}, []pktio.IO{simport.NewIO(pool, nil)}); err == nil || !strings.Contains(err.Error(), "takes headers of 93 bytes") {
		t.Errorf("New said %v", err)
	}
}
