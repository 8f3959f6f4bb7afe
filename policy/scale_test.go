package policy_test

import (
	"net/netip"
	"runtime"
	"slices"
	"testing"

	"github.com/nitrod/nitrod/internal/scale"
	"github.com/nitrod/nitrod/policy"
)

// large is the size at which a reload must stay quick.
func large(shape scale.Shape) scale.Spec { return scale.Spec{ENIs: 1000, Rules: 50_000, Shape: shape} }

// BenchmarkCompile is the time to compile 1,000 ENIs with 50,000 rules: the
// first time, again with nothing changed, and again with one rule changed.
func BenchmarkCompile(b *testing.B) {
	for _, shape := range scale.Shapes {
		b.Run(string(shape)+"/first", func(b *testing.B) {
			o := scale.Objects(large(shape))
			for b.Loop() {
				mustCompile(b, o, nil)
			}
			b.ReportMetric(float64(sizeOf(b, o)), "snapshot-B")
		})
		for _, c := range []struct {
			name string
			rule func(*policy.SGRule)
		}{
			{"same", func(*policy.SGRule) {}},
			{"one-rule", func(r *policy.SGRule) { r.FromPort-- }},
		} {
			b.Run(string(shape)+"/"+c.name, func(b *testing.B) {
				o := scale.Objects(large(shape))
				prev := mustCompile(b, o, nil)
				c.rule(&o.SecurityGroups[7].Inbound[3])
				for b.Loop() {
					mustCompile(b, o, prev)
				}
			})
		}
	}
}

// A changed rule raises the generations of the ENIs in its group and no other,
// in every shape and at full size.
func TestOneRuleOfThousands(t *testing.T) {
	for _, shape := range scale.Shapes {
		o := scale.Objects(large(shape))
		prev := mustCompile(t, o, nil)
		const changed = 7
		o.SecurityGroups[changed].Inbound[3].FromPort--
		next := mustCompile(t, o, prev)
		raised := 0
		for i := range next.ENIs {
			in := slices.Contains(next.ENI(uint16(i)).SecurityGroups, scale.GroupID(changed))
			if is := next.ENIs[i].Gen != prev.ENIs[i].Gen; is != in {
				t.Errorf("%s: ENI %d is in the group: %v; its generation has changed: %v", shape, i, in, is)
			}
			if in {
				raised++
			}
		}
		want := map[scale.Shape]int{scale.Shared: 20, scale.Unions: 16}[shape]
		if raised != max(1, want) {
			t.Errorf("%s: %d ENIs are in the group, want %d", shape, raised, max(1, want))
		}
	}
}

// It does not matter whether a prefix is written in a rule or in a list of its
// own, nor which of two equal lists a rule names, nor in which order they are.
func TestListsAreWhatTheyHold(t *testing.T) {
	spec := scale.Spec{ENIs: 3, Rules: 6, Shape: scale.Lists}
	o := scale.Objects(spec)
	all := o.PrefixLists[0].Prefixes
	o.PrefixLists[1].Prefixes = []netip.Prefix{all[2], all[0], all[1]}
	o.PrefixLists[2].Prefixes = []netip.Prefix{all[0], all[1], all[2]}
	o.PrefixLists[0].Prefixes = all[:1]
	rules := o.SecurityGroups[0].Inbound
	rules[0].PrefixList, rules[1].PrefixList = o.PrefixLists[0].ID, o.PrefixLists[1].ID
	prev := mustCompile(t, o, nil)

	rules[0].PrefixList, rules[0].CIDR = "", all[0]
	rules[1].PrefixList = o.PrefixLists[2].ID
	next := mustCompile(t, o, prev)
	if next.ENIs[0].Gen != prev.ENIs[0].Gen {
		t.Error("the same prefixes, written another way, raised a generation")
	}
	o.PrefixLists[2].Prefixes[2] = all[3]
	if last := mustCompile(t, o, next); last.ENIs[0].Gen == next.ENIs[0].Gen {
		t.Error("another prefix in a list raised no generation")
	}
}

func mustCompile(t testing.TB, o *policy.Objects, prev *policy.Snapshot) *policy.Snapshot {
	s, err := policy.Compile(o, prev)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sizeOf returns the heap that a snapshot takes, in bytes.
func sizeOf(t testing.TB, o *policy.Objects) uint64 {
	var before, after runtime.MemStats
	collect := func(m *runtime.MemStats) {
		runtime.GC()
		runtime.GC() // what the first one found dead is swept now
		runtime.ReadMemStats(m)
	}
	collect(&before)
	s := mustCompile(t, o, nil)
	collect(&after)
	runtime.KeepAlive(s)
	runtime.KeepAlive(o)
	return after.HeapAlloc - before.HeapAlloc
}
