package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A packet without the hops to go on is answered by the router of its subnet, as
// traceroute shows it.
func TestRouterIsSeen(t *testing.T) {
	need(t, "ping")
	b := running(t, setting{Configure: true})
	for _, c := range []struct{ to, router, says string }{
		{app4.String(), "From 10.0.1.1 ", "Time to live exceeded"},
		{app6.String(), "From 2001:db8:0:101::1 ", "Time exceeded: Hop limit"},
	} {
		out, err := tryGuest(t, b.Web, "ping", "-n", "-c", "1", "-W", "5", "-t", "1", c.to)
		if err == nil || !strings.Contains(out, c.router) || !strings.Contains(out, c.says) {
			t.Errorf("ping -t 1 %s: %v\n%s", c.to, err, out)
		}
	}
	if s := b.quiet(t); s.Drops["ttl_expired"] < 2 || s.ICMPErrors != s.Drops["ttl_expired"] {
		t.Errorf("%d packets without hops, %d messages about them", s.Drops["ttl_expired"], s.ICMPErrors)
	}
}

// A kernel that asks for a router has a default route by it, and its MTU.
func TestRouterDiscovery(t *testing.T) {
	b := running(t, setting{MTU: 1400})
	conf := "/proc/sys/net/ipv6/conf/web0"
	guest(t, b.Web, "ip", "link", "set", "web0", "down", "mtu", "1500")
	guest(t, b.Web, "sh", "-c", "echo 2 > "+conf+"/accept_ra")
	guest(t, b.Web, "ip", "link", "set", "web0", "up")
	eventually(t, func() error {
		routes := guest(t, b.Web, "ip", "-6", "route", "show")
		for _, want := range []string{"default via fe80::", "proto ra", "2001:db8:0:101::/64 dev web0"} {
			if !strings.Contains(routes, want) {
				return fmt.Errorf("no %q in:\n%s", want, routes)
			}
		}
		if mtu := guest(t, b.Web, "cat", conf+"/mtu"); strings.TrimSpace(mtu) != "1400" {
			return errors.New("the MTU is " + mtu)
		}
		return nil
	})
	if addrs := guest(t, b.Web, "ip", "-6", "addr", "show", "dev", "web0", "scope", "global"); strings.Contains(addrs, "inet6") {
		t.Errorf("the guest made an address of its own:\n%s", addrs)
	}
}

// A real DHCPv6 client gets the ENI's address and the resolver's.
func TestDHCP6(t *testing.T) {
	need(t, "dhclient")
	if confined("dhclient") {
		t.Skip("this machine's AppArmor lets dhclient run no script but its own")
	}
	b := running(t, setting{})
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	lease := filepath.Join(dir, "lease")
	guest(t, b.Web, "ip", "link", "set", "web0", "up")
	eventually(t, func() error { // the client sends from the link-local address
		if out := guest(t, b.Web, "ip", "-6", "addr", "show", "dev", "web0", "scope", "link", "-tentative"); !strings.Contains(out, "fe80::") {
			return errors.New("there is no link-local address yet")
		}
		return nil
	})
	args := []string{"dhclient", "-6", "-1", "-v", "-cf", file("conf", "also request dhcp6.name-servers;\n"), "-lf", filepath.Join(dir, "leases"),
		"-pf", filepath.Join(dir, "pid"), "-sf", file("hook", "#!/bin/sh\n[ -z \"$new_ip6_address\" ] || env > "+lease+"\n")}
	guest(t, b.Web, append(args, "web0")...)
	env, err := os.ReadFile(lease)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"new_ip6_address=2001:db8:0:101::10\n", "new_dhcp6_name_servers=fd00:ec2::253\n", "new_max_life=86400\n"} {
		if !strings.Contains(string(env), want) {
			t.Errorf("the lease says nothing of %q:\n%s", want, env)
		}
	}
	guest(t, b.Web, append(args, "-r", "web0")...) // ends it and releases the lease
	if s := b.quiet(t); s.Drops["dhcp_malformed"] != 0 || s.Consumed < 3 {
		t.Errorf("consumed %d, drops %v", s.Consumed, s.Drops)
	}
}
