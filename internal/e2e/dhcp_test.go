package e2e

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
)

//go:embed testdata/dhcp-hook.sh
var dhcpHook []byte

// TestDHCP has real clients configure the guests, which must then reach each
// other.
func TestDHCP(t *testing.T) { onLcores(t, dhcp) }

func dhcp(t *testing.T, lcores int) {
	for _, client := range []string{"udhcpc", "dhclient"} {
		t.Run(client, func(t *testing.T) {
			need(t, client, "ping")
			if client == "dhclient" && confined(client) {
				t.Skip("this machine's AppArmor lets dhclient run no script but its own")
			}
			const mtu = 1400
			b := running(t, setting{Lcores: lcores, MTU: mtu})
			leases(t, client, b.Web, "web0")
			leases(t, client, b.App, "app0")
			configured(t, b.Web, "web0", "10.0.1.10/24", "10.0.1.1", mtu)
			configured(t, b.App, "app0", "10.0.2.10/24", "10.0.2.1", mtu)
			out := guest(t, b.Web, "ping", "-n", "-c", "2", "-i", "0.1", "-M", "do", "-s", fmt.Sprint(mtu-28), app4.String())
			if !strings.Contains(out, " 2 received") {
				t.Errorf("ping:\n%s", out)
			}
			s := b.quiet(t)
			// Each client sends DISCOVER and REQUEST.
			if s.Consumed < 4 || s.Originated < 4 || s.Drops["dhcp_malformed"] != 0 {
				t.Errorf("consumed %d, originated %d, drops %v", s.Consumed, s.Originated, s.Drops)
			}
		})
	}
}

// confined tells whether AppArmor has a profile for a program.
func confined(program string) bool {
	profiles, err := os.ReadFile("/sys/kernel/security/apparmor/profiles")
	return err == nil && strings.Contains(string(profiles), program)
}

// leases runs a client until it has a lease and has applied it.
func leases(t *testing.T, client, namespace, tap string) {
	t.Helper()
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	hook := file("hook", string(dhcpHook), 0o700)
	// Not what the lease says, so that it is the lease that sets it.
	guest(t, namespace, "ip", "link", "set", tap, "mtu", "1300")
	if client == "udhcpc" {
		guest(t, namespace, client, "-f", "-q", "-n", "-t", "20", "-i", tap, "-s", hook, "-O", "mtu")
		return
	}
	conf := file("conf", "request subnet-mask, routers, interface-mtu;\n", 0o600)
	pid := filepath.Join(dir, "pid")
	guest(t, namespace, client, "-4", "-1", "-cf", conf, "-lf", filepath.Join(dir, "leases"), "-pf", pid, "-sf", hook, tap)
	// It stays to renew the lease; -x ends it and keeps what it has set.
	guest(t, namespace, client, "-4", "-x", "-cf", conf, "-lf", filepath.Join(dir, "leases"), "-pf", pid, "-sf", hook, tap)
}

// configured checks what a lease has set.
func configured(t *testing.T, namespace, tap, address, router string, mtu int) {
	t.Helper()
	inside(t, namespace, func() error {
		link, err := netlink.LinkByName(tap)
		if err != nil {
			return err
		}
		if got := link.Attrs().MTU; got != mtu {
			t.Errorf("%s has MTU %d, want %d", tap, got, mtu)
		}
		addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
		if err != nil {
			return err
		}
		if len(addrs) != 1 || addrs[0].IPNet.String() != address {
			t.Errorf("%s has addresses %v, want %s", tap, addrs, address)
		}
		routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Dst: nil}, netlink.RT_FILTER_DST)
		if err != nil {
			return err
		}
		if len(routes) != 1 || routes[0].Gw.String() != router {
			t.Errorf("the default routes of %s are %v, want one by %s", namespace, routes, router)
		}
		return nil
	})
}
