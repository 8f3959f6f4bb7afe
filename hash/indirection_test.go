package hash

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestIndirectionDefaultFill(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := 1 << rapid.IntRange(0, 16).Draw(t, "log size")
		targets := rapid.IntRange(1, 1000).Draw(t, "targets")
		table, err := NewIndirectionTable(size, targets)
		if err != nil {
			t.Fatal(err)
		}
		h := rapid.Uint32().Draw(t, "hash")
		if got, want := int(table.Entry(h)), int(h)%size%targets; got != want || table.Len() != size {
			t.Fatalf("hash %#x of %d entries: target %d, want %d", h, table.Len(), got, want)
		}
		if table.Generation() != 1 {
			t.Fatalf("generation %d", table.Generation())
		}
	})
}

func TestIndirectionRefuses(t *testing.T) {
	for _, size := range []int{-1, 0, 3, 127, MaxIndirection + 1, 2 * MaxIndirection} {
		if _, err := NewIndirectionTable(size, 1); err != ErrTableSize {
			t.Errorf("size %d: %v", size, err)
		}
	}
	for _, targets := range []int{-1, 0, MaxIndirection + 1} {
		if _, err := NewIndirectionTable(128, targets); err != ErrTargets {
			t.Errorf("%d targets: %v", targets, err)
		}
	}
	table, err := NewIndirectionTable(8, 2)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name string, after IndirectionTable, err, want error) {
		t.Helper()
		if err != want {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if after.Generation() != table.Generation() || !slices.Equal(after.Entries(), table.Entries()) {
			t.Errorf("%s changed the table", name)
		}
	}
	after, err := table.WithEntry(8, 0)
	refused("entry beyond", after, err, ErrEntry)
	after, err = table.WithEntry(-1, 0)
	refused("entry below", after, err, ErrEntry)
	after, err = table.WithEntries(make([]uint16, 7))
	refused("too few entries", after, err, ErrTableSize)
	after, err = table.WithEqual(0)
	refused("no targets", after, err, ErrTargets)
	after, err = table.WithWeights(nil)
	refused("no weights", after, err, ErrTargets)
	after, err = table.WithWeights([]uint32{0, 0})
	refused("weights of zero", after, err, ErrTargets)
}

// Random changes against a slice; the table before each is as it was.
func TestIndirectionTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size = 16
		table, err := NewIndirectionTable(size, 3)
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 10).Draw(t, "changes") {
			before, was := table, table.Entries()
			want := slices.Clone(was)
			switch rapid.IntRange(0, 2).Draw(t, "change") {
			case 0:
				i, v := rapid.IntRange(0, size-1).Draw(t, "i"), rapid.Uint16().Draw(t, "v")
				want[i] = v
				table, err = table.WithEntry(i, v)
			case 1:
				want = rapid.SliceOfN(rapid.Uint16(), size, size).Draw(t, "all")
				given := slices.Clone(want)
				table, err = table.WithEntries(given)
				given[0]++
			default:
				n := rapid.IntRange(1, 20).Draw(t, "targets")
				for i := range want {
					want[i] = uint16(i % n)
				}
				table, err = table.WithEqual(n)
			}
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(table.Entries(), want) || table.Generation() != before.Generation()+1 {
				t.Fatalf("got %v generation %d, want %v after %d", table.Entries(), table.Generation(), want, before.Generation())
			}
			if !slices.Equal(before.Entries(), was) {
				t.Fatal("the table before was changed")
			}
		}
	})
}

// Every target gets its share of the entries, rounded to one either way, in
// one run.
func TestIndirectionWeights(t *testing.T) {
	table, err := NewIndirectionTable(8, 1)
	if err != nil {
		t.Fatal(err)
	}
	table, err = table.WithWeights([]uint32{1, 0, 3})
	if want := []uint16{0, 0, 2, 2, 2, 2, 2, 2}; err != nil || !slices.Equal(table.Entries(), want) {
		t.Errorf("got %v, %v, want %v", table.Entries(), err, want)
	}
	rapid.Check(t, func(t *rapid.T) {
		size := 1 << rapid.IntRange(0, 9).Draw(t, "log size")
		weights := rapid.SliceOfN(rapid.Uint32(), 1, 20).Draw(t, "weights")
		table, err := NewIndirectionTable(size, 1)
		if err != nil {
			t.Fatal(err)
		}
		table, err = table.WithWeights(weights)
		var sum float64
		for _, w := range weights {
			sum += float64(w)
		}
		if (sum == 0) != (err == ErrTargets) {
			t.Fatalf("sum %v: %v", sum, err)
		}
		if err != nil {
			return
		}
		e := table.Entries()
		if !slices.IsSorted(e) {
			t.Fatalf("not in runs: %v", e)
		}
		count := make([]int, len(weights))
		for _, v := range e {
			count[v]++
		}
		for i, c := range count {
			share := float64(weights[i]) / sum * float64(size)
			if d := float64(c) - share; d <= -1.001 || d >= 1.001 || weights[i] == 0 && c != 0 {
				t.Fatalf("target %d of %v has %d of %d entries", i, weights, c, size)
			}
		}
	})
}

func TestIndirectionZeroValue(t *testing.T) {
	var z IndirectionTable
	if z.Entry(12345) != 0 || z.Len() != 1 || z.Generation() != 0 {
		t.Errorf("zero value: target %d, %d entries, generation %d", z.Entry(12345), z.Len(), z.Generation())
	}
	if n, err := z.WithEntry(0, 5); err != nil || n.Entry(12345) != 5 || z.Entry(0) != 0 {
		t.Errorf("zero value with an entry: %d, %v", n.Entry(12345), err)
	}
}

func TestIndirectionNoAllocation(t *testing.T) {
	table, err := NewIndirectionTable(NumShards, 2)
	if err != nil {
		t.Fatal(err)
	}
	var sum uint16
	if n := testing.AllocsPerRun(100, func() { sum += table.Entry(uint32(sum)) }); n != 0 {
		t.Errorf("Entry allocates %v times", n)
	}
}

func BenchmarkIndirectionBurst(b *testing.B) {
	table, err := NewIndirectionTable(NumShards, 2)
	if err != nil {
		b.Fatal(err)
	}
	var in [benchBurst]uint32
	var out [benchBurst]uint16
	for i := range in {
		in[i] = uint32(i) * 0x9e3779b1
	}
	for b.Loop() {
		for i, h := range in {
			out[i] = table.Entry(h)
		}
	}
	perKey(b, benchBurst)
}
