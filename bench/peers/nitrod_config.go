package peers

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// The addresses of the two ENIs. They lie in two subnets, so that every packet
// crosses the router: MACs are rewritten, the TTL is lowered, and both halves
// of the flow are judged.
var (
	macA  = net.HardwareAddr{0x02, 0x00, 0x00, 0x00, 0x01, 0x0a}
	macB  = net.HardwareAddr{0x02, 0x00, 0x00, 0x00, 0x02, 0x0a}
	ipv4A = netip.MustParseAddr("10.0.1.10")
	ipv4B = netip.MustParseAddr("10.0.2.10")
	ipv6A = netip.MustParseAddr("2001:db8:0:1::10")
	ipv6B = netip.MustParseAddr("2001:db8:0:2::10")
)

// NitrodConfig returns nitrod's configuration for a setup.
func NitrodConfig(s Setup, socket string) string {
	hugepages := "on"
	if s.NoHuge {
		hugepages = "off"
	}
	dev := s.Devices()
	entries := s.tableEntries()
	eal, flowIdle, slowPath, synSent := "", "", "", ""
	if args := s.ealArgs(); args != nil {
		eal = fmt.Sprintf("  eal: [%s]\n", strings.Join(args, ", "))
	}
	if s.endless() {
		flowIdle = fmt.Sprintf("  flow_idle: %s\n", newFlowTimeout)
		slowPath = "slow_path:\n  budget: 64\n"
		synSent = fmt.Sprintf("  tcp_syn_sent: %s\n", newFlowTimeout)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `host:
  lcores: [%d]
  memory: %dMiB
  hugepages: %s
  mbufs: %d
  data_room: 2KiB
  polling: busy
  control_socket: %s
%stables:
%s  flows: %d
  sessions: %d
%sconntrack:
  tcp_midstream: pickup
%svpcs:
  - id: vpc-bench
    cidrs: [10.0.0.0/16, "2001:db8::/56"]
subnets:
  - {id: subnet-a, vpc: vpc-bench, cidrs: [10.0.1.0/24, "2001:db8:0:1::/64"], network_acl: acl-bench}
  - {id: subnet-b, vpc: vpc-bench, cidrs: [10.0.2.0/24, "2001:db8:0:2::/64"], network_acl: acl-bench}
network_acls:
  - id: acl-bench
    vpc: vpc-bench
    inbound:
      - {rule: 90, action: deny, protocol: tcp, ports: 23, cidr: 0.0.0.0/0}
      - {rule: 100, action: allow, protocol: all, cidr: 0.0.0.0/0}
      - {rule: 110, action: allow, protocol: all, cidr: "::/0"}
    outbound:
      - {rule: 90, action: deny, protocol: tcp, ports: 23, cidr: 0.0.0.0/0}
      - {rule: 100, action: allow, protocol: all, cidr: 0.0.0.0/0}
      - {rule: 110, action: allow, protocol: all, cidr: "::/0"}
security_groups:
`, s.CPU, s.MemoryMB(), hugepages, s.Mbufs(), socket, eal, flowIdle, entries, entries/2, slowPath, synSent)
	b.WriteString(nitrodGroups(s))
	var features Features
	if s.Features != nil {
		features = *s.Features
		b.WriteString(features.measuring())
	}
	b.WriteString("instances:\n")
	for _, side := range []string{"a", "b"} {
		fmt.Fprintf(&b, "  - id: i-%s\n%s", side, features.instanceLimits())
	}
	b.WriteString("enis:\n")
	for i, e := range []struct {
		side string
		mac  net.HardwareAddr
		ip   [2]netip.Addr
	}{{"a", macA, [2]netip.Addr{ipv4A, ipv6A}}, {"b", macB, [2]netip.Addr{ipv4B, ipv6B}}} {
		fmt.Fprintf(&b, `  - id: eni-%[1]s
    instance: i-%[1]s
    subnet: subnet-%[1]s
    mac: %[2]s
    addresses: [%[3]s, "%[4]s"]
    security_groups: [sg-%[1]s]
    port:
      device: "%[5]s"
%[6]s`, e.side, e.mac, e.ip[0], e.ip[1], dev[i], features.eniLimits())
	}
	return b.String()
}

// nitrodGroups returns the security groups of the two sides.
func nitrodGroups(s Setup) string {
	var b strings.Builder
	for _, side := range []string{"a", "b"} {
		peer := map[string]string{"a": "b", "b": "a"}[side]
		some := fmt.Sprintf(`      - {protocol: udp, ports: 1024-65535, group: sg-%[1]s}
      - {protocol: tcp, ports: 1024-65535, group: sg-%[1]s}
`, peer)
		in, out := some, some
		if s.Rules.N != 0 && side == "a" {
			out = s.Rules.nitrodRules(s.protocol(), ipv4B)
		} else if s.Rules.N != 0 {
			in = s.Rules.nitrodRules(s.protocol(), ipv4A)
		}
		fmt.Fprintf(&b, "  - id: sg-%s\n    vpc: vpc-bench\n    inbound:\n%s    outbound:\n%s", side, in, out)
	}
	return b.String()
}

func nextPow2(n int) int {
	p := 1
	for p < n {
		p <<= 1
	}
	return p
}
