package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"
)

// TestSessionStates follows a connection's life in conntrack.
func TestSessionStates(t *testing.T) {
	onLcores(t, func(t *testing.T, lcores int) {
		b := running(t, setting{Lcores: lcores, Configure: true})
		t.Run("tcp", func(t *testing.T) { tcpLife(t, b) })
		t.Run("reset", func(t *testing.T) { tcpReset(t, b) })
		t.Run("unanswered", func(t *testing.T) { unanswered(t, b) })
		t.Run("udp", func(t *testing.T) { udpLife(t, b) })
		s := b.quiet(t)
		if used := s.Instances["web"]; used.Used == 0 || used.Available == nil || *used.Available != 10000-used.Used {
			t.Errorf("the instance's allowance is %+v, of 10000", used)
		}
	})
}

// reaches waits until the session from sport is in one of some states.
func reaches(t *testing.T, b *bed, protocol string, sport uint16, states ...string) {
	t.Helper()
	eventually(t, func() error {
		s, ok := findSession(t, b, protocol, sport)
		if !ok {
			return fmt.Errorf("no %s session from port %d is listed", protocol, sport)
		}
		if !slices.Contains(states, s.State) {
			return fmt.Errorf("the session is in state %s, not in %v", s.State, states)
		}
		return nil
	})
}

// connected is a connection of the two guests: the client's end and the server's.
func connected(t *testing.T, b *bed, sport uint16) (client, server *net.TCPConn) {
	t.Helper()
	l := listen(t, b.App, 7000)
	client, err := dialFrom(t, b.Web, sport, app4, 7000, deadline)
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	t.Cleanup(func() { c.Close() })
	return client, c.(*net.TCPConn)
}

func tcpLife(t *testing.T, b *bed) {
	const sport = 20001
	if _, ok := findSession(t, b, "tcp", sport); ok {
		t.Fatal("a session is listed before there was a connection")
	}
	client, server := connected(t, b, sport)
	reaches(t, b, "tcp", sport, "established")
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("the server reads %v, want the end", err)
	}
	reaches(t, b, "tcp", sport, "fin_originator")
	if _, err := io.WriteString(server, "still there"); err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(client)
	if err != nil || string(got) != "still there" {
		t.Errorf("after its FIN the client got %q, %v", got, err)
	}
	reaches(t, b, "tcp", sport, "last_ack", "time_wait")
	reaches(t, b, "tcp", sport, "time_wait")
}

func tcpReset(t *testing.T, b *bed) {
	const sport = 20002
	_, server := connected(t, b, sport)
	if err := server.SetLinger(0); err != nil { // Close then resets
		t.Fatal(err)
	}
	server.Close()
	reaches(t, b, "tcp", sport, "reset_responder")
}

// unanswered leaves a SYN without answer: the guest app gives up its second
// address, and nitrod does not know.
func unanswered(t *testing.T, b *bed) {
	const sport = 20003
	guest(t, b.App, "ip", "address", "delete", appSecond.String()+"/24", "dev", "app0")
	if _, err := dialFrom(t, b.Web, sport, appSecond, 7000, time.Second); !isTimeout(err) {
		t.Errorf("a connection to an address that nobody has says: %v", err)
	}
	reaches(t, b, "tcp", sport, "syn_sent")
}

func udpLife(t *testing.T, b *bed) {
	const sport = 20004
	server, client := listenUDP(t, b.App, 7000), dialUDP(t, b.Web, sport, app4, 7000)
	exchange := func() {
		t.Helper()
		buf := make([]byte, 16)
		if _, err := io.WriteString(client, "question"); err != nil {
			t.Fatal(err)
		}
		_, from, err := server.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := server.WriteTo([]byte("answer"), from); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Read(buf); err != nil {
			t.Fatal(err)
		}
	}
	exchange()
	reaches(t, b, "udp", sport, "udp_single")
	exchange()
	reaches(t, b, "udp", sport, "udp_stream")
	if s := session(t, b, "udp", sport); s.OutPackets != 2 || s.BackPackets != 2 {
		t.Errorf("after two exchanges %d packets out and %d back are counted", s.OutPackets, s.BackPackets)
	}
}
