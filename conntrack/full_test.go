package conntrack

import "testing"

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
