package policy

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/drop"
)

func TestDecideEqualsModel(t *testing.T) {
	seen := map[drop.Reason]int{}
	halves := map[[2]bool]int{}
	rapid.Check(t, func(t *rapid.T) {
		o := genObjects.Draw(t, "objects")
		s, err := Compile(o, nil)
		if err != nil {
			t.Fatalf("the generator makes right configurations only: %v", err)
		}
		for range 40 {
			p := genPacket(t, o)
			why, to := model{o}.decide(p)
			var tr Trace
			q := queryOf(s, p)
			d := s.Decide(q, &tr)
			seen[d.Reason]++
			if d.Reason != why || (d.Verdict == Forward) != (why == drop.Unset) {
				t.Fatalf("%+v:\nDecide: %v, %v\nmodel: %v\n%s", p, d.Verdict, d.Reason, why, printTrace(&tr))
			}
			if why == drop.Unset {
				out, in := model{o}.tracks(p, to)
				if d.TrackOut != out || d.TrackIn != in {
					t.Fatalf("%+v: tracked out %v, in %v, model %v, %v", p, d.TrackOut, d.TrackIn, out, in)
				}
				halves[[2]bool{out, in}]++
				from := model{o}.eni(p.eni)
				for end, want := range []bool{model{o}.groups(from, false, p.dst, to, p), model{o}.groups(to, true, p.src, from, p)} {
					if end == 0 && from == nil || end == 1 && (model{o}).eni(to.ID) == nil {
						continue // no ENI's, where nothing is tracked
					}
					enis := [2]uint16{q.Key.ENI(), d.Egress}
					if _, ok := s.StillAdmits(&q.Key, q.ICMPType, q.ICMPCode, end, enis[end], enis[1-end]); ok != want {
						t.Fatalf("%+v: end %d still admitted %v, want %v", p, end, ok, want)
					}
				}
			}
			if to != nil && s.ENI(d.Egress).ID != to.ID {
				t.Fatalf("%+v: egress %q, model %q", p, s.ENI(d.Egress).ID, to.ID)
			}
			if plain := s.Decide(q, nil); plain != d {
				t.Fatalf("with trace %+v, without %+v", d, plain)
			}
		}
	})
	// The generator is worth nothing if it does not get everywhere.
	want := []drop.Reason{
		drop.Unset, drop.SourceIPSpoofed, drop.DestinationMACUnknown, drop.RouterNoService, drop.LinkLocalNoService, drop.NoRoute,
		drop.RouteBlackhole, drop.RouteNoSuchTarget, drop.UnknownDestination, drop.DestinationCheck,
		drop.GatewaySourceSpoofed, drop.GatewaySourcePrivate, drop.GatewaySourceShared, drop.GatewayNoPrivateAddress,
		drop.GatewayNoPublicAddress, drop.GatewayDestinationPrivate, drop.GatewayDestinationShared, drop.GatewayReflection,
		drop.ServiceSource, drop.ServiceDestination,
		drop.NACLOut, drop.NACLIn, drop.SecurityGroupOut, drop.SecurityGroupIn, drop.Multicast,
	}
	for _, r := range want {
		if seen[r] == 0 {
			t.Errorf("no packet came to %v; seen %v", r, slices.Collect(maps.Keys(seen)))
		}
	}
	for _, h := range [][2]bool{{true, true}, {true, false}, {false, true}, {false, false}} {
		if halves[h] == 0 {
			t.Errorf("no flow was tracked out %v, in %v", h[0], h[1])
		}
	}
}

// edit changes one thing in a right configuration so that it stays right.
func edit(t *rapid.T, o *Objects) {
	i := rapid.IntRange(0, 99).Draw(t, "where")
	e := &o.ENIs[i%len(o.ENIs)]
	g := &o.SecurityGroups[i%len(o.SecurityGroups)]
	switch rapid.SampledFrom([]string{"nothing", "rules", "acl", "routes", "table", "aclOf", "groups", "check", "list", "remove", "swap", "public", "services", "gateway", "order", "settings"}).Draw(t, "what") {
	case "rules":
		g.Inbound, g.Outbound = genSGRules.Draw(t, "in"), genSGRules.Draw(t, "out")
	case "acl":
		o.NetworkACLs[i%3].Inbound = genACLRules.Draw(t, "in")
	case "routes":
		rs := genRoutes.Draw(t, "routes")
		for j := range rs {
			if rs[j].Target == TargetENI {
				rs[j].TargetID = o.ENIs[i%len(o.ENIs)].ID
			}
		}
		o.RouteTables[i%3].Routes = rs
	case "table":
		o.Subnets[i%3].RouteTable = rapid.SampledFrom([]string{"", "rt-1", "rt-2"}).Draw(t, "table")
	case "aclOf":
		o.Subnets[i%3].NetworkACL = rapid.SampledFrom([]string{"", "acl-0", "acl-1"}).Draw(t, "acl")
	case "groups":
		e.SecurityGroups = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"sg-0", "sg-1", "sg-2", "sg-3"}), 0, 3, rapid.ID).Draw(t, "groups")
	case "check":
		e.SourceDestCheck = !e.SourceDestCheck
	case "list":
		o.PrefixLists[0].Prefixes = o.PrefixLists[0].Prefixes[:len(o.PrefixLists[0].Prefixes)/2]
	case "remove":
		if len(o.ENIs) < 2 {
			return
		}
		id := e.ID
		o.ENIs = slices.DeleteFunc(o.ENIs, func(e ENI) bool { return e.ID == id })
		for j := range o.RouteTables {
			for k := range o.RouteTables[j].Routes {
				if r := &o.RouteTables[j].Routes[k]; r.TargetID == id {
					r.Target, r.TargetID = TargetBlackhole, ""
				}
			}
		}
	case "swap": // two ENIs of a subnet exchange addresses
		for j := range o.ENIs {
			if f := &o.ENIs[j]; f != e && f.Subnet == e.Subnet {
				f.Addresses, e.Addresses = e.Addresses, f.Addresses
				f.Prefixes, e.Prefixes = e.Prefixes, f.Prefixes
				f.Public, e.Public = e.Public, f.Public
				return
			}
		}
	case "public":
		e.Public = genPublic(t, e)
	case "services":
		if o.Services = o.Services[:0]; i%2 == 0 {
			o.Services = append(o.Services, ServicePort{ID: "svc", VPC: "vpc-1", MAC: [6]byte{2, 2}, MTU: 1500, Queues: 1})
		}
	case "gateway":
		o.Gateways[0].MAC[5]++
	case "order":
		slices.Reverse(o.ENIs)
		slices.Reverse(o.SecurityGroups)
		slices.Reverse(o.NetworkACLs[0].Outbound)
	case "prefixes":
		e.Prefixes = nil
	case "settings":
		e.UDP = 30 + i%30
	}
}

// This is what lets the datapath keep verdicts across reloads: whatever
// changes, a decision whose generations are both unchanged is made the same way
// again, with the same rules named.
func TestGenerationsTellEveryChange(t *testing.T) {
	kept := 0
	rapid.Check(t, func(t *rapid.T) {
		o := genObjects.Draw(t, "objects")
		s, err := Compile(o, nil)
		if err != nil {
			t.Fatal(err)
		}
		var packets []packet
		for range 20 {
			packets = append(packets, genPacket(t, o))
		}
		for range 3 {
			before := map[string]uint16{}
			for i := range o.ENIs {
				before[o.ENIs[i].ID], _ = s.ENIByID(o.ENIs[i].ID)
			}
			edit(t, o)
			next, err := Compile(o, s)
			if err != nil {
				t.Fatal(err)
			}
			for id, i := range before {
				if j, ok := next.ENIByID(id); ok && i != j {
					t.Fatalf("ENI %s moved from %d to %d", id, i, j)
				}
				if next.ENIs[i].Gen < s.ENIs[i].Gen {
					t.Fatalf("generation of %s fell from %d to %d", id, s.ENIs[i].Gen, next.ENIs[i].Gen)
				}
				if _, ok := next.ENIByID(id); !ok && (!next.ENIs[i].Dead() || next.ENIs[i].Gen == s.ENIs[i].Gen) {
					t.Fatalf("removed ENI %s: dead %v, generation %d", id, next.ENIs[i].Dead(), next.ENIs[i].Gen)
				}
			}
			for _, p := range packets {
				q := queryOf(s, p)
				old := s.Decide(q, nil)
				if !old.Cacheable || old.SrcGen != next.ENIs[q.Key.ENI()].Gen || old.Egress != NoENI && old.DstGen != next.ENIs[old.Egress].Gen {
					continue
				}
				kept++
				// The destination may have got an owner where it had none, and
				// with it another reason to be dropped, but never a way.
				now := next.Decide(q, nil)
				old.Owner = now.Owner // it tells who may reply, and no verdict
				if now != old && (now.Verdict != old.Verdict || old.Egress != NoENI) {
					t.Fatalf("%+v: was %+v, is %+v under the same generations", p, old, now)
				}
			}
			s = next
		}
	})
	if kept == 0 {
		t.Error("no decision outlived a change: the test has tested nothing")
	}
}

// The other way round: compiling the same again raises nothing, whatever the
// order of the objects.
func TestNothingChangedRaisesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := genObjects.Draw(t, "objects")
		first, err := Compile(o, nil)
		if err != nil {
			t.Fatal(err)
		}
		o.ENIs = rapid.Permutation(o.ENIs).Draw(t, "enis")
		o.SecurityGroups = rapid.Permutation(o.SecurityGroups).Draw(t, "groups")
		o.Subnets = rapid.Permutation(o.Subnets).Draw(t, "subnets")
		for i := range o.ENIs {
			o.ENIs[i].SecurityGroups = rapid.Permutation(o.ENIs[i].SecurityGroups).Draw(t, "groupsOf")
		}
		for i := range o.NetworkACLs {
			o.NetworkACLs[i].Inbound = rapid.Permutation(o.NetworkACLs[i].Inbound).Draw(t, "acl")
		}
		for i := range o.RouteTables {
			o.RouteTables[i].Routes = rapid.Permutation(o.RouteTables[i].Routes).Draw(t, "routes")
		}
		second, err := Compile(o, first)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(first.ENIs, second.ENIs, cmp.Comparer(func(a, b ENIRecord) bool { return a == b })); d != "" {
			t.Fatal(d)
		}
	})
}
