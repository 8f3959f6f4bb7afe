package hugemem

import "testing"

func TestAllocZeroedAndWritable(t *testing.T) {
	for _, n := range []int{1, 1000, 1 << 20} {
		b, err := Alloc[[3]uint32](n)
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Items) != n || b.Kind == KindNone {
			t.Fatalf("got %d items of %v memory, want %d", len(b.Items), b.Kind, n)
		}
		for _, i := range []int{0, n / 2, n - 1} {
			if b.Items[i] != [3]uint32{} {
				t.Fatalf("item %d of %d is not zero", i, n)
			}
			b.Items[i][2] = uint32(i)
		}
		if b.Items[n-1][2] != uint32(n-1) {
			t.Fatal("a write was lost")
		}
		if err := b.Free(); err != nil {
			t.Fatal(err)
		}
		if err := b.Free(); err != nil {
			t.Fatalf("second Free: %v", err)
		}
	}
}

func TestNoHugepages(t *testing.T) {
	NoHugepages()
	defer noHugepages.Store(false)
	b, err := Alloc[uint64](1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Free()
	if b.Kind == KindHuge {
		t.Error("the block lies in huge pages")
	}
}

func TestAllocRefuses(t *testing.T) {
	for _, n := range []int{0, -1, 1 << 60} {
		if b, err := Alloc[uint64](n); err == nil {
			t.Errorf("Alloc(%d) gave %d items, want an error", n, len(b.Items))
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("Alloc of a type with pointers did not panic")
		}
	}()
	_, _ = Alloc[struct {
		a [2]struct{ p *int }
	}](1)
}
