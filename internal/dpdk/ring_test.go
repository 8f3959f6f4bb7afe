package dpdk

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestRingAgainstASlice(t *testing.T) {
	needEAL(t)
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.IntRange(1, 20).Draw(rt, "size")
		single := rapid.Bool().Draw(rt, "single")
		r, err := NewRing(RingConfig{Name: uniqueName("r"), Size: size, SingleProducer: single, SingleConsumer: single})
		if err != nil {
			rt.Fatal(err)
		}
		defer r.Close()
		var twin []uint64
		next := uint64(1)
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			n := rapid.IntRange(0, 25).Draw(rt, "n")
			if rapid.Bool().Draw(rt, "enqueue") {
				objs := make([]uint64, n)
				for i := range objs {
					objs[i] = next
					next++
				}
				want := min(n, size-len(twin))
				if got := r.Enqueue(objs); got != want {
					rt.Fatalf("%d of %d were enqueued, want %d", got, n, want)
				}
				twin = append(twin, objs[:want]...)
			} else {
				objs := make([]uint64, n)
				got := objs[:r.Dequeue(objs)]
				want := twin[:min(n, len(twin))]
				if !slices.Equal(got, want) {
					rt.Fatalf("dequeued %v, want %v", got, want)
				}
				twin = twin[len(want):]
			}
			if r.Len() != len(twin) || r.Cap() != size {
				rt.Fatalf("%d of %d in the ring, want %d of %d", r.Len(), r.Cap(), len(twin), size)
			}
		}
	})
}

func TestRingRefuses(t *testing.T) {
	needEAL(t)
	_, err := NewRing(RingConfig{Name: "x", Size: 0})
	wantError(t, err, "size of 0")
	name := uniqueName("r")
	r, err := NewRing(RingConfig{Name: name, Size: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, err = NewRing(RingConfig{Name: name, Size: 4})
	wantError(t, err, name, "exists")
}

func TestRingCallsDoNotAllocate(t *testing.T) {
	needEAL(t)
	r, err := NewRing(RingConfig{Name: uniqueName("r"), Size: 64})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	objs := make([]uint64, 32)
	if n := testing.AllocsPerRun(100, func() { r.Dequeue(objs[:r.Enqueue(objs)]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestRingPortBetweenTwo(t *testing.T) {
	pool := smallPool(t)
	var rings [2]*Ring
	for i := range rings {
		r, err := NewRing(RingConfig{Name: uniqueName("r"), Size: 64})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		rings[i] = r
	}
	open := func(rx, tx *Ring) *Port {
		p, err := OpenRingPort(PortConfig{Device: uniqueName("p"), Pool: pool, MTU: 9001}, []*Ring{rx}, []*Ring{tx})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
		return p
	}
	a, b := open(rings[0], rings[1]), open(rings[1], rings[0])
	ioA, ioB := mustIO(t, pool, a), mustIO(t, pool, b)
	send(t, ioA, a, 0, packet(t, pool, frame(70, 1)))
	send(t, ioB, b, 0, packet(t, pool, frame(71, 2)))
	atB, atA := receive(t, ioB, 1)[0], receive(t, ioA, 1)[0]
	if atB.PktLen != 70 || atB.Port != b.ID() || atA.PktLen != 71 || atA.Port != a.ID() {
		t.Errorf("at A %+v, at B %+v", atA, atB)
	}
	free(atA, atB)
	_, err := OpenRingPort(PortConfig{Device: "x", Pool: pool}, nil, rings[:1])
	wantError(t, err, "each direction")
}
