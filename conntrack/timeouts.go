package conntrack

import "time"

// Timeouts is how long a session may be idle in each state, in nanoseconds.
type Timeouts [NumStates]int64

// DefaultTimeouts are AWS's defaults where AWS publishes one, else nitrod's own
// (docs/semantics.md, connection tracking).
var DefaultTimeouts = Timeouts{
	SynSent:         int64(30 * time.Second),
	SynReceived:     int64(60 * time.Second),
	Established:     int64(432_000 * time.Second),
	FinOriginator:   int64(120 * time.Second),
	FinResponder:    int64(120 * time.Second),
	LastAck:         int64(30 * time.Second),
	TimeWait:        int64(30 * time.Second),
	ResetOriginator: int64(5 * time.Second),
	ResetResponder:  int64(5 * time.Second),
	UDPSingle:       int64(30 * time.Second),
	UDPStream:       int64(180 * time.Second),
	ICMPQuery:       int64(30 * time.Second),
	OtherProtocol:   int64(600 * time.Second),
}
