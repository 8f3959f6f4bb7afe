package pipeline

import (
	"testing"
	"time"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
)

// established lets the dialogue's connection be made.
func (b *bed) established() {
	b.t.Helper()
	b.together(sent{"web", conntrack.SYN}, sent{"app", conntrack.SYN | conntrack.ACK}, sent{"web", conntrack.ACK}, sent{"app", conntrack.ACK})
	b.settle()
	if s := b.onlySession(); s.State() != conntrack.Established {
		b.t.Fatalf("the connection is %v", s.State())
	}
}

// stray is a segment of the dialogue's connection whose sequence number and
// acknowledgement are off by as much. It does not take the dialogue on.
func (b *bed) stray(from string, flags uint8, seq, ack uint32) []byte {
	d := b.dialogue
	if from == "web" {
		d.web, d.app = d.web+seq, d.app+ack
	} else {
		d.web, d.app = d.web+ack, d.app+seq
	}
	b.dialogue, d = d, b.dialogue
	frame := b.said(sent{from, flags})
	b.dialogue = d
	return frame
}

// What lies outside the windows is dropped, in either direction, and neither
// changes the session nor keeps it alive. With liberal windows it passes.
func TestOutOfWindow(t *testing.T) {
	const a, f, r = conntrack.ACK, conntrack.FIN, conntrack.RST
	for _, c := range []struct {
		name     string
		flags    uint8
		seq, ack uint32
	}{
		{"data ahead", a, 64240 + 2, 0},
		{"old data", a, ^uint32(64240 + 10), 0},
		{"an acknowledgement of what was not sent", a, 0, 1},
		{"an old acknowledgement", a, 0, ^uint32(66100)},
		{"half of all numbers away", a, 1 << 31, 0},
		{"a FIN ahead", a | f, 1 << 20, 0},
		{"a reset ahead", r, 1 << 20, 0},
		{"a reset from long ago", r, 1 << 31, 0},
	} {
		for _, from := range []string{"web", "app"} {
			t.Run(c.name+" from "+from, func(t *testing.T) {
				b := newBed(t, bedOptions{})
				b.established()
				before := b.onlySession()
				b.clock.advance(time.Second)
				frame := b.stray(from, c.flags, c.seq, c.ack)
				if x := b.engine.Explain(b.eni(from), frame); x.Reason != drop.TCPOutOfWindow || x.NewState != conntrack.Established {
					t.Errorf("explained as %v, to state %v", x.Reason, x.NewState)
				}
				b.inject(from, frame)
				b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.TCPOutOfWindow: 1})
				if after := b.onlySession(); after != before {
					t.Errorf("the session has changed from %+v to %+v", before, after)
				}
				b.together(sent{"web", a | conntrack.PSH}, sent{"app", a | conntrack.PSH}, sent{"web", a}) // the two go on
				b.wantDrops(b.settle(), map[drop.Reason]uint64{drop.TCPOutOfWindow: 1})

				liberal := newBed(t, bedOptions{config: func(c *Config) { c.LiberalWindows = true }})
				liberal.established()
				liberal.inject(from, liberal.stray(from, c.flags, c.seq, c.ack))
				liberal.wantDrops(liberal.settle(), nil)
				wants := conntrack.Established
				if c.flags&f != 0 {
					wants = map[string]conntrack.State{"web": conntrack.FinOriginator, "app": conntrack.FinResponder}[from]
				}
				if got := liberal.onlySession(); got.State() != wants {
					t.Errorf("with liberal windows the session is %v, want %v", got.State(), wants)
				}
			})
		}
	}
}

// A reset ends the connection only with the very number that its receiver
// expects. Another one within the window passes, as does a SYN: the receiver
// challenges it, and an end that has indeed gone then resets in earnest.
func TestChallenge(t *testing.T) {
	const s, a, r = conntrack.SYN, conntrack.ACK, conntrack.RST
	for _, from := range []string{"web", "app"} {
		reset := map[string]conntrack.State{"web": conntrack.ResetOriginator, "app": conntrack.ResetResponder}[from]
		b := newBed(t, bedOptions{})
		b.established()
		for _, frame := range [][]byte{b.stray(from, r, 1, 0), b.stray(from, s, 1<<20, 0), b.stray(from, s|a, 1<<20, 1<<20)} {
			if x := b.engine.Explain(b.eni(from), frame); x.Verdict != VerdictForward || x.NewState != conntrack.Established {
				t.Errorf("explained as %v %v, to state %v", x.Verdict, x.Reason, x.NewState)
			}
			b.inject(from, frame)
			b.wantDrops(b.settle(), nil)
			if got := b.onlySession(); got.State() != conntrack.Established {
				t.Errorf("%s brought the session to %v", packet.Summary(frame), got.State())
			}
		}
		b.inject(from, b.said(sent{from, r}))
		b.wantDrops(b.settle(), nil)
		if got := b.onlySession(); got.State() != reset {
			t.Errorf("after the reset from %s it is %v", from, got.State())
		}
	}
}

// The scale is read from SYN and SYN-ACK, and holds only if both offer one: with
// it a segment far ahead is within the window.
func TestWindowScale(t *testing.T) {
	for _, c := range []struct {
		name     string
		web, app []byte
		scale    uint8
		within   bool
	}{
		{"both", packet.TCPOptions{MSS: 1460, HasScale: true, WindowScale: 7, SACKPermitted: true}.Bytes(), packet.TCPOptions{HasScale: true, WindowScale: 4}.Bytes(), 4, true},
		{"originator", packet.TCPOptions{HasScale: true, WindowScale: 7}.Bytes(), nil, 0, false},
		{"neither", nil, packet.TCPOptions{MSS: 1460}.Bytes(), 0, false},
	} {
		b := newBed(t, bedOptions{})
		for _, p := range []struct {
			from, to string
			tcp      packet.TCP
		}{
			{"web", "app", packet.TCP{SrcPort: 40000, DstPort: 80, Seq: 100, Flags: conntrack.SYN, Options: c.web}},
			{"app", "web", packet.TCP{SrcPort: 80, DstPort: 40000, Seq: 900, Ack: 101, Flags: conntrack.SYN | conntrack.ACK, Options: c.app}},
			{"web", "app", packet.TCP{SrcPort: 40000, DstPort: 80, Seq: 101, Ack: 901, Flags: conntrack.ACK}},
			{"app", "web", packet.TCP{SrcPort: 80, DstPort: 40000, Seq: 901, Ack: 101, Flags: conntrack.ACK}},
			{"web", "app", packet.TCP{SrcPort: 40000, DstPort: 80, Seq: 101 + 64240<<4, Ack: 901, Flags: conntrack.ACK}},
		} {
			b.inject(p.from, b.frame(p.from, b.ip(p.from, p.to), p.tcp))
			b.settle()
		}
		want := map[drop.Reason]uint64{}
		if !c.within {
			want[drop.TCPOutOfWindow] = 1
		}
		b.wantDrops(b.stats(), want)
		s := b.onlySession()
		if _, scale := s.Window(1); scale != c.scale {
			t.Errorf("%s: the responder's scale is %d, want %d", c.name, scale, c.scale)
		}
	}
}
