package pipeline

import (
	"bytes"
	"testing"
	"time"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/policy"
)

// floodObjects is a VPC in which web and web2 belong to one instance, and app
// and db may be reached by both, on any port.
func floodObjects() *policy.Objects {
	o := openObjects()
	db := o.ENIs[2]
	db.ID, db.Instance, db.MAC[5] = "db", "db", 30
	db.Addresses = db.Addresses[:0:0]
	for _, a := range o.ENIs[2].Addresses {
		db.Addresses = append(db.Addresses, a.Next())
	}
	o.Instances = append(o.Instances, policy.Instance{ID: "db"})
	o.ENIs = append(o.ENIs, db)
	o.ENIs[1].Instance = "web"
	return o
}

// flooder makes new flows of an ENI, never the same twice.
type flooder struct {
	b        *bed
	from, to string
	kind     conntrack.Kind
	n        int
}

// frames returns the packets that begin n flows.
func (f *flooder) frames(n int) (all [][]byte) {
	for range n {
		f.n++
		sport, dport := uint16(f.n), uint16(1+f.n>>16)
		switch f.kind {
		case conntrack.HalfOpen:
			all = append(all, f.b.tcp(f.from, f.to, sport, dport, conntrack.SYN))
		case conntrack.Closing:
			all = append(all, f.b.segment(f.from, f.to, packet.TCP{SrcPort: sport, DstPort: dport, Seq: 100, Flags: conntrack.SYN}),
				f.b.segment(f.from, f.to, packet.TCP{SrcPort: sport, DstPort: dport, Seq: 101, Flags: conntrack.RST}))
		case conntrack.OneWay:
			all = append(all, f.b.udp(f.from, f.to, sport, dport))
		}
	}
	return all
}

func (b *bed) segment(from, to string, h packet.TCP) []byte { return b.frame(from, b.ip(from, to), h) }

// establishedBy returns how many connections that an ENI began are established.
func (b *bed) establishedBy(eni string) (n int) {
	b.engine.EachSession(func(_ int, s *conntrack.Session) bool {
		if s.State() == conntrack.Established && s.Originator() == b.eni(eni) {
			n++
		}
		return true
	})
	return n
}

// connects lets an ENI open connections to another, one after the other with
// other traffic in between, and returns how many of n came about: SYN, SYN-ACK
// and ACK arrived, each within so many rounds, and the session is established.
func (b *bed) connects(from, to string, n int, between func()) (done int) {
	const patience = 400
	pass := func(from, to string, frame []byte) bool {
		b.inject(from, frame)
		for range patience {
			between()
			b.engine.workers[0].Round()
			arrived := false
			for _, f := range b.received(to) { // the ports, numbers and flags tell it
				arrived = arrived || bytes.Equal(f[34:48], frame[34:48])
			}
			if arrived {
				return true
			}
			b.received("app") // what the flood has sent there
		}
		return false
	}
	for i := range n {
		sport, dport := uint16(i), uint16(30000+i>>16)
		if pass(from, to, b.segment(from, to, packet.TCP{SrcPort: sport, DstPort: dport, Seq: 100, Flags: conntrack.SYN})) &&
			pass(to, from, b.segment(to, from, packet.TCP{SrcPort: dport, DstPort: sport, Seq: 300, Ack: 101, Flags: conntrack.SYN | conntrack.ACK})) &&
			pass(from, to, b.segment(from, to, packet.TCP{SrcPort: sport, DstPort: dport, Seq: 101, Ack: 301, Flags: conntrack.ACK})) {
			done++
		}
	}
	return min(done, b.establishedBy(from))
}

// However web floods, and whatever is full, another ENI's connections come
// about: those of web2, of the same instance; of db, of another one that shares
// the table; and those of app, whose allowance web uses up with what it sends
// there.
func TestFloodCostsOthersLittle(t *testing.T) {
	const opened, sessions = 10_000, 1 << 14
	for _, tc := range []struct {
		name     string
		from, to string
		limit    func(*policy.Objects)
	}{
		{"same instance, allowance used up", "web2", "db", func(o *policy.Objects) { o.Instances[0].ConntrackAllowance = 12_000 }},
		{"another instance, table full", "db", "web2", func(*policy.Objects) {}},
		{"of whom is flooded, allowance used up", "app", "db", func(o *policy.Objects) { o.Instances[2].ConntrackAllowance = 12_000 }},
		{"to whom is flooded, allowance used up", "db", "app", func(o *policy.Objects) { o.Instances[2].ConntrackAllowance = 12_000 }},
	} {
		for kind := conntrack.HalfOpen; kind < conntrack.NumKinds; kind++ {
			t.Run(tc.name+", "+kind.String(), func(t *testing.T) {
				o := floodObjects()
				tc.limit(o)
				b := newBed(t, bedOptions{objects: o, slots: 1 << 15, config: func(c *Config) {
					c.EvictEarly, c.Sessions, c.Flows = true, sessions, 1<<16
				}})
				flood := &flooder{b: b, from: "web", to: "app", kind: kind}
				for b.engine.workers[0].sessions.Len() < sessions*2/3 {
					b.inject("web", flood.frames(32)...)
					b.settle()
					b.received("app")
				}
				before := b.stats()
				round := 0
				between := func() {
					if round++; round%8 == 0 {
						b.inject("web", flood.frames(16)...)
						b.clock.advance(time.Microsecond)
					}
				}
				done := b.connects(tc.from, tc.to, opened, between)
				s := b.settle()
				b.received("app")
				if done < opened-opened/100 {
					t.Errorf("%d of %d connections came about", done, opened)
				}
				if ended := s.Early[kind] - before.Early[kind]; ended < opened {
					t.Errorf("%d sessions of the flood were ended early: too little was full", ended)
				}
				t.Logf("%d of %d came about, %d ended early", done, opened, s.Early)
			})
		}
	}
}
