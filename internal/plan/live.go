package plan

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/pipeline"
	"github.com/nitrod/nitrod/policy"
	"github.com/nitrod/nitrod/policy/secgroup"
)

// Live is what would become of the flows that live now.
type Live struct {
	Sessions int `json:"sessions"` // tracked now, all of them
	Touched  int `json:"touched"`  // flows at whose ENIs the policy would change, with and without a session
	Stay     int `json:"stay"`     // of those: go on as before

	Lost     int `json:"lost"`      // a direction that passes now would be dropped
	Drains   int `json:"drains"`    // would be ended later, by the live_flows of their group
	OtherWay int `json:"other_way"` // would be led to another ENI
	ByRules  int `json:"by_rules"`  // would pass by the rules, no longer by their session
	Tracked  int `json:"tracked"`   // would be tracked where they are not now
	Admitted int `json:"admitted"`  // are refused now, and would pass

	Groups     []FlowGroup `json:"groups"`      // the flows that do not stay, most of them first
	GroupsLeft int         `json:"groups_left"` // flows in groups beyond MaxGroups
}

// MaxGroups bounds the groups of a Live, MaxFlows the flows listed in one.
const (
	MaxGroups = 500
	MaxFlows  = 1000
)

// FlowFate is what would become of a flow, where anything would.
type FlowFate string

// The fates.
const (
	Lost     FlowFate = "lost"
	Drains   FlowFate = "drains"
	OtherWay FlowFate = "other_way"
	ByRules  FlowFate = "by_rules"
	Tracked  FlowFate = "tracked"
	Admitted FlowFate = "admitted"
)

// FlowGroup is flows with one fate for one cause.
type FlowGroup struct {
	Fate   FlowFate `json:"fate"`
	Reply  bool     `json:"reply"` // it is about packets of the reply's direction
	Reason string   `json:"reason,omitempty"`
	Code   string   `json:"code,omitempty"` // AWS Reachability Analyzer's word for the reason
	Object string   `json:"object,omitempty"`
	Rule   string   `json:"rule,omitempty"`
	Text   string   `json:"text"` // one sentence, about the first flow of the list
	Flows  int      `json:"flows"`
	List   []Flow   `json:"list"` // some of them
}

// Flow is a live flow, in the direction of its first packet.
type Flow struct {
	Key   hash.FlowKey `json:"-"`
	Tuple string       `json:"tuple"`
	From  string       `json:"from"` // ENI
	To    string       `json:"to"`   // ENI, by the policy in force
	Then  string       `json:"then"` // ENI, by the new one
	State string       `json:"state,omitempty"`
}

// cause is what the flows of a group have in common: no more than what decides.
type cause struct {
	fate          FlowFate
	reply         bool
	reason        drop.Reason
	eni           uint16 // whose half decides, or that receives
	route         policy.RouteRef
	aclOut, aclIn policy.ACLRef
	rule          secgroup.Ref
	drain         int64 // ns
}

// setDecider notes what decides on a direction of a flow.
func (c *cause) setDecider(f *pipeline.LiveFlow, w *pipeline.LiveWay) {
	d := &w.Then.By
	c.eni = policy.NoENI
	switch {
	case c.fate == Drains:
		c.drain = f.Drains
	case c.fate == OtherWay:
		c.route, c.eni = d.Route, w.Then.Egress
	case c.fate != Lost:
		c.rule, c.eni = d.SGIn, w.Then.Egress
	case c.reason == drop.NACLOut:
		c.aclOut = d.ACLOut
	case c.reason == drop.NACLIn:
		c.aclIn = d.ACLIn
	case c.reason == drop.RouteBlackhole || c.reason == drop.RouteNoSuchTarget:
		c.route = d.Route
	case c.reason.Info().Half == drop.HalfIngress:
		c.eni = w.Then.Egress
	default:
		c.eni = w.Key.ENI()
	}
}

// group collects the flows of one cause.
type group struct {
	flows int
	list  []pipeline.LiveFlow
	way   int
}

// Foresee adds to a plan what would become of the live flows of an engine, with
// at most flows of each group listed. next is the snapshot that Compare had;
// tuple writes a flow as people do.
//
// The error is ctx's, if that ends meanwhile.
//
// Thread-safety: any goroutine; it holds up no lcore. Limits: memory for
// MaxGroups groups, whatever the number of flows.
func (p *Plan) Foresee(ctx context.Context, e *pipeline.Engine, next *policy.Snapshot, flows int, tuple func(*hash.FlowKey) string) error {
	ahead, err := e.Foresee(next)
	if err != nil {
		return err
	}
	live := &Live{Sessions: int(e.Total().SessionsLive), Groups: []FlowGroup{}}
	groups := make(map[cause]*group)
	ahead.Each(func(f *pipeline.LiveFlow) bool {
		live.Touched++
		c, way := causeOf(f)
		switch c.fate {
		case Lost:
			live.Lost++
		case OtherWay:
			live.OtherWay++
		case Drains:
			live.Drains++
		case ByRules:
			live.ByRules++
		case Tracked:
			live.Tracked++
		case Admitted:
			live.Admitted++
		default:
			live.Stay++
			return ctx.Err() == nil
		}
		g := groups[c]
		if g == nil {
			if len(groups) == MaxGroups {
				live.GroupsLeft++
				return ctx.Err() == nil
			}
			g = &group{way: way}
			groups[c] = g
		}
		g.flows++
		if len(g.list) < max(1, min(flows, MaxFlows)) {
			g.list = append(g.list, *f)
		}
		return ctx.Err() == nil
	})
	if err := ctx.Err(); err != nil {
		return err
	}
	now := e.Policy()
	for c, g := range groups {
		live.Groups = append(live.Groups, describe(ahead, now, next, &c, g, flows, tuple))
	}
	slices.SortFunc(live.Groups, func(a, b FlowGroup) int {
		return cmp.Or(
			cmp.Compare(rank[a.Fate], rank[b.Fate]), cmp.Compare(b.Flows, a.Flows), cmp.Compare(a.Reason, b.Reason),
			cmp.Compare(a.Object, b.Object), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Text, b.Text))
	})
	p.Live = live
	return nil
}

// rank orders the fates by how much they matter.
var rank = map[FlowFate]int{Lost: 0, Drains: 1, OtherWay: 2, ByRules: 3, Tracked: 4, Admitted: 5}

// causeOf returns the fate of a flow, and the direction in which it is met: what
// is lost counts before what goes another way.
func causeOf(f *pipeline.LiveFlow) (c cause, way int) {
	for i := range f.Ways[:f.N] {
		w := &f.Ways[i]
		passes, will := w.Now.Verdict == pipeline.VerdictForward, w.Then.Verdict == pipeline.VerdictForward
		fate := FlowFate("")
		switch {
		case passes && !will:
			fate = Lost
		case passes && f.Drains != 0 && w.Then.Session:
			fate = Drains
		case passes && w.Now.Egress != w.Then.Egress:
			fate = OtherWay
		case passes && w.Now.Session && !w.Then.Session:
			fate = ByRules
		case passes && (w.Then.Tracked[0] && !w.Now.Tracked[0] || w.Then.Tracked[1] && !w.Now.Tracked[1]):
			fate = Tracked
		case !passes && will && !f.HasSession:
			fate = Admitted
		default:
			continue
		}
		if c.fate != "" && rank[c.fate] <= rank[fate] {
			continue
		}
		c = cause{fate: fate, reply: i == 1, reason: w.Then.Reason}
		c.setDecider(f, w)
		way = i
	}
	return c, way
}

// describe puts a group in words.
func describe(ahead *pipeline.Foresight, now, next *policy.Snapshot, c *cause, g *group, flows int, tuple func(*hash.FlowKey) string) FlowGroup {
	out := FlowGroup{Fate: c.fate, Reply: c.reply, Flows: g.flows, List: []Flow{}}
	first := &g.list[0].Ways[g.way]
	steps := ahead.Explain(first)
	switch c.fate {
	case Lost:
		info := c.reason.Info()
		out.Reason, out.Code, out.Text = info.Name, info.AWS, info.Help
		if n := len(steps); n != 0 && steps[n-1].Outcome == policy.Dropped {
			s := &steps[n-1]
			out.Code, out.Object, out.Rule, out.Text = s.Code, s.Object, s.Rule, s.Text
		}
	case Drains:
		out.Text = "No rule admits these flows any more, and the live_flows of the group that did lets them go on for " + time.Duration(c.drain).String() + "."
	case OtherWay:
		for i := range steps {
			if s := &steps[i]; s.Stage == policy.StageRoute || s.Stage == policy.StageLink {
				out.Object, out.Rule, out.Text = s.Object, s.Rule, s.Text
			}
		}
	default:
		for i := range steps {
			if s := &steps[i]; s.Outcome == policy.Passed && s.Rule != "" {
				out.Object, out.Rule, out.Text = s.Object, s.Rule, s.Text
			}
		}
	}
	for i := range g.list[:min(flows, len(g.list))] {
		f := &g.list[i]
		w := &f.Ways[0]
		line := Flow{Key: w.Key, Tuple: tuple(&w.Key), From: now.ENI(w.Key.ENI()).ID, To: now.ENI(w.Now.Egress).ID, Then: next.ENI(w.Then.Egress).ID}
		if f.HasSession {
			line.State = f.Session.State().String()
		}
		out.List = append(out.List, line)
	}
	return out
}
