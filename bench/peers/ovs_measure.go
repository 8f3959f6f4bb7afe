package peers

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The variants in which OVS is measured. The first two are the pipeline with
// ct(commit) for what is new; the better of them is OVS's figure.
const (
	VariantDefault = "default"
	VariantEMC0    = "emc-insert-inv-prob=0"
	// VariantCommitOnce commits a connection at its first packet only, told
	// apart by a connection mark. A UDP flow without replies stays "new" in
	// OVS, so the plain pipeline commits it again with every packet; this one
	// is what a careful user would write. It is reported beside the figure.
	VariantCommitOnce = "commit once"
	// VariantRulesFirst asks the rules before ct and commits what they admit in
	// the same pass, with one look at the connections instead of two. It is
	// weaker: what a rule admits is no longer held to the state of its
	// connection. It is reported beside the figure for new connections.
	VariantRulesFirst = "rules first"
)

// ovsSettle is how long OVS runs after a change of configuration before it is
// measured: the revalidators must have taken the change to every datapath
// flow, which they do at least twice a second.
const ovsSettle = time.Second

// Measure implements Run, once for each variant.
func (r *ovsRun) Measure(ctx context.Context, d time.Duration) ([]Sample, error) {
	var samples []Sample
	take := func(variant string) error {
		s, err := r.rate(ctx, d)
		if err != nil {
			return err
		}
		s.Variant = variant
		samples = append(samples, s)
		return nil
	}

	if err := take(VariantDefault); err != nil {
		return nil, err
	}
	if err := r.vsctl(ctx, "set", "Open_vSwitch", ".", "other_config:emc-insert-inv-prob=0"); err != nil {
		return nil, err
	}
	if err := sleep(ctx, ovsSettle); err != nil {
		return nil, err
	}
	if err := take(VariantEMC0); err != nil {
		return nil, err
	}
	other := VariantCommitOnce
	switch {
	case r.setup.Spec.Kind.Bidirectional():
		return samples, nil // replies make the flow established: nothing is committed twice
	case r.setup.endless():
		other = VariantRulesFirst
	}
	if samples[0].Mpps > samples[1].Mpps {
		if err := r.vsctl(ctx, "remove", "Open_vSwitch", ".", "other_config", "emc-insert-inv-prob"); err != nil {
			return nil, err
		}
	}
	if err := r.setFlows(ctx, other); err != nil {
		return nil, err
	}
	if err := sleep(ctx, 2*ovsSettle); err != nil {
		return nil, err
	}
	if err := take(other); err != nil {
		return nil, err
	}
	return samples, nil
}

// rate measures what the two ports are given in d.
func (r *ovsRun) rate(ctx context.Context, d time.Duration) (Sample, error) {
	first, err := r.counters(ctx)
	if err != nil {
		return Sample{}, err
	}
	if err := sleep(ctx, d); err != nil {
		return Sample{}, err
	}
	last, err := r.counters(ctx)
	if err != nil {
		return Sample{}, err
	}
	n, err := r.connections(ctx)
	if err != nil {
		return Sample{}, err
	}
	tx, rx := last.tx-first.tx, last.rx-first.rx
	s := Sample{Mpps: float64(tx) / last.at.Sub(first.at).Seconds() / 1e6}
	if r.setup.endless() {
		s.Connections = n
		s.checkNew("ovs")
	} else if n != r.setup.Spec.Flows {
		s.Flags = append(s.Flags, fmt.Sprintf("ovs tracks %d connections for %d flows", n, r.setup.Spec.Flows))
	}
	if lost := float64(rx) - float64(tx); lost > 0.01*float64(rx) {
		s.Flags = append(s.Flags, fmt.Sprintf("ovs lost %.1f %% of what it received", 100*lost/float64(rx)))
	}
	return s, nil
}

type ovsCounters struct {
	at     time.Time
	rx, tx uint64
}

func (r *ovsRun) counters(ctx context.Context) (ovsCounters, error) {
	before := time.Now()
	out, err := r.appctl(ctx, "dpctl/show", "-s", "netdev@ovs-netdev")
	if err != nil {
		return ovsCounters{}, err
	}
	c, err := parseDpctlShow(out)
	c.at = before.Add(time.Since(before) / 2) // the counters were read somewhere in between
	return c, err
}

var (
	dpctlPort = regexp.MustCompile(`^\s*port \d+: \S+(?: \((\S+?)[:)])?`)
	dpctlRx   = regexp.MustCompile(`^\s*RX packets:(\d+)`)
	dpctlTx   = regexp.MustCompile(`^\s*TX packets:(\d+)`)
)

// parseDpctlShow adds up what the DPDK ports of "dpctl/show -s" have received
// and sent; the bridge's own taps do not count.
func parseDpctlShow(text string) (ovsCounters, error) {
	var c ovsCounters
	dpdk, ports := false, 0
	for line := range strings.Lines(text) {
		if m := dpctlPort.FindStringSubmatch(line); m != nil {
			dpdk = m[1] == "dpdk"
			if dpdk {
				ports++
			}
			continue
		}
		if !dpdk {
			continue
		}
		for re, sum := range map[*regexp.Regexp]*uint64{dpctlRx: &c.rx, dpctlTx: &c.tx} {
			if m := re.FindStringSubmatch(line); m != nil {
				n, err := strconv.ParseUint(m[1], 10, 64)
				if err != nil {
					return ovsCounters{}, fmt.Errorf("ovs: %w", err)
				}
				*sum += n
			}
		}
	}
	if ports == 0 {
		return ovsCounters{}, fmt.Errorf("ovs: no dpdk port in %q", text)
	}
	return c, nil
}
