package conntrack

import (
	"fmt"
	"testing"
)

func TestNoAllocation(t *testing.T) {
	tab := newTable(t, 1000)
	for n := range uint64(500) {
		s := numbered(n)
		if _, result := tab.Create(&s); result != Created {
			t.Fatal(result)
		}
	}
	known, fresh := numbered(7), numbered(9999)
	id, _ := tab.Find(known.Hash, &known.Key, known.VPC, known.Now)
	if id == NoSession {
		t.Fatal("the session is not there")
	}
	reply := replyKey(&known)
	var copied Session
	for name, f := range map[string]func(){
		"Find":    func() { tab.Find(known.Hash, &known.Key, known.VPC, known.Now) },
		"Between": func() { tab.Between(known.Hash, &reply, known.VPC, known.Key.ENI(), known.Now) },
		"Parts": func() {
			b := tab.Between(known.Hash, &reply, known.VPC, known.Key.ENI(), known.Now)
			if len(b.Parts()) != 1 {
				t.Error("the session is not found")
			}
		},
		"Find a reply":      func() { tab.Find(known.Hash, &reply, known.VPC, known.Now) },
		"Find nothing":      func() { tab.Find(fresh.Hash, &fresh.Key, fresh.VPC, fresh.Now) },
		"Count":             func() { tab.At(id).Count(1, 60, Millis(known.Now)) },
		"Enter":             func() { tab.Enter(id, Established, 1000*second, true) },
		"Expire":            func() { tab.Expire(0, 64) },
		"Read":              func() { tab.Read(id, &copied) },
		"Lookup":            func() { tab.Lookup(known.Hash, &known.Key, known.VPC, &copied) },
		"Create and Remove": func() { id, _ := tab.Create(&fresh); tab.Remove(id) },
		"NextTCP":           func() { NextTCP(Established, 0, ACK) },
		"Create and Expire": func() {
			s := fresh
			s.Now, s.TimeoutNanosec = 0, 1
			tab.Create(&s)
			tab.Expire(second, 1000)
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
	if tab.Len() != 500 {
		t.Errorf("%d sessions are left of 500", tab.Len())
	}
}

// benchSession is a session as a benchmark creates it: cheaper than numbered.
func benchSession(n uint64) New {
	s := New{Hash: mix(n), Responder: 2, VPC: 1, Instances: [2]uint16{1, 2}, Tracked: [2]bool{true, true}, State: UDPSingle, TimeoutNanosec: 600 * second}
	s.Key.Src.Lo, s.Key.Dst.Lo, s.Key.Tail = n, ^n, 0x0001_0002_0001_1104
	return s
}

func filled(b *testing.B, sessions int) *Table {
	b.Helper()
	tab := newTable(b, sessions+sessions/8+1)
	for n := range uint64(sessions) {
		s := benchSession(n)
		if _, result := tab.Create(&s); result != Created {
			b.Fatalf("Create = %v for session %d", result, n)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	return tab
}

func BenchmarkFind(b *testing.B) {
	for _, sessions := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprint(sessions), func(b *testing.B) {
			tab := filled(b, sessions)
			for i := 0; b.Loop(); i++ {
				s := benchSession(mix(uint64(i)) % uint64(sessions))
				if id, _ := tab.Find(s.Hash, &s.Key, s.VPC, 0); id == NoSession {
					b.Fatal("a session is lost")
				}
			}
		})
	}
}

func BenchmarkCreateRemove(b *testing.B) {
	for _, sessions := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprint(sessions), func(b *testing.B) {
			tab := filled(b, sessions)
			refused := 0
			for i := sessions; b.Loop(); i++ {
				s := benchSession(uint64(i))
				if id, result := tab.Create(&s); result == Created {
					tab.Remove(id)
				} else {
					refused++ // its buckets are full
				}
			}
			b.ReportMetric(float64(refused)/float64(b.N)*1e6, "refused/M")
		})
	}
}

func BenchmarkCount(b *testing.B) {
	tab := filled(b, 1000)
	s := tab.At(1)
	for i := 0; b.Loop(); i++ {
		s.Count(i, 60, uint32(i)/1024)
	}
}

func BenchmarkNextTCP(b *testing.B) {
	state := Established
	for b.Loop() {
		state = NextTCP(state, 0, ACK|PSH)
	}
	if state != Established {
		b.Fatal(state)
	}
}

func BenchmarkExpire(b *testing.B) {
	tab := filled(b, 1_000_000)
	for b.Loop() {
		tab.Expire(0, 64)
	}
}
