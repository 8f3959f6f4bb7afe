package control

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/plan"
	"github.com/nitrod/nitrod/policy"
)

// planFile has the ENIs of objects, but for twin.
const planFile = `
vpcs: [{id: main, cidrs: [10.0.0.0/16, "2001:db8::/56"]}]
subnets:
  - {id: front, vpc: main, cidrs: [10.0.1.0/24, "2001:db8:0:1::/64"], route_table: front}
  - {id: back, vpc: main, cidrs: [10.0.2.0/24, "2001:db8:0:2::/64"], network_acl: back}
route_tables:
  - {id: front, vpc: main}
network_acls:
  - id: back
    vpc: main
    inbound: [{rule: 100, action: allow, protocol: all, cidr: 0.0.0.0/0}]
    outbound: [{rule: 100, action: allow, protocol: all, cidr: 0.0.0.0/0}]
security_groups:
  - {id: web, vpc: main}
  - {id: fw, vpc: main, inbound: [{id: any, protocol: all, cidr: 0.0.0.0/0}]}
  - id: app
    vpc: main
    inbound:
      - {id: http, protocol: tcp, ports: 80, group: web}
      - {id: dns, protocol: udp, ports: 53, group: web}
    outbound: []
instances: [{id: web}, {id: web2}, {id: app}, {id: fw}]
enis:
  - {id: web, instance: web, subnet: front, mac: "02:00:00:00:00:0a", addresses: [10.0.1.10], security_groups: [web], port: {device: net_null0}}
  - {id: web2, instance: web2, subnet: front, mac: "02:00:00:00:00:0b", addresses: [10.0.1.11], security_groups: [web], port: {device: net_null1}}
  - {id: app, instance: app, subnet: back, mac: "02:00:00:00:00:14", addresses: [10.0.2.20], security_groups: [app], port: {device: net_null2}}
  - {id: fw, instance: fw, subnet: front, mac: "02:00:00:00:00:0c", addresses: [10.0.1.12], security_groups: [fw], source_dest_check: false, port: {device: net_null3}}
`

// newPlanBed is a bed in which planFile is in force.
func newPlanBed(t testing.TB) *bed {
	t.Helper()
	cfg, err := config.Parse("old.yaml", []byte(planFile), []int{0})
	if err != nil {
		t.Fatal(err)
	}
	b := newBedOf(t, &cfg.Objects)
	b.host.running = cfg
	return b
}

// planned asks for the plan of the file in force with some of its text replaced.
func (b *bed) planned(flows int, oldNew ...string) *plan.Plan {
	b.t.Helper()
	for i := 0; i < len(oldNew); i += 2 {
		if !strings.Contains(planFile, oldNew[i]) {
			b.t.Fatalf("the file has no %q", oldNew[i])
		}
	}
	body, err := json.Marshal(PlanRequest{File: "new.yaml", Text: strings.NewReplacer(oldNew...).Replace(planFile), Flows: flows})
	if err != nil {
		b.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	b.server.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/plan", bytes.NewReader(body)))
	if w.Code != http.StatusOK {
		b.t.Fatalf("%d %s", w.Code, w.Body)
	}
	p := new(plan.Plan)
	if err := json.Unmarshal(w.Body.Bytes(), p); err != nil {
		b.t.Fatal(err)
	}
	return p
}

func TestPlanOfTheSame(t *testing.T) {
	b := newPlanBed(t)
	b.carry("web", b.tcp("web", 1000, 80, packet.TCPSyn))
	p := b.planned(3)
	want := &plan.Plan{
		Old: "old.yaml", New: "new.yaml", Changes: []plan.Change{}, ENIs: []plan.ENI{},
		Findings: []plan.Finding{}, Live: &plan.Live{Sessions: 1, Groups: []plan.FlowGroup{}},
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPlanLosses(t *testing.T) {
	b := newPlanBed(t)
	for port := range uint16(5) {
		b.carry("web", b.tcp("web", 1000+port, 80, packet.TCPSyn))
		b.carry("app", b.answer("web", 1000+port))
	}
	b.carry("web2", b.tcp("web2", 1, 80, packet.TCPSyn), b.tcp("web2", 2, 8080, packet.TCPSyn))
	before := b.engine.Total()

	t.Run("acl", func(t *testing.T) {
		p := b.planned(2, "inbound: [{rule: 100, action: allow", "inbound: [{rule: 90, action: deny, protocol: tcp, ports: 80, cidr: 10.0.1.10/32}, {rule: 100, action: allow")
		l := p.Live
		if l.Sessions != 6 || l.Touched != 7 || l.Lost != 5 || l.Stay != 2 || len(l.Groups) != 1 {
			t.Fatalf("%+v", l)
		}
		g := l.Groups[0]
		flows := g.List
		g.List = nil
		want := plan.FlowGroup{
			Fate: plan.Lost, Reason: "nacl_in", Code: "SUBNET_ACL_RESTRICTION", Object: "back", Rule: "90", Flows: 5,
			Text: "Of network ACL back, rule 90 denies tcp/80 into subnet back for 10.0.1.10.",
		}
		if diff := cmp.Diff(want, g); diff != "" {
			t.Errorf("the group (-want +got):\n%s", diff)
		}
		if len(flows) != 2 || flows[0].From != "web" || flows[0].To != "app" || flows[0].State != "syn_received" || !strings.HasPrefix(flows[0].Tuple, "tcp 10.0.1.10:100") {
			t.Errorf("listed are %+v", flows)
		}
		if diff := cmp.Diff([]plan.ENI{{ENI: "app", What: config.Changed, Why: []string{`network ACL "back"`}}}, p.ENIs); diff != "" {
			t.Errorf("the ENIs (-want +got):\n%s", diff)
		}
	})
	t.Run("replies", func(t *testing.T) {
		l := b.planned(0, "outbound: [{rule: 100, action: allow", "outbound: [{rule: 100, action: deny").Live
		if l.Lost != 6 || len(l.Groups) != 1 || !l.Groups[0].Reply || l.Groups[0].Reason != "nacl_out" || len(l.Groups[0].List) != 0 {
			t.Errorf("%+v", l)
		}
	})
	t.Run("group", func(t *testing.T) { // tracked flows survive the removal of their rule
		p := b.planned(3, "      - {id: http, protocol: tcp, ports: 80, group: web}\n", "")
		if l := p.Live; l.Touched != 7 || l.Stay != 7 {
			t.Errorf("%+v", l)
		}
		if len(p.Changes) != 1 || p.Changes[0].String() != `security group "app", inbound rule removed: {id: http, protocol: tcp, ports: 80, group: web}` {
			t.Errorf("%+v", p.Changes)
		}
	})
	t.Run("opened", func(t *testing.T) {
		l := b.planned(3, "ports: 80, group: web", "ports: 80-9000, group: web").Live
		if l.Admitted != 1 || l.Lost != 0 || len(l.Groups) != 1 || l.Groups[0].Rule != "http" || l.Groups[0].List[0].Tuple != "tcp 10.0.1.11:2 > 10.0.2.20:8080" {
			t.Errorf("%+v", l)
		}
	})
	t.Run("another way", func(t *testing.T) {
		l := b.planned(1, "{id: front, vpc: main}", `{id: front, vpc: main, routes: [{destination: 10.0.2.0/24, target: "eni:fw"}]}`).Live
		if l.OtherWay != 6 || l.Groups[0].Object != "front" || l.Groups[0].Rule != "10.0.2.0/24" || l.Groups[0].List[0].Then != "fw" {
			t.Errorf("%+v", l)
		}
	})
	t.Run("no route", func(t *testing.T) {
		l := b.planned(1, "{id: front, vpc: main}", `{id: front, vpc: main, routes: [{destination: 10.0.2.0/24, target: blackhole}]}`).Live
		if l.Lost != 6 || len(l.Groups) != 1 || l.Groups[0].Reason != "route_blackhole" || l.Groups[0].Code != "BAD_STATE_ROUTE" {
			t.Errorf("%+v", l)
		}
	})
	t.Run("removed", func(t *testing.T) {
		web2 := planFile[strings.Index(planFile, "  - {id: web2"):strings.Index(planFile, "  - {id: app, instance")]
		p := b.planned(1, web2, "")
		if l := p.Live; l.Lost != 1 || len(l.Groups) != 1 || l.Groups[0].Reason != "port_without_eni" || l.Groups[0].List[0].From != "web2" {
			t.Errorf("%+v", l)
		}
		want := []plan.ENI{
			{ENI: "app", What: config.Changed, Why: []string{`the members of security group "web"`}},
			{ENI: "web2", What: config.Removed},
		}
		if diff := cmp.Diff(want, p.ENIs); diff != "" {
			t.Errorf("the ENIs (-want +got):\n%s", diff)
		}
	})
	t.Run("findings", func(t *testing.T) {
		p := b.planned(0, "inbound: [{rule: 100", "inbound: [{rule: 200, action: allow, protocol: tcp, ports: 1, cidr: 10.0.0.0/8}, {rule: 100", "instances: [", "host: {burst: 16}\ninstances: [{id: idle}, ")
		if len(p.Findings) != 2 || p.Findings[0].Text != `network ACL "back", inbound rule 200 is never reached: rule 100 allows all IPv4 before it` ||
			!p.Findings[0].New || !strings.HasPrefix(p.Findings[0].Where, "new.yaml:11:") || !p.Restart {
			t.Errorf("%+v", p)
		}
	})
	if after := b.engine.Total(); after != before || b.engine.Policy() != b.snap {
		t.Error("asking changed something")
	}
}

// A plan is made on the flows of the tuples that the daemon has in its tables,
// and none of the states of TCP keeps a flow from being judged.
func TestPlanSeesEveryState(t *testing.T) {
	b := newPlanBed(t)
	b.carry("web", b.tcp("web", 1, 80, packet.TCPSyn))
	b.carry("web", b.tcp("web", 2, 80, packet.TCPSyn))
	b.carry("app", b.answer("web", 2))
	b.carry("web", b.tcp("web", 2, 80, packet.TCPAck), b.tcp("web", 2, 80, packet.TCPFin|packet.TCPAck))
	l := b.planned(9, "inbound: [{rule: 100, action: allow", "inbound: [{rule: 100, action: deny").Live
	states := map[string]bool{}
	for _, f := range l.Groups[0].List {
		states[f.State] = true
	}
	if l.Lost != 2 || !states[conntrack.SynSent.String()] || !states[conntrack.FinOriginator.String()] {
		t.Errorf("%+v", l)
	}
}

func TestPlanRefuses(t *testing.T) {
	b := newPlanBed(t)
	for body, want := range map[string]string{
		`{"text": "vpcs: 7", "file": "x.yaml"}`:                                     "x.yaml:1:7: vpcs must be a list, not 7",
		`{"text": "subnets: [{id: s, vpc: v, cidrs: [10.0.0.0/24]}]", "file": "x"}`: `x:1:11: subnet "s" refers to VPC "v", which is not defined`,
		`{"flows": -1}`:   "flows -1 is not between 0 and 1000",
		`{"flows": 1001}`: "flows 1001 is not between 0 and 1000",
		`{"sorts": 1}`:    `json: unknown field "sorts"`,
	} {
		if got := b.refused(http.MethodPost, "/v1/plan", body); got != want {
			t.Errorf("%s is refused with %q, want %q", body, got, want)
		}
	}
}

// Tracked flows outlive their rule unless their group says otherwise.
func TestPlanLiveFlows(t *testing.T) {
	b := newPlanBed(t)
	b.carry("web", b.tcp("web", 1, 80, packet.TCPSyn))
	b.carry("app", b.answer("web", 1))
	for _, c := range []struct {
		choice policy.LiveFlows
		want   plan.Live
	}{
		{policy.LiveFlows{}, plan.Live{Sessions: 1, Touched: 1, Stay: 1}},
		{policy.LiveFlows{Mode: policy.LiveCut}, plan.Live{Sessions: 1, Touched: 1, Lost: 1}},
		{policy.LiveFlows{Mode: policy.LiveDrain, Drain: 30 * time.Second}, plan.Live{Sessions: 1, Touched: 1, Drains: 1}},
	} {
		cfg, err := config.Parse("new.yaml", []byte(planFile), []int{0})
		if err != nil {
			t.Fatal(err)
		}
		app := &cfg.Objects.SecurityGroups[2]
		app.Inbound, app.LiveFlows = app.Inbound[1:], c.choice
		next, err := policy.Compile(&cfg.Objects, b.snap)
		if err != nil {
			t.Fatal(err)
		}
		p := plan.Compare(b.host.running, cfg, b.snap, next)
		if err := p.Foresee(t.Context(), b.engine, next, 1, tupleText); err != nil {
			t.Fatal(err)
		}
		groups := p.Live.Groups
		p.Live.Groups = nil
		if diff := cmp.Diff(c.want, *p.Live); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.choice, diff)
		}
		switch c.choice.Mode {
		case policy.LiveCut:
			if groups[0].Reason != "security_group_in" || groups[0].Code != "ENI_SG_RULES_MISMATCH" {
				t.Errorf("cut: %+v", groups)
			}
		case policy.LiveDrain:
			if !strings.Contains(groups[0].Text, "for 30s") {
				t.Errorf("drain: %+v", groups)
			}
		}
	}
}
