//go:build cgo

package daemon

import (
	"sync"

	"github.com/nitrod/nitrod/internal/rebalance"
	"github.com/nitrod/nitrod/internal/wiring"
)

// startBalancer begins to balance the receive queues of the ENIs, as the file says
// of each.
func (d *daemon) startBalancer() error {
	d.balancer = rebalance.New(d.engine)
	for i := range d.cfg.Rebalance {
		if err := d.balancer.Set(d.cfg.Objects.ENIs[i].ID, wiring.Rebalance(&d.cfg.Rebalance[i])); err != nil {
			return err
		}
	}
	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { d.balancer.Run(stop) })
	d.later(func() error {
		close(stop)
		running.Wait()
		return nil
	})
	return nil
}

// Balancer implements control.Host.
func (d *daemon) Balancer() *rebalance.Balancer { return d.balancer }
