package idle

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nitrod/nitrod/internal/dpdk"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// side is one guest: a namespace, an interface in it, and the ENI that it is.
type side struct {
	namespace, link string
	mac             net.HardwareAddr
	ip, router      net.IP
}

// The two guests lie in two subnets, so that every packet crosses the router.
var sides = [2]side{
	{"nitrod-idle-a", "guest-a", net.HardwareAddr{2, 0, 0, 0, 3, 0x0a}, net.IPv4(10, 0, 1, 10).To4(), net.IPv4(10, 0, 1, 1).To4()},
	{"nitrod-idle-b", "guest-b", net.HardwareAddr{2, 0, 0, 0, 4, 0x0a}, net.IPv4(10, 0, 2, 10).To4(), net.IPv4(10, 0, 2, 1).To4()},
}

// device is a way to reach the guests.
type device interface {
	name() string
	prepare() error // before nitrod starts
	port(side int) string
	remove() error
}

// taps are made and configured by nitrod.
type taps struct{}

func (*taps) name() string   { return "net_tap" }
func (*taps) prepare() error { return nil }
func (*taps) remove() error  { return nil }
func (*taps) port(i int) string {
	s := &sides[i]
	return fmt.Sprintf("tap: {name: %s, namespace: %s, create_namespace: true, configure: true}", s.link, s.namespace)
}

// veths are pairs, of which net_af_packet has one end.
type veths struct {
	created []string // namespaces
}

func (*veths) name() string { return "net_af_packet" }

func host(i int) string { return fmt.Sprintf("nitrod-idle%d", i) }

func (*veths) port(i int) string {
	return fmt.Sprintf("device: \"net_af_packet%d,iface=%s\"", i, host(i))
}

func (v *veths) prepare() error {
	for i := range sides {
		if err := v.pair(i); err != nil {
			return errors.Join(fmt.Errorf("veth pair %s: %w", host(i), err), v.remove())
		}
	}
	return nil
}

// pair makes the pair of a side and configures its guest.
func (v *veths) pair(i int) error {
	s := &sides[i]
	made, err := dpdk.CreateNetns(s.namespace)
	if err != nil {
		return err
	}
	if made {
		v.created = append(v.created, s.namespace)
	}
	there, err := unix.Open(filepath.Join("/run/netns", s.namespace), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(there)
	err = netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: host(i)}, PeerName: s.link, PeerNamespace: netlink.NsFd(there), PeerHardwareAddr: s.mac,
	})
	if err != nil {
		return err
	}
	own, err := netlink.LinkByName(host(i))
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(own); err != nil {
		return err
	}
	return dpdk.InNetns(s.namespace, func() error {
		link, err := netlink.LinkByName(s.link)
		if err != nil {
			return err
		}
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: s.ip, Mask: net.CIDRMask(24, 32)}}
		if err := errors.Join(netlink.LinkSetUp(link), netlink.AddrReplace(link, addr)); err != nil {
			return err
		}
		return netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, Gw: s.router})
	})
}

// remove ends with the host's ends the pairs.
func (v *veths) remove() (err error) {
	for i := range sides {
		if link, lerr := netlink.LinkByName(host(i)); lerr == nil {
			err = errors.Join(err, netlink.LinkDel(link))
		}
	}
	for _, name := range v.created {
		path := filepath.Join("/run/netns", name)
		err = errors.Join(err, unix.Unmount(path, unix.MNT_DETACH), os.Remove(path))
	}
	v.created = nil
	return err
}

// configOf returns nitrod's configuration: two ENIs between which everything passes.
func configOf(cpu int, socket string, m mode, d device) string {
	var b strings.Builder
	fmt.Fprintf(&b, "host:\n  lcores: [%d]\n  polling: %s\n  control_socket: %s\n", cpu, m.polling, socket)
	if m.sleep != 0 {
		fmt.Fprintf(&b, "  idle_sleep: %dus\n", m.sleep/time.Microsecond)
	}
	b.WriteString(`vpcs:
  - {id: idle, cidrs: [10.0.0.0/16]}
subnets:
  - {id: a, vpc: idle, cidrs: [10.0.1.0/24], network_acl: all}
  - {id: b, vpc: idle, cidrs: [10.0.2.0/24], network_acl: all}
network_acls:
  - id: all
    vpc: idle
    inbound: [{rule: 100, action: allow, protocol: all, cidr: 0.0.0.0/0}]
    outbound: [{rule: 100, action: allow, protocol: all, cidr: 0.0.0.0/0}]
security_groups:
  - {id: all, vpc: idle, inbound: [{protocol: all, cidr: 0.0.0.0/0}]}
instances: [{id: a}, {id: b}]
enis:
`)
	for i, name := range []string{"a", "b"} {
		s := &sides[i]
		fmt.Fprintf(&b, "  - {id: %[1]s, instance: %[1]s, subnet: %[1]s, mac: \"%[2]s\", addresses: [%[3]s], security_groups: [all], port: {%[4]s}}\n", name, s.mac, s.ip, d.port(i))
	}
	return b.String()
}
