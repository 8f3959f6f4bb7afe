// Package plan says what a new configuration would change before it is put in
// force: objects, the ENIs at which another policy would apply, what in it does
// nothing, and which live flows would end or take another way.
package plan

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/policy"
)

// Plan is what a new configuration would change.
//
// Limits: of each list at most MaxItems are kept; Left says how many are not.
type Plan struct {
	Old string `json:"old"` // the file in force, or compared with
	New string `json:"new"`

	Changes     []Change  `json:"changes"`
	ChangesLeft int       `json:"changes_left,omitempty"`
	ENIs        []ENI     `json:"enis"` // at which the policy in force would change
	ENIsLeft    int       `json:"enis_left,omitempty"`
	Findings    []Finding `json:"findings"` // in the new file
	FindingLeft int       `json:"findings_left,omitempty"`

	Restart bool  `json:"restart"`        // some of the changes need one
	Live    *Live `json:"live,omitempty"` // absent without a daemon
}

// MaxItems bounds each list of a Plan.
const MaxItems = 10_000

// Change is one difference between the files.
type Change struct {
	config.Change
	Where string `json:"where,omitempty"` // in the new file; of what was removed, in the old one
}

// ENI is an ENI whose flows would be judged anew.
type ENI struct {
	ENI  string            `json:"eni"`
	What config.ChangeKind `json:"what"`
	Why  []string          `json:"why,omitempty"` // the objects by which the policy in force changes
}

// Finding is something in the new file that does nothing.
type Finding struct {
	Kind   policy.FindingKind `json:"kind"`
	Object string             `json:"object"`
	Where  string             `json:"where,omitempty"`
	Text   string             `json:"text"`
	New    bool               `json:"new"` // the old file has nothing like it
}

// Compare plans the step from one configuration to another. next must have been
// compiled from the new one with prev, the snapshot in force, as the one before.
func Compare(old, new *config.Config, prev, next *policy.Snapshot) *Plan {
	p := &Plan{Old: old.File, New: new.File, Changes: []Change{}, ENIs: []ENI{}, Findings: []Finding{}}
	changed := make(map[string]bool)
	for _, c := range config.Diff(old, new) {
		changed[c.Object] = true
		p.Restart = p.Restart || c.Restart
		if len(p.Changes) == MaxItems {
			p.ChangesLeft++
			continue
		}
		p.Changes = append(p.Changes, Change{c, c.Pos.String()})
	}
	p.affected(&old.Objects, &new.Objects, prev, next, changed)
	p.find(&old.Objects, &new.Objects)
	return p
}

// find lists what does nothing. The old file's own findings are told apart, so
// that a reload can be judged by what it brings.
func (p *Plan) find(old, new *policy.Objects) {
	known := make(map[string]bool)
	for _, f := range policy.Analyse(old) {
		known[f.Text] = true
	}
	for _, f := range policy.Analyse(new) {
		if len(p.Findings) == MaxItems {
			p.FindingLeft++
			continue
		}
		p.Findings = append(p.Findings, Finding{f.Kind, f.Object, f.Pos.String(), f.Text, !known[f.Text]})
	}
}

// affected lists the ENIs at which the policy in force changes, by the
// generations that the compiler gave them.
func (p *Plan) affected(old, new *policy.Objects, prev, next *policy.Snapshot, changed map[string]bool) {
	why := newReasons(old, new, changed)
	add := func(e ENI) {
		if len(p.ENIs) == MaxItems {
			p.ENIsLeft++
			return
		}
		p.ENIs = append(p.ENIs, e)
	}
	for i := range new.ENIs {
		e := &new.ENIs[i]
		at, _ := next.ENIByID(e.ID)
		was, ok := prev.ENIByID(e.ID)
		switch {
		case !ok:
			add(ENI{ENI: e.ID, What: config.Added})
		case prev.ENIs[was].Gen != next.ENIs[at].Gen:
			add(ENI{ENI: e.ID, What: config.Changed, Why: why.of(e)})
		}
	}
	for i := range old.ENIs {
		if id := old.ENIs[i].ID; !has(next, id) {
			add(ENI{ENI: id, What: config.Removed})
		}
	}
}

func has(s *policy.Snapshot, eni string) bool {
	_, ok := s.ENIByID(eni)
	return ok
}

// reasons finds the objects by which the policy in force at an ENI changes.
type reasons struct {
	changed map[string]bool // by the names of config.Change
	subnets map[string]*policy.Subnet
	groups  map[string]*policy.SecurityGroup
	mains   map[string]string // route table by VPC
	members map[string]bool   // groups whose members have other addresses now
}

func newReasons(old, new *policy.Objects, changed map[string]bool) *reasons {
	r := &reasons{
		changed: changed, subnets: make(map[string]*policy.Subnet), groups: make(map[string]*policy.SecurityGroup),
		mains: make(map[string]string), members: make(map[string]bool),
	}
	for i := range new.Subnets {
		r.subnets[new.Subnets[i].ID] = &new.Subnets[i]
	}
	for i := range new.SecurityGroups {
		r.groups[new.SecurityGroups[i].ID] = &new.SecurityGroups[i]
	}
	for i := range new.RouteTables {
		if t := &new.RouteTables[i]; t.Main {
			r.mains[t.VPC] = t.ID
		}
	}
	before, after := membership(old), membership(new)
	for g := range r.groups {
		r.members[g] = !slices.Equal(before[g], after[g])
	}
	return r
}

// membership lists the addresses of each group's members.
func membership(o *policy.Objects) map[string][]string {
	m := make(map[string][]string)
	for i := range o.ENIs {
		for _, g := range o.ENIs[i].SecurityGroups {
			for _, a := range o.ENIs[i].Addresses {
				m[g] = append(m[g], a.String())
			}
		}
	}
	for _, list := range m {
		slices.Sort(list)
	}
	return m
}

// of returns them in order of their names.
func (r *reasons) of(e *policy.ENI) []string {
	found := make(map[string]bool)
	note := func(kind, id string) {
		if name := kind + " " + strconv.Quote(id); id != "" && r.changed[name] {
			found[name] = true
		}
	}
	note("ENI", e.ID)
	note("subnet", e.Subnet)
	if s := r.subnets[e.Subnet]; s != nil {
		note("VPC", s.VPC)
		note("network ACL", s.NetworkACL)
		note("route table", s.RouteTable)
		if s.RouteTable == "" {
			note("route table", r.mains[s.VPC])
		}
	}
	for _, id := range e.SecurityGroups {
		note("security group", id)
		g := r.groups[id]
		if g == nil {
			continue
		}
		for _, rules := range [][]policy.SGRule{g.Inbound, g.Outbound} {
			for i := range rules {
				note("prefix list", rules[i].PrefixList)
				if rules[i].Group != "" && r.members[rules[i].Group] {
					found[fmt.Sprintf("the members of security group %q", rules[i].Group)] = true
				}
			}
		}
	}
	names := make([]string, 0, len(found))
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
