package traffic

import (
	"io"
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

func spec(kind Kind, flows int) Spec {
	return Spec{
		Kind: kind, Flows: flows,
		A: Endpoint{
			MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, Router: net.HardwareAddr{2, 0, 0, 0, 1, 1},
			IPv4: netip.MustParseAddr("10.0.1.10"), IPv6: netip.MustParseAddr("2001:db8:0:1::10"),
		},
		B: Endpoint{
			MAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, Router: net.HardwareAddr{2, 0, 0, 0, 1, 2},
			IPv4: netip.MustParseAddr("10.0.2.10"), IPv6: netip.MustParseAddr("2001:db8:0:2::10"),
		},
	}
}

func decode(t *testing.T, frame []byte) gopacket.Packet {
	t.Helper()
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		t.Fatalf("frame %x: %v", frame, e.Error())
	}
	return p
}

func TestFrame(t *testing.T) {
	for _, tc := range []struct {
		kind  Kind
		reply bool
		size  int
	}{
		{UDP4, false, 60}, {TCP4, false, 60}, {TCP4, true, 60}, {UDP6, false, 62},
	} {
		s := spec(tc.kind, 50)
		from, to := s.A, s.B
		if tc.reply {
			from, to = to, from
		}
		for i := range s.Flows {
			frame, err := s.Frame(s.Flow(i), tc.reply)
			if err != nil {
				t.Fatal(err)
			}
			if len(frame) != tc.size {
				t.Fatalf("%s: frame of %d bytes, want %d", tc.kind, len(frame), tc.size)
			}
			p := decode(t, frame)
			eth := p.LinkLayer().(*layers.Ethernet)
			if eth.SrcMAC.String() != from.MAC.String() || eth.DstMAC.String() != from.Router.String() {
				t.Fatalf("%s: MACs %s -> %s", tc.kind, eth.SrcMAC, eth.DstMAC)
			}
			wantSrc, wantDst := from.IPv4, to.IPv4
			if tc.kind == UDP6 {
				wantSrc, wantDst = from.IPv6, to.IPv6
			}
			if nf := p.NetworkLayer().NetworkFlow(); nf.Src().String() != wantSrc.String() || nf.Dst().String() != wantDst.String() {
				t.Fatalf("%s: addresses %s, want %s->%s", tc.kind, nf, wantSrc, wantDst)
			}
			// A frame re-made with computed lengths and checksums must be the same frame.
			again := gopacket.NewSerializeBuffer()
			if ip, ok := p.NetworkLayer().(*layers.IPv4); ok {
				if u, ok := p.TransportLayer().(*layers.UDP); ok {
					_ = u.SetNetworkLayerForChecksum(ip)
				}
				if c, ok := p.TransportLayer().(*layers.TCP); ok {
					_ = c.SetNetworkLayerForChecksum(ip)
				}
			} else if u, ok := p.TransportLayer().(*layers.UDP); ok {
				_ = u.SetNetworkLayerForChecksum(p.NetworkLayer().(*layers.IPv6))
			}
			if err := gopacket.SerializePacket(again, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, p); err != nil {
				t.Fatal(err)
			}
			got := again.Bytes()
			if diff := cmp.Diff(frame[:min(len(frame), len(got))], got[:min(len(frame), len(got))]); diff != "" {
				t.Fatalf("%s: lengths or checksums are wrong:\n%s", tc.kind, diff)
			}
		}
	}
}

// Each side's acknowledgement must lie within what the other side has sent,
// or a tracker that checks windows refuses the pair.
func TestTCPNumbersAgree(t *testing.T) {
	s := spec(TCP4, 200)
	lens := map[int]bool{}
	for i := range s.Flows {
		f := s.Flow(i)
		ab, err := s.Frame(f, false)
		if err != nil {
			t.Fatal(err)
		}
		ba, err := s.Frame(f, true)
		if err != nil {
			t.Fatal(err)
		}
		a := decode(t, ab).Layer(layers.LayerTypeTCP).(*layers.TCP)
		b := decode(t, ba).Layer(layers.LayerTypeTCP).(*layers.TCP)
		if !a.ACK || !b.ACK || a.SYN || b.SYN || a.FIN || b.FIN || a.RST || b.RST {
			t.Fatalf("flow %d: flags are not those of an established connection", i)
		}
		if a.SrcPort != b.DstPort || a.DstPort != b.SrcPort {
			t.Fatalf("flow %d: ports do not mirror", i)
		}
		if d := b.Ack - a.Seq; d != uint32(len(a.Payload)) {
			t.Fatalf("flow %d: B acknowledges %d bytes of %d", i, d, len(a.Payload))
		}
		if d := b.Seq + uint32(len(b.Payload)) - a.Ack; d > 6 {
			t.Fatalf("flow %d: A's acknowledgement is %d bytes off B's data", i, d)
		}
		lens[len(a.Payload)] = true
		lens[len(b.Payload)] = true
	}
	for n := range 7 {
		if !lens[n] {
			t.Errorf("no segment carries %d bytes", n)
		}
	}
}

func TestFlowsAreDistinct(t *testing.T) {
	s := spec(UDP4, 1_000_000)
	seen := make(map[[2]uint16]bool, s.Flows)
	for i := range s.Flows {
		f := s.Flow(i)
		k := [2]uint16{f.PortA, f.PortB}
		if seen[k] {
			t.Fatalf("flow %d repeats ports %v", i, k)
		}
		if f.PortA < portBase || f.PortB < portBase {
			t.Fatalf("flow %d has a well-known port: %v", i, k)
		}
		seen[k] = true
	}
}

func TestOrder(t *testing.T) {
	for _, flows := range []int{1, 3, 1000, 1024, 10_000} {
		s := spec(TCP4, flows)
		forth, back := s.Order(false), s.Order(true)
		if len(forth) != s.Frames() || len(forth) < MinFrames || len(forth)%flows != 0 {
			t.Fatalf("%d flows: %d frames", flows, len(forth))
		}
		count := make([]int, flows)
		ascending := true
		for i, f := range forth {
			count[f]++
			ascending = ascending && f == i%flows
		}
		for f, n := range count {
			if n != len(forth)/flows {
				t.Fatalf("%d flows: flow %d has %d of %d frames", flows, f, n, len(forth))
			}
		}
		if flows > 1 && (ascending || cmp.Equal(forth, back)) {
			t.Errorf("%d flows: not shuffled, or both directions alike", flows)
		}
		if !cmp.Equal(forth, s.Order(false)) {
			t.Errorf("%d flows: the order is not repeatable", flows)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct {
		kind  Kind
		files int
	}{{UDP4, 1}, {UDP6, 1}, {TCP4, 2}} {
		s := spec(tc.kind, 1500)
		files, err := s.Files(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(files) != tc.files {
			t.Fatalf("%s: %d files, want %d", tc.kind, len(files), tc.files)
		}
		for i, name := range files {
			order := s.Order(i == 1)
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			r, err := pcapgo.NewReader(f)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for ; ; n++ {
				got, _, err := r.ReadPacketData()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				want, err := s.Frame(s.Flow(order[n]), i == 1)
				if err != nil {
					t.Fatal(err)
				}
				if !cmp.Equal(got, want) {
					t.Fatalf("%s: frame %d differs", name, n)
				}
			}
			f.Close()
			if n != s.Frames() {
				t.Fatalf("%s: %d frames, want %d", name, n, s.Frames())
			}
		}
	}
}

func TestFilesAreReusedAndKeyed(t *testing.T) {
	dir := t.TempDir()
	s := spec(UDP4, 10)
	first, err := s.Files(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(first[0], []byte("kept"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Files(dir); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(first[0]); err != nil || string(b) != "kept" {
		t.Errorf("an existing file was written again: %q, %v", b, err)
	}
	s.A.Router = net.HardwareAddr{2, 9, 9, 9, 9, 9}
	other, err := s.Files(dir)
	if err != nil {
		t.Fatal(err)
	}
	if other[0] == first[0] {
		t.Error("another router MAC shares the file")
	}
}

func TestFilesRefuseBadSpecs(t *testing.T) {
	for _, s := range []Spec{spec(UDP4, 0), spec(UDP4, MaxFlows+1), spec("sctp", 10)} {
		dir := t.TempDir()
		if _, err := s.Files(dir); err == nil {
			t.Errorf("%s with %d flows: no error", s.Kind, s.Flows)
		}
		left, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(left) != 0 {
			t.Errorf("%s with %d flows: left %v behind", s.Kind, s.Flows, left)
		}
	}
}
