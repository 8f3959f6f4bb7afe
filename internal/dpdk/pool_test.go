package dpdk

import "testing"

func TestPoolCounts(t *testing.T) {
	p := testPool(t, PoolConfig{Count: 511, Cache: 32})
	if p.Available() != 511 || p.InUse() != 0 || p.Count() != 511 || p.DataRoom() != DataRoomStandard {
		t.Errorf("a fresh pool has %d of %d free, %d in use, rooms of %d", p.Available(), p.Count(), p.InUse(), p.DataRoom())
	}
	d := packet(t, p, frame(3000, 1))
	if p.InUse() != 2 || p.Available() != 509 {
		t.Errorf("3000 bytes take %d segments, %d are free", p.InUse(), p.Available())
	}
	free(d)
}

func TestPoolRefuses(t *testing.T) {
	needEAL(t)
	for _, c := range []struct {
		name  string
		conf  PoolConfig
		words []string
	}{
		{"no packets", PoolConfig{Name: "p0"}, []string{"p0", "no pool"}},
		{"a room too large", PoolConfig{Name: "p1", Count: 10, DataRoom: 65535}, []string{"65535"}},
		{"a cache too large", PoolConfig{Name: "p2", Count: 10, Cache: 600}, []string{"p2", "600"}},
		{"more than there is", PoolConfig{Name: "p3", Count: 1 << 28}, []string{"p3", "268435456"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewPool(c.conf)
			wantError(t, err, c.words...)
		})
	}
	p := testPool(t, PoolConfig{Count: 15})
	_, err := NewPool(PoolConfig{Name: p.Name(), Count: 15})
	wantError(t, err, p.Name(), "exists")
}
