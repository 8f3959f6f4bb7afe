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
var tcpTable = [TCPStates][2][numClasses]State{
	SynSent: {
		{classSYN: SynSent /* again */, classACK: SynSent, classFIN: FinOriginator, classRST: Closed},
		{classSYN: SynReceived /* both open at once */, classSYNACK: SynReceived, classACK: SynSent /* challenge */, classFIN: SynSent, classRST: Closed /* refused */},
	},
	SynReceived: {
		{classSYN: SynReceived, classSYNACK: Established /* both opened */, classACK: Established, classFIN: FinOriginator, classRST: Closed},
		{classSYN: SynReceived, classSYNACK: SynReceived /* again */, classACK: SynReceived, classFIN: FinResponder, classRST: Closed},
	},
	Established: {
		// A SYN here is answered by the peer with a challenge (RFC 5961), so it passes.
		{classSYN: Established, classSYNACK: Established, classACK: Established, classFIN: FinOriginator, classRST: Closed},
		{classSYN: Established, classSYNACK: Established, classACK: Established, classFIN: FinResponder, classRST: Closed},
	},
	FinOriginator: { // half closed: the responder may go on for as long as it likes
		{classSYN: FinOriginator, classACK: FinOriginator, classFIN: FinOriginator, classRST: Closed},
		{classSYNACK: FinOriginator, classACK: FinOriginator, classFIN: LastAck, classRST: Closed},
	},
	FinResponder: {
		{classSYN: FinResponder, classACK: FinResponder, classFIN: LastAck, classRST: Closed},
		{classSYNACK: FinResponder, classACK: FinResponder, classFIN: FinResponder, classRST: Closed},
	},
	LastAck: {
		{classSYN: Renew, classACK: TimeWait, classFIN: LastAck, classRST: Closed},
		{classSYN: Renew, classACK: TimeWait, classFIN: LastAck, classRST: Closed},
	},
	TimeWait: { // a port may be used again at once (RFC 6191)
		{classSYN: Renew, classACK: TimeWait, classFIN: TimeWait, classRST: Closed},
		{classSYN: Renew, classACK: TimeWait, classFIN: TimeWait, classRST: Closed},
	},
	Closed: { // whatever was under way when the reset came is refused
		{classSYN: Renew, classRST: Closed},
		{classSYN: Renew, classRST: Closed},
	},
}

// TCPStates bounds the table: TCP's states are the first ones.
const TCPStates = Closed + 1

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
