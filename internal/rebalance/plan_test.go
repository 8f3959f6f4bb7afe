package rebalance

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func drawLoad(t *rapid.T) *Load {
	queues := rapid.IntRange(1, 9).Draw(t, "queues")
	entries := 1 << rapid.IntRange(0, 7).Draw(t, "log entries")
	packets := rapid.OneOf(rapid.Uint64Range(0, 3), rapid.Uint64Range(0, 1000), rapid.Uint64Range(0, 1_000_000))
	l := &Load{
		Table:   make([]uint16, entries),
		Entries: rapid.SliceOfN(packets, entries, entries).Draw(t, "loads"),
		Fixed:   make([]uint64, queues),
	}
	for e := range l.Table {
		l.Table[e] = uint16(rapid.IntRange(0, queues-1).Draw(t, "queue"))
	}
	if rapid.Bool().Draw(t, "steered") {
		l.Fixed[rapid.IntRange(0, queues-1).Draw(t, "to")] = packets.Draw(t, "packets")
	}
	return l
}

// A plan moves what is there, and the fullest queue carries less by it, by as much
// as was asked.
func TestPlanIsNeverWorse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLoad(t)
		target, gain := rapid.Float64Range(0, 50).Draw(t, "target"), rapid.Float64Range(0, 20).Draw(t, "gain")
		before := l.Queues(l.Table)
		moves := Plan(l, target, gain)
		seen := map[int]bool{}
		for _, m := range moves {
			if seen[m.Entry] || m.From == m.To || l.Table[m.Entry] != m.From || int(m.To) >= len(l.Fixed) || m.Packets != l.Entries[m.Entry] || m.Packets == 0 {
				t.Fatalf("move %+v among %+v", m, moves)
			}
			seen[m.Entry] = true
		}
		after := l.Queues(Apply(l.Table, moves))
		worst, best := slices.Max(before), slices.Max(after)
		if len(moves) > 0 && (best >= worst || float64(worst-best) < float64(worst)*gain/100) {
			t.Fatalf("the fullest queue carried %d and carries %d: %v, %v", worst, best, before, after)
		}
		if len(moves) > 0 && Excess(before) <= target {
			t.Fatalf("moved at %v%%, which is below %v%%", Excess(before), target)
		}
	})
}

// Plan after plan comes to an end, for the same load, and then the fullest queue
// is within the target, or no single entry moved from it to the emptiest would
// make it better.
func TestPlansConverge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLoad(t)
		target := rapid.Float64Range(0, 50).Draw(t, "target")
		for n := 0; ; n++ {
			moves := Plan(l, target, 0)
			if len(moves) == 0 {
				break
			}
			if l.Table = Apply(l.Table, moves); n > 10*len(l.Table) {
				t.Fatalf("%d plans, and another one: %+v of %+v", n, moves, l)
			}
		}
		queues := l.Queues(l.Table)
		worst := slices.Max(queues)
		if Excess(queues) <= target || worst == 0 {
			return
		}
		for e, q := range l.Table {
			if queues[q] != worst || l.Entries[e] == 0 {
				continue
			}
			empty := slices.Index(queues, slices.Min(queues))
			if slices.Index(queues, worst) == int(q) && max(worst-l.Entries[e], queues[empty]+l.Entries[e]) < worst {
				t.Fatalf("entry %d might have moved to queue %d: %+v", e, empty, l)
			}
		}
	})
}

// With many entries of about the same load the queues come close to each other.
func TestPlanEvensOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const entries = 128
		queues := rapid.IntRange(2, 8).Draw(t, "queues")
		l := &Load{Table: make([]uint16, entries), Entries: make([]uint64, entries), Fixed: make([]uint64, queues)}
		for e := range entries {
			l.Entries[e] = rapid.Uint64Range(900, 1100).Draw(t, "load")
		}
		moves := Plan(l, 10, 5) // from all in the first queue
		if after := l.Queues(Apply(l.Table, moves)); Excess(after) > 10 {
			t.Fatalf("the queues carry %v, %v%% above the mean, after %d moves", after, Excess(after), len(moves))
		}
	})
}

func TestPlan(t *testing.T) {
	for _, tt := range []struct {
		name string
		load Load
		want []Move
	}{
		{"even", Load{Table: []uint16{0, 1}, Entries: []uint64{9, 9}, Fixed: []uint64{0, 0}}, nil},
		{"nothing came", Load{Table: []uint16{0, 0}, Entries: []uint64{0, 0}, Fixed: []uint64{0, 0}}, nil},
		{"two elephants collide", Load{Table: []uint16{0, 1, 0, 1}, Entries: []uint64{90, 5, 100, 5}, Fixed: []uint64{0, 0}}, []Move{{0, 0, 1, 90}}},
		{"one elephant cannot part", Load{Table: []uint16{0, 1}, Entries: []uint64{100, 1}, Fixed: []uint64{0, 0}}, nil},
		{"what shares a queue with it can", Load{Table: []uint16{0, 0, 1}, Entries: []uint64{100, 40, 10}, Fixed: []uint64{0, 0}}, []Move{{1, 0, 1, 40}}},
		{"too little to gain", Load{Table: []uint16{0, 0, 1}, Entries: []uint64{100, 4, 10}, Fixed: []uint64{0, 0}}, nil},
		{"away from a steered flow", Load{Table: []uint16{0, 0}, Entries: []uint64{20, 30}, Fixed: []uint64{100, 0}}, []Move{{1, 0, 1, 30}, {0, 0, 1, 20}}},
	} {
		if diff := cmp.Diff(tt.want, Plan(&tt.load, 10, 5)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
