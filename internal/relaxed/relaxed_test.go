package relaxed

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func TestStores(t *testing.T) {
	var u64 uint64
	var u32 uint32
	var i64 int64
	for _, v := range []uint64{0, 1, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64, math.MaxUint64} {
		Store64(&u64, v)
		Store32(&u32, uint32(v))
		StoreInt64(&i64, int64(v))
		if u64 != v || u32 != uint32(v) || i64 != int64(v) {
			t.Errorf("stored %#x, found %#x, %#x, %#x", v, u64, u32, i64)
		}
	}
}

// What is stored first is seen first: a reader that sees round n of the last
// word sees round n or a later one of those before it. Words are seen whole.
func TestOrder(t *testing.T) {
	const rounds = 20_000
	var shared struct {
		a uint64
		b int64
		c uint32
	}
	whole := func(n uint64) uint64 { return n<<32 | n }
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := uint64(1); n <= rounds; n++ {
			Store64(&shared.a, whole(n))
			StoreInt64(&shared.b, int64(whole(n)))
			Store32(&shared.c, uint32(n))
			if n%512 == 0 {
				runtime.Gosched()
			}
		}
	})
	for {
		c := uint64(atomic.LoadUint32(&shared.c))
		b := uint64(atomic.LoadInt64(&shared.b))
		a := atomic.LoadUint64(&shared.a)
		for _, v := range []uint64{a, b} {
			if v>>32 != v&math.MaxUint32 {
				t.Fatalf("half a word: %#x", v)
			}
		}
		if a>>32 < b>>32 || b>>32 < c {
			t.Fatalf("seen out of order: %d, %d, %d", a>>32, b>>32, c)
		}
		if c == rounds {
			break
		}
		runtime.Gosched()
	}
	wg.Wait()
}

func TestNoAllocation(t *testing.T) {
	var u64 uint64
	var u32 uint32
	var i64 int64
	if n := testing.AllocsPerRun(100, func() {
		Store64(&u64, 1)
		Store32(&u32, 2)
		StoreInt64(&i64, 3)
	}); n != 0 {
		t.Errorf("stores allocate %v times", n)
	}
}

func BenchmarkStore64(b *testing.B) {
	var p uint64
	for i := uint64(0); b.Loop(); i++ {
		Store64(&p, i)
	}
}
