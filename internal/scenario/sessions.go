package scenario

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/internal/control"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/packet/text"
)

// sessionText is what a scenario says of a session:
//
//	web > app tcp 40000 > 80 established left 432000s packets 2/1 tracked web
type sessionText struct {
	tuple   *text.Packet
	state   string
	left    time.Duration // or -1
	packets string
	tracked []string // ENIs at which it is tracked, alone
}

// states are the names of the states of sessions.
var states = func() []string {
	var out []string
	for s := conntrack.State(1); s < conntrack.NumStates; s++ {
		out = append(out, s.String())
	}
	return out
}()

// leftSlack is by how much the time left may differ from what is said: packets
// take no time here, but the end of advance comes in ticks.
const leftSlack = time.Second

// sessionText reads a session's text.
func (r *run) sessionText(l line) *sessionText {
	words := strings.Fields(l.text)
	i := slices.IndexFunc(words, func(w string) bool { return slices.Contains(states, w) })
	if i < 0 {
		r.broken(l.line, l.column, "a session is written as a packet and a state, one of %s", strings.Join(states, ", "))
	}
	tuple, err := text.ParseTuple(strings.Join(words[:i], " "), r.net)
	if err != nil {
		r.badText(l, err)
	}
	s := &sessionText{tuple: tuple, state: words[i], left: -1}
	rest := words[i+1:]
	for len(rest) > 0 {
		if len(rest) == 1 {
			r.broken(l.line, l.column, "%q needs a value", rest[0])
		}
		switch word, value := rest[0], rest[1]; word {
		case "left":
			if s.left, err = time.ParseDuration(value); err != nil {
				r.broken(l.line, l.column, "%q is no duration such as 30s", value)
			}
		case "packets":
			s.packets = value
		case "tracked":
			s.tracked = append(s.tracked, value)
		default:
			r.broken(l.line, l.column, "of a session left, packets and tracked can be said, not %q", word)
		}
		rest = rest[2:]
	}
	return s
}

func (t *sessionText) matches(s control.Session) bool {
	p := t.tuple
	proto, _ := control.ProtocolNumber(s.Protocol)
	if p.Proto != proto || s.State != t.state || p.Src.IsValid() && p.Src.String() != s.Src || p.Dst.IsValid() && p.Dst.String() != s.Dst {
		return false
	}
	isICMP := proto == packet.ProtoICMP || proto == packet.ProtoICMPv6
	switch {
	case p.Given&text.SrcPort != 0 && p.SrcPort != s.SrcPort, p.Given&text.DstPort != 0 && p.DstPort != s.DstPort:
		return false
	case isICMP && p.Given&text.Rest != 0 && uint16(p.Rest>>16) != s.SrcPort:
		return false
	}
	line := sessionLine(&s)
	if t.packets != "" && !strings.Contains(line, " packets "+t.packets+" ") && !strings.HasSuffix(line, " packets "+t.packets) {
		return false
	}
	if left := time.Duration(s.TimeoutNS - s.IdleNS); t.left >= 0 && (left-t.left).Abs() >= leftSlack {
		return false
	}
	for _, eni := range t.tracked {
		if eni == s.Originator && !s.OriginatorTracked || eni == s.Responder && !s.ResponderTracked {
			return false
		}
	}
	if len(t.tracked) == 1 && s.OriginatorTracked == s.ResponderTracked {
		return false
	}
	return true
}

func withPort(a string, port uint16) string {
	addr, err := netip.ParseAddr(a)
	if err != nil {
		return a
	}
	return netip.AddrPortFrom(addr, port).String()
}
