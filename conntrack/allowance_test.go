package conntrack

import (
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func TestAllowanceTwin(t *testing.T) {
	a := NewAllowances()
	rapid.Check(t, func(t *rapid.T) {
		*a = Allowances{}
		var used, limit [3]int64
		instance := rapid.Uint16Range(0, 2)
		room := func(i uint16) bool { return limit[i] == 0 || used[i] < limit[i] }
		t.Repeat(map[string]func(*rapid.T){
			"limit": func(t *rapid.T) {
				i := instance.Draw(t, "instance")
				limit[i] = rapid.Int64Range(0, 4).Draw(t, "limit")
				a.SetLimit(i, limit[i])
			},
			"take": func(t *rapid.T) {
				i := instance.Draw(t, "instance")
				want := room(i)
				if got := a.take(i); got != want {
					t.Fatalf("take = %v with %d of %d used", got, used[i], limit[i])
				}
				if want {
					used[i]++
				}
			},
			"give back": func(t *rapid.T) {
				if i := instance.Draw(t, "instance"); used[i] > 0 {
					a.giveBack(i)
					used[i]--
				}
			},
			"": func(t *rapid.T) {
				for i := range uint16(3) {
					left, limited := a.Available(i)
					if a.Used(i) != used[i] || limited != (limit[i] != 0) || limited && left != max(0, limit[i]-used[i]) {
						t.Fatalf("instance %d: used %d, left %d of a limit %v; want %d used of %d", i, a.Used(i), left, limited, used[i], limit[i])
					}
					for j := range uint16(3) {
						want := room(i) && room(j)
						if i == j { // both ends count
							want = limit[i] == 0 || used[i]+2 <= limit[i]
						}
						if got := a.Allows([2]uint16{i, j}, [2]bool{true, true}); got != want {
							t.Fatalf("Allows(%d, %d) = %v with %v used of %v", i, j, got, used, limit)
						}
						if got := a.Allows([2]uint16{i, j}, [2]bool{true, false}); got != room(i) {
							t.Fatalf("Allows(%d, untracked %d) = %v with %v used of %v", i, j, got, used, limit)
						}
					}
				}
			},
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
				ok := a.take(7)
				if used := a.Used(7); used < 0 || used > limit || ok && used == 0 {
					t.Errorf("%d used of %d", used, limit)
				}
				if ok {
					a.giveBack(7)
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
				if !a.take(7) {
					t.Error("refused though there is room for all")
					return
				}
				a.giveBack(7)
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
