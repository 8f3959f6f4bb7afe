package dpdk

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// errTapInUse is returned for a tap that some process has open.
var errTapInUse = errors.New("it is in use by a process, this one or another")

// makeTap makes a persistent multi-queue tap in the thread's namespace, or takes
// over one that nobody uses. The kernel's interface gets the given MAC, which
// is the guest's, and the mark of this process. It reports whether the tap is
// new.
func makeTap(name string, mac net.HardwareAddr) (created bool, err error) {
	link, err := netlink.LinkByName(name)
	switch {
	case err == nil:
		if err := mayTakeOver(link); err != nil {
			return false, err
		}
	case errors.As(err, &netlink.LinkNotFoundError{}):
		created = true
	default:
		return false, err
	}
	err = attachTap(name)
	if !created && errors.Is(err, unix.EINVAL) {
		// It has one queue only, which cannot be changed.
		if err := netlink.LinkDel(link); err != nil {
			return false, fmt.Errorf("replacing a tap of one queue: %w", err)
		}
		created = true
		err = attachTap(name)
	}
	if err != nil {
		return false, err
	}
	if err := dressTap(name, mac); err != nil {
		if created {
			err = errors.Join(err, removeTap(name))
		}
		return false, err
	}
	return created, nil
}

func dressTap(name string, mac net.HardwareAddr) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetAlias(link, ownMark()); err != nil {
		return fmt.Errorf("marking it: %w", err)
	}
	if err := netlink.LinkSetHardwareAddr(link, mac); err != nil {
		return fmt.Errorf("setting the guest's MAC %s: %w", mac, err)
	}
	return nil
}

func mayTakeOver(link netlink.Link) error {
	if link.Type() != "tuntap" && link.Type() != "tun" {
		return fmt.Errorf("an interface of that name exists and is no tap but a %s", link.Type())
	}
	if hasCarrier(link) {
		return errTapInUse
	}
	return nil
}

// hasCarrier reports whether a process has a queue of the tap open; a tap that
// is down shows none.
func hasCarrier(link netlink.Link) bool {
	return link.Attrs().RawFlags&unix.IFF_LOWER_UP != 0
}

// attachTap creates the tap if need be, and makes it outlive its last user.
func attachTap(name string) error {
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("the tun driver: %w", err)
	}
	defer f.Close()
	req, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	// The flags that net_tap uses: the kernel wants the same from each queue.
	req.SetUint16(unix.IFF_TAP | unix.IFF_MULTI_QUEUE)
	if err := unix.IoctlIfreq(int(f.Fd()), unix.TUNSETIFF, req); err != nil {
		return fmt.Errorf("attaching to the tap: %w", err)
	}
	// A former user may have promised to complete checksums and to segment.
	if err := unix.IoctlSetInt(int(f.Fd()), unix.TUNSETOFFLOAD, 0); err != nil {
		return fmt.Errorf("turning its offloads off: %w", err)
	}
	if err := unix.IoctlSetInt(int(f.Fd()), unix.TUNSETPERSIST, 1); err != nil {
		return fmt.Errorf("making it persistent: %w", err)
	}
	return nil
}

// finishTap gives the kernel's interface its MTU and the length of its queues,
// and checks that the driver left the rest as it should be.
func finishTap(c *TapConfig) error {
	link, err := netlink.LinkByName(c.Name)
	if err != nil {
		return err
	}
	if link.Attrs().HardwareAddr.String() != c.MAC.String() {
		return fmt.Errorf("the driver changed its MAC from %s to %s", c.MAC, link.Attrs().HardwareAddr)
	}
	if err := netlink.LinkSetMTU(link, c.MTU); err != nil {
		return fmt.Errorf("setting its MTU to %d: %w", c.MTU, err)
	}
	if c.SendRing != 0 {
		if err := netlink.LinkSetTxQLen(link, c.SendRing); err != nil {
			return fmt.Errorf("setting the length of its queues to %d: %w", c.SendRing, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bringing it up: %w", err)
	}
	return nil
}

// removeTap deletes the interface from the thread's namespace; it is no error
// that there is none.
func removeTap(name string) error {
	link, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(link)
	}
	return err
}
