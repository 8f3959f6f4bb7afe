package conntrack

import (
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// twinAllowances is Allowances as plain sums.
type twinAllowances struct {
	limit, other [3]int64 // other: connections of ENIs that were of another instance
	instance     [4]uint16
	used         [4]int64
	guaranteed   [4]int64
	held         []half
}

func (w *twinAllowances) sums(instance uint16) (used, committed int64) {
	used, committed = w.other[instance], w.other[instance]
	for eni, i := range w.instance {
		if i == instance {
			used += w.used[eni]
			committed += max(w.used[eni], w.guaranteed[eni])
		}
	}
	return used, committed
}

func (w *twinAllowances) room(h half) bool {
	used, committed := w.sums(h.instance)
	limit := w.limit[h.instance]
	within := w.instance[h.eni] == h.instance && w.used[h.eni] < w.guaranteed[h.eni]
	return limit == 0 || used < limit && (within || committed < limit)
}

func (w *twinAllowances) count(h half, n int64) {
	if w.instance[h.eni] == h.instance && w.used[h.eni]+n >= 0 {
		w.used[h.eni] += n
	} else {
		w.other[h.instance] += n
	}
}

func (w *twinAllowances) assign(eni, instance uint16, guaranteed int64) {
	if old := w.instance[eni]; old != instance {
		w.other[old] += w.used[eni]
		w.used[eni] = 0
	}
	w.instance[eni], w.guaranteed[eni] = instance, guaranteed
}

func (w *twinAllowances) compare(t *rapid.T, a *Allowances) {
	for i := range uint16(3) {
		used, committed := w.sums(i)
		left, limited := a.Available(i)
		if a.Used(i) != used || limited != (w.limit[i] != 0) || limited && left != max(0, w.limit[i]-used) {
			t.Fatalf("instance %d: used %d, left %d of a limit %v; want %d used of %d", i, a.Used(i), left, limited, used, w.limit[i])
		}
		if got := int64(a.instances[i].state.Load() & committedMask); got != committed {
			t.Fatalf("instance %d has committed %d, want %d", i, got, committed)
		}
		var enis []uint16
		a.eachENI(i, func(eni uint16) bool { enis = append(enis, eni); return true })
		for eni, of := range w.instance {
			if slices.Contains(enis, uint16(eni)) != (of == i) {
				t.Fatalf("the ENIs of instance %d are %v, those of all are %v", i, enis, w.instance)
			}
		}
	}
	for eni, i := range w.instance {
		left, limited := a.AvailableToENI(uint16(eni))
		used, committed := w.sums(i)
		own := max(0, w.guaranteed[eni]-w.used[eni])
		want := max(0, min(w.limit[i]-used, own+max(0, w.limit[i]-committed)))
		if a.UsedByENI(uint16(eni)) != w.used[eni] || limited != (w.limit[i] != 0) || limited && left != want {
			t.Fatalf("ENI %d: used %d, left %d of a limit %v; want %d used, %d left", eni, a.UsedByENI(uint16(eni)), left, limited, w.used[eni], want)
		}
	}
}

func TestAllowanceTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, w := NewAllowances(), &twinAllowances{}
		for eni := range uint16(4) {
			a.SetENI(eni, 0, 0)
		}
		instance, eni := rapid.Uint16Range(0, 2), rapid.Uint16Range(0, 3)
		aHalf := func(t *rapid.T) half {
			h := half{eni: eni.Draw(t, "eni")}
			h.instance = w.instance[h.eni]
			if rapid.IntRange(0, 9).Draw(t, "late") == 0 { // an lcore with an older policy
				h.instance = instance.Draw(t, "instance")
			}
			return h
		}
		t.Repeat(map[string]func(*rapid.T){
			"limit": func(t *rapid.T) {
				i := instance.Draw(t, "instance")
				w.limit[i] = rapid.Int64Range(0, 8).Draw(t, "limit")
				a.SetLimit(i, w.limit[i])
			},
			"eni": func(t *rapid.T) {
				e, i, g := eni.Draw(t, "eni"), instance.Draw(t, "instance"), rapid.IntRange(0, 3).Draw(t, "guaranteed")
				w.assign(e, i, int64(g))
				a.SetENI(e, i, g)
			},
			"take": func(t *rapid.T) {
				h := aHalf(t)
				want := w.room(h)
				if got := a.take(h); got != want {
					t.Fatalf("take(%+v) = %v with %+v", h, got, *w)
				}
				if want {
					w.count(h, 1)
					w.held = append(w.held, h)
				}
			},
			"give back": func(t *rapid.T) {
				if n := len(w.held); n > 0 {
					at := rapid.IntRange(0, n-1).Draw(t, "which")
					a.giveBack(w.held[at])
					w.count(w.held[at], -1)
					w.held = slices.Delete(w.held, at, at+1)
				}
			},
			"foresee": func(t *rapid.T) {
				connection := []tracked{{aHalf(t), 0}, {aHalf(t), 1}}
				twin, want := *w, -1
				var ended []tracked
				if n := len(w.held); n > 0 && rapid.Bool().Draw(t, "in the place of one") {
					ended = []tracked{{w.held[n-1], 0}}
					twin.count(w.held[n-1], -1)
				}
				for _, c := range connection {
					if !twin.room(c.half) {
						want = c.end
						break
					}
					twin.count(c.half, 1)
				}
				if got := a.lacks(connection, ended); got != want {
					t.Fatalf("lacks(%v, %v) = %d, want %d with %+v", connection, ended, got, want, *w)
				}
			},
			"": func(t *rapid.T) { w.compare(t, a) },
		})
	})
}

// Whatever lcores do at once, a limit is never exceeded, room is never refused
// to all of them, and what is taken is given back.
func TestAllowanceConcurrent(t *testing.T) {
	const limit, workers, rounds = 3, 4, 5000
	a := NewAllowances()
	a.SetLimit(7, limit)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range rounds {
				ok := a.take(half{9, 7})
				if used := a.Used(7); used < 0 || used > limit || ok && used == 0 {
					t.Errorf("%d used of %d", used, limit)
				}
				if ok {
					a.giveBack(half{9, 7})
				}
			}
		})
	}
	wg.Wait()
	if a.Used(7) != 0 {
		t.Errorf("%d are left over", a.Used(7))
	}
	// As many workers as there is room never refuse each other.
	for range limit {
		wg.Go(func() {
			for range rounds {
				if !a.take(half{9, 7}) {
					t.Error("refused though there is room for all")
					return
				}
				a.giveBack(half{9, 7})
			}
		})
	}
	wg.Wait()
}

// Tables of several lcores share the allowances.
func TestTablesShareAllowances(t *testing.T) {
	const limit, workers = 40, 4
	a := NewAllowances()
	a.SetLimit(1, limit)
	var wg sync.WaitGroup
	for w := range workers {
		tab, err := NewTable(64, a)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tab.Free() })
		wg.Go(func() {
			var ids []uint32
			for n := range uint64(4000) {
				s := numbered(n<<8 | uint64(w))
				s.Instances, s.Tracked = [2]uint16{1, 2}, [2]bool{true, true}
				id, result := tab.Create(&s)
				switch {
				case result == Created:
					ids = append(ids, id)
				case result == AllowanceExceeded && len(ids) > 0:
					tab.Remove(ids[len(ids)-1])
					ids = ids[:len(ids)-1]
				}
				if used := a.Used(1); used < int64(len(ids)) || used > limit {
					t.Errorf("%d used of %d while this table alone has %d", used, limit, len(ids))
				}
			}
			for _, id := range ids {
				tab.Remove(id)
			}
		})
	}
	wg.Wait()
	for i := range uint16(3) {
		if a.Used(i) != 0 {
			t.Errorf("instance %d keeps %d", i, a.Used(i))
		}
	}
}
