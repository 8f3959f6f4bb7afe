package scenario

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nitrod/nitrod/internal/control"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/packet/text"
)

// Words that stand in place of packets and sessions.
const (
	wordDelivered = "delivered"
	wordAnything  = "anything"
	wordNone      = "none"
)

// compare compares what the step showed with what it expects.
func (r *run) compare(st *step) {
	switch {
	case st.Expect.is(wordAnything):
	case r.measured != nil:
		r.compareRates(st)
	case st.Receive.given:
		r.compareReceive(st)
	default:
		r.comparePackets(st)
	}
	r.comparePeaks(st)
	r.compareDrops(st)
	r.compareCounters(st)
	r.compareFlowCache(st)
	if st.Sessions.given {
		r.compareSessions(st)
	}
	for i := range st.Explain {
		r.compareExplanation(&st.Explain[i])
	}
}

// expected is a packet that a guest is to receive.
type expected struct {
	want *text.Packet
	text string
	line int
}

// expectations returns what the step expects, by ENI and in order.
func (r *run) expectations(st *step) map[string][]expected {
	out := map[string][]expected{}
	add := func(e expected) { out[e.want.At] = append(out[e.want.At], e) }
	for _, l := range st.Expect.all {
		if l.text == wordDelivered {
			for _, s := range r.sent {
				add(r.delivered(s, l))
			}
			continue
		}
		if l.text == wordNone {
			continue
		}
		if at, frames, ok := r.pcap(l, l.text, "the ENI that receives them"); ok {
			for i, f := range frames {
				add(expected{&text.Packet{Kind: text.Raw, Data: f, At: at}, fmt.Sprintf("%s, frame %d", l.text, i+1), l.line})
			}
			continue
		}
		for n := range st.Repeat {
			t := r.repetition(l, n)
			p, err := text.ParseExpected(t, r.net)
			if err != nil {
				r.badText(l, err)
			}
			add(expected{p, t, l.line})
			if t == l.text {
				break // it is not counted
			}
		}
	}
	return out
}

// delivered is what is expected of a packet where it arrives.
func (r *run) delivered(s *sending, l line) expected {
	p := text.Decode(s.frame)
	at := r.net.NameOf(s.at, p.Dst)
	if at == "" {
		r.broken(l.line, l.column, "delivered needs an ENI that has the packet's destination address: %s", s.text)
	}
	guest, _ := r.net.Guest(s.at)
	return expected{text.Delivered(s.frame, at, p.DstMAC == guest.Router), s.text + ", delivered", s.line}
}

// comparePackets compares what each guest received.
func (r *run) comparePackets(st *step) {
	want := r.expectations(st)
	var enis []string
	for name := range r.net.index {
		enis = append(enis, name)
	}
	slices.Sort(enis)
	for _, eni := range enis {
		var got []arrival
		for _, a := range r.received {
			if a.eni == eni {
				got = append(got, a)
			}
		}
		r.compareAt(st, eni, want[eni], got)
	}
}

// compareAt compares what one guest received, packet by packet.
func (r *run) compareAt(st *step, eni string, want []expected, got []arrival) {
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(want):
			r.fail(r.lineOf(st.Expect, st), r.outcomes(got[i].by), "%s receives a packet that is not expected:\n    %s", eni, text.PrintReceived(got[i].frame, eni, r.net))
		case i >= len(got):
			r.fail(want[i].line, r.outcomes(nil), "%s does not receive\n    %s", eni, want[i].text)
		default:
			why := want[i].want.Differs(got[i].frame)
			if why == "" {
				why = r.wrongMAC(want[i].want, eni, got[i].frame)
			}
			if why == "" {
				continue
			}
			r.fail(want[i].line, r.outcomes(got[i].by), "%s does not receive what is expected: %s\n    expected %s\n    received %s", eni, why, want[i].text, text.PrintReceived(got[i].frame, eni, r.net))
		}
		return // what follows is a consequence
	}
}

// wrongMAC wants a frame to be for the guest that receives it, unless the text
// names another MAC.
func (r *run) wrongMAC(want *text.Packet, eni string, frame []byte) string {
	guest, _ := r.net.Guest(eni)
	if want.Kind == text.Raw || want.Given&text.DstMAC != 0 || len(frame) < packet.EtherLen {
		return ""
	}
	if dst := packet.EtherHeader(frame).Dst(); !dst.IsGroup() && dst != guest.MAC {
		return fmt.Sprintf("the frame is for %s, and the MAC of %s is %s", dst, eni, guest.MAC)
	}
	return ""
}

func (r *run) lineOf(l lines, st *step) int {
	if len(l.all) > 0 {
		return l.all[0].line
	}
	return st.Pos.Line
}

// outcomes says what became of the packets that were sent, and why: of one, or
// if there is none of those that nobody received, or else of the first few.
func (r *run) outcomes(one *sending) []string {
	const most = 3
	list := r.sent
	if one != nil {
		list = []*sending{one}
	} else if lost := slices.DeleteFunc(slices.Clone(list), func(s *sending) bool { return len(s.arrived) > 0 }); len(lost) > 0 {
		list = lost
	}
	var out []string
	for i, s := range list {
		if i == most {
			return append(out, "...")
		}
		if s.x == nil {
			continue
		}
		fate := "nobody received anything"
		switch {
		case s.dropped != "":
			fate = "it was dropped for " + s.dropped
		case len(s.arrived) > 0:
			fate = strings.Join(s.arrived, " and ") + " received a packet"
		}
		out = append(out, s.at+" sent "+text.Print(s.frame, s.at, r.net)+"; "+fate)
		out = append(out, explained(s.x)...)
	}
	return out
}

// explained is what explain said of a packet, line by line.
func explained(x *control.Explanation) []string {
	var out []string
	for _, st := range x.Steps {
		rule := strings.TrimSpace(st.Object + " " + st.Rule)
		if rule != "" {
			rule = " by " + rule
		}
		out = append(out, fmt.Sprintf("    %s: %s%s. %s", st.Stage, st.Outcome, rule, st.Text))
	}
	if x.Session != "" {
		out = append(out, "    track: "+x.Session)
	}
	verdict := "    explain: " + x.Verdict
	if x.Reason != "" {
		verdict += " for " + x.Reason + ". " + x.Help
	} else if x.Egress != "" {
		verdict += " to " + x.Egress
	}
	return append(out, verdict)
}

// compareReceive compares how many packets guests received.
func (r *run) compareReceive(st *step) {
	got := map[string]int64{}
	for _, a := range r.received {
		got[a.eni]++
	}
	for _, c := range st.Receive.all {
		if _, ok := r.net.Guest(c.name); !ok {
			r.broken(c.line, c.column, "there is no ENI %q", c.name)
		}
		if got[c.name] != c.n {
			r.fail(c.line, r.outcomes(nil), "%s receives %d packets, want %d", c.name, got[c.name], c.n)
		}
		delete(got, c.name)
	}
	for eni, n := range got {
		r.fail(st.Pos.Line, r.outcomes(nil), "%s receives %d packets, want 0", eni, n)
	}
}

// compareDrops compares the drops by reason.
func (r *run) compareDrops(st *step) {
	now := r.engine.Total()
	want := map[drop.Reason]int64{}
	line := map[drop.Reason]int{}
	for _, c := range st.Drops.all {
		reason, ok := drop.Parse(c.name)
		if !ok {
			r.broken(c.line, c.column, "there is no drop reason %q; docs/drops.md has them all", c.name)
		}
		want[reason], line[reason] = c.n, c.line
	}
	for i := range now.Drops {
		reason := drop.Reason(i)
		got := int64(now.Drops[i] - r.before.Drops[i])
		if got == want[reason] || r.measured != nil && want[reason] != 0 && got > want[reason] {
			continue
		}
		at := line[reason]
		if at == 0 {
			at = st.Pos.Line
		}
		var one *sending
		if i := slices.IndexFunc(r.sent, func(s *sending) bool { return s.dropped == reason.String() }); i >= 0 && got > want[reason] {
			one = r.sent[i]
		}
		r.fail(at, r.outcomes(one), "%d packets are dropped for %s, want %d", got, reason, want[reason])
	}
}

// compareFlowCache compares what the flow cache did.
func (r *run) compareFlowCache(st *step) {
	now := r.engine.Total()
	for _, c := range st.FlowCache.all {
		var got uint64
		switch c.name {
		case "hits":
			got = now.FlowHits - r.before.FlowHits
		case "slow_path":
			got = now.SlowPath - r.before.SlowPath
		case "entries":
			got = now.FlowsLive
		default:
			r.broken(c.line, c.column, "the flow cache has hits, slow_path and entries, not %q", c.name)
		}
		if !r.slow && int64(got) != c.n {
			r.fail(c.line, nil, "the flow cache's %s is %d, want %d", c.name, got, c.n)
		}
	}
}

// compareExplanation compares what explain says of a packet.
func (r *run) compareExplanation(e *explanation) {
	for _, l := range e.Packet.all {
		p := r.packet(l, l.text)
		x := r.explain(p.At, p.Frame())
		if x == nil {
			r.broken(l.line, l.column, "the ENI %s is no longer there to explain packets of", p.At)
		}
		details := append([]string{p.At + " sends " + text.Print(p.Frame(), p.At, r.net)}, explained(x)...)
		for _, c := range []struct{ name, want, got string }{
			{"verdict", e.Verdict, x.Verdict}, {"reason", e.Reason, x.Reason}, {"code", e.Code, codeOf(x)}, {"ENI", e.To, x.Egress},
		} {
			if c.want != "" && c.want != c.got {
				r.fail(l.line, details, "explain's %s is %q, want %q", c.name, c.got, c.want)
			}
		}
		if got := time.Duration(x.WaitNS); e.Wait.given && (got-e.Wait.Duration).Abs() > time.Microsecond {
			r.fail(l.line, details, "explain says that it waits for %v, want %v", got, e.Wait.Duration)
		}
		if why := fmt.Sprintf("queue %d: %s", x.Queue, x.QueueWhy); !strings.Contains(why, e.Queue) {
			r.fail(l.line, details, "explain says of the receive queue %q, want %q", why, e.Queue)
		}
		if !strings.Contains(x.Session, e.Session) {
			r.fail(l.line, details, "explain says of the session %q, want %q", x.Session, e.Session)
		}
		for _, rule := range e.Rules.all {
			if got := ruleAt(x, rule.name); got != rule.value {
				r.fail(rule.line, details, "stage %s decides by %q, want %q", rule.name, got, rule.value)
			}
		}
	}
}

// codeOf returns AWS's code for a drop: the one of the step that dropped, which
// knows more than the reason does.
func codeOf(x *control.Explanation) string {
	for _, st := range x.Steps {
		if st.Code != "" {
			return st.Code
		}
	}
	return x.Code
}

// ruleAt returns the rule by which a stage decided.
func ruleAt(x *control.Explanation, stage string) string {
	for _, st := range x.Steps {
		if string(st.Stage) == stage {
			if st.Rule == "" {
				return string(st.Outcome)
			}
			return st.Rule
		}
	}
	return "not asked"
}

// compareSessions compares all sessions with those that are expected.
func (r *run) compareSessions(st *step) {
	left := control.Sessions(r.engine)
	for _, l := range st.Sessions.all {
		if l.text == wordNone {
			continue
		}
		want := r.sessionText(l)
		i := slices.IndexFunc(left, want.matches)
		if i < 0 {
			r.fail(l.line, r.sessionTexts(left), "there is no such session:\n    %s", l.text)
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	if len(left) > 0 {
		r.fail(r.lineOf(st.Sessions, st), r.sessionTexts(left), "%d sessions are not expected", len(left))
	}
}

func (r *run) sessionTexts(list []control.Session) []string {
	const most = 10
	var out []string
	for i := range list {
		if i == most {
			return append(out, "...")
		}
		out = append(out, "there is "+sessionLine(&list[i]))
	}
	return out
}

// sessionLine writes a session as scenarios do.
func sessionLine(s *control.Session) string {
	proto := s.Protocol
	src, dst := s.Src, s.Dst
	switch proto {
	case "tcp", "udp":
		src, dst = withPort(src, s.SrcPort), withPort(dst, s.DstPort)
	case "icmp", "icmpv6":
		proto = strings.Replace(proto, "v6", "6", 1)
	default:
		proto = "proto " + proto
	}
	out := fmt.Sprintf("%s > %s %s %s > %s %s left %v packets %d/%d", s.Originator, s.Responder, proto, src, dst, s.State,
		time.Duration(s.TimeoutNS-s.IdleNS).Round(time.Millisecond), s.OutPackets, s.BackPackets)
	if s.OriginatorTracked != s.ResponderTracked {
		if s.OriginatorTracked {
			return out + " tracked " + s.Originator
		}
		return out + " tracked " + s.Responder
	}
	return out
}
