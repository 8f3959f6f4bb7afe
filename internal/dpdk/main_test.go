package dpdk

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nitrod/nitrod/internal/pktio"
)

// EAL starts once per process, so one test process shares it; what needs an EAL
// of its own runs in a child, which is this binary again (see child_test.go).
var (
	ealErr  error
	ealLogs logRecorder
)

func TestMain(m *testing.M) {
	if role := os.Getenv(childEnv); role != "" {
		os.Exit(runChild(role))
	}
	ealErr = Init(Options{FilePrefix: "nitrod-test", Log: slog.New(&ealLogs)})
	code := m.Run()
	if ealErr == nil {
		if err := Cleanup(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func needEAL(t testing.TB) {
	t.Helper()
	if ealErr != nil {
		t.Skipf("this machine cannot start DPDK: %v", ealErr)
	}
}

func needRoot(t testing.TB) {
	t.Helper()
	needEAL(t)
	if os.Getuid() != 0 {
		t.Skip("this test makes network interfaces, for which it needs root")
	}
}

// testPool is a pool whose packets must all be back when the test ends.
func testPool(t testing.TB, c PoolConfig) *Pool {
	t.Helper()
	needEAL(t)
	c.Name = uniqueName("t")
	p, err := NewPool(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n := p.InUse(); n != 0 {
			t.Errorf("%d packets of the pool were not freed", n)
		}
		p.Close()
	})
	return p
}

func smallPool(t testing.TB) *Pool {
	return testPool(t, PoolConfig{Count: 4095, Cache: 64})
}

var names struct {
	sync.Mutex
	n int
}

// uniqueName makes names of devices, pools and rings differ between tests.
func uniqueName(prefix string) string {
	names.Lock()
	defer names.Unlock()
	names.n++
	return fmt.Sprintf("%s%d", prefix, names.n)
}

func mustOpen(t testing.TB, c PortConfig) *Port {
	t.Helper()
	p, err := OpenPort(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func mustIO(t testing.TB, pool *Pool, ports ...*Port) *IO {
	t.Helper()
	var queues []RxQueue
	for _, p := range ports {
		for q := range p.RxQueues() {
			queues = append(queues, RxQueue{Port: p, Queue: q})
		}
	}
	io, err := NewIO(pool, queues, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(io.Close)
	return io
}

// send transmits packets on a queue and fails the test if the port refuses one.
func send(t testing.TB, io *IO, p *Port, queue int, packets ...pktio.Desc) {
	t.Helper()
	sent := trySend(t, io, p, queue, packets...)
	if sent != len(packets) {
		t.Fatalf("%s took %d of %d packets", p, sent, len(packets))
	}
}

// trySend frees what the port does not take, and returns how many it took.
func trySend(t testing.TB, io *IO, p *Port, queue int, packets ...pktio.Desc) int {
	t.Helper()
	bufs := newOffHeap(t, len(packets))
	for i, d := range packets {
		bufs[i] = d.Buf
	}
	f := pktio.Flush{Runs: []pktio.TxRun{{Bufs: addressOf(bufs), Port: p.ID(), Queue: uint16(queue), N: uint16(len(packets))}}}
	io.Tx(&f)
	sent := int(f.Runs[0].Sent)
	io.Tx(&pktio.Flush{Frees: slices.Clone(bufs[sent:])})
	return sent
}

// receive polls until n packets came; the test's own deadline is the only one.
func receive(t testing.TB, io *IO, n int) []pktio.Desc {
	t.Helper()
	return receiveMatching(t, io, n, func([]byte) bool { return true })
}

// receiveMatching polls until n packets came for which want is true, and frees
// the others: a guest's kernel sends what it likes.
func receiveMatching(t testing.TB, io *IO, n int, want func(frame []byte) bool) []pktio.Desc {
	t.Helper()
	var got []pktio.Desc
	descs := make([]pktio.Desc, pktio.MaxBurst)
	for len(got) < n {
		k := io.Rx(descs[:min(len(descs), max(n-len(got), 1))])
		for _, d := range descs[:k] {
			b, err := PacketBytes(d)
			if err != nil {
				t.Fatal(err)
			}
			if want(b) {
				got = append(got, d)
			} else {
				FreeBurst([]uint64{d.Buf})
			}
		}
		if k == 0 {
			runtime.Gosched()
		}
	}
	return got
}

func free(packets ...pktio.Desc) {
	for _, d := range packets {
		FreeBurst([]uint64{d.Buf})
	}
}

func mustBytes(t testing.TB, d pktio.Desc) []byte {
	t.Helper()
	b, err := PacketBytes(d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// frame is a broadcast frame of n bytes of an EtherType that no stack knows,
// with contents that tell frames apart.
func frame(n, seed int) []byte {
	b := make([]byte, n)
	copy(b, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 0, 0, 0, 0x77, 0x88, 0xb5})
	for i := 14; i < n; i++ {
		b[i] = byte(i*7 + seed*131)
	}
	return b
}

func isTestFrame(b []byte) bool { return len(b) > 14 && b[12] == 0x88 && b[13] == 0xb5 }

func packet(t testing.TB, pool *Pool, frame []byte) pktio.Desc {
	t.Helper()
	d, err := PacketFromBytes(pool, frame, 0)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func wantError(t testing.TB, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; one was expected that says %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error says %q, and not %q", err, w)
		}
	}
}
