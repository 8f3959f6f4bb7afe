package conntrack

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// whole reports whether all that a session's record says comes from one number:
// that of its creation time.
func whole(s *Session) bool {
	n := numbered(uint64(s.Created() / second))
	originator, responder := s.Instances()
	return *s.Key() == n.Key && s.place == n.Hash&hashMask && s.Responder() == n.Responder && s.VPC() == n.VPC &&
		originator == n.Instances[0] && responder == n.Instances[1] && s.Group(0) == n.Groups[0] && s.Group(1) == n.Groups[1] &&
		s.Tracked(0) == n.Tracked[0] && s.Tracked(1) == n.Tracked[1] &&
		s.State() == n.State && s.Timeout() == n.TimeoutNanosec &&
		// Time and counters may be younger than the rest, but not another session's.
		s.Last(n.Now)-s.Created() <= millisecond && s.Packets(0) <= 1 && s.Bytes(0) <= 60 && s.Packets(1) == 0 && s.Live()
}

// A writer puts two sessions in the same record by turns while another
// goroutine reads it. No copy may be of both.
func TestReadersSeeWholeSessions(t *testing.T) {
	tab := newTable(t, 1)
	two := [2]New{numbered(1), numbered(2)}
	reply := replyKey(&two[0])
	for _, r := range []struct {
		name string
		read func(s *Session) bool
	}{
		{"Read", func(s *Session) bool { return tab.Read(0, s) }},
		{"Lookup", func(s *Session) bool {
			id, dir := tab.Lookup(two[0].Hash, &two[0].Key, two[0].VPC, s)
			if id != NoSession && (dir != 0 || *s.Key() != two[0].Key) {
				t.Errorf("direction %d of %+v", dir, s)
			}
			return id != NoSession
		}},
		{"Lookup of a reply", func(s *Session) bool {
			id, dir := tab.Lookup(two[0].Hash, &reply, two[0].VPC, s)
			if id != NoSession && (dir != 1 || *s.Key() != two[0].Key) {
				t.Errorf("direction %d of %+v", dir, s)
			}
			return id != NoSession
		}},
	} {
		t.Run(r.name, func(t *testing.T) {
			var done atomic.Bool
			var writer sync.WaitGroup
			writer.Go(func() {
				for n := 0; !done.Load(); n++ {
					for i := range two {
						id, result := tab.Create(&two[i])
						if result != Created {
							t.Errorf("Create = %v", result)
							return
						}
						if n%2 == 0 {
							tab.At(id).Count(0, 60, Millis(two[i].Now+millisecond))
						}
						if n%1024 == i {
							runtime.Gosched() // where there is one processor only
						}
						tab.Remove(id)
					}
				}
			})
			var s Session
			for got, n := 0, 1; got < wantedReads && !t.Failed(); n++ {
				if n%1024 == 0 {
					runtime.Gosched()
				}
				if !r.read(&s) {
					continue
				}
				if got++; !whole(&s) {
					t.Errorf("a torn session: %+v", s)
				}
			}
			done.Store(true)
			writer.Wait()
		})
	}
}

func TestReadOfNothing(t *testing.T) {
	tab := newTable(t, 4)
	n := numbered(1)
	var s Session
	if tab.Read(0, &s) {
		t.Error("Read of a record never used gave a session")
	}
	id, _ := tab.Create(&n)
	if !tab.Read(id, &s) || !whole(&s) {
		t.Errorf("Read gave %+v", s)
	}
	if got, dir := tab.Lookup(n.Hash, &n.Key, n.VPC, &s); got != id || dir != 0 || !s.Expired(n.Now+n.TimeoutNanosec+millisecond) || s.Expired(n.Now+n.TimeoutNanosec) {
		t.Error("Lookup did not give the session, or it expires at another time")
	}
	if tab.Len() != 1 {
		t.Error("Lookup removed a session; only the owner may")
	}
	tab.Remove(id)
	if tab.Read(id, &s) {
		t.Error("Read gave an ended session")
	}
}
