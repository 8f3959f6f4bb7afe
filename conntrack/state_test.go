package conntrack

import "testing"

func TestInitial(t *testing.T) {
	for proto := range 256 {
		for f := range uint8(64) {
			for _, pickup := range []bool{false, true} {
				want := OtherProtocol
				switch proto {
				case 1, 58:
					want = ICMPQuery
				case 17:
					want = UDPSingle
				case 6:
					strict := map[class]State{classSYN: SynSent}
					late := map[class]State{classSYN: SynSent, classSYNACK: SynReceived, classACK: Established, classFIN: FinOriginator}
					if want = strict[classByList(f)]; pickup {
						want = late[classByList(f)]
					}
				}
				if got := Initial(uint8(proto), f, pickup); got != want {
					t.Fatalf("Initial(%d, %s, %v) = %v, want %v", proto, flagText(f), pickup, got, want)
				}
			}
		}
	}
	if Initial(protoTCP, SYN|0xc0, false) != SynSent { // a SYN that asks for ECN
		t.Error("ECE and CWR keep a SYN from opening a connection")
	}
}

// What a first packet leads to must admit the packet itself: the pipeline takes
// it through the state table like any other.
func TestInitialAdmitsItsPacket(t *testing.T) {
	for f := range uint8(64) {
		for _, pickup := range []bool{false, true} {
			s := Initial(protoTCP, f, pickup)
			if s == None {
				continue
			}
			if next := NextTCP(s, 0, f); !next.IsTCP() {
				t.Errorf("%s begins a session in %v and is then not admitted: %s", flagText(f), s, cellName(next))
			}
		}
	}
}

func TestStateNames(t *testing.T) {
	seen := map[string]State{}
	for s := range NumStates {
		name := s.String()
		if name == "" || name == "invalid" {
			t.Errorf("state %d has the name %q", s, name)
		}
		if other, ok := seen[name]; ok {
			t.Errorf("states %d and %d are both %q", other, s, name)
		}
		seen[name] = s
		if tcp := s >= SynSent && s <= ResetResponder; s.IsTCP() != tcp {
			t.Errorf("%v.IsTCP() = %v", s, s.IsTCP())
		}
	}
	for _, s := range []State{NumStates, Renew, Refuse, 255} {
		if s.String() != "invalid" || s.IsTCP() {
			t.Errorf("state %d is %q, TCP %v", s, s, s.IsTCP())
		}
	}
}

func TestDefaultTimeouts(t *testing.T) {
	const second = 1_000_000_000
	for s := SynSent; s < NumStates; s++ {
		if d := DefaultTimeouts[s]; d < second || d > 432_000*second {
			t.Errorf("%v lasts %d ns", s, d)
		}
		if s.IsTCP() && s != Established && DefaultTimeouts[s] >= DefaultTimeouts[Established] {
			t.Errorf("%v outlasts an established connection", s)
		}
	}
	// AWS publishes these (EC2 user guide, security group connection tracking).
	for s, seconds := range map[State]int64{Established: 432_000, UDPSingle: 30, UDPStream: 180, OtherProtocol: 600} {
		if DefaultTimeouts[s] != seconds*second {
			t.Errorf("%v lasts %d ns, want %d s", s, DefaultTimeouts[s], seconds)
		}
	}
}
