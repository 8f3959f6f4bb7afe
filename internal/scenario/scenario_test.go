package scenario

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/simport"
)

// network is a configuration for the tests' scenarios: three ENIs in one subnet,
// of which a and b admit each other, and c nothing.
const network = `scenario: a test
config:
  vpcs: [{id: v, cidrs: [10.0.0.0/16]}]
  subnets: [{id: s, vpc: v, cidrs: [10.0.1.0/24]}]
  security_groups:
    - {id: open, vpc: v, inbound: [{protocol: all, group: open}]}
    - {id: none, vpc: v}
  instances: [{id: i}]
  enis:
    - {id: a, instance: i, subnet: s, mac: "02:00:00:00:00:01", addresses: [10.0.1.10], security_groups: [open]}
    - {id: b, instance: i, subnet: s, mac: "02:00:00:00:00:02", addresses: [10.0.1.20], security_groups: [open]}
    - {id: c, instance: i, subnet: s, mac: "02:00:00:00:00:03", addresses: [10.0.1.30], security_groups: [none]}
steps:
`

const firstLine = 13 // of the steps

func parse(t *testing.T, steps string) (*Scenario, error) {
	t.Helper()
	return Parse(filepath.Join(t.TempDir(), "test.yaml"), []byte(network+steps))
}

// What is not as a scenario says fails it, at the line that says so.
func TestFailures(t *testing.T) {
	for _, c := range []struct {
		name, steps string
		line        int // from the first step's, 0
		want        string
	}{
		{"as it is", "- send: a > b udp\n  expect: a > b udp", -1, ""},
		{"a field", "- send: a > b udp\n  expect: a > b udp ttl 63", 1, "ttl is 64, want 63"},
		{"a missing packet", "- send: a > c udp\n  drops: {security_group_in: 1}\n  expect: a > c udp", 2, "c does not receive"},
		{"an unexpected packet", "- send: a > b udp", 0, "b receives a packet that is not expected"},
		{"another order", "- send: [a > b udp 1 > 1, a > b udp 2 > 2]\n  expect: [a > b udp > 2, a > b udp > 1]", 1, "the destination port is 1, want 2"},
		{"order between ENIs is free", "- send: [a > b udp, b > a tcp]\n  expect: [b > a tcp, a > b udp]", -1, ""},
		{"an unexpected drop", "- send: a > c udp", 0, "1 packets are dropped for security_group_in, want 0"},
		{"a missing drop", "- send: a > b udp\n  expect: delivered\n  drops:\n    nacl_in: 1", 3, "0 packets are dropped for nacl_in, want 1"},
		{"a number of packets", "- send: a > b udp\n  repeat: 3\n  receive: {b: 2}", 2, "b receives 3 packets, want 2"},
		{"packets for another", "- send: a > b udp\n  receive: {}", 0, "b receives 1 packets, want 0"},
		{"a counter", "- send: a > b udp\n  expect: delivered\n  counters: {tx: 2}", 2, "tx is 1, want 2"},
		{"an ENI's counter", "- send: a > b udp\n  expect: delivered\n  counters: {b/rx_packets: 1, a/rx_packets: 0, b/tx_packets: 7}", 2, "b/tx_packets is 0, want 7"},
		{"a session", "- send: a > b udp\n  expect: delivered\n  sessions: none", 2, "1 sessions are not expected"},
		{"another session", "- send: a > b udp\n  expect: delivered\n  sessions: a > b udp > 81 udp_single", 2, "there is no such session"},
		{"a session's time", "- send: a > b udp\n  expect: delivered\n  sessions: a > b udp udp_single left 29s", 2, "there is no such session"},
		{"a session's packets", "- send: a > b udp\n  expect: delivered\n  sessions: a > b udp udp_single packets 2/0", 2, "there is no such session"},
		{"the flow cache", "- send: a > b udp\n  repeat: 3\n  receive: {b: 3}\n  flow_cache: {hits: 1, slow_path: 1, entries: 1}", 3, "the flow cache's hits is 2, want 1"},
		{"a verdict", "- explain: [{packet: a > b udp, verdict: drop}]", 0, `explain's verdict is "forward", want "drop"`},
		{"a reason", "- explain: [{packet: a > c udp, reason: nacl_in}]", 0, `explain's reason is "security_group_in", want "nacl_in"`},
		{"a rule", "- explain: [{packet: a > b udp, rules: {security_group_in: open/in/2}}]", 0, `stage security_group_in decides by "open/in/1", want "open/in/2"`},
		{"a later step", "- send: a > b udp\n  expect: delivered\n- advance: 31s\n- send: b > a udp\n  expect: delivered\n  sessions: none", 5, "1 sessions are not expected"},
		{"a change", "- change: {security_groups: [{id: open, inbound: []}]}\n  send: a > b udp\n  expect: delivered", 1, "b does not receive"},
		{"what a burst does", "- send: a > b udp\n  repeat: 5\n  burst: true\n  receive: {b: 4}", 3, "b receives 5 packets, want 4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := parse(t, c.steps)
			if err != nil {
				t.Fatal(err)
			}
			res, err := s.Run()
			if err != nil {
				t.Fatal(err)
			}
			if c.line < 0 {
				if len(res.Failures) != 0 || len(res.Runs) != 4 {
					t.Errorf("%+v", res)
				}
				return
			}
			found := false
			for _, f := range res.Failures {
				found = found || f.Line == firstLine+1+c.line && strings.Contains(f.Text, c.want)
			}
			if !found {
				t.Errorf("no failure at line %d says %q: %+v", firstLine+1+c.line, c.want, res.Failures)
			}
		})
	}
}

// A file at fault is refused, with the place and one sentence.
func TestBadFiles(t *testing.T) {
	for _, c := range []struct {
		name, steps string
		line        int
		want        string
	}{
		{"unknown key", "- sned: a > b udp", 0, `unknown key "sned" in step; did you mean "send"?`},
		{"bad packet", "- send: a > b udp 1 > 2 seq 3", 0, `"seq" is a field of a TCP packet`},
		{"bad packet in a list", "- send:\n  - a > b udp\n  - a > b upd", 2, `"upd" is no word of a packet`},
		{"bad packet in a block", "- send: |\n    a > b udp\n\n    a > x udp", 3, `"x" is neither an ENI nor an address`},
		{"unknown reason", "- drops: {nacl: 1}", 0, `there is no drop reason "nacl"`},
		{"unknown counter", "- counters: {packets: 1}", 0, `there is no counter "packets"; there are a/accepted, a/conntrack_exceeded, a/drops`},
		{"unknown ENI", "- receive: {x: 1}", 0, `there is no ENI "x"`},
		{"unknown stalled ENI", "- stalled: [x]", 0, `there is no ENI "x"`},
		{"unknown flow cache word", "- flow_cache: {misses: 1}", 0, "the flow cache has hits, slow_path and entries"},
		{"session without state", "- sessions: a > b udp", 0, "a session is written as a packet and a state"},
		{"session with nonsense", "- sessions: a > b udp udp_single for 5s", 0, "left, packets and tracked can be said"},
		{"two ways to expect", "- {expect: none, receive: {}}", 0, "only one of the keys expect and receive"},
		{"repeat of nothing", "- repeat: 3", 0, "burst and repeat belong to a step with the key send"},
		{"a wrong change", "- change: {enis: [{id: a, mtu: 5}]}", 0, `mtu in ENI "a" must be from 1280 to 9001`},
		{"an unknown key in a change", "- change: {eni: []}", 0, `unknown key "eni"`},
		{"removing what is not there", "- remove: {enis: x}", 0, `enis has no object "x" to remove`},
		{"no configuration there", "- config: nowhere.yaml", 0, "the configuration cannot be read"},
		{"counting what cannot count", "- send: a > b udp abc+n > 1", 0, "+n counts numbers and addresses"},
		{"nobody to deliver to", "- send: a > 8.8.8.8 udp\n  expect: delivered", 1, "delivered needs an ENI"},
		{"a pcap file that is not there", "- send: a pcap x.pcap", 0, "no such file"},
		{"not numbers", "- drops: {nacl_in: many}", 0, "drops in step must be a mapping of names to whole numbers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := parse(t, c.steps)
			if err == nil {
				_, err = s.Run()
			}
			var bad config.Errors
			if !errors.As(err, &bad) || bad[0].Pos.Line != firstLine+1+c.line || !strings.Contains(bad.Error(), c.want) {
				t.Errorf("%v; want line %d and %q", err, firstLine+1+c.line, c.want)
			}
		})
	}
}

// Frames come from a capture, and are expected as in one.
func TestPcap(t *testing.T) {
	dir := t.TempDir()
	var frames [][]byte
	for i := range 3 {
		frames = append(frames, packet.Build(packet.Ether{Dst: packet.MustMAC("02:00:00:00:00:02"), Src: packet.MustMAC("02:00:00:00:00:01")},
			packet.IPv4{Src: packet.MustIP("10.0.1.10"), Dst: packet.MustIP("10.0.1.20")}, packet.UDP{SrcPort: uint16(i), DstPort: 9}))
	}
	write := func(name string, frames [][]byte) {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		w, err := simport.NewPcapWriter(f, func() time.Time { return time.Unix(0, 0) })
		if err != nil {
			t.Fatal(err)
		}
		for _, frame := range frames {
			w.Sink(frame)
		}
		if err := w.Err(); err != nil {
			t.Fatal(err)
		}
	}
	write("in.pcap", frames)
	write("less.pcap", frames[1:])
	run := func(expect string) *Result {
		s, err := Parse(filepath.Join(dir, "test.yaml"), []byte(network+"- send: a pcap in.pcap\n  expect: b pcap "+expect))
		if err != nil {
			t.Fatal(err)
		}
		res, err := s.Run()
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	if res := run("in.pcap"); len(res.Failures) != 0 {
		t.Errorf("%+v", res.Failures)
	}
	if res := run("less.pcap"); len(res.Failures) != 1 || !strings.Contains(res.Failures[0].Text, "less.pcap, frame 1") {
		t.Errorf("%+v", res.Failures)
	}
}

// Runs that see something else than each other fail, even where the scenario
// expects nothing in particular.
func TestRunsMustAgree(t *testing.T) {
	s, err := parse(t, "- send: a > b udp\n  expect: anything")
	if err != nil {
		t.Fatal(err)
	}
	res := &Result{}
	one, other := newRun(s, 1, false), newRun(s, 2, true)
	one.seen, other.seen = []string{"b receives x"}, []string{"b receives y"}
	res.compare(one, other)
	if len(res.Failures) != 1 || !strings.Contains(res.Failures[0].Text, "the runs differ") || res.Failures[0].Line != firstLine+1 {
		t.Errorf("%+v", res.Failures)
	}
}

// In the run in which every packet takes the slow path, the flow cache decides
// none.
func TestSlowRunsAreSlow(t *testing.T) {
	s, err := parse(t, "- send: a > b udp\n  repeat: 5\n  receive: {b: 5}")
	if err != nil {
		t.Fatal(err)
	}
	for _, slow := range []bool{false, true} {
		r := newRun(s, 1, slow)
		r.start()
		r.do(&s.doc.Steps[0])
		got := r.engine.Total()
		r.close(true)
		if want := map[bool]uint64{false: 4, true: 0}[slow]; got.FlowHits != want || len(r.failures) != 0 {
			t.Errorf("slow %v: the flow cache decided %d packets, want %d; %v", slow, got.FlowHits, want, r.failures)
		}
	}
}

func FuzzScenario(f *testing.F) {
	f.Fuzz(func(t *testing.T, steps string) {
		s, err := Parse("fuzz.yaml", []byte(network+steps))
		if err == nil {
			if len(s.doc.Steps) > 8 {
				return
			}
			for i := range s.doc.Steps {
				if st := &s.doc.Steps[i]; st.Repeat > 50 || st.Advance > 1<<40 || st.Config.file != "" || strings.Contains(steps, "pcap") {
					return
				}
			}
			s.doc.Lcores = []int{1}
			_, err = s.Run()
		}
		var bad config.Errors
		if err != nil && !errors.As(err, &bad) {
			t.Fatalf("%v", err)
		}
	})
}
