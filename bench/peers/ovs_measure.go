package peers

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/nitrod/nitrod/bench/traffic"
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
	if r.setup.Spec.Kind.Bidirectional() {
		return samples, nil // replies make the flow established: nothing is committed twice
	}
	if samples[0].Mpps > samples[1].Mpps {
		if err := r.vsctl(ctx, "remove", "Open_vSwitch", ".", "other_config", "emc-insert-inv-prob"); err != nil {
			return nil, err
		}
	}
	if err := r.setFlows(ctx, true); err != nil {
		return nil, err
	}
	if err := sleep(ctx, 2*ovsSettle); err != nil {
		return nil, err
	}
	if err := take(VariantCommitOnce); err != nil {
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
	if n != r.setup.Spec.Flows {
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

// ovsFlows returns the bridge's rules in ovs-ofctl's syntax. Port 1 is side A,
// port 2 side B; what leaves towards a side bears its MAC and its router's.
func ovsFlows(s traffic.Spec, commitOnce bool) string {
	proto := "ip"
	if s.Kind == traffic.UDP6 {
		proto = "ipv6"
	}
	commit := "ct(commit,zone=1)"
	if commitOnce {
		commit = "ct(commit,zone=1,exec(set_field:1->ct_mark))"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "table=0,%s,actions=ct(table=1,zone=1)\n", proto)
	for _, hop := range []struct {
		in, out int
		to      traffic.Endpoint
	}{{1, 2, s.B}, {2, 1, s.A}} {
		forward := fmt.Sprintf("mod_dl_src:%s,mod_dl_dst:%s,dec_ttl,output:%d", hop.to.Router, hop.to.MAC, hop.out)
		match := fmt.Sprintf("table=1,%s,in_port=%d", proto, hop.in)
		fmt.Fprintf(&b, "%s,priority=10,ct_state=+trk+new,actions=%s,%s\n", match, commit, forward)
		fmt.Fprintf(&b, "%s,priority=10,ct_state=+trk+est,actions=%s\n", match, forward)
		if commitOnce {
			fmt.Fprintf(&b, "%s,priority=20,ct_state=+trk-inv,ct_mark=1,actions=%s\n", match, forward)
		}
	}
	return b.String()
}
