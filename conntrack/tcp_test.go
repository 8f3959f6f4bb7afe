package conntrack

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

var classNames = [numClasses]string{"bad", "SYN", "SYN-ACK", "ACK", "FIN", "RST"}

// classFlags are flags that make a packet of each class.
var classFlags = [numClasses]uint8{classBad: 0, classSYN: SYN, classSYNACK: SYN | ACK, classACK: ACK, classFIN: FIN | ACK, classRST: RST}

func flagText(f uint8) string {
	var b strings.Builder
	for i, c := range "FSRPAU" {
		if f>>i&1 != 0 {
			b.WriteRune(c)
		}
	}
	if b.Len() == 0 {
		return "-"
	}
	return b.String()
}

// classByList is a twin of classOf: it lists what may be, PSH and URG aside.
func classByList(f uint8) class {
	switch f &^ (PSH | URG) {
	case SYN:
		return classSYN
	case SYN | ACK:
		return classSYNACK
	case ACK:
		return classACK
	case FIN | ACK:
		return classFIN
	case RST, RST | ACK:
		return classRST
	}
	return classBad
}

func TestFlagClasses(t *testing.T) {
	for f := range uint8(64) {
		want := classByList(f)
		if got := classOf[f]; got != want {
			t.Errorf("%s is of class %s, want %s", flagText(f), classNames[got], classNames[want])
		}
		if got := ValidFlags(f); got != (want != classBad) {
			t.Errorf("ValidFlags(%s) = %v", flagText(f), got)
		}
		// ECN's two bits say nothing of the connection's state (RFC 3168).
		if ValidFlags(f) != ValidFlags(f|0xc0) {
			t.Errorf("ECE and CWR change whether %s is valid", flagText(f))
		}
	}
	for c, f := range classFlags {
		if classByList(f) != class(c) {
			t.Errorf("%s is not of class %s", flagText(f), classNames[c])
		}
	}
}

// expected is the state table again, by rules for each kind of packet instead
// of by state.
func expected(s State, dir int, c class) State {
	fin, otherFin := FinOriginator, FinResponder
	reset, otherReset := ResetOriginator, ResetResponder
	if dir == 1 {
		fin, otherFin = otherFin, fin
		reset, otherReset = otherReset, reset
	}
	if s == None || c == classBad {
		return Refuse
	}
	switch c {
	case classRST:
		if s == otherReset { // the first one counts
			return s
		}
		return reset
	case classSYN:
		switch {
		case s > Established:
			return Renew
		case s == SynSent && dir == 1:
			return SynReceived
		}
		return s
	case classSYNACK:
		if dir == 1 && (s == SynSent || s == reset || s == otherReset) {
			return SynReceived
		}
		if dir == 0 && s == SynReceived {
			return Established
		}
	case classACK:
		switch {
		case s == SynReceived && dir == 0:
			return Established
		case s == LastAck:
			return TimeWait
		}
	case classFIN:
		switch s {
		case SynReceived, Established:
			return fin
		case otherFin:
			return LastAck
		}
	}
	if s == reset { // who resets is silent
		return Refuse
	}
	return s
}

func cellName(s State) string {
	switch s {
	case Renew:
		return "RENEW"
	case Refuse:
		return "refuse"
	}
	return s.String()
}

// tableText prints the flags' classes and the state table as NextTCP has it.
func tableText() string {
	var b strings.Builder
	for c := range numClasses {
		fmt.Fprintf(&b, "%-8s", classNames[c])
		for f := range uint8(64) {
			if classOf[f] == c {
				fmt.Fprintf(&b, " %s", flagText(f))
			}
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "\n%-18s%-12s", "state", "from")
	for c := classSYN; c < numClasses; c++ {
		fmt.Fprintf(&b, "%-18s", classNames[c])
	}
	for s := SynSent; s < TCPStates; s++ {
		for dir, from := range []string{"originator", "responder"} {
			fmt.Fprintf(&b, "\n%-18s%-12s", s, from)
			for c := classSYN; c < numClasses; c++ {
				fmt.Fprintf(&b, "%-18s", cellName(NextTCP(s, dir, classFlags[c])))
			}
		}
	}
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

func TestTCPTable(t *testing.T) {
	for s := None; s < TCPStates; s++ {
		for dir := range 2 {
			for f := range uint8(64) {
				if got, want := NextTCP(s, dir, f), expected(s, dir, classByList(f)); got != want {
					t.Errorf("NextTCP(%v, %d, %s) = %s, want %s", s, dir, flagText(f), cellName(got), cellName(want))
				}
			}
		}
	}
	golden := filepath.Join("testdata", "tcp.golden")
	got := tableText()
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the state table is not that of %s; if that is meant, run the test with -update. It is now:\n%s", golden, got)
	}
}

// NextTCP answers for every input, and with nothing but a TCP state, Renew or
// Refuse.
func TestNextTCPIsTotal(t *testing.T) {
	for s := range 256 {
		for f := range 256 {
			for _, dir := range []int{0, 1, 2, -1} {
				next := NextTCP(State(s), dir, uint8(f))
				if !next.IsTCP() && next != Renew && next != Refuse {
					t.Fatalf("NextTCP(%d, %d, %#x) = %d", s, dir, f, next)
				}
				if !State(s).IsTCP() && next != Refuse {
					t.Fatalf("NextTCP(%v, %d, %#x) = %v though the state is not TCP's", State(s), dir, f, next)
				}
				if next == Renew && Initial(protoTCP, uint8(f), false) != SynSent {
					t.Fatalf("%s renews a connection in %v but cannot open one", flagText(uint8(f)&63), State(s))
				}
			}
		}
	}
}

// reach returns the states that packets from the given sides lead to.
func reach(from State, dirs ...int) map[State]bool {
	seen := map[State]bool{from: true}
	for todo := []State{from}; len(todo) > 0; todo = todo[1:] {
		for _, dir := range dirs {
			for _, f := range classFlags {
				next := NextTCP(todo[0], dir, f)
				if next != Refuse && !seen[next] {
					seen[next] = true
					if next != Renew {
						todo = append(todo, next)
					}
				}
			}
		}
	}
	return seen
}

func TestNoStateIsATrap(t *testing.T) {
	all := reach(SynSent, 0, 1)
	for s := SynSent; s < TCPStates; s++ {
		if !all[s] {
			t.Errorf("%v cannot be reached", s)
		}
		for _, dirs := range [][]int{{0, 1}, {0}, {1}} {
			to := reach(s, dirs...)
			if !to[Renew] {
				t.Errorf("from %v packets of %v come to no new connection", s, dirs)
			}
		}
		if to := reach(s, 0, 1); !to[TimeWait] && s != TimeWait {
			t.Errorf("from %v there is no way to close in order", s)
		}
	}
}

// One side alone cannot make a session that lasts for days.
func TestOriginatorAloneStaysUnanswered(t *testing.T) {
	for s := range reach(SynSent, 0) {
		if s != SynSent && s != ResetOriginator && s != Renew {
			t.Errorf("the originator comes to %v without the responder", s)
		}
	}
	for s := range reach(ResetResponder, 0) {
		if s == Established || s == SynReceived {
			t.Errorf("the originator comes to %v though the responder has reset", s)
		}
	}
}
