package dpdk

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// vethPair makes a veth pair: host in the process's namespace, eth0 in ns.
func vethPair(t *testing.T, ns string) (host string) {
	t.Helper()
	host = uniqueName("ntv")
	there, err := netlinkFD(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(there)
	err = netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: host}, PeerName: "eth0", PeerNamespace: netlink.NsFd(there), PeerHardwareAddr: guestMAC,
	})
	if errors.Is(err, unix.EOPNOTSUPP) {
		t.Skip("this machine's kernel has no veth")
	}
	if err != nil {
		t.Fatal(err)
	}
	l, err := netlink.LinkByName(host)
	if err == nil {
		t.Cleanup(func() { _ = netlink.LinkDel(l) })
		err = netlink.LinkSetUp(l)
	}
	if err != nil {
		t.Fatal(err)
	}
	inGuest(t, ns, netlink.LinkSetUp)
	return host
}

func netlinkFD(ns string) (int, error) {
	return unix.Open(netnsPath(ns), unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

// kernelPair is a port on one end of a veth pair, and the other end.
func kernelPair(t *testing.T, driver string) (*Pool, *Port, *IO, *guest, string) {
	t.Helper()
	needRoot(t)
	pool := kernelPool(t, driver)
	ns := testNetns(t)
	host := vethPair(t, ns)
	p, err := OpenPort(PortConfig{Device: uniqueName(driver) + ",iface=" + host, Pool: pool})
	if err != nil {
		t.Skipf("this machine cannot open %s on a veth: %v", driver, err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return pool, p, mustIO(t, pool, p), openGuest(t, ns, "eth0"), ns
}

// kernelPool does not count what net_af_xdp keeps when it is closed.
func kernelPool(t *testing.T, driver string) *Pool {
	t.Helper()
	if driver != "net_af_xdp" {
		return smallPool(t)
	}
	pool, err := NewPool(PoolConfig{Name: uniqueName("x"), Count: 16383, Cache: 64})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func TestKernelPorts(t *testing.T) {
	for _, driver := range []string{"net_af_packet", "net_af_xdp"} {
		t.Run(driver, func(t *testing.T) {
			pool, p, io, g, ns := kernelPair(t, driver)
			for i, size := range []int{60, 1514} {
				g.send(t, frame(size, i))
				d := receiveMatching(t, io, 1, isTestFrame)[0]
				if !bytes.Equal(mustBytes(t, d), frame(size, i)) {
					t.Errorf("a frame of %d bytes came changed", size)
				}
				free(d)
				send(t, io, p, 0, packet(t, pool, frame(size, i)))
				if !bytes.Equal(g.receive(t), frame(size, i)) {
					t.Errorf("a frame of %d bytes left changed", size)
				}
			}
			chain, err := PacketFromBytes(pool, frame(1400, 3), 100)
			if err != nil {
				t.Fatal(err)
			}
			send(t, io, p, 0, chain)
			if !bytes.Equal(g.receive(t), frame(1400, 3)) {
				t.Error("a packet in two segments left changed")
			}
			kernelChecksum(t, io, ns)
		})
	}
}

// kernelChecksum has the guest's kernel send a UDP packet, whose checksum it
// leaves to the veth, and wants it whole.
func kernelChecksum(t *testing.T, io *IO, ns string) {
	t.Helper()
	peer := netip.MustParseAddr("10.77.0.2")
	inGuest(t, ns, func(l netlink.Link) error {
		err := netlink.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 77, 0, 1), Mask: net.CIDRMask(24, 32)}})
		if err != nil {
			return err
		}
		err = netlink.NeighSet(&netlink.Neigh{LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT, IP: peer.AsSlice(), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 9}})
		if err != nil {
			return err
		}
		s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(s)
		return unix.Sendto(s, []byte("whose checksum is this"), 0, &unix.SockaddrInet4{Port: 4444, Addr: peer.As4()})
	})
	isUDP := func(b []byte) bool { return len(b) > 42 && b[12] == 8 && b[13] == 0 && b[23] == 17 }
	d := receiveMatching(t, io, 1, isUDP)[0]
	b := mustBytes(t, d)
	free(d)
	want := bytes.Clone(b)
	parsed := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
	udp := parsed.Layer(layers.LayerTypeUDP).(*layers.UDP)
	_ = udp.SetNetworkLayerForChecksum(parsed.NetworkLayer())
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{ComputeChecksums: true}, udp, gopacket.Payload(udp.Payload)); err != nil {
		t.Fatal(err)
	}
	copy(want[34:42], buf.Bytes()[:8])
	if !bytes.Equal(b, want) {
		t.Errorf("the checksum is %x, want %x; %+v", b[40:42], want[40:42], io.Stats())
	}
	if io.Stats().RxCompleted == 0 {
		t.Log("the kernel completed the checksum itself")
	}
}
