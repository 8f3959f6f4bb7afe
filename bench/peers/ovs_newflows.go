package peers

import (
	"context"
	"fmt"
	"time"
)

// maxOVSConnections is OVS's bound where there are more flows than frames: more
// than its rate can leave behind within the timeout and a sweep of its cleaner.
const maxOVSConnections = 32 << 20

// shortenTimeout gives the connections of zone 1 the timeout that nitrod has.
func (r *ovsRun) shortenTimeout(ctx context.Context) error {
	err := r.vsctl(ctx, "--", "--id=@dp", "create", "Datapath", "datapath_version=0",
		"--", "set", "Open_vSwitch", ".", "datapaths:netdev=@dp")
	if err != nil {
		return err
	}
	return r.vsctl(ctx, "add-zone-tp", "netdev", "zone=1", fmt.Sprintf("tcp_syn_sent=%.0f", newFlowTimeout.Seconds()))
}

// warmNew waits until packets flow, and then until as many connections expire
// as are opened.
func (r *ovsRun) warmNew(ctx context.Context) error {
	n := 0
	err := poll(ctx, 100*time.Millisecond, 30*time.Second, func() (bool, error) {
		if err := r.daemon.alive(); err != nil {
			return false, err
		}
		var err error
		n, err = r.connections(ctx)
		return n > 0, err
	})
	if err != nil {
		return fmt.Errorf("ovs: %d connections: %w", n, err)
	}
	return sleep(ctx, newFlowSettle)
}
