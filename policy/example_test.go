package policy_test

import (
	"fmt"
	"net/netip"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/policy"
)

// Two ENIs in one subnet: a server admits HTTP from whoever is in the clients'
// group, and nothing else.
func Example() {
	eni := func(id string, mac byte, addr string) policy.ENI {
		return policy.ENI{
			ID: id, Instance: "i-1", Subnet: "front", MAC: [6]byte{2, 0, 0, 0, 0, mac},
			Addresses: []netip.Addr{netip.MustParseAddr(addr)}, SecurityGroups: []string{id},
			SourceDestCheck: true, MTU: 9001, Queues: 1, TCPEstablished: 350, UDP: 30, UDPStream: 180,
		}
	}
	http := policy.Match{Protocol: policy.ProtoTCP, FromPort: 80, ToPort: 80}
	everywhere := netip.MustParsePrefix("0.0.0.0/0")
	s, err := policy.Compile(&policy.Objects{
		VPCs:      []policy.VPC{{ID: "vpc", CIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}}},
		Subnets:   []policy.Subnet{{ID: "front", VPC: "vpc", CIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.1.0/24")}}},
		Instances: []policy.Instance{{ID: "i-1"}},
		SecurityGroups: []policy.SecurityGroup{
			{ID: "client", VPC: "vpc", Outbound: []policy.SGRule{{Match: policy.Match{Protocol: policy.ProtoAll}, CIDR: everywhere}}},
			{ID: "server", VPC: "vpc", Inbound: []policy.SGRule{{ID: "http", Match: http, Group: "client"}}},
		},
		ENIs: []policy.ENI{eni("client", 1, "10.0.1.10"), eni("server", 2, "10.0.1.20")},
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	from, _ := s.ENIByID("client")
	for _, port := range []uint16{80, 22} {
		q := policy.Query{Key: hash.FlowKey{
			Src:  policy.KeyAddr(netip.MustParseAddr("10.0.1.10")),
			Dst:  policy.KeyAddr(netip.MustParseAddr("10.0.1.20")),
			Tail: hash.Tail(40000, port, from, policy.ProtoTCP, hash.KeyRouted),
		}}
		var trace policy.Trace
		d := s.Decide(&q, &trace)
		fmt.Printf("port %d: %v, %v\n", port, d.Verdict, trace.Steps[len(trace.Steps)-1].Text)
	}
	// Output:
	// port 80: forward, Rule http of security group server at ENI server admits tcp/80 from 10.0.1.10.
	// port 22: drop, No rule of the security groups of ENI server admits tcp/22 from 10.0.1.10.
}
