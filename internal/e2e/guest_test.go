package e2e

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"github.com/nitrod/nitrod/internal/dpdk"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The guests' addresses, as the template has them.
var (
	web4, app4 = netip.MustParseAddr("10.0.1.10"), netip.MustParseAddr("10.0.2.10")
	appSecond  = netip.MustParseAddr("10.0.2.11")
	app6       = netip.MustParseAddr("2001:db8:0:102::10")
	webMAC     = packet.MAC{2, 0, 0, 0, 1, 0x0a}
)

// guest runs a command in a namespace and returns what it printed.
func guest(t *testing.T, namespace string, args ...string) string {
	t.Helper()
	out, err := tryGuest(t, namespace, args...)
	if err != nil {
		t.Fatalf("%v in %s: %v\n%s", args, namespace, err, out)
	}
	return out
}

func tryGuest(t *testing.T, namespace string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", namespace}, args...)...).CombinedOutput()
	return string(out), err
}

// inside runs f on a thread inside a namespace. Sockets stay where they were
// made.
func inside(t *testing.T, namespace string, f func() error) {
	t.Helper()
	if err := dpdk.InNetns(namespace, f); err != nil {
		t.Fatal(err)
	}
}

// listen listens for TCP connections in a namespace.
func listen(t *testing.T, namespace string, port uint16) net.Listener {
	t.Helper()
	var l net.Listener
	inside(t, namespace, func() (err error) {
		l, err = net.Listen("tcp", fmt.Sprintf(":%d", port))
		return err
	})
	t.Cleanup(func() { l.Close() })
	return l
}

// dial connects from a namespace. Everything that the connection does later
// ends at the deadline as well.
func dial(t *testing.T, namespace string, to netip.Addr, port uint16, wait time.Duration) (*net.TCPConn, error) {
	t.Helper()
	return dialFrom(t, namespace, 0, to, port, wait)
}

// dialFrom is dial from a given port, below the kernel's ephemeral ones.
func dialFrom(t *testing.T, namespace string, sport uint16, to netip.Addr, port uint16, wait time.Duration) (*net.TCPConn, error) {
	t.Helper()
	var c net.Conn
	err := dpdk.InNetns(namespace, func() (err error) {
		d := net.Dialer{Timeout: wait, LocalAddr: &net.TCPAddr{Port: int(sport)}}
		c, err = d.Dial("tcp", netip.AddrPortFrom(to, port).String())
		return err
	})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn), c.SetDeadline(time.Now().Add(deadline))
}

// listenUDP receives datagrams in a namespace, until the deadline.
func listenUDP(t *testing.T, namespace string, port uint16) net.PacketConn {
	t.Helper()
	var c net.PacketConn
	inside(t, namespace, func() (err error) {
		c, err = net.ListenPacket("udp", fmt.Sprintf(":%d", port))
		return err
	})
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(deadline)); err != nil {
		t.Fatal(err)
	}
	return c
}

// dialUDP sends datagrams from a namespace; port 0 is any.
func dialUDP(t *testing.T, namespace string, sport uint16, to netip.Addr, port uint16) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	inside(t, namespace, func() (err error) {
		c, err = net.DialUDP("udp", &net.UDPAddr{Port: int(sport)}, &net.UDPAddr{IP: to.AsSlice(), Port: int(port)})
		return err
	})
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(deadline)); err != nil {
		t.Fatal(err)
	}
	return c
}

// rawSocket sends and receives whole frames on a tap, as its guest.
type rawSocket int

func openRaw(t *testing.T, namespace, tap string) rawSocket {
	t.Helper()
	var fd int
	inside(t, namespace, func() error {
		link, err := netlink.LinkByName(tap)
		if err != nil {
			return err
		}
		const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // in network order
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all); err != nil {
			return err
		}
		err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: int64(deadline / time.Second)})
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Attrs().Index})
		}
		if err != nil {
			unix.Close(fd)
		}
		return err
	})
	t.Cleanup(func() { unix.Close(fd) })
	return rawSocket(fd)
}

func (s rawSocket) send(t *testing.T, frame []byte) {
	t.Helper()
	if _, err := unix.Write(int(s), frame); err != nil {
		t.Fatal(err)
	}
}

// receive returns the next frame that came from nitrod; the kernel shows what
// it sends itself as well.
func (s rawSocket) receive(t *testing.T) []byte {
	t.Helper()
	b := make([]byte, 1<<16)
	for {
		n, from, err := unix.Recvfrom(int(s), b, 0)
		if err != nil {
			t.Fatalf("no frame came: %v", err)
		}
		if l, ok := from.(*unix.SockaddrLinklayer); ok && l.Pkttype != unix.PACKET_OUTGOING {
			return b[:n]
		}
	}
}
