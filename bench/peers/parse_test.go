package peers

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nitrod/nitrod/bench/traffic"
)

const testpmdAnswer = `
  ######################## NIC statistics for port 0  ########################
  RX-packets: 174634464  RX-missed: 0          RX-bytes:  10478067840
  RX-errors: 0
  RX-nombuf:  0         
  TX-packets: 0          TX-errors: 0          TX-bytes:  0

  Throughput (since last show)
  Rx-pps:     79563658          Rx-bps:  38190556048
  Tx-pps:          431          Tx-bps:            0
  ############################################################################

  ######################## NIC statistics for port 1  ########################
  RX-packets: 0          RX-missed: 0          RX-bytes:  0
  RX-errors: 0
  RX-nombuf:  0         
  TX-packets: 174127872  TX-errors: 0          TX-bytes:  0

  Throughput (since last show)
  Rx-pps:            0          Rx-bps:            0
  Tx-pps:     79563569          Tx-bps:            0
  ############################################################################
testpmd> `

func TestParseTestpmd(t *testing.T) {
	got, err := parseTestpmd(testpmdAnswer)
	if err != nil || got != 79563569+431 {
		t.Errorf("got %d, %v; want the sum of both ports' transmit rates", got, err)
	}
	for _, bad := range []string{"", "testpmd> ", "Rx-pps: 5\n", "Tx-pps: 99999999999999999999 \n"} {
		if n, err := parseTestpmd(bad); err == nil {
			t.Errorf("%q gives %d", bad, n)
		}
	}
}

const dpctlAnswer = `netdev@ovs-netdev:
  lookups: hit:73272540 missed:2 lost:369
  flows: 2
  port 0: ovs-netdev (tap)
    RX packets:5 errors:0 dropped:0 overruns:0 frame:0
    TX packets:6 errors:0 dropped:0 aborted:0 carrier:0
    collisions:0
    RX bytes:0  TX bytes:0
  port 1: br0 (tap)
    RX packets:7 errors:0 dropped:0 overruns:0 frame:0
    TX packets:8 errors:0 dropped:0 aborted:0 carrier:0
  port 2: p2 (dpdk: configured_rx_queues=1, lsc_interrupt_mode=false, mtu=1500)
    RX packets:10 errors:0 dropped:0 overruns:? frame:?
    TX packets:36636527 errors:0 dropped:0 aborted:? carrier:?
    RX bytes:0  TX bytes:0
  port 3: p1 (dpdk: configured_rx_queues=1, lsc_interrupt_mode=false, mtu=1500)
    RX packets:36636992 errors:0 dropped:0 overruns:? frame:?
    TX packets:20 errors:0 dropped:0 aborted:? carrier:?
    RX bytes:2198219520 (2.0 GiB)  TX bytes:0
  port 4: veth0
    RX packets:9 errors:0 dropped:0 overruns:0 frame:0
    TX packets:9 errors:0 dropped:0 aborted:0 carrier:0
`

// A plain port, such as the last one, has no type in parentheses.
func TestParseDpctlShow(t *testing.T) {
	for _, text := range []string{dpctlAnswer, strings.ReplaceAll(dpctlAnswer, "veth0", "veth0 (system)")} {
		c, err := parseDpctlShow(text)
		if err != nil || c.rx != 36636992+10 || c.tx != 36636527+20 {
			t.Errorf("got rx %d tx %d, %v; want the sums of the dpdk ports", c.rx, c.tx, err)
		}
	}
	for _, bad := range []string{"", "netdev@ovs-netdev:\n  port 0: br0 (tap)\n    RX packets:5\n"} {
		if _, err := parseDpctlShow(bad); err == nil {
			t.Errorf("%q gives no error", bad)
		}
	}
}

const statsAnswer = `{
 "time_ns": 5000000000, "rx": 1000, "originated": 0, "tx": 990, "consumed": 0, "held": -32,
 "drops": {"slowpath_queue_full": 7, "security_group_in": 3},
 "enis": {"eni-a": {"rx_packets": 0, "tx_packets": 1000}, "eni-b": {"rx_packets": 990, "tx_packets": 0}},
 "lcores": [{"cpu": 1, "rounds": 40, "gaps": {"p50_ns": 800, "p99_ns": 1900, "p9999_ns": 9000, "max_ns": 31000, "count": 40}}],
 "a_field_from_the_future": true
}`

func TestParseStats(t *testing.T) {
	s, err := parseStats([]byte(statsAnswer))
	if err != nil {
		t.Fatal(err)
	}
	if s.Dropped() != 10 || s.delivered() != 990 || s.Rx != 1000 || s.Tx != 990 {
		t.Errorf("got %+v", s)
	}
	want := Gaps{P50: 800, P99: 1900, P9999: 9000, Max: 31000, Count: 40}
	if len(s.Lcores) != 1 || s.Lcores[0].Gaps != want {
		t.Errorf("lcores %+v, want gaps %+v", s.Lcores, want)
	}
	for _, bad := range []string{"", "{", "{}", `{"time_ns": "x"}`} {
		if _, err := parseStats([]byte(bad)); err == nil {
			t.Errorf("%q gives no error", bad)
		}
	}
}

func TestSampleOf(t *testing.T) {
	base := func() Stats {
		s, err := parseStats([]byte(statsAnswer))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	// Half a second later, ten million packets on.
	later := func(change func(*Stats)) Stats {
		s := base()
		s.TimeNS += 500_000_000
		s.Rx += 10_000_000
		s.Tx += 10_000_000
		e := s.ENIs["eni-b"]
		e.RxPackets += 10_000_000
		s.ENIs["eni-b"] = e
		change(&s)
		return s
	}
	for _, tc := range []struct {
		name   string
		change func(*Stats)
		mpps   float64
		flag   string // part of the only flag; "" for none
	}{
		{"steady", func(*Stats) {}, 20, ""},
		{"published late", func(s *Stats) { s.Rx += 2000 }, 20, ""},
		{"drops", func(s *Stats) { s.Drops["tx_queue_full"] = 5; s.Rx += 5 }, 20, "dropped 5 of 10000005"},
		{"answers", func(s *Stats) { s.Originated += 500_000; s.Consumed += 500_000 }, 20, ""},
		{"held", func(s *Stats) { s.Held = 400_000; s.Rx += 400_000 }, 20, "do not add up"},
		{"lost without a reason", func(s *Stats) { s.Rx += 100_000 }, 20, "do not add up"},
		{"out of nothing", func(s *Stats) { s.Rx -= 100_000 }, 20, "do not add up"},
		{"guests got less", func(s *Stats) {
			e := s.ENIs["eni-b"]
			e.RxPackets -= 1_000_000
			s.ENIs["eni-b"] = e
		}, 20, "guests received 9000000"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := sampleOf(base(), later(tc.change))
			if err != nil {
				t.Fatal(err)
			}
			if got.Mpps != tc.mpps {
				t.Errorf("%g Mpps, want %g", got.Mpps, tc.mpps)
			}
			if flags := strings.Join(got.Flags, "; "); (tc.flag == "") != (flags == "") || !strings.Contains(flags, tc.flag) || len(got.Flags) > 1 {
				t.Errorf("flags %q, want %q", got.Flags, tc.flag)
			}
		})
	}
	if _, err := sampleOf(base(), base()); err == nil {
		t.Error("two readings of one moment give a rate")
	}
}

func TestDevices(t *testing.T) {
	s := Setup{Spec: traffic.Spec{Kind: traffic.UDP4, Flows: 10}, Files: []string{"/f/ab.pcap"}}
	want := [2]string{"net_pcap0,rx_pcap=/f/ab.pcap,infinite_rx=1", "net_null1,no-rx=1"}
	if diff := cmp.Diff(want, s.Devices()); diff != "" {
		t.Error(diff)
	}
	s.Files = append(s.Files, "/f/ba.pcap")
	want[1] = "net_pcap1,rx_pcap=/f/ba.pcap,infinite_rx=1"
	if diff := cmp.Diff(want, s.Devices()); diff != "" {
		t.Error(diff)
	}
}

func TestMbufs(t *testing.T) {
	for _, tc := range []struct {
		kind         traffic.Kind
		flows, files int
		least        int
	}{
		{traffic.UDP4, 1, 1, traffic.MinFrames},
		{traffic.UDP4, 1_000_000, 1, 1_000_000},
		{traffic.TCP4, 100_000, 2, 200_000},
	} {
		s := Setup{Spec: traffic.Spec{Kind: tc.kind, Flows: tc.flows}, Files: make([]string, tc.files)}
		if n := s.Mbufs(); n < tc.least+1024 || n > tc.least*2+2*spareMbufs {
			t.Errorf("%s/%d: %d mbufs for %d frames", tc.kind, tc.flows, n, tc.least)
		}
		if mb, bytes := s.MemoryMB(), s.Mbufs()*(DataRoom+128); mb<<20 < bytes {
			t.Errorf("%s/%d: %d MiB for %d bytes of packets", tc.kind, tc.flows, mb, bytes)
		}
	}
}

func TestOVSUnfit(t *testing.T) {
	fits := func(flows, files int, noHuge bool) bool {
		s := Setup{Spec: traffic.Spec{Kind: traffic.UDP4, Flows: flows}, Files: make([]string, files), NoHuge: noHuge}
		return OVS{}.Unfit(s) == ""
	}
	if !fits(200_000, 1, false) || !fits(100_000, 2, false) {
		t.Error("200,000 frames are refused")
	}
	if fits(200_001, 1, false) || fits(1_000_000, 1, false) || fits(100_001, 2, false) || fits(10, 1, true) {
		t.Error("what does not fit is not refused")
	}
}

func TestOVSFlows(t *testing.T) {
	a, b, err := Endpoints()
	if err != nil {
		t.Fatal(err)
	}
	want := `table=0,ip,actions=ct(table=1,zone=1)
table=1,ip,in_port=1,priority=10,ct_state=+trk+new,actions=ct(commit,zone=1),mod_dl_src:` + b.Router.String() + `,mod_dl_dst:02:00:00:00:02:0a,dec_ttl,output:2
table=1,ip,in_port=1,priority=10,ct_state=+trk+est,actions=mod_dl_src:` + b.Router.String() + `,mod_dl_dst:02:00:00:00:02:0a,dec_ttl,output:2
table=1,ip,in_port=2,priority=10,ct_state=+trk+new,actions=ct(commit,zone=1),mod_dl_src:` + a.Router.String() + `,mod_dl_dst:02:00:00:00:01:0a,dec_ttl,output:1
table=1,ip,in_port=2,priority=10,ct_state=+trk+est,actions=mod_dl_src:` + a.Router.String() + `,mod_dl_dst:02:00:00:00:01:0a,dec_ttl,output:1
`
	if diff := cmp.Diff(want, ovsFlows(Setup{Spec: traffic.Spec{Kind: traffic.TCP4, A: a, B: b}}, VariantDefault)); diff != "" {
		t.Error(diff)
	}
	ruled := Setup{Spec: traffic.Spec{Kind: traffic.NewTCP4, A: a, B: b}, Rules: RuleSet{N: 50}}
	for variant, sending := range map[string]string{
		VariantDefault:    "table=1,priority=10,in_port=1,ct_state=+trk+new,tcp,nw_dst=10.0.2.10,tp_dst=0x400/0xfc00,actions=resubmit(,2)\n",
		VariantRulesFirst: "table=0,priority=40000,in_port=1,tcp,nw_dst=10.0.2.10,tp_dst=0x400/0xfc00,actions=resubmit(,2)\n",
	} {
		flows := ovsFlows(ruled, variant)
		receiving := "table=2,priority=10,in_port=1,tcp,nw_src=10.0.1.10,tp_dst=0x400/0xfc00,actions=ct(commit,zone=1),mod_dl_src:"
		if strings.Count(flows, sending) != 1 || strings.Count(flows, receiving) != 1 || strings.Contains(flows, "table=1,ip,in_port=1,priority=10,ct_state=+trk+new") {
			t.Errorf("%s:\n%s", variant, flows)
		}
	}
	once := ovsFlows(Setup{Spec: traffic.Spec{Kind: traffic.UDP6, A: a, B: b}}, VariantCommitOnce)
	if !strings.Contains(once, "set_field:1->ct_mark") || !strings.Contains(once, "ct_mark=1") || !strings.Contains(once, "table=0,ipv6,") {
		t.Errorf("rules that commit once, for IPv6:\n%s", once)
	}
}
