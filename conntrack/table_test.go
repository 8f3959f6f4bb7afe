package conntrack

import (
	"testing"

	"github.com/nitrod/nitrod/hash"
)

// A hash that all sessions share fills its two buckets and no more; nothing is
// taken for a session that finds no room, and room is used again.
func TestFullBuckets(t *testing.T) {
	tab := newTable(t, 1000)
	var ids []uint32
	for n := uint64(0); ; n++ {
		s := numbered(n)
		s.Hash, s.Instances, s.Tracked = 0x1234_0000_0000_0001, [2]uint16{1, 2}, [2]bool{true, true}
		id, result := tab.Create(&s)
		if result == TableFull {
			break
		}
		if result != Created || len(ids) == 16 {
			t.Fatalf("Create = %v for session %d of one hash", result, len(ids)+1)
		}
		ids = append(ids, id)
	}
	if len(ids) != 16 || tab.Len() != 16 || tab.High() != 16 || tab.allowances.Used(1) != 16 || tab.allowances.Used(2) != 16 {
		t.Fatalf("%d sessions, Len %d, High %d, used %d and %d; want 16 each",
			len(ids), tab.Len(), tab.High(), tab.allowances.Used(1), tab.allowances.Used(2))
	}
	for n := range uint64(16) {
		s := numbered(n)
		for dir, k := range []hash.FlowKey{s.Key, replyKey(&s)} {
			if id, got := tab.Find(0x1234_0000_0000_0001, &k, s.VPC, s.Now); id != ids[n] || got != dir {
				t.Errorf("session %d, direction %d: Find = %d, %d", n, dir, id, got)
			}
		}
	}
	tab.Remove(ids[5])
	s := numbered(99)
	s.Hash = 0x1234_0000_0000_0001
	if id, result := tab.Create(&s); result != Created || id != ids[5] {
		t.Errorf("after one was removed Create = %d, %v, want %d", id, result, ids[5])
	}
}

// Capacity refuses and never evicts; every record is used again.
func TestCapacity(t *testing.T) {
	const capacity = 100
	tab := newTable(t, capacity)
	for round := range uint64(3) {
		for n := range uint64(capacity) {
			s := numbered(round*1000 + n)
			if _, result := tab.Create(&s); result != Created {
				t.Fatalf("round %d: Create = %v for session %d of %d", round, result, n+1, capacity)
			}
		}
		s := numbered(5000)
		if id, result := tab.Create(&s); result != TableFull || id != NoSession {
			t.Fatalf("Create = %d, %v in a full table", id, result)
		}
		if tab.Len() != capacity || tab.Cap() != capacity || tab.High() != capacity {
			t.Fatalf("Len %d, Cap %d, High %d, want %d", tab.Len(), tab.Cap(), tab.High(), capacity)
		}
		for id := range uint32(capacity) {
			if want := uint32(round)*2 + 1; tab.At(id).Incarnation() != want {
				t.Fatalf("round %d: record %d is of incarnation %d, want %d", round, id, tab.At(id).Incarnation(), want)
			}
			tab.Remove(id)
		}
	}
}

// Expire in slices meets every record once in a turn.
func TestExpireInSlices(t *testing.T) {
	const capacity = 50
	for _, slice := range []int{1, 7, 50, 1000} {
		tab := newTable(t, capacity)
		for n := range uint64(capacity) {
			s := numbered(n)
			s.Now, s.TimeoutNanosec = 0, int64(n%2)*100*millisecond
			if _, result := tab.Create(&s); result != Created {
				t.Fatal(result)
			}
		}
		ended := 0
		for looked := 0; looked < capacity; looked += slice {
			ended += tab.Expire(100*millisecond, slice)
		}
		if ended != capacity/2 || tab.Len() != capacity/2 {
			t.Errorf("slices of %d ended %d and left %d, want %d each", slice, ended, tab.Len(), capacity/2)
		}
		if tab.Expire(101*millisecond, capacity) != capacity/2 || tab.Expire(1000*second, capacity) != 0 {
			t.Errorf("slices of %d: the second turn did not end the rest, once", slice)
		}
	}
}

// However many run out at once, one call ends no more than its bound, and the
// calls after it the rest.
func TestExpireIsBounded(t *testing.T) {
	const capacity = 5000
	tab := newTable(t, capacity)
	for n := range uint64(capacity) {
		s := numbered(n)
		s.Now, s.TimeoutNanosec = 0, 0
		if _, result := tab.Create(&s); result != Created {
			t.Fatal(result)
		}
	}
	calls := 0
	for tab.Len() > 0 {
		before := tab.Len()
		ended := tab.Expire(second, capacity)
		if ended == 0 || ended > maxExpired+len(tab.due) || tab.Len() != before-ended {
			t.Fatalf("call %d ended %d of %d and left %d", calls, ended, before, tab.Len())
		}
		calls++
	}
	if calls > capacity/maxExpired+1 {
		t.Errorf("it took %d calls", calls)
	}
}

func TestNewTableRefuses(t *testing.T) {
	for _, capacity := range []int{0, -1, 1 << 60} {
		if tab, err := NewTable(capacity, NewAllowances()); err == nil || tab != nil {
			t.Errorf("NewTable(%d) = %v, %v", capacity, tab, err)
		}
	}
}
