package pipeline

import (
	"slices"
	"testing"
	"time"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/pipeline/flowcache"
	"github.com/nitrod/nitrod/policy"
	"pgregory.net/rapid"
)

// outcome is what became of one frame.
type outcome struct {
	verdict Verdict
	reason  drop.Reason
	egress  uint16
	queue   int
	pieces  int  // in which it went on, 0 if whole
	told    bool // the sender got an ICMP error about it
}

// fate injects a frame alone and sees what becomes of it.
func (b *bed) fate(eni string, frame []byte) outcome {
	b.t.Helper()
	return b.fateAt(b.eni(eni), frame)
}

// fateAt is fate at the port of an ENI that may be gone.
func (b *bed) fateAt(eni uint16, frame []byte) outcome {
	b.t.Helper()
	all := b.fatesAt(eni, frame)
	if len(all) != 1 {
		b.t.Fatalf("of one frame became %+v", all)
	}
	return all[0]
}

// fatesAt is fateAt for a frame that may be a first fragment, which others have
// waited for: it sees what becomes of all.
func (b *bed) fatesAt(eni uint16, frame []byte) []outcome {
	b.t.Helper()
	return b.fatesOf(eni, 1, func() {
		if !b.ports[eni].Inject(0, frame) {
			b.t.Fatal("the port takes no more frames")
		}
	})
}

// fatesOf sees what becomes of n new frames of an ENI, and of those that have
// waited, when something happens.
func (b *bed) fatesOf(eni uint16, frames int, happens func()) []outcome {
	b.t.Helper()
	before := b.stats()
	happens()
	after := b.settle()
	var all []outcome
	for r := range after.Drops {
		for range after.Drops[r] - before.Drops[r] {
			all = append(all, outcome{verdict: VerdictDrop, reason: drop.Reason(r), egress: noENI})
		}
	}
	made, fragmented := after.Originated-before.Originated, after.Fragmented != before.Fragmented
	verdict := VerdictForward
	switch {
	case fragmented:
	case made != 0:
		verdict = VerdictAnswer
	case after.Consumed != before.Consumed:
		all = append(all, outcome{verdict: VerdictConsume, egress: noENI})
	}
	for i, p := range b.ports {
		for q := range int(b.engine.guests[i].queues) {
			switch n := p.Drain(q, func([]byte) {}); {
			case n == 0:
			case fragmented && n == int(made):
				all = append(all, outcome{verdict: verdict, egress: uint16(i), queue: q, pieces: n})
			case n == 1 && len(all) == 1 && all[0].verdict == VerdictDrop && after.ICMPErrors != before.ICMPErrors && i == int(eni):
				all[0].told = true
			default:
				for range n {
					all = append(all, outcome{verdict: verdict, egress: uint16(i), queue: q})
				}
			}
		}
	}
	for range after.Held() - before.Held() {
		all = append(all, outcome{verdict: VerdictHold, egress: noENI})
	}
	if int64(len(all)) != int64(frames)+max(0, before.Held()-after.Held()) {
		b.t.Fatalf("of %d frames and %d that waited became %+v", frames, before.Held()-after.Held(), all)
	}
	return all
}

// limited counts the packets that wait for limits.
func (b *bed) limited() (n int) {
	for _, w := range b.engine.workers {
		n += w.limits.wheel.n
	}
	return n
}

// said is an explanation in the same words.
func said(x *Explanation) outcome {
	if x.Wait > 0 {
		return outcome{verdict: VerdictHold, egress: noENI}
	}
	return saidInTheEnd(x)
}

// saidInTheEnd is said of a packet whose limits have let it go.
func saidInTheEnd(x *Explanation) outcome {
	switch x.Verdict {
	case VerdictForward, VerdictAnswer:
		return outcome{verdict: x.Verdict, egress: x.Egress, queue: int(x.Queue), pieces: x.Fragments}
	case VerdictConsume, VerdictHold:
		return outcome{verdict: x.Verdict, egress: noENI}
	}
	return outcome{verdict: VerdictDrop, reason: x.Reason, egress: noENI, told: x.Tells}
}

// forget empties the flow caches, so that the slow path decides everything.
func (b *bed) forget() {
	type flow struct {
		lcore int
		key   hash.FlowKey
	}
	var flows []flow
	b.engine.EachFlow(func(lcore int, e *flowcache.Entry) bool {
		flows = append(flows, flow{lcore, e.Key})
		return true
	})
	for _, f := range flows {
		h := b.engine.hasher.Hash(&f.key, uint32(b.snap.ENIs[f.key.ENI()].VPC))
		if !b.engine.workers[f.lcore].cache.Remove(h, &f.key) {
			b.t.Fatal("a flow that was listed is not there")
		}
	}
}

// pass lets time go by and ends all that is idle by then.
func (b *bed) pass(d time.Duration) {
	b.clock.advance(d)
	b.settle()
	for _, w := range b.engine.workers {
		w.sessions.Expire(b.clock.Now(), int(w.sessions.High()))
	}
}

// changes are what happens to policy while traffic flows.
var changes = map[string]func(o *policy.Objects){
	"rules removed": func(o *policy.Objects) { o.SecurityGroups[1].Inbound = nil },
	"rules restored": func(o *policy.Objects) {
		o.SecurityGroups[1].Inbound = propertyObjects().SecurityGroups[1].Inbound
	},
	"groups open": func(o *policy.Objects) {
		all := []policy.SGRule{allTo("0.0.0.0/0"), allTo("::/0")}
		for i := range o.SecurityGroups {
			setGroup(i, all, all)(o)
		}
	},
	"groups closed": func(o *policy.Objects) { o.SecurityGroups = propertyObjects().SecurityGroups },
	"live flows cut": func(o *policy.Objects) {
		for i := range o.SecurityGroups {
			o.SecurityGroups[i].LiveFlows = policy.LiveFlows{Mode: policy.LiveCut}
		}
	},
	"live flows drained": func(o *policy.Objects) {
		for i := range o.SecurityGroups {
			o.SecurityGroups[i].LiveFlows = policy.LiveFlows{Mode: policy.LiveDrain, Drain: 2 * time.Second}
		}
	},
	"acl denies": func(o *policy.Objects) {
		o.NetworkACLs[0].Inbound = []policy.ACLRule{{Number: 100, Match: policy.Match{Protocol: policy.ProtoAll}, CIDR: mustPrefix("0.0.0.0/0")}}
	},
	"acl allows":     func(o *policy.Objects) { o.NetworkACLs = propertyObjects().NetworkACLs },
	"by appliance":   func(o *policy.Objects) { o.RouteTables[0].Routes = append(o.RouteTables[0].Routes[:3], viaFirewall) },
	"direct":         func(o *policy.Objects) { o.RouteTables[0].Routes = o.RouteTables[0].Routes[:3] },
	"small mtu":      func(o *policy.Objects) { o.ENIs[2].MTU = 1280 },
	"large mtu":      func(o *policy.Objects) { o.ENIs[2].MTU = 1500 },
	"short timeouts": func(o *policy.Objects) { o.ENIs[2].TCPEstablished = 60 },
	"an allowance":   func(o *policy.Objects) { o.Instances[0].ConntrackAllowance = 3 },
	"no allowance":   func(o *policy.Objects) { o.Instances[0].ConntrackAllowance = 0 },
	"check off":      func(o *policy.Objects) { o.ENIs[2].SourceDestCheck = false },
	"check on":       func(o *policy.Objects) { o.ENIs[2].SourceDestCheck = true },
	"public moved": func(o *policy.Objects) {
		o.ENIs[0].Public = []policy.PublicAddress{{Private: packet.MustIP("10.0.1.10"), Public: packet.MustIP("198.18.0.11")}}
	},
	"public restored": func(o *policy.Objects) { o.ENIs[0].Public = propertyObjects().ENIs[0].Public },
	"nothing public":  func(o *policy.Objects) { o.ENIs[0].Public = nil },
	"other next hop":  func(o *policy.Objects) { o.Gateways[0].MAC[5] ^= 1 },
	"eni removed": func(o *policy.Objects) {
		if o.ENIs[1].ID == "web2" {
			o.ENIs = append(o.ENIs[:1:1], o.ENIs[2:]...)
			changesShift(o)
		}
	},
}

// limitChanges are changes as well. Limits across lcores depend on which lcore has
// borrowed what, so that they are no part of what engines with other lcores agree on.
var limitChanges = map[string]func(o *policy.Objects){
	"limits of an ENI": func(o *policy.Objects) {
		slow := policy.Limit{Rate: 64_000, Burst: 1514, Delay: 20 * time.Millisecond}
		o.ENIs[2].In, o.ENIs[2].Out, o.ENIs[2].Queue = slow, policy.Limit{Rate: 128_000, Burst: 1514}, slow
	},
	"limits of an instance": func(o *policy.Objects) {
		l := policy.Limit{Rate: 256_000, Burst: 1514, Delay: 8 * time.Millisecond}
		o.Instances[0].Out = policy.Bandwidth{Limit: l, Baseline: 64_000, Credits: 3000}
		o.Instances[0].In = policy.Bandwidth{Limit: l, Baseline: 256_000}
		o.Instances[0].Packets = policy.Limit{Rate: 100, Burst: 5, Delay: 15 * time.Millisecond}
	},
	"limits to the internet": func(o *policy.Objects) {
		o.Instances[0].InternetOut = policy.Limit{Rate: 64_000, Burst: 1514, Delay: 12 * time.Millisecond}
		o.Instances[0].InternetIn = policy.Limit{Rate: 128_000, Burst: 1514}
	},
	"no limits": func(o *policy.Objects) {
		o.ENIs[2].In, o.ENIs[2].Out, o.ENIs[2].Queue = policy.Limit{}, policy.Limit{}, policy.Limit{}
		in := &o.Instances[0]
		in.In, in.Out, in.Packets = policy.Bandwidth{}, policy.Bandwidth{}, policy.Limit{}
		in.InternetIn, in.InternetOut = policy.Limit{}, policy.Limit{}
	},
}

// changesShift keeps app at its place in the list after web2 has gone.
func changesShift(o *policy.Objects) { o.ENIs[1], o.ENIs[2] = o.ENIs[2], o.ENIs[1] }

var viaFirewall = policy.Route{Destination: mustPrefix("10.0.2.0/24"), Target: policy.TargetENI, TargetID: "fw"}

// What explain says of a frame is what then happens to it, whatever was before:
// on one lcore and on several, with tables that are large and that are full. And
// an engine whose flow cache is emptied before every frame does the same: the
// cache never changes a verdict.
func TestExplainIsWhatHappens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lcores := rapid.IntRange(1, 3).Draw(t, "lcores")
		flows := rapid.SampledFrom([]int{16, 4096}).Draw(t, "flows")
		sessions := 4096
		if lcores == 1 { // on several the tables are divided, which the cold twin's are not
			sessions = rapid.SampledFrom([]int{16, 4096}).Draw(t, "sessions")
		}
		pickup, liberal := rapid.Bool().Draw(t, "pickup"), rapid.Bool().Draw(t, "liberal")
		headers := rapid.SampledFrom([]int{0, 96, 224}).Draw(t, "headers")
		rules := genHostRules(t, lcores)
		bedOf := func(lcores int) *bed {
			return newBed(t, bedOptions{lcores: lcores, slots: 512, headers: headers, objects: propertyObjects(), config: func(c *Config) {
				c.Flows, c.Sessions, c.PickupMidstream, c.LiberalWindows = flows, sessions, pickup, liberal
				if lcores > 1 {
					c.Steering = rules
				}
			}})
		}
		b, cold := bedOf(lcores), bedOf(1)
		cold.engine.queues = b.engine.queues
		cold.policy(func(*policy.Objects) {})
		f := frameMaker{b: b}
		ids := []string{"web", "web2", "app", "fw"}
		t.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) {},
			"time": func(t *rapid.T) {
				d := time.Duration(rapid.SampledFrom([]int{1, 9, 31, 61, 200}).Draw(t, "seconds")) * time.Second
				b.pass(d)
				cold.pass(d)
			},
			"policy": func(t *rapid.T) {
				name := rapid.SampledFrom(sortedNames(changes)).Draw(t, "change")
				b.policy(changes[name])
				cold.policy(changes[name])
			},
			"limits": func(t *rapid.T) {
				if lcores == 1 {
					name := rapid.SampledFrom(sortedNames(limitChanges)).Draw(t, "limits")
					b.policy(limitChanges[name])
					cold.policy(limitChanges[name])
				}
			},
			"queues": func(t *rapid.T) {
				if _, ok := b.snap.ENIByID("app"); ok {
					queuesStep(t, b)
					cold.policy(func(*policy.Objects) {}) // it has the same settings
				}
			},
			"frames": func(t *rapid.T) {
				for range rapid.IntRange(1, 12).Draw(t, "frames") {
					frameStep(t, b, cold, &f)
				}
			},
			"gone": func(t *rapid.T) { // a guest whose ENI was removed still talks
				for i, id := range ids {
					if b.snap.ENIs[i].Dead() {
						b.ports[i].Inject(0, packet.Pad(nil, 60))
						if b.settle(); b.engine.Explain(uint16(i), nil).Reason != drop.PortWithoutENI {
							t.Fatalf("ENI %s is gone and explain does not say so", id)
						}
					}
				}
			},
		})
	})
}

func frameStep(t *rapid.T, b, cold *bed, f *frameMaker) {
	eni, frame := f.draw(t)
	x := b.engine.Explain(b.eni(eni), append([]byte(nil), frame...))
	if c := x.QueueChoice(); x.Verdict == VerdictForward && (c.Queue != x.Queue || c.Rule == noRule && b.engine.view.Load().rss[x.Egress].table.Entry(c.Hash) != uint16(c.Queue)) {
		t.Fatalf("%s from %s: queue %d is explained as %+v", packet.Summary(frame), eni, x.Queue, c)
	}
	got := b.fatesAt(b.eni(eni), frame)
	if want := said(&x); !slices.Contains(got, want) {
		t.Fatalf("%s from %s:\nexplained as %+v,\nhappened    %+v\n%+v", packet.Summary(frame), eni, want, got, x)
	}
	cold.forget()
	if slow := cold.fatesAt(cold.eni(eni), frame); !slices.Equal(slow, got) {
		t.Fatalf("%s from %s:\nwith a flow cache %+v,\nwithout           %+v\n%+v", packet.Summary(frame), eni, got, slow, x)
	}
	waitStep(t, b, cold, eni, &x)
}

// queuesStep changes how app spreads what it receives, or the rules of its
// instance, and lets the change end.
func queuesStep(t *rapid.T, b *bed) {
	queues := int(b.record("app").Queues)
	var err error
	switch rapid.IntRange(0, 2).Draw(t, "change of queues") {
	case 0:
		err = b.engine.SetRSS("app", genRSS(t, t, queues))
	case 1:
		err = b.engine.AddSteering(genAnySteer(t, queues))
	case 2:
		err = b.engine.RemoveSteering("app", uint32(rapid.IntRange(0, queues-1).Draw(t, "remove")))
	}
	if err != nil && err != hash.ErrSteerTaken && err != hash.ErrSteerUnused {
		t.Fatal(err)
	}
	ended(b)
}

// genAnySteer draws a rule for app that takes some of what frameMaker makes.
func genAnySteer(t *rapid.T, queues int) Steer {
	s := Steer{"app", hash.SteerRule{
		Location: uint32(rapid.IntRange(0, queues-1).Draw(t, "location")),
		Queue:    uint16(rapid.IntRange(0, queues-1).Draw(t, "queue")),
		Type:     hash.FlowType(rapid.IntRange(int(hash.FlowIPv4), int(hash.FlowIPv6UDP)).Draw(t, "type")),
	}}
	r := &s.Rule
	if r.Type > hash.FlowIPv6 {
		r.SrcPort, r.SrcPortMask = uint16(rapid.IntRange(0, 3).Draw(t, "port")), rapid.SampledFrom([]uint16{0, 1, 3}).Draw(t, "port mask")
	}
	if rapid.Bool().Draw(t, "by address") {
		r.Src, r.SrcMask = hash.Addr{Lo: 10}, hash.Addr{Lo: rapid.SampledFrom([]uint64{1, 0xff}).Draw(t, "address mask")}
	}
	if r.Type == hash.FlowIPv4 || r.Type == hash.FlowIPv4TCP || r.Type == hash.FlowIPv4UDP {
		r.TrafficMask = rapid.SampledFrom([]uint8{0, 0, 0xff, 0x03}).Draw(t, "tos mask")
	}
	return s
}

// waitStep lets packets that wait for limits go, and sees what becomes of them.
func waitStep(t *rapid.T, b, cold *bed, eni string, x *Explanation) {
	if b.limited() == 0 {
		return
	}
	alone := b.limited() == 1 && x.Wait != 0
	early := x.Wait - 1
	if alone && early > 0 {
		b.clock.advance(early)
		cold.clock.advance(early)
		if b.settle(); b.limited() != 1 {
			t.Fatalf("a packet that was to wait for %v left before", x.Wait)
		}
	} else {
		early = 0
	}
	rest := 20*time.Millisecond - early + 1<<slotShift // the longest delay here, and a slot
	if alone {
		rest = x.Wait - early + 1<<slotShift
	}
	var ends [2][]outcome
	for i, d := range []*bed{b, cold} {
		ends[i] = d.fatesOf(d.eni(eni), 0, func() { d.clock.advance(rest) })
	}
	if b.limited() != 0 || !slices.Equal(ends[0], ends[1]) || alone && !slices.Contains(ends[0], saidInTheEnd(x)) {
		t.Fatalf("what waited from %s became %+v, and without a flow cache %+v\n%+v", eni, ends[0], ends[1], x)
	}
}
