package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nitrod/nitrod/policy"
)

const example = "../../examples/two-enis.yaml"

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	cfg, err := Parse("test.yaml", []byte(text), testCPUs)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestExample(t *testing.T) {
	cfg, err := Load(example, testCPUs)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.File != example {
		t.Errorf("File is %q", cfg.File)
	}
	o := &cfg.Objects
	if _, err := policy.Compile(o, nil); err != nil {
		t.Errorf("policy refuses the example: %v", err)
	}
	wantWeb := policy.ENI{
		ID: "web", Instance: "web", Subnet: "web",
		MAC:             [6]byte{2, 0, 0, 0, 1, 10},
		Addresses:       []netip.Addr{netip.MustParseAddr("10.0.1.10"), netip.MustParseAddr("2001:db8:0:101::10")},
		SecurityGroups:  []string{"web"},
		SourceDestCheck: true, MTU: 1500, Queues: 1,
		TCPEstablished: 432000, UDP: 30, UDPStream: 180, FragmentRate: 1024, LinkLocalRate: 1024,
	}
	if diff := cmp.Diff(wantWeb, o.ENIs[0], cmpopts.IgnoreTypes(policy.Pos{}), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("ENI web (-want +got):\n%s", diff)
	}
	wantPorts := []Port{
		{ENI: "web", Tap: &Tap{Name: "web0", Namespace: "web", CreateNamespace: true, Configure: true}, RxQueues: 1, TxQueues: 1, RxRing: 1024, TxRing: 512, LLQ: LLQWide},
		{ENI: "app", Tap: &Tap{Name: "app0", Namespace: "app", CreateNamespace: true, Configure: true}, RxQueues: 1, TxQueues: 1, RxRing: 1024, TxRing: 512, LLQ: LLQWide},
	}
	if diff := cmp.Diff(wantPorts, cfg.Ports, cmpopts.IgnoreTypes(policy.Pos{})); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
	if rule := o.NetworkACLs[0].Outbound[0]; rule.Allow || rule.Number != 10 || rule.Match != (policy.Match{Protocol: policy.ProtoTCP, FromPort: 23, ToPort: 23}) {
		t.Errorf("the first outbound rule of ACL web is %+v", rule)
	}
	if rules := o.SecurityGroups[1].Inbound; rules[0].Group != "web" || rules[0].ID != "http" || rules[3].FromPort != -1 {
		t.Errorf("the inbound rules of group app are %+v", rules)
	}
}

// The example says which of its values are defaults.
func TestExampleStatesDefaults(t *testing.T) {
	got, err := Load(example, testCPUs)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(mustParse(t, "vpcs: []").Host, got.Host); diff != "" {
		t.Errorf("host of the example differs from the defaults:\n%s", diff)
	}
}

func TestDefaults(t *testing.T) {
	got := mustParse(t, "vpcs: []")
	want := &Config{
		File: "test.yaml",
		Host: Host{
			Lcores: LcoreSpec{Count: 1, CPUs: []int{3}}, Burst: 32, LimitQueue: 8192, Memory: 256 * MiB, Hugepages: HugepagesAuto,
			Mbufs: 32768, DataRoom: 2 * KiB, Polling: PollingAdaptive, IdleSleep: 100 * time.Microsecond,
			ControlSocket: "/run/nitrod/nitrod.sock", LogLevel: slog.LevelInfo, GCPercent: 400,
		},
		Tables:     Tables{Flows: 1 << 20, FlowIdle: time.Minute, Sessions: 1 << 20},
		SlowPath:   SlowPath{Budget: 16, Queue: 4096, Redecide: 100_000, RedecideWithin: time.Second},
		Router:     Router{ICMPErrors: 100, AdvertInterval: 10 * time.Minute},
		Fragments:  Fragments{Hold: time.Second, Lifetime: 30 * time.Second, DatagramsPerENI: 128, HeldPerENI: 64},
		Coalesce:   Coalesce{AdaptiveRx: SwitchOff},
		Bursts:     Bursts{Measure: SwitchOff, Rate: 10e9, RateShare: 50, RingShare: 50, MinLength: 30 * time.Microsecond, Events: 256},
		HeavyFlows: HeavyFlows{Measure: SwitchOn},
		Conntrack: Conntrack{
			TCPMidstream: MidstreamPickup, TCPWindow: WindowStrict, EarlyEviction: SwitchOn, TCPSynSent: 30 * time.Second, TCPSynReceived: time.Minute,
			TCPClosing: 2 * time.Minute, TCPTimeWait: 30 * time.Second, TCPClosed: 5 * time.Second,
			ICMP: 30 * time.Second, Other: 10 * time.Minute,
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(Config{})); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

// What an ENI does not say its instance decides, and what it says holds.
func TestIdleTimeOfEstablishedTCP(t *testing.T) {
	cfg := mustParse(t, `
instances:
  - {id: old}
  - {id: five, nitro: v5}
  - {id: six, nitro: v6}
enis:
  - {id: old, instance: old, subnet: s, mac: "02:00:00:00:00:01", addresses: [10.0.1.1], security_groups: [g], port: {device: net_null0}}
  - {id: five, instance: five, subnet: s, mac: "02:00:00:00:00:02", addresses: [10.0.1.2], security_groups: [g], port: {device: net_null1}}
  - {id: six, instance: six, subnet: s, mac: "02:00:00:00:00:03", addresses: [10.0.1.3], security_groups: [g], port: {device: net_null2}}
  - {id: own, instance: six, subnet: s, mac: "02:00:00:00:00:04", addresses: [10.0.1.4], security_groups: [g], port: {device: net_null3},
     tcp_established_timeout: 432000s, conntrack_guaranteed: 100, conntrack_half_open: 20}
`)
	for i, want := range []int{432000, 432000, 350, 432000} {
		if e := cfg.Objects.ENIs[i]; e.TCPEstablished != want {
			t.Errorf("ENI %s: %d s, want %d", e.ID, e.TCPEstablished, want)
		}
	}
	if e := cfg.Objects.ENIs[3]; e.ConntrackGuaranteed != 100 || e.ConntrackHalfOpen != 20 {
		t.Errorf("ENI own has %d guaranteed and %d half open", e.ConntrackGuaranteed, e.ConntrackHalfOpen)
	}
}

func TestLcores(t *testing.T) {
	tests := []struct {
		value string
		want  []int
	}{
		{"auto", []int{3}},
		{"1", []int{3}},
		{"3", []int{1, 2, 3}},
		{"4", []int{0, 1, 2, 3}},
		{"[1]", []int{1}},
		{"[2, 0]", []int{2, 0}},
	}
	for _, tt := range tests {
		cfg := mustParse(t, "host: {lcores: "+tt.value+"}")
		if diff := cmp.Diff(tt.want, cfg.Host.Lcores.CPUs); diff != "" {
			t.Errorf("lcores: %s (-want +got):\n%s", tt.value, diff)
		}
	}
	if _, err := Parse("", []byte("vpcs: []"), nil); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("without any CPU Parse returned %v", err)
	}
}

func TestCPUList(t *testing.T) {
	tests := []struct {
		cpus []int
		want string
	}{
		{nil, "none"}, {[]int{5}, "CPU 5"}, {[]int{0, 1, 2, 3}, "CPUs 0-3"}, {[]int{0, 2, 3, 7}, "CPUs 0,2-3,7"},
	}
	for _, tt := range tests {
		if got := cpuList(tt.cpus); got != tt.want {
			t.Errorf("cpuList(%v) = %q, want %q", tt.cpus, got, tt.want)
		}
	}
}

func TestAllowedCPUs(t *testing.T) {
	cpus, err := AllowedCPUs()
	if err != nil || len(cpus) == 0 {
		t.Fatalf("AllowedCPUs() = %v, %v", cpus, err)
	}
	for i := 1; i < len(cpus); i++ {
		if cpus[i] <= cpus[i-1] {
			t.Errorf("%v is not ascending", cpus)
		}
	}
}

func TestPositions(t *testing.T) {
	cfg := mustParse(t, `vpcs:
  - id: main
    cidrs: [10.0.0.0/16]
security_groups:
  - id: g
    vpc: main
    inbound:
      - {protocol: tcp, ports: 80, group: g}
    # A comment.
      - protocol: all
        cidr: 0.0.0.0/0
`)
	rules := cfg.Objects.SecurityGroups[0].Inbound
	got := []policy.Pos{cfg.Objects.VPCs[0].Pos, cfg.Objects.SecurityGroups[0].Pos, rules[0].Pos, rules[1].Pos}
	want := []policy.Pos{{File: "test.yaml", Line: 2, Column: 5}, {File: "test.yaml", Line: 5, Column: 5}, {File: "test.yaml", Line: 8, Column: 9}, {File: "test.yaml", Line: 10, Column: 9}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("positions (-want +got):\n%s", diff)
	}
}

// AWS gives a new group an outbound side that admits everything; an empty list
// must not turn into that.
func TestOutboundDefault(t *testing.T) {
	for text, want := range map[string]int{"": 2, ", outbound: []": 0, ", outbound: ": 0, ", outbound: [{protocol: all, group: g}]": 1} {
		cfg := mustParse(t, "security_groups: [{id: g, vpc: v"+text+"}]")
		if got := len(cfg.Objects.SecurityGroups[0].Outbound); got != want {
			t.Errorf("with %q there are %d outbound rules, want %d", text, got, want)
		}
	}
}

func TestMatches(t *testing.T) {
	tests := []struct {
		rule string
		want policy.Match
	}{
		{"protocol: tcp, ports: 80", policy.Match{Protocol: 6, FromPort: 80, ToPort: 80}},
		{"protocol: 17, ports: 1000-2000", policy.Match{Protocol: 17, FromPort: 1000, ToPort: 2000}},
		{"protocol: udp, ports: all", policy.Match{Protocol: 17, FromPort: 0, ToPort: 65535}},
		{"protocol: icmp", policy.Match{Protocol: 1, FromPort: -1, ToPort: -1}},
		{"protocol: icmp, icmp: {type: 8}", policy.Match{Protocol: 1, FromPort: 8, ToPort: -1}},
		{"protocol: icmpv6, icmp: {type: 1, code: 4}", policy.Match{Protocol: 58, FromPort: 1, ToPort: 4}},
		{"protocol: -1", policy.Match{Protocol: policy.ProtoAll, FromPort: 0, ToPort: 65535}},
		{"protocol: 47", policy.Match{Protocol: 47, FromPort: 0, ToPort: 65535}},
	}
	for _, tt := range tests {
		cfg := mustParse(t, fmt.Sprintf("security_groups: [{id: g, vpc: v, inbound: [{%s, cidr: 10.1.2.3/8}]}]", tt.rule))
		rule := cfg.Objects.SecurityGroups[0].Inbound[0]
		if rule.Match != tt.want {
			t.Errorf("{%s} is %+v, want %+v", tt.rule, rule.Match, tt.want)
		}
		if rule.CIDR != netip.MustParsePrefix("10.0.0.0/8") {
			t.Errorf("CIDR is %v, want the canonical form", rule.CIDR)
		}
	}
}

func TestPortQueues(t *testing.T) {
	tests := []struct {
		eni, port string
		rx, tx    int
	}{
		{"queues: 4", "device: net_null0", 4, 4},
		{"queues: 4", "device: net_null0, rx_queues: 1", 1, 4},
		{"queues: 4", "device: net_null0, tx_queues: 2", 4, 2},
		{"queues: 4", "tap: {name: t}, rx_queues: 2, tx_queues: 2", 2, 2},
	}
	for _, tt := range tests {
		cfg := mustParse(t, fmt.Sprintf(`enis: [{id: e, instance: i, subnet: s, mac: 02:00:00:00:00:01,
			addresses: [10.0.0.10], security_groups: [g], %s, port: {%s}}]`, tt.eni, tt.port))
		if p := cfg.Ports[0]; p.RxQueues != tt.rx || p.TxQueues != tt.tx {
			t.Errorf("%s, %s: %d and %d queues, want %d and %d", tt.eni, tt.port, p.RxQueues, p.TxQueues, tt.rx, tt.tx)
		}
	}
}

func TestPortRings(t *testing.T) {
	tests := []struct {
		owner, port string
		tx, headers int
	}{
		{"enis", "", 512, 224},
		{"enis", ", tx_ring: 1024", 1024, 224},
		{"enis", ", llq: normal", 1024, 96},
		{"enis", ", llq: off, tx_ring: 256", 256, 0},
		{"internet_gateways", "", 1024, 0},
	}
	for _, tt := range tests {
		text := fmt.Sprintf(`enis: [{id: e, instance: i, subnet: s, mac: 02:00:00:00:00:01,
			addresses: [10.0.0.10], security_groups: [g], port: {device: net_null0%s}}]`, tt.port)
		if tt.owner != "enis" {
			text = fmt.Sprintf(`internet_gateways: [{id: g, vpc: v, mac: 02:00:00:00:00:01, queues: 1, port: {device: net_null0%s}}]`, tt.port)
		}
		p := mustParse(t, text).Ports[0]
		if p.TxRing != tt.tx || p.LLQ.Headers() != tt.headers {
			t.Errorf("%s%s: a ring of %d and headers of %d, want %d and %d", tt.owner, tt.port, p.TxRing, p.LLQ.Headers(), tt.tx, tt.headers)
		}
	}
}

func TestAliases(t *testing.T) {
	cfg := mustParse(t, `
vpcs: [{id: v, cidrs: [&block 10.0.0.0/16]}]
subnets:
  - {id: a, vpc: v, cidrs: &blocks [*block]}
  - {id: b, vpc: v, cidrs: *blocks}
`)
	if got := cfg.Objects.Subnets[1].CIDRs; len(got) != 1 || got[0].String() != "10.0.0.0/16" {
		t.Errorf("the alias gave %v", got)
	}
}

// Aliases make a small file a large configuration; the bound stops it long
// before memory does.
func TestAliasBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("prefix_lists:\n  - &l {id: l, prefixes: &p [" + strings.Repeat("10.0.0.0/8, ", 3000) + "]}\n")
	b.WriteString(strings.Repeat("  - *l\n", 3000))
	_, err := Parse("bomb.yaml", []byte(b.String()), testCPUs)
	var errs Errors
	if !errors.As(err, &errs) || len(errs) != 1 || !strings.Contains(errs[0].Msg, "repeat more than 100000 values") {
		t.Fatalf("Parse returned %v", err)
	}
}

// An anchor around its own alias ends where the schema ends.
func TestAliasCycle(t *testing.T) {
	_, err := Parse("cycle.yaml", []byte("vpcs: &v [{id: a, cidrs: *v}]\n"), testCPUs)
	if err == nil || !strings.Contains(err.Error(), "cidrs in VPC \"a\" must be a CIDR block") {
		t.Fatalf("Parse returned %v", err)
	}
}

func TestLoadErrors(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.yaml")
	if _, err := Load(missing, testCPUs); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file gave %v", err)
	}
	large := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(large, bytes.Repeat([]byte("#\n"), maxFileSize/2+1), 0o600); err != nil {
		t.Fatal(err)
	}
	var errs Errors
	if _, err := Load(large, testCPUs); !errors.As(err, &errs) || errs[0].Error() != large+": the file is larger than 16 MiB" {
		t.Errorf("a large file gave %v", err)
	}
}

// BenchmarkParse reads a host with many rules, which is what makes files long.
func BenchmarkParse(b *testing.B) {
	var text strings.Builder
	text.WriteString("security_groups:\n")
	for g := range 100 {
		fmt.Fprintf(&text, "  - id: g%d\n    vpc: main\n    inbound:\n", g)
		for r := range 100 {
			fmt.Fprintf(&text, "      - {protocol: tcp, ports: %d-%d, cidr: 10.%d.%d.0/24}\n", r, r+1000, g, r)
		}
	}
	data := []byte(text.String())
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Parse("bench.yaml", data, testCPUs); err != nil {
			b.Fatal(err)
		}
	}
}
