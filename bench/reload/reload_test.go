package reload

import (
	"testing"
	"time"

	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/internal/scale"
	"github.com/nitrod/nitrod/policy"
)

// The whole of it at a small size: whatever the machine does meanwhile, every
// packet is accounted for and none is dropped, and policies have changed.
func TestRun(t *testing.T) {
	r, err := Run(t.Context(), Options{
		Spec: scale.Spec{ENIs: 20, Rules: 200}, Flows: 200, Duration: 200 * time.Millisecond, Loads: []float64{0.1}, CPU: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.ENIs != 20 || r.Rules != 200 || r.First <= 0 || r.Compile <= 0 || r.Swap <= 0 || r.CompileMax < r.Compile || len(r.Runs) != 2 {
		t.Fatalf("%+v", r)
	}
	for i, run := range r.Runs {
		if run.Dropped != 0 || run.Packets == 0 || run.Mpps <= 0 {
			t.Errorf("%+v", run)
		}
		if (run.Reloads != 0) != (i == 1) {
			t.Errorf("run %d has %d reloads", i, run.Reloads)
		}
	}
}

// Each of the two policies differs from the other at the ENIs of every tenth
// group and nowhere else.
func TestObjectsDiffer(t *testing.T) {
	both := Objects(scale.Spec{ENIs: 30, Rules: 90})
	first, err := policy.Compile(both[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := policy.Compile(both[1], first)
	if err != nil {
		t.Fatal(err)
	}
	for i := range first.ENIs {
		if changed := first.ENIs[i].Gen != second.ENIs[i].Gen; changed != (i%changedEvery == 0) {
			t.Errorf("ENI %d: changed %v", i, changed)
		}
	}
}

// manual is time and delay that a test owns.
type manual struct{ now, delay int64 }

func newTestSource(t *testing.T, m *manual) *source {
	frames := make([]frame, 3)
	for i := range frames {
		frames[i] = frame{bytes: make([]byte, 60), port: uint16(i)}
		frames[i].bytes[0], frames[i].bytes[offTTL] = byte(i), 64
	}
	s, err := newSource(frames, func() int64 { return m.now }, func() int64 { return m.delay })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.mem.Free() })
	return s
}

func TestSourceKeepsItsRate(t *testing.T) {
	m := &manual{now: 1000}
	s := newTestSource(t, m)
	descs := make([]pktio.Desc, 32)
	if n := s.Rx(descs); n != 0 {
		t.Fatalf("%d frames before the first phase", n)
	}
	s.change(0.01) // 10 million a second
	if n := s.Rx(descs); n != 0 {
		t.Fatalf("%d frames at the start", n)
	}
	m.now += 1000
	if n := s.Rx(descs); n != 10 {
		t.Fatalf("%d frames in the first microsecond, want 10", n)
	}
	if descs[4].Port != 1 || pktio.Bytes(descs[4].Data, 60)[0] != 1 {
		t.Errorf("frame 4 is %+v", descs[4])
	}
	f := pktio.Bytes(descs[0].Data, 60)
	f[0], f[offTTL] = 9, 63 // as the pipeline does
	m.now += 100_000        // 1,000 frames: more than a burst, less than the ring
	got := 0
	for n := s.Rx(descs); n != 0; n = s.Rx(descs) {
		got += n
	}
	if got != 1000 || f[0] != 0 || f[offTTL] != 64 {
		t.Errorf("%d frames, the first again as %d with TTL %d", got, f[0], f[offTTL])
	}
	if p := s.now; p.Taken != 1010 || p.Missed != 0 || p.Waiting != 1000 || p.Worst != 100*time.Microsecond {
		t.Errorf("%+v", p)
	}
}

// What finds the ring full is lost, and excused where the kernel says that the
// thread did not run for at least half of the time.
func TestSourceLoses(t *testing.T) {
	for _, tc := range []struct {
		name    string
		delay   int64
		excused uint64
		stalls  int
		worst   time.Duration
	}{{"by itself", 400_000, 0, 0, time.Millisecond}, {"by the kernel", 600_000, 10_000 - ringDepth, 1, 0}} {
		m := &manual{now: 1000}
		s := newTestSource(t, m)
		s.change(0.01)
		descs := make([]pktio.Desc, 32)
		s.Rx(descs)
		m.now, m.delay = m.now+1_000_000, tc.delay
		s.Rx(descs)
		p := s.now
		if p.Missed != 10_000-ringDepth || p.Excused != tc.excused || p.Waiting != ringDepth ||
			p.Stalls != tc.stalls || p.Stalled != time.Duration(tc.stalls)*time.Millisecond || p.Worst != tc.worst {
			t.Errorf("%s: %+v", tc.name, p)
		}
		// A phase ends with what it counted, and the next one begins anew.
		done := make(chan *phase)
		go func() { done <- s.change(-1) }()
		for s.now == p {
			m.now += 10
			s.Rx(descs)
		}
		if before := <-done; before != p || before.Duration < time.Millisecond {
			t.Errorf("%s: the phase ended as %+v", tc.name, before)
		}
		if n := s.Rx(descs); n != len(descs) || s.now.Missed != 0 {
			t.Errorf("%s: %d frames of a source that is fetched as fast as may be, %+v", tc.name, n, s.now)
		}
	}
}
