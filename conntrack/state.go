package conntrack

// State is where a session stands. TCP's states follow RFC 9293 as far as one
// who sees both directions can tell; the others are nitrod's (docs/semantics.md).
type State uint8

// The states.
const (
	None            State = iota // no session
	SynSent                      // the originator asked for a connection
	SynReceived                  // the responder answered
	Established                  // the originator confirmed
	FinOriginator                // the originator has finished sending
	FinResponder                 // the responder has finished sending
	LastAck                      // both have finished; the last acknowledgement is due
	TimeWait                     // closed in order
	ResetOriginator              // closed by the originator's reset
	ResetResponder               // closed by the responder's reset
	UDPSingle                    // one direction, or one request and its response
	UDPStream                    // more than that
	ICMPQuery                    // echo and the other queries
	OtherProtocol                // any other protocol, by address pair
	NumStates
)

var stateNames = [NumStates]string{
	"none", "syn_sent", "syn_received", "established", "fin_originator", "fin_responder",
	"last_ack", "time_wait", "reset_originator", "reset_responder", "udp_single", "udp_stream", "icmp", "other",
}

// String returns the state's stable name.
func (s State) String() string {
	if s >= NumStates {
		return "invalid"
	}
	return stateNames[s]
}

// IsTCP reports whether the state is one of TCP's.
func (s State) IsTCP() bool { return s >= SynSent && s <= ResetResponder }

// IP protocol numbers with a tracking of their own.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
)

// Initial returns the state in which the first packet of a flow puts its
// session. tcpFlags are the low bits of the TCP header's flags byte. A TCP
// packet that neither opens a connection nor belongs to one gives Established
// when midstream packets are picked up (a connection older than nitrod's own
// knowledge of it), else None.
func Initial(proto, tcpFlags uint8, pickup bool) State {
	switch proto {
	case protoTCP:
		switch classOf[tcpFlags&0x3f] {
		case classSYN:
			return SynSent
		case classSYNACK:
			if pickup {
				return SynReceived
			}
		case classACK:
			if pickup {
				return Established
			}
		case classFIN:
			if pickup {
				return FinOriginator
			}
		}
		return None
	case protoUDP:
		return UDPSingle
	case protoICMP, protoICMPv6:
		return ICMPQuery
	}
	return OtherProtocol
}
