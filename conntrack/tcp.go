package conntrack

// TCP flag bits.
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
)

// A TCP packet matters to the state table by its class of flags.
type class uint8

const (
	classBad class = iota // flags that make no sense together
	classSYN
	classSYNACK
	classACK // data or acknowledgement
	classFIN
	classRST
	numClasses
)

// classOf maps the six low flag bits to their class.
var classOf = func() (t [64]class) {
	for f := range t {
		switch {
		case f&SYN != 0 && f&(FIN|RST) != 0, f&FIN != 0 && f&RST != 0:
			t[f] = classBad
		case f&RST != 0:
			t[f] = classRST
		case f&SYN != 0 && f&ACK != 0:
			t[f] = classSYNACK
		case f&SYN != 0:
			t[f] = classSYN
		case f&ACK == 0: // after the handshake every segment acknowledges
			t[f] = classBad
		case f&FIN != 0:
			t[f] = classFIN
		default:
			t[f] = classACK
		}
	}
	return t
}()

// Besides a next state, a cell of the table can say:
const (
	// Renew: the packet opens a new connection in place of the old one.
	Renew State = NumStates + iota
	// Refuse: the packet is no part of the connection in this state.
	Refuse
)

// tcpTable is [state][direction][class] -> next state. Direction 0 is the
// originator's. A cell left out is None and refuses.
//
// nitrod sees what was sent, not what arrived: a packet may be lost in a queue
// behind it. So whatever an end may have to repeat passes in every state that
// its first sending can lead to, and whatever an end must hear in order to
// notice that the other one has gone passes too. The table knows flags alone;
// whether a segment's numbers let it count is for the windows to say
// (Session.Judge).
var tcpTable = [TCPStates][2][numClasses]State{
	SynSent: {
		{classSYN: SynSent /* again */, classSYNACK: SynSent /* to a SYN from before this one */, classACK: SynSent, classFIN: SynSent, classRST: ResetOriginator},
		{classSYN: SynReceived /* both open at once */, classSYNACK: SynReceived, classACK: SynSent /* challenge */, classFIN: SynSent, classRST: ResetResponder /* refused */},
	},
	SynReceived: {
		{classSYN: SynReceived, classSYNACK: Established /* both opened */, classACK: Established, classFIN: FinOriginator, classRST: ResetOriginator},
		{classSYN: SynReceived, classSYNACK: SynReceived /* again */, classACK: SynReceived, classFIN: FinResponder, classRST: ResetResponder},
	},
	Established: {
		// A SYN here is answered by the peer with a challenge (RFC 5961), so it passes.
		{classSYN: Established, classSYNACK: Established, classACK: Established, classFIN: FinOriginator, classRST: ResetOriginator},
		{classSYN: Established, classSYNACK: Established, classACK: Established, classFIN: FinResponder, classRST: ResetResponder},
	},
	// Half closed: the other side may go on for as long as it likes. An end may
	// finish before its SYN is acknowledged (RFC 9293, 3.10.4), so a SYN-ACK may
	// still be repeated. A SYN opens a new connection; if it is a repeated one,
	// the FIN before it has not been taken and will be repeated too.
	FinOriginator: {
		{classSYN: Renew, classSYNACK: FinOriginator, classACK: FinOriginator, classFIN: FinOriginator, classRST: ResetOriginator},
		{classSYN: Renew, classSYNACK: FinOriginator, classACK: FinOriginator, classFIN: LastAck, classRST: ResetResponder},
	},
	FinResponder: {
		{classSYN: Renew, classSYNACK: FinResponder, classACK: FinResponder, classFIN: LastAck, classRST: ResetOriginator},
		{classSYN: Renew, classSYNACK: FinResponder, classACK: FinResponder, classFIN: FinResponder, classRST: ResetResponder},
	},
	LastAck: {
		{classSYN: Renew, classSYNACK: LastAck, classACK: TimeWait, classFIN: LastAck, classRST: ResetOriginator},
		{classSYN: Renew, classSYNACK: LastAck, classACK: TimeWait, classFIN: LastAck, classRST: ResetResponder},
	},
	TimeWait: { // a port may be used again at once (RFC 6191)
		{classSYN: Renew, classSYNACK: TimeWait, classACK: TimeWait, classFIN: TimeWait, classRST: ResetOriginator},
		{classSYN: Renew, classSYNACK: TimeWait, classACK: TimeWait, classFIN: TimeWait, classRST: ResetResponder},
	},
	// Who resets has no more to say, until a SYN begins anew. Only a reset that
	// its receiver can be expected to take comes here (Session.Judge). The other
	// side may not have heard, or may doubt it (RFC 5961's challenge):
	// what it sends passes, so that it is answered with another reset. A
	// responder's SYN-ACK answers a SYN that was under way when the reset came, or
	// is a repeated one: the next packet tells. An originator's counts for nothing,
	// or a SYN and a forged answer of one's own would hold a session for days.
	ResetOriginator: {
		{classSYN: Renew, classRST: ResetOriginator},
		{classSYN: Renew, classSYNACK: SynReceived, classACK: ResetOriginator, classFIN: ResetOriginator, classRST: ResetOriginator},
	},
	ResetResponder: {
		{classSYN: Renew, classSYNACK: ResetResponder, classACK: ResetResponder, classFIN: ResetResponder, classRST: ResetResponder},
		{classSYN: Renew, classSYNACK: SynReceived, classRST: ResetResponder},
	},
}

// TCPStates bounds the table: TCP's states are the first ones.
const TCPStates = ResetResponder + 1

// NextTCP returns the state after a packet with the given flags in direction
// dir (0 the originator's, 1 the responder's), or Renew, or Refuse.
func NextTCP(s State, dir int, flags uint8) State {
	if s >= TCPStates {
		return Refuse
	}
	if next := tcpTable[s][dir&1][classOf[flags&0x3f]]; next != None {
		return next
	}
	return Refuse
}

// ValidFlags reports whether a combination of TCP flags can occur in a
// connection at all.
func ValidFlags(flags uint8) bool { return classOf[flags&0x3f] != classBad }
