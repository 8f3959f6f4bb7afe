package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nitrod/nitrod/hash"
)

// The host's rules come in the order of their locations, and a change of one needs
// a restart.
func TestLcoreSteering(t *testing.T) {
	text := func(lcore string) string {
		return `
host:
  lcores: 2
  steering:
    - {location: 9, type: ip6, source: "2001:db8::/32", lcore: ` + lcore + `}
    - {location: 3, type: udp4, destination: 10.0.0.1/255.0.0.255, destination_port: 0x1000/0xf000, lcore: 1}
`
	}
	old, next := mustParse(t, text("0")), mustParse(t, text("1"))
	want := []hash.SteerRule{
		{
			Location: 3, Queue: 1, Type: hash.FlowIPv4UDP, Dst: hash.Addr{Lo: 0x0a000001}, DstMask: hash.Addr{Lo: 0xff0000ff},
			DstPort: 0x1000, DstPortMask: 0xf000,
		},
		{Location: 9, Type: hash.FlowIPv6, Src: hash.Addr{Hi: 0x20010db8 << 32}, SrcMask: hash.Addr{Hi: 0xffffffff << 32}},
	}
	if diff := cmp.Diff(want, old.LcoreSteering); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	changes := Diff(old, next)
	if len(changes) != 1 || !changes[0].Restart || changes[0].Key != "steering rule at location 9, lcore" {
		t.Errorf("the change is told as %+v", changes)
	}
}
