package dpdk

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/pktio"
)

// flowFrame is what the generators below vary.
type flowFrame struct {
	v6, tcp bool
	vlans   int
	payload []byte
	src     uint16
	padding int // bytes behind the IP packet
}

func (f flowFrame) bytes(t fatal) []byte {
	var stack []gopacket.SerializableLayer
	l3 := layers.EthernetTypeIPv4
	if f.v6 {
		l3 = layers.EthernetTypeIPv6
	}
	types := make([]layers.EthernetType, f.vlans, f.vlans+1)
	for i := range types {
		types[i] = layers.EthernetTypeDot1Q
	}
	types = append(types, l3)
	stack = append(stack, &layers.Ethernet{SrcMAC: guestMAC, DstMAC: guestMAC, EthernetType: types[0]})
	for i := range f.vlans {
		stack = append(stack, &layers.Dot1Q{VLANIdentifier: uint16(i + 1), Type: types[i+1]})
	}
	proto := layers.IPProtocolUDP
	if f.tcp {
		proto = layers.IPProtocolTCP
	}
	ip4 := &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: netip.MustParseAddr("10.1.2.3").AsSlice(), DstIP: netip.MustParseAddr("10.4.5.6").AsSlice()}
	ip6 := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: netip.MustParseAddr("fd00::1").AsSlice(), DstIP: netip.MustParseAddr("fd00:1::2").AsSlice()}
	var nl gopacket.NetworkLayer = ip4
	if f.v6 {
		nl = ip6
		stack = append(stack, ip6)
	} else {
		stack = append(stack, ip4)
	}
	if f.tcp {
		tcp := &layers.TCP{SrcPort: layers.TCPPort(f.src), DstPort: 80, Seq: 7, ACK: true, Window: 1000}
		_ = tcp.SetNetworkLayerForChecksum(nl)
		stack = append(stack, tcp)
	} else {
		udp := &layers.UDP{SrcPort: layers.UDPPort(f.src), DstPort: 53}
		_ = udp.SetNetworkLayerForChecksum(nl)
		stack = append(stack, udp)
	}
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, append(stack, gopacket.Payload(f.payload))...); err != nil {
		t.Fatal(err)
	}
	return append(slices.Clone(buf.Bytes()), make([]byte, f.padding)...)
}

type fatal interface{ Fatal(...any) }

func udpFrame(t testing.TB, src uint16, payload []byte) []byte {
	return flowFrame{src: src, payload: payload}.bytes(t)
}

func (f flowFrame) l4() int {
	off := 14 + 4*f.vlans + 20
	if f.v6 {
		off += 20
	}
	return off
}

func (f flowFrame) csumField() int {
	if f.tcp {
		return f.l4() + 16
	}
	return f.l4() + 6
}

// partial puts into the checksum field what Linux leaves there for a device to
// complete: the sum over the pseudo-header, byte by byte (RFC 793, RFC 8200).
func (f flowFrame) partial(b []byte) []byte {
	b = slices.Clone(b)
	l4 := f.l4()
	addrs, proto, header := b[l4-8:l4], 17, 8
	if f.v6 {
		addrs = b[l4-32 : l4]
	}
	if f.tcp {
		proto, header = 6, 20
	}
	sum := proto + header + len(f.payload)
	for i := 0; i < len(addrs); i += 2 {
		sum += int(binary.BigEndian.Uint16(addrs[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[f.csumField():], uint16(sum))
	return b
}

// checkedLoop is a loop whose port passes for one that gives partial checksums
// without saying so, as net_af_packet does.
func checkedLoop(t testing.TB, pool *Pool) (*Port, *IO) {
	t.Helper()
	p := loop(t, pool, 1, 0)
	setPortFlags(p, portCheckPartial)
	return p, mustIO(t, pool, p)
}

func TestPartialChecksumsAreCompleted(t *testing.T) {
	pool := smallPool(t)
	p, io := checkedLoop(t, pool)
	rapid.Check(t, func(rt *rapid.T) {
		f := flowFrame{
			v6:      rapid.Bool().Draw(rt, "v6"),
			tcp:     rapid.Bool().Draw(rt, "tcp"),
			vlans:   rapid.IntRange(0, 2).Draw(rt, "vlans"),
			payload: rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(rt, "payload"),
			src:     rapid.Uint16().Draw(rt, "src"),
			padding: rapid.IntRange(0, 30).Draw(rt, "padding"),
		}
		whole := f.bytes(rt)
		in := whole
		if rapid.Bool().Draw(rt, "partial") {
			in = f.partial(whole)
		}
		first := rapid.IntRange(0, 200).Draw(rt, "first segment")
		d, err := PacketFromBytes(pool, in, first)
		if err != nil {
			rt.Fatal(err)
		}
		send(t, io, p, 0, d)
		got := receive(t, io, 1)[0]
		if b := mustBytes(t, got); !slices.Equal(b, whole) {
			rt.Errorf("the checksum is %x, want %x", b[f.csumField():][:2], whole[f.csumField():][:2])
		}
		free(got)
	})
}

func TestUnfinishedSCTPIsDropped(t *testing.T) {
	pool := smallPool(t)
	p, io := checkedLoop(t, pool)
	b := udpFrame(t, 9, make([]byte, 40))
	b[14+9] = 132 // SCTP; its checksum lies in the payload, which is zero
	send(t, io, p, 0, packet(t, pool, b))
	descs := make([]pktio.Desc, 4)
	if n := io.Rx(descs); n != 0 || io.Stats().RxBadCsum != 1 {
		t.Errorf("%d packets came through, %d were dropped; want 0 and 1", n, io.Stats().RxBadCsum)
		free(descs[:n]...)
	}
}

// The flags of rte_mbuf_core.h that net_vhost sets, and where a packet has them.
const (
	mbufFlagsOffset = 24
	rxCsumNone      = 1<<3 | 1<<8
	rxLRO           = 1 << 16
)

func setMbufFlags(d pktio.Desc, flags uint64) {
	binary.NativeEndian.PutUint64(bytesAt(d.Buf+mbufFlagsOffset, 8), flags)
}

func TestWhatTheDriverSaysIsUnfinished(t *testing.T) {
	pool := smallPool(t)
	p := loop(t, pool, 1, 0)
	io := mustIO(t, pool, p)
	f := flowFrame{tcp: true, payload: []byte("hello"), src: 5}
	whole := f.bytes(t)
	wrong := slices.Clone(whole)
	wrong[f.csumField()]++ // neither whole nor what Linux leaves
	fragment := slices.Clone(whole)
	fragment[20] |= 0x20
	for _, c := range []struct {
		name  string
		frame []byte
		flags uint64
		want  []byte
		stats IOStats
	}{
		{"nothing said", wrong, 0, wrong, IOStats{}},
		{"a partial checksum", wrong, rxCsumNone, whole, IOStats{RxCompleted: 1}},
		{"one in a fragment", fragment, rxCsumNone, nil, IOStats{RxCompleted: 1, RxBadCsum: 1}},
		{"one in a frame unknown", frame(60, 1), rxCsumNone, nil, IOStats{RxCompleted: 1, RxBadCsum: 2}},
		{"one segment for several", whole, rxLRO, nil, IOStats{RxCompleted: 1, RxBadCsum: 2, RxOversized: 1}},
	} {
		d := packet(t, pool, c.frame)
		setMbufFlags(d, c.flags)
		send(t, io, p, 0, d)
		descs := make([]pktio.Desc, 1)
		var got []byte
		if io.Rx(descs) == 1 {
			got = mustBytes(t, descs[0])
			free(descs[0])
		}
		if !slices.Equal(got, c.want) || io.Stats() != c.stats {
			t.Errorf("%s: got %x, want %x; %+v, want %+v", c.name, got, c.want, io.Stats(), c.stats)
		}
	}
}

// Whatever the bytes, completing them reads and writes nothing out of bounds,
// and changes nothing but a checksum.
func FuzzPartialChecksum(f *testing.F) {
	for _, s := range []flowFrame{{payload: []byte("abc")}, {v6: true, tcp: true}, {vlans: 2, tcp: true}} {
		b := s.bytes(f)
		f.Add(s.partial(b), 0)
		f.Add(b[:len(b)-5], 20)
	}
	if ealErr != nil {
		f.Skipf("this machine cannot start DPDK: %v", ealErr)
	}
	pool, err := NewPool(PoolConfig{Name: uniqueName("f"), Count: 1023})
	if err != nil {
		f.Fatal(err)
	}
	p, io := checkedLoop(f, pool)
	f.Fuzz(func(t *testing.T, b []byte, first int) {
		if len(b) == 0 || len(b) > 9000 || first < 0 {
			return // no frame that a port could give
		}
		d, err := PacketFromBytes(pool, b, first)
		if err != nil {
			t.Fatal(err)
		}
		send(t, io, p, 0, d)
		descs := make([]pktio.Desc, 1)
		if io.Rx(descs) == 1 {
			got := mustBytes(t, descs[0])
			if len(got) != len(b) {
				t.Errorf("%d bytes became %d", len(b), len(got))
			}
			for i, changed := 0, 0; i < min(len(got), len(b)); i++ {
				if got[i] != b[i] {
					if changed++; changed > 2 {
						t.Fatal("more than a checksum changed")
					}
				}
			}
			free(descs[0])
		}
		if n := pool.InUse(); n != 0 {
			t.Fatalf("%d packets leaked", n)
		}
	})
}
