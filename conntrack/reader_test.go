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
	n := numbered(uint64(s.Created()))
	originator, responder := s.Instances()
	return *s.Key() == n.Key && s.hash == n.Hash && s.Responder() == n.Responder && s.VPC() == n.VPC && s.Shard() == n.Shard &&
		originator == n.OriginatorInstance && responder == n.ResponderInstance &&
		s.State() == n.State && s.Timeout() == n.TimeoutNanosec &&
		// Time and counters may be younger than the rest, but not another session's.
		s.Last()-s.Created() <= 1 && s.Packets(0) <= 1 && s.Bytes(0) <= 60 && s.Packets(1) == 0 && s.Live()
}

// A writer ends and begins sessions in the same few records while others read
// them. No copy may be of two sessions.
func TestReadersSeeWholeSessions(t *testing.T) {
	const records, wanted = 4, 3000
	tab := newTable(t, records)
	var done atomic.Bool
	var current atomic.Uint64
	var writer, readers sync.WaitGroup
	writer.Go(func() {
		var ids [records]uint32
		for n := uint64(0); !done.Load(); n++ {
			if n >= records {
				tab.Remove(ids[n%records])
			}
			s := numbered(n)
			id, result := tab.Create(&s)
			if result != Created {
				t.Errorf("Create = %v", result)
				return
			}
			ids[n%records] = id
			current.Store(n)
			tab.At(id).Count(0, 60, s.Now+1)
			if n%256 == 0 {
				runtime.Gosched() // where there is one processor only
			}
		}
	})
	read := func(one func(s *Session) bool) {
		readers.Go(func() {
			var s Session
			for got := 0; got < wanted && !t.Failed(); {
				if !one(&s) {
					runtime.Gosched()
					continue
				}
				got++
				if !whole(&s) {
					t.Errorf("a torn session: %+v", s)
				}
			}
		})
	}
	next := uint32(0)
	read(func(s *Session) bool {
		next++
		return tab.Read(next%records, s)
	})
	for dir := range 2 {
		read(func(s *Session) bool {
			n := numbered(current.Load())
			k := n.Key
			if dir == 1 {
				k = replyKey(&n)
			}
			id, got := tab.Lookup(n.Hash, &k, n.VPC, n.Now, s)
			if id == NoSession {
				return false
			}
			if got != dir || *s.Key() != n.Key {
				t.Errorf("Lookup found direction %d of another session, want %d", got, dir)
			}
			return true
		})
	}
	readers.Wait()
	done.Store(true)
	writer.Wait()
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
	if got, dir := tab.Lookup(n.Hash, &n.Key, n.VPC, n.Now+n.TimeoutNanosec+1, &s); got != NoSession || dir != -1 {
		t.Error("Lookup gave an expired session")
	}
	if tab.Len() != 1 {
		t.Error("Lookup removed a session; only the owner may")
	}
	tab.Remove(id)
	if tab.Read(id, &s) {
		t.Error("Read gave an ended session")
	}
}
