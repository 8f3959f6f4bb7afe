package wiring

import (
	"slices"
	"testing"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/config"
)

const queuesFile = `
vpcs: [{id: v, cidrs: [10.0.0.0/16]}]
subnets: [{id: s, vpc: v, cidrs: [10.0.1.0/24]}]
security_groups: [{id: g, vpc: v}]
instances:
  - id: i
    vcpus: 2
    steering:
      - {location: 1, eni: a, type: udp4, source: 10.0.1.7/255.0.255.0, destination_port: 0x1000/0xf000, tos: 0x20/0xfc, queue: 2}
      - {location: 0, eni: b, type: ip6, destination: "2001:db8::/32", queue: 0}
enis:
  - {id: a, instance: i, subnet: s, mac: "02:00:00:00:00:01", addresses: [10.0.1.10], security_groups: [g], queues: 4, port: {device: net_null0}, rss: {mode: ena_fixed, table_size: 8, weights: [1, 0, 2, 1]}}
  - {id: b, instance: i, subnet: s, mac: "02:00:00:00:00:02", addresses: [10.0.1.11], security_groups: [g], port: {device: net_null1}, rss: {function: crc32}}
  - {id: c, instance: i, subnet: s, mac: "02:00:00:00:00:03", addresses: [10.0.1.12], security_groups: [g], port: {device: net_null2}}
`

// What a file says of queues is what the engine begins with.
func TestQueuesOfFile(t *testing.T) {
	cfg, err := config.Parse("queues.yaml", []byte(queuesFile), []int{0, 1})
	if err != nil {
		t.Fatal(err)
	}
	r := receiveOf(&cfg.Objects)
	a, b := r.RSS["a"], r.RSS["b"]
	if got, want := a.Table.Entries(), []uint16{0, 0, 2, 2, 2, 2, 3, 3}; !slices.Equal(got, want) || a.Mode != hash.ModeENAFixed || a.CRC32 {
		t.Errorf("a spreads by %+v with table %v, want mode ena_fixed with %v", a, got, want)
	}
	if !b.CRC32 || b.Table.Len() != 128 {
		t.Errorf("b spreads by %+v, want CRC32 over 128 entries", b)
	}
	if _, given := r.RSS["c"]; given || r.Steering["i"] != 2 || len(r.Rules) != 2 {
		t.Fatalf("c has its own spread (%v), the table of i has %d places, %d rules", given, r.Steering["i"], len(r.Rules))
	}
	want := hash.SteerRule{
		Location: 1, Queue: 2, Type: hash.FlowIPv4UDP,
		Src: hash.Addr{Lo: 0x0a000107}, SrcMask: hash.Addr{Lo: 0xff00ff00},
		DstPort: 0x1000, DstPortMask: 0xf000, TrafficClass: 0x20, TrafficMask: 0xfc,
	}
	if got := r.Rules[0]; got.ENI != "a" || got.Rule != want {
		t.Errorf("the first rule is %+v, want %+v", got, want)
	}
	six := hash.SteerRule{Type: hash.FlowIPv6, Dst: hash.Addr{Hi: 0x20010db8 << 32}, DstMask: hash.Addr{Hi: 0xffffffff << 32}}
	if got := r.Rules[1]; got.ENI != "b" || got.Rule != six {
		t.Errorf("the second rule is %+v, want %+v", got, six)
	}
}
