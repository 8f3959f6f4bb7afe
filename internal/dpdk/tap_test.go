package dpdk

import (
	"bytes"
	"net"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

var guestMAC = net.HardwareAddr{0x02, 0x10, 0x20, 0x30, 0x40, 0x50}

func needTap(t testing.TB) {
	t.Helper()
	needRoot(t)
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("this machine has no tun driver: %v", err)
	}
	f.Close()
}

// testNetns is a namespace that is gone after the test.
func testNetns(t testing.TB) string {
	t.Helper()
	name := uniqueName("nitrod-test-")
	if created, err := CreateNetns(name); err != nil || !created {
		t.Skipf("this machine does not allow network namespaces: %v", err)
	}
	t.Cleanup(func() {
		if err := DeleteNetns(name); err != nil {
			t.Error(err)
		}
	})
	return name
}

func mustTap(t testing.TB, c TapConfig) *Tap {
	t.Helper()
	tap, err := OpenTap(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tap.Remove(); err != nil {
			t.Error(err)
		}
	})
	return tap
}

// guest is a raw socket on an interface inside a namespace.
type guest struct {
	fd, index int
}

func openGuest(t testing.TB, ns, iface string) *guest {
	t.Helper()
	g := &guest{}
	err := InNetns(ns, func() error {
		link, err := netlink.LinkByName(iface)
		if err != nil {
			return err
		}
		g.index = link.Attrs().Index
		proto := int(0x0300) // ETH_P_ALL in network order
		if g.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, proto); err != nil {
			return err
		}
		return unix.Bind(g.fd, &unix.SockaddrLinklayer{Ifindex: g.index, Protocol: uint16(proto)})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(g.fd) })
	return g
}

func (g *guest) send(t testing.TB, frame []byte) {
	t.Helper()
	if err := unix.Sendto(g.fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: g.index}); err != nil {
		t.Fatal(err)
	}
}

// receive waits for the next frame that came to the interface and is a test's.
func (g *guest) receive(t testing.TB) []byte {
	t.Helper()
	buf := make([]byte, 65536)
	for {
		n, from, err := unix.Recvfrom(g.fd, buf, 0)
		if err != nil {
			t.Fatal(err)
		}
		if sll, ok := from.(*unix.SockaddrLinklayer); ok && sll.Pkttype != unix.PACKET_OUTGOING && isTestFrame(buf[:n]) {
			return buf[:n]
		}
	}
}

func TestTapCarriesFramesBothWays(t *testing.T) {
	needTap(t)
	for _, c := range []struct {
		name      string
		mtu, room int
		queues    int
	}{
		{"one queue", 1500, DataRoomStandard, 1},
		{"several queues", 1500, DataRoomStandard, 4},
		{"jumbo in several segments", 9001, DataRoomStandard, 1},
		{"jumbo in one segment", 9001, DataRoomJumbo, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			ns := testNetns(t)
			pool := testPool(t, PoolConfig{Count: 1023, Cache: 32, DataRoom: c.room})
			tap := mustTap(t, TapConfig{Name: "eth0", Netns: ns, MAC: guestMAC, MTU: c.mtu, Queues: c.queues, Pool: pool})
			if tap.MTU() != c.mtu {
				t.Errorf("the port's MTU is %d, want %d", tap.MTU(), c.mtu)
			}
			wantGuestLink(t, ns, "eth0", c.mtu)
			io := mustIO(t, pool, tap.Port)
			g := openGuest(t, ns, "eth0")
			for i, size := range []int{60, 1514, c.mtu + 14} {
				g.send(t, frame(size, i))
				d := receiveMatching(t, io, 1, isTestFrame)[0]
				if !bytes.Equal(mustBytes(t, d), frame(size, i)) {
					t.Errorf("a frame of %d bytes came changed from the guest", size)
				}
				free(d)
			}
			for q := range c.queues {
				for i, size := range []int{60, 1514, c.mtu + 14} {
					send(t, io, tap.Port, q, packet(t, pool, frame(size, i+q)))
					if !bytes.Equal(g.receive(t), frame(size, i+q)) {
						t.Errorf("a frame of %d bytes came changed to the guest from queue %d", size, q)
					}
				}
			}
		})
	}
}

// net_tap would have the kernel signal each packet, with a handler that runs on
// whatever stack the thread has, which in Go is a goroutine's.
func TestTapSendsNoSignals(t *testing.T) {
	needTap(t)
	mustTap(t, TapConfig{Name: "eth0", Netns: testNetns(t), MAC: guestMAC, Pool: smallPool(t), Queues: 2})
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, e := range fds {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err != nil || target != "/dev/net/tun" {
			continue
		}
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil {
			t.Fatal(err)
		}
		if seen++; flags&unix.O_ASYNC != 0 {
			t.Errorf("descriptor %d of the tap sends signals", fd)
		}
	}
	if seen == 0 {
		t.Error("no descriptor of the tap was found")
	}
}

func wantGuestLink(t *testing.T, ns, iface string, mtu int) {
	t.Helper()
	err := InNetns(ns, func() error {
		l, err := netlink.LinkByName(iface)
		if err != nil {
			return err
		}
		a := l.Attrs()
		if a.HardwareAddr.String() != guestMAC.String() || a.MTU != mtu || a.Flags&net.FlagUp == 0 {
			t.Errorf("the guest's interface has MAC %s, MTU %d, flags %v; want %s, %d, up", a.HardwareAddr, a.MTU, a.Flags, guestMAC, mtu)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTapOutlivesItsPort(t *testing.T) {
	needTap(t)
	ns := testNetns(t)
	pool := smallPool(t)
	first, err := OpenTap(TapConfig{Name: "eth0", Netns: ns, MAC: guestMAC, Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 9, 8, 7), Mask: net.CIDRMask(24, 32)}}
	inGuest(t, ns, func(l netlink.Link) error { return netlink.AddrAdd(l, addr) })
	_, err = OpenTap(TapConfig{Name: "eth0", Netns: ns, MAC: guestMAC, Pool: pool})
	wantError(t, err, "in use", "eth0", ns)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := mustTap(t, TapConfig{Name: "eth0", Netns: ns, MAC: guestMAC, Pool: pool, Queues: 2})
	inGuest(t, ns, func(l netlink.Link) error {
		addrs, err := netlink.AddrList(l, netlink.FAMILY_V4)
		if len(addrs) != 1 {
			t.Errorf("the guest's addresses are %v after the take-over", addrs)
		}
		return err
	})
	io := mustIO(t, pool, second.Port)
	g := openGuest(t, ns, "eth0")
	g.send(t, frame(100, 1))
	free(receiveMatching(t, io, 1, isTestFrame)...)
}

func inGuest(t *testing.T, ns string, f func(netlink.Link) error) {
	t.Helper()
	err := InNetns(ns, func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return f(l)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTapStopsAndStarts(t *testing.T) {
	needTap(t)
	ns := testNetns(t)
	pool := smallPool(t)
	tap := mustTap(t, TapConfig{Name: "eth0", Netns: ns, MAC: guestMAC, Pool: pool})
	if err := tap.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := tap.Start(); err != nil {
		t.Fatal(err)
	}
	io := mustIO(t, pool, tap.Port)
	g := openGuest(t, ns, "eth0")
	g.send(t, frame(64, 9))
	free(receiveMatching(t, io, 1, isTestFrame)...)
	if l, err := tap.Link(); err != nil || !l.Up {
		t.Errorf("the link is %+v, %v", l, err)
	}
}

func TestTapReplacesOneOfOneQueue(t *testing.T) {
	needTap(t)
	ns := testNetns(t)
	err := InNetns(ns, func() error {
		return netlink.LinkAdd(&netlink.Tuntap{
			LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, Mode: netlink.TUNTAP_MODE_TAP, Flags: netlink.TUNTAP_DEFAULTS,
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	mustTap(t, TapConfig{Name: "eth0", Netns: ns, MAC: guestMAC, Pool: smallPool(t), Queues: 2})
	wantGuestLink(t, ns, "eth0", 1500)
}

func TestTapRefuses(t *testing.T) {
	needTap(t)
	ns := testNetns(t)
	pool := smallPool(t)
	good := TapConfig{Name: "eth0", Netns: ns, MAC: guestMAC, Pool: pool}
	for _, c := range []struct {
		name   string
		change func(*TapConfig)
		words  []string
	}{
		{"a name too long", func(c *TapConfig) { c.Name = "sixteen-letters!" }, []string{"no name"}},
		{"a multicast MAC", func(c *TapConfig) { c.MAC = net.HardwareAddr{1, 2, 3, 4, 5, 6} }, []string{"no address"}},
		{"a missing namespace", func(c *TapConfig) { c.Netns = "nitrod-none" }, []string{"nitrod-none", "no such file"}},
		{"another interface", func(c *TapConfig) { c.Name = "lo" }, []string{"no tap"}},
		{"too many queues", func(c *TapConfig) { c.Queues = 17 }, []string{"17 receive queues", "at most 16"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := good
			c.change(&bad)
			_, err := OpenTap(bad)
			wantError(t, err, c.words...)
		})
	}
	if found := linksOf(t, ns); !slices.Equal(found, []string{"lo"}) {
		t.Errorf("interfaces were left behind: %v", found)
	}
}

func linksOf(t *testing.T, ns string) (names []string) {
	t.Helper()
	err := InNetns(ns, func() error {
		links, err := netlink.LinkList()
		for _, l := range links {
			names = append(names, l.Attrs().Name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// The guest's sending rings are the tap's queues in the kernel, also where the tap
// was there before.
func TestTapSendRing(t *testing.T) {
	needTap(t)
	ns := testNetns(t)
	pool := smallPool(t)
	for _, ring := range []int{256, 512} {
		tap, err := OpenTap(TapConfig{Name: "eth0", Netns: ns, MAC: guestMAC, Pool: pool, Queues: 2, SendRing: ring})
		if err != nil {
			t.Fatal(err)
		}
		inGuest(t, ns, func(l netlink.Link) error {
			if n := l.Attrs().TxQLen; n != ring {
				t.Errorf("the tap's queues hold %d packets, want %d", n, ring)
			}
			return nil
		})
		if err := tap.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := RemoveTap("eth0", ns); err != nil {
		t.Fatal(err)
	}
}
