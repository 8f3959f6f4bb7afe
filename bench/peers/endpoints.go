package peers

import (
	"fmt"
	"net"

	"github.com/nitrod/nitrod/bench/traffic"
	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/policy"
)

// Endpoints returns the two sides of the benchmark's traffic. The routers'
// MACs are what nitrod makes of the configuration, so the same code is asked.
func Endpoints() (a, b traffic.Endpoint, err error) {
	s := Setup{Spec: traffic.Spec{Kind: traffic.UDP4, Flows: 1}}
	cfg, err := config.Parse("bench", []byte(NitrodConfig(s, "/run/bench.sock")), []int{s.CPU, s.CPU + 1})
	if err != nil {
		return a, b, fmt.Errorf("bench's own configuration: %w", err)
	}
	snap, err := policy.Compile(&cfg.Objects, nil)
	if err != nil {
		return a, b, fmt.Errorf("bench's own configuration: %w", err)
	}
	router := func(id string) (net.HardwareAddr, error) {
		i, ok := snap.ENIByID(id)
		if !ok {
			return nil, fmt.Errorf("bench's own configuration: no ENI %s", id)
		}
		mac := snap.ENIs[i].RouterMAC
		return net.HardwareAddr(mac[:]), nil
	}
	routerA, err := router("eni-a")
	if err != nil {
		return a, b, err
	}
	routerB, err := router("eni-b")
	if err != nil {
		return a, b, err
	}
	a = traffic.Endpoint{MAC: macA, Router: routerA, IPv4: ipv4A, IPv6: ipv6A}
	b = traffic.Endpoint{MAC: macB, Router: routerB, IPv4: ipv4B, IPv6: ipv6B}
	return a, b, nil
}
