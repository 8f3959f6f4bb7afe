package config

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// lines is a difference as text, with the lines of the new file.
func lines(cs []Change) []string {
	out := []string{}
	for i := range cs {
		text := fmt.Sprintf("%d %s", cs[i].Pos.Line, cs[i].String())
		if cs[i].Restart {
			text += " (restart)"
		}
		out = append(out, text)
	}
	return out
}

const diffBefore = `
host: {burst: 32, lcores: [0], idle_sleep: 100us}
conntrack: {icmp: 30s}
vpcs: [{id: v, cidrs: [10.0.0.0/16]}]
subnets:
  - {id: s, vpc: v, cidrs: [10.0.1.0/24]}
  - {id: gone, vpc: v, cidrs: [10.0.2.0/24]}
route_tables:
  - {id: t, vpc: v, main: true, routes: [{destination: 0.0.0.0/0, target: blackhole}, {destination: 192.0.2.0/24, target: "gateway:g"}]}
network_acls:
  - {id: a, vpc: v, inbound: [{rule: 1, action: allow, protocol: tcp, ports: 80, cidr: 0.0.0.0/0}, {rule: 2, action: deny, protocol: all, cidr: 10.0.0.0/8}]}
security_groups:
  - id: g
    vpc: v
    inbound:
      - {id: http, protocol: tcp, ports: 80, group: g}
      - {protocol: udp, ports: 53, cidr: 10.0.0.0/8}
      - {protocol: icmp, cidr: 10.0.0.0/8, icmp: {type: all}}
instances: [{id: i}]
enis:
  - {id: e, instance: i, subnet: s, mac: "02:00:00:00:00:01", addresses: [10.0.1.10, 10.0.1.11], security_groups: [g], tcp_established_timeout: 5d, port: {device: net_null0}}
`

func TestDiff(t *testing.T) {
	after := strings.NewReplacer(
		"burst: 32", "burst: 64", "lcores: [0]", "lcores: 1", "idle_sleep: 100us, ", "", "icmp: 30s", "icmp: 50m",
		"  - {id: gone, vpc: v, cidrs: [10.0.2.0/24]}", "  - {id: new, vpc: v, cidrs: [10.0.3.0/24]}",
		"target: blackhole", "target: local", "{destination: 192.0.2.0/24, target: \"gateway:g\"}", "{destination: 192.0.3.0/24, target: \"eni:e\"}",
		"protocol: tcp, ports: 80, cidr: 0.0.0.0/0", "protocol: icmp, cidr: 0.0.0.0/0, icmp: {type: 8}",
		"{rule: 2, action: deny", "{rule: 3, action: deny",
		"ports: 80, group: g", "ports: 80-90, group: g",
		"ports: 53", "ports: all",
		"icmp: {type: all}", "icmp: {}",
		"    vpc: v\n    inbound", "    vpc: v\n    outbound: [{protocol: all, cidr: 0.0.0.0/0}]\n    inbound",
		"5d", "120h", "[10.0.1.10, 10.0.1.11]", "[10.0.1.11, 10.0.1.10]", "00:01", "00:02", "security_groups: [g]", "security_groups: [g], queues: 2",
		"net_null0}}", "net_null0}}\n  - {id: f, instance: i, subnet: s, mac: \"02:00:00:00:00:03\", addresses: [10.0.1.12], security_groups: [g], port: {device: net_null1}}",
	).Replace(diffBefore)
	got := lines(Diff(mustParse(t, diffBefore), mustParse(t, after)))
	want := []string{
		`0 host, lcores: [0] -> 1 (restart)`,
		`0 host, burst: 32 -> 64 (restart)`,
		`0 conntrack, icmp: 30s -> 50m (restart)`,
		`7 subnet "new" added`,
		`7 subnet "gone" removed`,
		`9 route table "t", route to 0.0.0.0/0, target: blackhole -> local`,
		`9 route table "t", route added: {destination: 192.0.3.0/24, target: eni:e}`,
		`9 route table "t", route removed: {destination: 192.0.2.0/24, target: gateway:g}`,
		`11 network ACL "a", inbound rule 1, protocol: tcp -> icmp`,
		`11 network ACL "a", inbound rule 1, ports: 80 -> none`,
		`11 network ACL "a", inbound rule 1, icmp added: {type: 8}`,
		`11 network ACL "a", inbound rule added: {rule: 3, action: deny, protocol: all, cidr: 10.0.0.0/8}`,
		`11 network ACL "a", inbound rule removed: {rule: 2, action: deny, protocol: all, cidr: 10.0.0.0/8}`,
		`17 security group "g", inbound rule "http", ports: 80 -> 80-90`,
		`18 security group "g", inbound rule added: {protocol: udp, ports: all, cidr: 10.0.0.0/8}`,
		`17 security group "g", inbound rule removed: {protocol: udp, ports: 53, cidr: 10.0.0.0/8}`,
		`13 security group "g", outbound rule removed: {protocol: all, cidr: ::/0}`,
		`22 ENI "e", mac: 02:00:00:00:00:01 -> 02:00:00:00:00:02`,
		`22 ENI "e", order of addresses: 10.0.1.10, 10.0.1.11 -> 10.0.1.11, 10.0.1.10`,
		`22 ENI "e", queues: 1 -> 2 (restart)`,
		`22 ENI "e", port, rx_queues: 1 -> 2 (restart)`,
		`22 ENI "e", port, tx_queues: 1 -> 2 (restart)`,
		`23 ENI "f" added (restart)`,
	}
	// A rule without an id is known by all that it says, so that a change makes
	// it another one. What was removed has its position in the old file.
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the difference (-want +got):\n%s", diff)
	}
}

func TestDiffOfTheSame(t *testing.T) {
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	a, b := mustParse(t, string(text)), mustParse(t, "# moved by a line\n"+string(text))
	if cs := Diff(a, b); len(cs) != 0 {
		t.Errorf("a file differs from itself: %v", lines(cs))
	}
}

// Every key of the schema that a file changes is reported, by its own name.
func TestDiffSeesEveryKey(t *testing.T) {
	x := newDecoder("")
	var walk func(typ reflect.Type, path []int)
	walk = func(typ reflect.Type, path []int) {
		for _, f := range x.fieldsOf(typ) {
			at := append(append([]int(nil), path...), f.index)
			if f.codec == nil && !f.isList && f.typ.Kind() == reflect.Struct {
				walk(f.typ, at)
				continue
			}
			if f.codec == nil || f.isList {
				continue
			}
			old, new := &Config{}, &Config{}
			v := reflect.ValueOf(&new.doc).Elem().FieldByIndex(at)
			switch v.Kind() {
			case reflect.String:
				v.SetString("another")
			case reflect.Int, reflect.Int64:
				v.SetInt(v.Int() + 1)
			case reflect.Bool:
				v.SetBool(true)
			default:
				reflect.ValueOf(&new.doc).Elem().FieldByIndex(at).Field(0).SetInt(9)
			}
			cs := Diff(old, new)
			if len(cs) != 1 || cs[0].Key != f.key || cs[0].What != Changed || !cs[0].Restart {
				t.Errorf("%s: %v", f.key, lines(cs))
			}
		}
	}
	walk(reflect.TypeFor[document](), nil)
}
