package wiring

import (
	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/internal/rebalance"
)

// Rebalance returns what a file says about balancing the queues of an ENI.
func Rebalance(c *config.Rebalance) rebalance.Settings {
	return rebalance.Settings{
		Mode: rebalance.Mode(c.Mode), Interval: c.Interval, Threshold: float64(c.Threshold),
		Patience: c.Intervals, Pause: c.Pause, MinRate: uint64(c.MinRate),
	}
}
