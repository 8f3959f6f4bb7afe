package peers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// OVS is Open vSwitch's userspace datapath with a conntrack pipeline: table 0
// sends every packet through ct, table 1 commits what is new and rewrites
// MACs and TTL, as a router between two subnets does.
//
// It has a database, a control socket and a network namespace of its own (its
// bridge makes tap interfaces), so it neither sees nor disturbs a switch that
// the machine already runs.
type OVS struct{}

// MaxOVSFlows is the most flows OVS is measured with: its mempools stop at
// 262,144 mbufs, of which net_pcap keeps one for each frame.
const MaxOVSFlows = 200_000

const ovsSchema = "/usr/share/openvswitch/vswitch.ovsschema"

// vswitchd returns the daemon that is built with DPDK. Debian and Ubuntu
// install it beside the plain one.
func vswitchd() (string, error) {
	const packaged = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
	if _, err := os.Stat(packaged); err == nil {
		return packaged, nil
	}
	return "", fmt.Errorf("openvswitch-switch-dpdk is not installed (%s)", packaged)
}

// Name implements Peer.
func (OVS) Name() string { return "ovs_ct" }

// Missing implements Peer.
func (OVS) Missing() string {
	if _, err := vswitchd(); err != nil {
		return err.Error()
	}
	for _, tool := range []string{"ovsdb-server", "ovsdb-tool", "ovs-vsctl", "ovs-ofctl", "ovs-appctl"} {
		if _, err := exec.LookPath(tool); err != nil {
			return tool + " is not installed"
		}
	}
	if _, err := os.Stat(ovsSchema); err != nil {
		return ovsSchema + " is not there"
	}
	return ""
}

// Unfit implements Peer.
func (OVS) Unfit(s Setup) string {
	if n := s.frames(); n > MaxOVSFlows {
		return fmt.Sprintf("%d frames do not fit OVS's largest mbuf pool of 262144", n)
	}
	if s.NoHuge {
		return "no hugepages"
	}
	return ""
}

type ovsRun struct {
	dir      string
	env      []string
	db       string // --db= option
	daemon   *process
	dbServer *process
	setup    Setup
}

// Start implements Peer.
func (OVS) Start(ctx context.Context, s Setup) (_ Run, err error) {
	daemon, err := vswitchd()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(s.TempDir, "ovs")
	if err != nil {
		return nil, err
	}
	r := &ovsRun{dir: dir, setup: s, db: "--db=unix:" + filepath.Join(dir, "db.sock")}
	r.env = append(os.Environ(), "OVS_RUNDIR="+dir, "OVS_LOGDIR="+dir, "OVS_DBDIR="+dir)
	r.env = append(r.env, s.env()...)
	defer func() {
		if err != nil {
			r.Stop()
		}
	}()

	if err := r.startDatabase(ctx); err != nil {
		return nil, err
	}
	cmd := exec.Command(daemon, "unix:"+filepath.Join(dir, "db.sock"),
		"--unixctl="+r.path("vswitchd.ctl"), "--pidfile="+r.path("vswitchd.pid"), "-vconsole:warn")
	cmd.Env = r.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if r.daemon, err = start(cmd); err != nil {
		return nil, err
	}
	if err := r.waitSocket(ctx, r.daemon, "vswitchd.ctl"); err != nil {
		return nil, err
	}
	if err := r.plumb(ctx); err != nil {
		return nil, err
	}
	if err := r.warm(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *ovsRun) path(name string) string { return filepath.Join(r.dir, name) }

func (r *ovsRun) startDatabase(ctx context.Context) (err error) {
	if _, err := run(ctx, r.env, "ovsdb-tool", "create", r.path("conf.db"), ovsSchema); err != nil {
		return err
	}
	cmd := exec.Command("ovsdb-server", r.path("conf.db"), "--remote=punix:"+r.path("db.sock"),
		"--unixctl="+r.path("ovsdb.ctl"), "--pidfile="+r.path("ovsdb.pid"))
	cmd.Env = r.env
	if r.dbServer, err = start(cmd); err != nil {
		return err
	}
	if err := r.waitSocket(ctx, r.dbServer, "db.sock"); err != nil {
		return err
	}
	if err := r.vsctl(ctx, "--no-wait", "init"); err != nil {
		return err
	}
	return r.vsctl(ctx, append([]string{"--no-wait", "set", "Open_vSwitch", "."}, ovsSettings(r.setup)...)...)
}

// ovsSettings returns the settings of the daemon: one core for polling,
// another for everything else.
func ovsSettings(s Setup) []string {
	return []string{
		"other_config:dpdk-init=true",
		fmt.Sprintf("other_config:dpdk-lcore-mask=%#x", uint64(1)<<s.Control),
		fmt.Sprintf("other_config:pmd-cpu-mask=%#x", uint64(1)<<s.CPU),
		fmt.Sprintf("other_config:dpdk-socket-mem=%d", ovsSocketMB),
		fmt.Sprintf("other_config:dpdk-extra=%q", strings.Join(append([]string{"--in-memory", "--no-pci", "--no-telemetry"}, s.ealArgs()...), " ")),
	}
}

// ovsSocketMB is DPDK memory taken at start: a pool of 262,144 mbufs of the
// size that OVS chooses for an MTU of 1500.
const ovsSocketMB = 1024

// plumb makes the bridge, its rules and its two ports. The source comes last:
// before that there is nothing to forward.
func (r *ovsRun) plumb(ctx context.Context) error {
	if err := r.vsctl(ctx, "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev", "fail-mode=secure"); err != nil {
		return err
	}
	if err := r.setFlows(ctx, VariantDefault); err != nil {
		return err
	}
	if r.setup.Source != nil {
		if _, err := r.appctl(ctx, "dpctl/ct-set-maxconns", strconv.Itoa(maxOVSConnections)); err != nil {
			return err
		}
	}
	if r.setup.endless() {
		if err := r.shortenTimeout(ctx); err != nil {
			return err
		}
	}
	dev := r.setup.Devices()
	for _, i := range []int{1, 0} {
		port := fmt.Sprintf("p%d", i+1)
		// A comma separates values in ovs-vsctl's map syntax, hence the quotes.
		if err := r.vsctl(ctx, "add-port", "br0", port, "--", "set", "interface", port, "type=dpdk",
			fmt.Sprintf("options:dpdk-devargs=%q", dev[i]), "ofport_request="+strconv.Itoa(i+1)); err != nil {
			return err
		}
		out, err := run(ctx, r.env, "ovs-vsctl", r.db, "--", "get", "interface", port, "error")
		if err != nil {
			return err
		}
		if msg := strings.TrimSpace(out); msg != "[]" {
			return fmt.Errorf("ovs: port %s: %s", dev[i], msg)
		}
	}
	return nil
}

// setFlows replaces the bridge's rules.
func (r *ovsRun) setFlows(ctx context.Context, variant string) error {
	file := r.path("flows")
	if err := os.WriteFile(file, []byte(ovsFlows(r.setup, variant)), 0o600); err != nil {
		return err
	}
	_, err := run(ctx, r.env, "ovs-ofctl", "-O", "OpenFlow14", "replace-flows", r.path("br0.mgmt"), file)
	return err
}

// warm waits until every flow has its connection, then a second more for the
// exact-match cache to settle.
func (r *ovsRun) warm(ctx context.Context) error {
	if r.setup.endless() {
		return r.warmNew(ctx)
	}
	last := -1
	err := poll(ctx, 200*time.Millisecond, 30*time.Second, func() (bool, error) {
		if err := r.daemon.alive(); err != nil {
			return false, err
		}
		n, err := r.connections(ctx)
		if err != nil {
			return false, err
		}
		done := n >= r.setup.Spec.Flows && n == last
		last = n
		return done, nil
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("ovs: %d of %d connections: %w", last, r.setup.Spec.Flows, err)
	}
	return sleep(ctx, time.Second)
}

func (r *ovsRun) connections(ctx context.Context) (int, error) {
	out, err := r.appctl(ctx, "dpctl/ct-get-nconns")
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		return 0, fmt.Errorf("ovs: dpctl/ct-get-nconns says %q", out)
	}
	return n, nil
}

func (r *ovsRun) vsctl(ctx context.Context, args ...string) error {
	_, err := run(ctx, r.env, "ovs-vsctl", append([]string{r.db}, args...)...)
	if err != nil && r.daemon != nil {
		return fmt.Errorf("%w; ovs-vswitchd: %s", err, r.daemon.out.tail(600))
	}
	return err
}

func (r *ovsRun) appctl(ctx context.Context, args ...string) (string, error) {
	return run(ctx, r.env, "ovs-appctl", append([]string{"-t", r.path("vswitchd.ctl")}, args...)...)
}

func (r *ovsRun) waitSocket(ctx context.Context, p *process, name string) error {
	err := poll(ctx, 20*time.Millisecond, 30*time.Second, func() (bool, error) {
		if _, err := os.Stat(r.path(name)); err == nil {
			return true, nil
		}
		return false, p.alive()
	})
	if err != nil {
		return fmt.Errorf("ovs: %s: %w", name, err)
	}
	return nil
}

// Stop implements Run.
func (r *ovsRun) Stop() {
	r.daemon.stop()
	r.dbServer.stop()
	_ = os.RemoveAll(r.dir) // the caller removes the directory above it as well
}
