package wiring

import (
	"errors"

	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/internal/simport"
	"github.com/nitrod/nitrod/pipeline"
	"github.com/nitrod/nitrod/policy"
)

// Offline makes an engine of one lcore for a configuration, between ports in
// memory that carry nothing: to be asked what it would do. It needs neither
// DPDK nor root. Its tables are small and empty, and its hash keys its own, so
// that it picks other queues and shards than a daemon does. free gives it back.
func Offline(cfg *config.Config, snap *policy.Snapshot) (e *pipeline.Engine, free func() error, err error) {
	const table, depth = 1024, 2
	c := EngineConfig(cfg)
	c.Flows, c.Sessions, c.SlowPathQueue, c.Clock = table, table, 1, pipeline.NewMonotonicClock()
	pool := simport.NewPool(1, simport.DefaultSlotSize)
	var ports []*simport.Port
	var attached []pipeline.Port
	var queues []simport.Queue
	for i := range snap.ENIs {
		if snap.ENIs[i].Dead() {
			continue
		}
		n := int(snap.ENIs[i].Queues)
		p := simport.NewPort(pool, simport.PortConfig{RxQueues: n, TxQueues: n, RxDepth: 1, TxDepth: 1})
		ports = append(ports, p)
		port := Port(cfg, i, &snap.ENIs[i])
		port.ENI, port.Port, port.Queues, port.Depth = uint16(i), p.ID(), n, depth
		attached = append(attached, port)
		for q := range n {
			queues = append(queues, simport.Queue{Port: p, Queue: q})
		}
	}
	if e, err = pipeline.New(c, snap, attached, []pktio.IO{simport.NewIO(pool, queues)}); err != nil {
		pool.Close()
		return nil, nil, err
	}
	return e, func() error {
		e.Drain()
		for _, p := range ports {
			p.Discard()
		}
		err := e.Free()
		if n := pool.InUse(); n != 0 {
			err = errors.Join(err, errors.New("wiring: packets were never given back"))
		}
		pool.Close()
		return err
	}, nil
}
