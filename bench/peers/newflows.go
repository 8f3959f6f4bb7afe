package peers

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/nitrod/nitrod/bench/traffic"
)

// newFlowTimeout is how long a connection of which only a SYN was seen may be
// idle, in every data plane: the shortest that nitrod takes. At a steady rate
// as many connections expire as are opened.
const newFlowTimeout = time.Second

// newFlowSettle is how long a data plane runs before its table of connections
// is looked at: three timeouts, after which expiry keeps up or never will.
const newFlowSettle = 3 * newFlowTimeout

// The share of nitrod's session table that is in use while new connections are
// measured. Where the rate is so far from the expected one that it lies
// outside, nitrod is started once more with another size.
const leastFill, mostFill = 0.40, 0.60

// firstSessions is the size of nitrod's session table at the first start. Its
// lcore goes round the table once a second, so that a session lives one and a
// half timeouts on average.
const firstSessions = 4 << 20

// protocol is the transport of the setup's frames, as rules name it.
func (s Setup) protocol() string {
	switch s.Spec.Kind {
	case traffic.TCP4, traffic.NewTCP4:
		return "tcp"
	}
	return "udp"
}

// startHalfFull starts nitrod with a session table of which about half is in
// use at the rate that it reaches.
func (n Nitrod) startHalfFull(ctx context.Context, s Setup) (*NitrodRun, error) {
	s.Sessions = firstSessions
	for again := true; ; again = false {
		r, err := n.start(ctx, s)
		if err != nil {
			return nil, err
		}
		stats, err := r.Stats(ctx)
		if err != nil {
			r.Stop()
			return nil, err
		}
		live := int(stats.live())
		if fill := float64(live) / float64(s.Sessions); !again || fill >= leastFill && fill <= mostFill {
			return r, nil
		}
		r.Stop()
		s.Sessions = max(2*live, 1024)
		if n.Memory != nil {
			if err := n.Memory(s); err != nil {
				return nil, err
			}
		}
	}
}

// warmNew waits until packets flow, and then until as many connections expire
// as are opened.
func (r *NitrodRun) warmNew(ctx context.Context) error {
	var last Stats
	err := poll(ctx, 100*time.Millisecond, time.Minute, func() (bool, error) {
		if err := r.p.alive(); err != nil {
			return false, err
		}
		if _, err := os.Stat(r.socket); err != nil {
			return false, nil // not there yet
		}
		var err error
		last, err = r.Stats(ctx)
		return last.Tx > 0, err
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("nitrod has received %d, sent %d, dropped %v: %w: %s", last.Rx, last.Tx, last.Drops, err, r.p.out.tail(600))
	}
	if err != nil {
		return err
	}
	return sleep(ctx, newFlowSettle)
}

// live is the number of tracked connections, 0 for a daemon that does not say.
func (s Stats) live() uint64 {
	if s.Sessions == nil {
		return 0
	}
	return *s.Sessions
}

// ofNewFlows completes the sample of a run in which every packet opens a
// connection.
func (s Setup) ofNewFlows(sample *Sample, first, last Stats) {
	sample.Connections, sample.Capacity = int(last.live()), s.Sessions
	sample.checkNew("nitrod")
	if tx, begun := last.Tx-first.Tx, last.Begun-first.Begun; float64(begun) < 0.99*float64(tx) {
		sample.Flags = append(sample.Flags, fmt.Sprintf("nitrod sent %d packets and began %d sessions", tx, begun))
	}
}

// checkNew flags a sample with fewer connections than its rate must leave
// behind if every packet opened one.
func (s *Sample) checkNew(peer string) {
	if least := 0.8 * s.Mpps * 1e6 * newFlowTimeout.Seconds(); float64(s.Connections) < least {
		s.Flags = append(s.Flags, fmt.Sprintf("%s tracks %d connections at %.2f million new ones a second: not every packet opens one", peer, s.Connections, s.Mpps))
	}
}
