package wiring

import (
	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/pipeline"
	"github.com/nitrod/nitrod/policy"
)

// Port returns what port i of a file says to an engine: how deep the rings of its
// owner eni are, and which headers they take. Where the file has no such port, as
// in a scenario, it is as ENA has it by default. ENI, device and queues are left
// to the caller.
func Port(cfg *config.Config, i int, eni *policy.ENIRecord) pipeline.Port {
	c := config.Port{RxRing: 1024, TxRing: 512, LLQ: config.LLQWide}
	if i < len(cfg.Ports) && cfg.Ports[i].RxRing != 0 {
		c = cfg.Ports[i]
	}
	p := pipeline.Port{Depth: c.RxRing, SendDepth: c.TxRing}
	if !eni.Outside() {
		p.Headers = c.LLQ.Headers()
	}
	return p
}
