package conntrack

import "testing"

// Four million sessions fit, are found, and are gone when they have been idle
// for too long, a bounded slice at a time. What they take in memory is in
// TestSessionLayout.
func TestFourMillionSessions(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("the race detector keeps tables on the heap: 4 million sessions are too many for it")
	}
	const capacity, sessions = 1 << 22, 4_000_000
	tab := newTable(t, capacity)
	for n := range uint64(sessions) {
		s := benchSession(n)
		if id, result := tab.Create(&s); result != Created || id != uint32(n) {
			t.Fatalf("Create = %d, %v for session %d", id, result, n)
		}
	}
	for n := range uint64(sessions) {
		s := benchSession(n)
		if id, dir := tab.Find(s.Hash, &s.Key, s.VPC, 0); id != uint32(n) || dir != 0 {
			t.Fatalf("Find = %d, %d for session %d", id, dir, n)
		}
	}
	if n := tab.Expire(600*second, sessions); n != 0 || tab.Len() != sessions {
		t.Fatalf("%d sessions ended at the end of their idle time, %d are left", n, tab.Len())
	}
	for slices := 0; tab.Len() != 0; slices++ {
		if slices > sessions {
			t.Fatalf("%d sessions are left after %d slices", tab.Len(), slices)
		}
		tab.Expire(601*second, 400)
	}
}

// Random hashes leave room for every session up to the capacity.
func TestFillsToCapacity(t *testing.T) {
	const capacity = 1 << 16
	tab := newTable(t, capacity)
	refused := 0
	for n := range uint64(capacity) {
		s := benchSession(n)
		if _, result := tab.Create(&s); result != Created {
			refused++
		}
	}
	for n := range uint64(capacity) {
		s := benchSession(n)
		if id, _ := tab.Find(s.Hash, &s.Key, s.VPC, 0); id != uint32(n) && refused == 0 {
			t.Fatalf("session %d is lost", n)
		}
	}
	if refused != 0 {
		t.Errorf("%d of %d sessions refused with room left", refused, capacity)
	}
}
