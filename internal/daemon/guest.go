//go:build cgo

package daemon

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/policy"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// configureGuest gives a tap's interface what its guest would learn by DHCP and
// router discovery: the ENI's addresses and a default route of each family.
func configureGuest(t *config.Tap, eni policy.ENIInfo) error {
	h, err := guestHandle(t.Namespace)
	if err != nil {
		return fmt.Errorf("tap %s: %w", t.Name, err)
	}
	defer h.Close()
	link, err := h.LinkByName(t.Name)
	if err != nil {
		return fmt.Errorf("tap %s: %w", t.Name, err)
	}
	for _, a := range eni.Addresses {
		bits := eni.Prefix4.Bits()
		if a.Is6() {
			bits = eni.Prefix6.Bits()
		}
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, a.BitLen())}}
		if a.Is6() {
			addr.Flags = unix.IFA_F_NODAD // the address is the ENI's alone by configuration
		}
		if err := h.AddrReplace(link, addr); err != nil {
			return fmt.Errorf("tap %s: address %s: %w", t.Name, a, err)
		}
	}
	for _, r := range []struct {
		router netip.Addr
		all    net.IPNet
	}{
		{eni.Router4, net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}},
		{eni.Router6, net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}},
	} {
		if !r.router.IsValid() {
			continue
		}
		route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: &r.all, Gw: r.router.AsSlice()}
		if err := h.RouteReplace(route); err != nil {
			return fmt.Errorf("tap %s: default route by %s: %w", t.Name, r.router, err)
		}
	}
	return nil
}

// guestHandle returns a netlink handle in a namespace given by name or path.
func guestHandle(name string) (*netlink.Handle, error) {
	if name == "" {
		return netlink.NewHandle()
	}
	ns, err := netns.GetFromName(name)
	if errors.Is(err, os.ErrNotExist) {
		ns, err = netns.GetFromPath(name)
	}
	if err != nil {
		return nil, fmt.Errorf("network namespace %s: %w", name, err)
	}
	defer ns.Close()
	return netlink.NewHandleAt(ns)
}
