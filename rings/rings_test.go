package rings

import (
	"runtime"
	"testing"

	"github.com/nitrod/nitrod/internal/pktio"
	"pgregory.net/rapid"
)

// The ring against a slice as its twin.
func TestSPSCTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, err := NewSPSC[int64](1 << rapid.IntRange(1, 6).Draw(t, "log2"))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Free()
		var staged, visible, taken []int64 // taken: advanced over, not released
		next := int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				room := len(staged)+len(visible)+len(taken) < r.Cap()
				if got := r.Put(&next); got != room {
					t.Fatalf("Put = %v with room %v", got, room)
				}
				if room {
					staged = append(staged, next)
				}
				next++
			},
			"publish": func(t *rapid.T) {
				r.Publish()
				visible, staged = append(visible, staged...), nil
			},
			"take": func(t *rapid.T) {
				p := r.Peek()
				if (p != nil) != (len(visible) > 0) {
					t.Fatalf("Peek = %v with %d visible", p, len(visible))
				}
				if p != nil {
					if *p != visible[0] {
						t.Fatalf("Peek = %d, want %d", *p, visible[0])
					}
					r.Advance()
					taken, visible = append(taken, visible[0]), visible[1:]
				}
			},
			"release": func(t *rapid.T) { r.Release(); taken = nil },
			"": func(t *rapid.T) {
				if got, want := r.Len(), len(visible)+len(taken); got != want {
					t.Fatalf("Len = %d, want %d", got, want)
				}
			},
		})
	})
}

func TestSPSCTwoGoroutines(t *testing.T) {
	r, err := NewSPSC[[2]uint64](256)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Free()
	const n = 200_000
	go func() {
		for i := uint64(0); i < n; {
			for range 32 {
				if i < n && r.Put(&[2]uint64{i, ^i}) {
					i++
				}
			}
			r.Publish()
			runtime.Gosched()
		}
	}()
	for want := uint64(0); want < n; {
		for p := r.Peek(); p != nil; p = r.Peek() {
			if p[0] != want || p[1] != ^want {
				t.Fatalf("item %d is %v", want, *p)
			}
			r.Advance()
			want++
		}
		r.Release()
		runtime.Gosched()
	}
}

func TestSPSCRefusesBadCapacity(t *testing.T) {
	for _, n := range []int{-1, 0, 1, 3, 100, 1 << 31} {
		if _, err := NewSPSC[byte](n); err == nil {
			t.Errorf("capacity %d was accepted", n)
		}
	}
}

// The receive queue against a slice: order, bytes, overruns, and a port that
// takes only a part.
func TestReceiveQueueTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const depth = 8
		q, err := NewReceiveQueue(3, 1, depth)
		if err != nil {
			t.Fatal(err)
		}
		defer q.Free()
		type pkt struct {
			buf uint64
			n   uint32
		}
		var twin []pkt
		var sent, sentBytes, overruns uint64
		next := uint64(1)
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				p := pkt{next, rapid.Uint32Range(60, 9000).Draw(t, "len")}
				next++
				ok := q.Push(p.buf, p.n)
				if ok != (len(twin) < depth) {
					t.Fatalf("Push = %v with %d waiting", ok, len(twin))
				}
				if ok {
					twin = append(twin, p)
				} else {
					overruns++
				}
			},
			"push burst": func(t *rapid.T) {
				var descs []pktio.Desc
				for range rapid.IntRange(0, 12).Draw(t, "packets") {
					descs = append(descs, pktio.Desc{Buf: next, PktLen: rapid.Uint32Range(60, 9000).Draw(t, "len")})
					next++
				}
				n := q.PushBurst(descs)
				if want := min(len(descs), depth-len(twin)); n != want {
					t.Fatalf("PushBurst of %d = %d with %d waiting", len(descs), n, len(twin))
				}
				for _, d := range descs[:n] {
					twin = append(twin, pkt{d.Buf, d.PktLen})
				}
				overruns += uint64(len(descs) - n)
			},
			"send": func(t *rapid.T) {
				if q.Len() == 0 {
					return
				}
				var r pktio.TxRun
				q.Run(&r, rapid.IntRange(1, 64).Draw(t, "max"))
				if r.N == 0 || r.Port != 3 || r.Queue != 1 {
					t.Fatalf("run %+v of %d waiting", r, q.Len())
				}
				for i, buf := range r.Handles() {
					if buf != twin[i].buf {
						t.Fatalf("run holds %d at %d, want %d", buf, i, twin[i].buf)
					}
				}
				took := rapid.IntRange(0, int(r.N)).Draw(t, "took")
				var want uint64
				for _, p := range twin[:took] {
					want += uint64(p.n)
				}
				if got := q.Done(took); got != want {
					t.Fatalf("Done(%d) = %d bytes, want %d", took, got, want)
				}
				twin = twin[took:]
				sent += uint64(took)
				sentBytes += want
			},
			"": func(t *rapid.T) {
				if q.Len() != len(twin) || q.Sent != sent || q.SentBytes != sentBytes || q.Overruns != overruns {
					t.Fatalf("queue %d %d %d %d, twin %d %d %d %d", q.Len(), q.Sent, q.SentBytes, q.Overruns, len(twin), sent, sentBytes, overruns)
				}
			},
		})
		var freed []uint64
		q.Drain(func(b uint64) { freed = append(freed, b) })
		if len(freed) != len(twin) || q.Len() != 0 {
			t.Fatalf("Drain freed %d of %d", len(freed), len(twin))
		}
	})
}
