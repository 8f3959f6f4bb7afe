//go:build !cgo

package daemon

import (
	"context"
	"errors"

	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/policy"
)

// Run says why it carries no packets.
func Run(context.Context, *config.Config, *policy.Snapshot, Options) error {
	return errors.New("this nitrod was built without DPDK and carries no packets; build it with CGO_ENABLED=1 where DPDK is installed")
}
