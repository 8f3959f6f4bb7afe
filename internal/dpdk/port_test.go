package dpdk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/nitrod/nitrod/internal/pktio"
)

func TestPlanPort(t *testing.T) {
	roomy := &Pool{name: "roomy", dataRoom: DataRoomJumbo}
	small := &Pool{name: "small", dataRoom: DataRoomStandard}
	limits := portLimits{driver: "net_x", rxQueues: 4, txQueues: 2, minMTU: 68, maxMTU: 9100, scatter: true, multiSegs: true}
	with := func(f func(*portLimits)) portLimits { l := limits; f(&l); return l }
	for _, c := range []struct {
		name   string
		conf   PortConfig
		limits portLimits
		want   portPlan
		err    []string
	}{
		{name: "as it comes", conf: PortConfig{Pool: small}, limits: limits,
			want: portPlan{rxQueues: 1, txQueues: 1, multiSegs: true}},
		{name: "jumbo in one segment", conf: PortConfig{Pool: roomy, MTU: 9001}, limits: limits,
			want: portPlan{rxQueues: 1, txQueues: 1, mtu: 9001, multiSegs: true}},
		{name: "jumbo in several", conf: PortConfig{Pool: small, MTU: 9001, RxQueues: 4, TxQueues: 2, RxDesc: 64, TxDesc: 32}, limits: limits,
			want: portPlan{rxQueues: 4, txQueues: 2, rxDesc: 64, txDesc: 32, mtu: 9001, scatter: true, multiSegs: true}},
		{name: "too many receive queues", conf: PortConfig{Pool: small, RxQueues: 5}, limits: limits,
			err: []string{"5 receive queues", "net_x", "at most 4"}},
		{name: "too many transmit queues", conf: PortConfig{Pool: small, TxQueues: 3}, limits: limits,
			err: []string{"3 transmit queues", "at most 2"}},
		{name: "an MTU too large", conf: PortConfig{Pool: roomy, MTU: 9101}, limits: limits, err: []string{"9101", "at most 9100"}},
		{name: "an MTU too small", conf: PortConfig{Pool: roomy, MTU: 60}, limits: limits, err: []string{"60", "no less than 68"}},
		{name: "no scatter", conf: PortConfig{Pool: small, MTU: 9001},
			limits: with(func(l *portLimits) { l.scatter = false }), err: []string{"2048", "data room", "small"}},
		{name: "chains unannounced", conf: PortConfig{Pool: small, MTU: 9001},
			limits: with(func(l *portLimits) { l.driver, l.scatter, l.multiSegs = "net_pcap", false, false }),
			want:   portPlan{rxQueues: 1, txQueues: 1, mtu: 9001}},
		{name: "no chains out", conf: PortConfig{Pool: small},
			limits: with(func(l *portLimits) { l.driver, l.multiSegs = "net_af_xdp", false }),
			want:   portPlan{rxQueues: 1, txQueues: 1, flags: 3}},
		{name: "a tap's list is a frame", conf: PortConfig{Pool: small, MTU: 9001, RxDesc: 512},
			limits: with(func(l *portLimits) { l.driver, l.maxMTU = "net_tap", 1504 }),
			want:   portPlan{rxQueues: 1, txQueues: 1, rxDesc: 5, forceMTU: 9001, scatter: true, multiSegs: true}},
		{name: "a tap beyond the kernel", conf: PortConfig{Pool: small, MTU: 65535},
			limits: with(func(l *portLimits) { l.driver, l.maxMTU = "net_tap", 1504 }), err: []string{"65535"}},
		{name: "nonsense", conf: PortConfig{Pool: small, RxDesc: 1 << 16}, limits: limits, err: []string{"out of range"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := planPort(c.conf, c.limits)
			if c.err != nil {
				wantError(t, err, c.err...)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(portPlan{})); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOpenPortRefuses(t *testing.T) {
	pool := smallPool(t)
	null := mustOpen(t, PortConfig{Device: uniqueName("net_null"), Pool: pool})
	for _, c := range []struct {
		name  string
		conf  PortConfig
		words []string
	}{
		{"no name", PortConfig{Device: "", Pool: pool}, []string{"name is empty"}},
		{"no such driver", PortConfig{Device: "net_nosuch7", Pool: pool}, []string{"net_nosuch7", "there is no such device"}},
		{"no such file", PortConfig{Device: "net_pcap77,rx_pcap=/nonexistent/x.pcap", Pool: pool}, []string{"net_pcap77", "/nonexistent/x.pcap"}},
		{"no such interface", PortConfig{Device: "net_af_packet77,iface=nitrod-none", Pool: pool}, []string{"net_af_packet77"}},
		{"open already", PortConfig{Device: null.Name(), Pool: pool}, []string{"open already"}},
		{"too many queues", PortConfig{Device: uniqueName("net_ring"), Pool: pool, RxQueues: 17}, []string{"17 receive queues", "at most 16"}},
		{"no pool", PortConfig{Device: uniqueName("net_null")}, []string{"pool"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := OpenPort(c.conf)
			wantError(t, err, c.words...)
			if c.conf.Device != null.Name() {
				name, _, _ := strings.Cut(c.conf.Device, ",")
				if openPorts.names[name] {
					t.Errorf("the name %s stays taken", name)
				}
			}
		})
	}
}

func TestErrnoMatchesSyscall(t *testing.T) {
	needEAL(t)
	err := error(Errno(syscall.ENODEV))
	if !errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.EINVAL) || err.Error() == "" {
		t.Errorf("Errno %d behaves unlike errno: %v", syscall.ENODEV, err)
	}
}

func TestPortReopens(t *testing.T) {
	pool := smallPool(t)
	name := uniqueName("net_null")
	for range 3 {
		p, err := OpenPort(PortConfig{Device: name, Pool: pool})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Errorf("a second Close failed: %v", err)
		}
	}
}

func TestPortFacts(t *testing.T) {
	pool := smallPool(t)
	device := uniqueName("net_null") + ",size=80"
	p := mustOpen(t, PortConfig{Device: device, Pool: pool, RxQueues: 2, TxQueues: 3, MTU: 1400})
	io := mustIO(t, pool, p)
	descs := make([]pktio.Desc, 10)
	free(descs[:io.Rx(descs)]...)
	if p.Device() != device || p.Driver() != "net_null" || p.RxQueues() != 2 || p.TxQueues() != 3 || p.MTU() != 1400 || len(p.MAC()) != 6 || p.RxDesc() == 0 || p.TxDesc() == 0 {
		t.Errorf("the port says %s of %s, %d and %d queues, MTU %d, MAC %s, %d and %d descriptors",
			p.Device(), p.Driver(), p.RxQueues(), p.TxQueues(), p.MTU(), p.MAC(), p.RxDesc(), p.TxDesc())
	}
	if l, err := p.Link(); err != nil || !l.Up {
		t.Errorf("link %+v, %v", l, err)
	}
	x, err := p.XStats()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]uint64)
	for _, s := range x {
		values[s.Name] = s.Value
	}
	if values["rx_good_packets"] != 10 {
		t.Errorf("xstats count %d packets of 10: %v", values["rx_good_packets"], values)
	}
}

// writePcap makes a capture file with n UDP packets from different ports.
func writePcap(t testing.TB, n int) (path string, frames [][]byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "in.pcap")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := pcapgo.NewWriter(f)
	if err := w.WriteFileHeader(65535, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		b := udpFrame(t, uint16(1000+i), []byte("payload of some length"))
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(1, 0), CaptureLength: len(b), Length: len(b)}, b); err != nil {
			t.Fatal(err)
		}
		frames = append(frames, b)
	}
	return path, frames
}

func TestPcapInfinite(t *testing.T) {
	pool := smallPool(t)
	path, frames := writePcap(t, 5)
	p := mustOpen(t, PortConfig{Device: uniqueName("net_pcap") + ",rx_pcap=" + path + ",infinite_rx=1", Pool: pool})
	io := mustIO(t, pool, p)
	for i, d := range receive(t, io, 100) {
		if diff := cmp.Diff(frames[i%len(frames)], mustBytes(t, d)); diff != "" {
			t.Fatalf("packet %d (-want +got):\n%s", i, diff)
		}
		free(d)
	}
}

func TestPcapWritesChains(t *testing.T) {
	pool := smallPool(t)
	in, _ := writePcap(t, 1)
	out := filepath.Join(t.TempDir(), "out.pcap")
	p, err := OpenPort(PortConfig{Device: uniqueName("net_pcap") + ",rx_pcap=" + in + ",tx_pcap=" + out, Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	io := mustIO(t, pool, p)
	d, err := PacketFromBytes(pool, frame(5000, 3), 40)
	if err != nil {
		t.Fatal(err)
	}
	send(t, io, p, 0, d)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := r.ReadPacketData()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(frame(5000, 3), got); diff != "" {
		t.Errorf("the file has another frame (-want +got):\n%s", diff)
	}
}
