package control

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nitrod/nitrod/internal/packet"
)

func TestStats(t *testing.T) {
	b := newBed(t)
	b.carry("web", b.tcp("web", 1000, 80, packet.TCPSyn), b.tcp("web", 1001, 8080, packet.TCPSyn))
	b.carry("web", b.tcp("web", 1000, 80, packet.TCPSyn))
	var s Stats
	b.get("/v1/stats", &s)
	if s.TimeNS == 0 || s.UptimeNS <= 0 || s.TableMem == "" {
		t.Errorf("time %d, up %d, tables in %q", s.TimeNS, s.UptimeNS, s.TableMem)
	}
	length := uint64(len(b.tcp("web", 1000, 80, packet.TCPSyn)))
	available := int64(49)
	want := Stats{
		Rx: 3, Tx: 2, Dropped: 1, Drops: map[string]uint64{"security_group_in": 1}, FlowHits: 1, SlowPath: 2,
		Flows: 2, Sessions: 1, Begun: 1, Early: map[string]uint64{"half_open": 0, "closing": 0, "one_way": 0},
		ENIs: map[string]ENI{
			"web":  {Port: "tap a", Link: "up", TxPackets: 3, TxBytes: 3 * length, ConntrackUsed: 1, ConntrackAvailable: &available, HalfOpen: 1},
			"web2": {Port: "tap b", Link: "up"},
			"app":  {Port: "tap c", Link: "up", RxPackets: 2, RxBytes: 2 * length, Drops: 1, ConntrackUsed: 1},
			"twin": {Port: "tap d", Link: "up"},
		},
		Instances: map[string]Instance{"web": {Used: 1, Available: &available}, "web2": {}, "app": {Used: 1}, "twin": {}},
		Lcores:    []Lcore{{CPU: 7, Rx: 3, Tx: 2, FlowHits: 1, SlowPath: 2, Shards: 512, Polling: Polling{Mode: "spin", Rest: "poll"}}},
		Mbufs:     Mbufs{Total: 100, Available: 90},
		Driver:    Driver{RxMissed: 3, TxUnchained: 4},
	}
	want.TimeNS, want.UptimeNS, want.TableMem = s.TimeNS, s.UptimeNS, s.TableMem
	if len(s.Lcores) == 1 {
		if s.Lcores[0].Rounds == 0 {
			t.Error("the lcore made no round")
		}
		want.Lcores[0].Rounds, want.Lcores[0].Gaps = s.Lcores[0].Rounds, s.Lcores[0].Gaps
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
}

func TestVersion(t *testing.T) {
	b := newBed(t)
	var v Version
	b.get("/v1/version", &v)
	if v.Nitrod != "v1" || v.DPDK != "DPDK 1" || !strings.HasPrefix(v.Go, "go") {
		t.Errorf("%+v", v)
	}
}

func TestLists(t *testing.T) {
	b := newBed(t)
	b.carry("web", b.tcp("web", 1000, 80, packet.TCPSyn), b.tcp("web", 1001, 8080, packet.TCPSyn))
	b.carry("web2", b.tcp("web2", 1002, 80, packet.TCPSyn))
	b.carry("app", b.answer("web", 1000), b.answer("web2", 1002))

	ports := func(query string) []uint16 {
		var flows []Flow
		b.get("/v1/flows"+query, &flows)
		list := []uint16{}
		for _, f := range flows {
			list = append(list, f.SrcPort)
		}
		slices.Sort(list)
		return list
	}
	for query, want := range map[string][]uint16{
		"":                {80, 80, 1000, 1001, 1002},
		"?eni=web":        {80, 1000, 1001},
		"?eni=web2":       {80, 1002},
		"?eni=app":        {80, 80, 1000, 1001, 1002},
		"?eni=twin":       {},
		"?limit=10000000": {80, 80, 1000, 1001, 1002},
	} {
		if got := ports(query); !slices.Equal(got, want) {
			t.Errorf("flows%s are from ports %v, want %v", query, got, want)
		}
	}
	sessions := func(query string) []uint16 {
		var sessions []Session
		b.get("/v1/conntrack"+query, &sessions)
		list := []uint16{}
		for _, s := range sessions {
			list = append(list, s.SrcPort)
		}
		slices.Sort(list)
		return list
	}
	for query, want := range map[string][]uint16{
		"": {1000, 1002}, "?eni=web": {1000}, "?eni=web2": {1002}, "?eni=app": {1000, 1002}, "?eni=twin": {},
	} {
		if got := sessions(query); !slices.Equal(got, want) {
			t.Errorf("conntrack%s is from ports %v, want %v", query, got, want)
		}
	}
	for n, query := range map[int]string{1: "?limit=1", 2: "?limit=2"} {
		if got := ports(query); len(got) != n {
			t.Errorf("flows%s are %d", query, len(got))
		}
		if got := sessions(query); len(got) != n {
			t.Errorf("conntrack%s is %d", query, len(got))
		}
	}
	for _, path := range []string{"/v1/flows", "/v1/conntrack"} {
		if got, want := b.refused(http.MethodGet, path+"?eni=nobody", ""), `there is no ENI "nobody"`; got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
		for _, limit := range []string{"0", "-1", "x", "1.5", "99999999999999999999"} {
			if got, want := b.refused(http.MethodGet, path+"?limit="+limit, ""), `limit "`+limit+`" is not a number above zero`; got != want {
				t.Errorf("%s: %q, want %q", path, got, want)
			}
		}
	}
}

// TestListedContents looks at one flow of each kind, and its session.
func TestListedContents(t *testing.T) {
	b := newBed(t)
	b.carry("web", b.tcp("web", 1000, 80, packet.TCPSyn), b.tcp("web", 1001, 8080, packet.TCPSyn))
	b.carry("app", b.answer("web", 1000))
	var flows []Flow
	b.get("/v1/flows?eni=web", &flows)
	slices.SortFunc(flows, func(x, y Flow) int { return int(x.SrcPort) - int(y.SrcPort) })
	out := Tuple{"tcp", "10.0.1.10", "10.0.2.20", 1000, 80}
	back := Tuple{"tcp", "10.0.2.20", "10.0.1.10", 80, 1000}
	refused := Tuple{"tcp", "10.0.1.10", "10.0.2.20", 1001, 8080}
	if diff := cmp.Diff([]Flow{
		{Tuple: back, ENI: "app", Path: "routed", Verdict: "forward", Egress: "web", Dir: "reply", Current: true},
		{Tuple: out, ENI: "web", Path: "routed", Verdict: "forward", Egress: "app", Dir: "original", Current: true},
		{Tuple: refused, ENI: "web", Path: "routed", Verdict: "drop", Reason: "security_group_in", Egress: "app", Current: true},
	}, flows); diff != "" {
		t.Errorf("flows (-want +got):\n%s", diff)
	}
	var sessions []Session
	b.get("/v1/conntrack", &sessions)
	if len(sessions) != 1 {
		t.Fatalf("%d sessions are listed", len(sessions))
	}
	s := sessions[0]
	if s.AgeNS < 0 || s.IdleNS < 0 || s.TimeoutNS != 60e9 || s.OutBytes == 0 || s.BackBytes == 0 {
		t.Errorf("age %d, idle %d, timeout %d, %d bytes out and %d back", s.AgeNS, s.IdleNS, s.TimeoutNS, s.OutBytes, s.BackBytes)
	}
	s.AgeNS, s.IdleNS, s.TimeoutNS, s.OutBytes, s.BackBytes = 0, 0, 0, 0, 0
	if diff := cmp.Diff(Session{Tuple: out, VPC: "main", Originator: "web", Responder: "app", State: "syn_received", OutPackets: 1, BackPackets: 1,
		OriginatorTracked: true, ResponderTracked: true}, s); diff != "" {
		t.Errorf("session (-want +got):\n%s", diff)
	}
}

func TestBodies(t *testing.T) {
	b := newBed(t)
	for body, want := range map[string]string{
		"":                   "EOF",
		"{":                  "unexpected EOF",
		`{"sorce":"::1"}`:    `json: unknown field "sorce"`,
		`{"src_port":70000}`: "cannot unmarshal number 70000",
		`{"frame":"` + strings.Repeat("0", maxBody) + `"}`: "request body too large",
	} {
		if got := b.refused(http.MethodPost, "/v1/explain", body); !strings.Contains(got, want) {
			t.Errorf("a body of %d bytes is refused with %q, want %q", len(body), got, want)
		}
	}
}

func TestUnknownRequests(t *testing.T) {
	b := newBed(t)
	for _, c := range []struct {
		method, path string
		code         int
	}{
		{http.MethodPost, "/v1/stats", http.StatusMethodNotAllowed},
		{http.MethodGet, "/v1/explain", http.StatusMethodNotAllowed},
		{http.MethodGet, "/v2/stats", http.StatusNotFound},
		{http.MethodGet, "/", http.StatusNotFound},
	} {
		w := httptest.NewRecorder()
		b.server.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if w.Code != c.code {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, w.Code, c.code)
		}
	}
}

func TestListen(t *testing.T) {
	b := newBed(t)
	listen := func(t *testing.T, path string) *Server {
		t.Helper()
		s, err := Listen(path, b.engine, &b.host)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	answers := func(t *testing.T, path string) {
		t.Helper()
		var v Version
		if err := NewClient(path).Get("/v1/version", nil, &v); err != nil || v.Nitrod != "v1" {
			t.Errorf("%+v, %v", v, err)
		}
	}
	t.Run("new", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "deep", "er", "n.sock")
		s := listen(t, path)
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != os.ModeSocket|0o600 {
			t.Errorf("the socket's mode is %v, want that only its owner may use it", info.Mode())
		}
		answers(t, path)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after Close the socket is there: %v", err)
		}
	})
	t.Run("stale", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "n.sock")
		leaveSocket(t, path)
		if err := CheckFree(path); err != nil {
			t.Error(err)
		}
		listen(t, path)
		answers(t, path)
	})
	t.Run("taken", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "n.sock")
		listen(t, path)
		_, err := Listen(path, b.engine, &b.host)
		for _, err := range []error{err, CheckFree(path)} {
			if err == nil || err.Error() != "another nitrod answers on "+path {
				t.Errorf("the second one gets %v", err)
			}
		}
		answers(t, path)
	})
	t.Run("no socket", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "precious")
		if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Listen(path, b.engine, &b.host); err == nil {
			t.Error("a file was taken for a socket")
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != "text" {
			t.Errorf("the file is %q now, %v", text, err)
		}
	})
}

// TestCloseWaits wants no request to read the engine after Close returned,
// since it may be freed then.
func TestCloseWaits(t *testing.T) {
	b := newBed(t)
	entered, release := make(chan struct{}), make(chan struct{})
	var freed atomic.Bool
	b.host.driver = func() Driver {
		close(entered)
		<-release
		if freed.Load() {
			t.Error("a request was served after Close returned")
		}
		return Driver{}
	}
	path := filepath.Join(t.TempDir(), "n.sock")
	s, err := Listen(path, b.engine, &b.host)
	if err != nil {
		t.Fatal(err)
	}
	answered, closed := make(chan error), make(chan struct{})
	go func() { answered <- NewClient(path).Get("/v1/stats", nil, new(Stats)) }()
	<-entered
	go func() {
		s.Close()
		freed.Store(true)
		close(closed)
	}()
	if err := <-answered; err == nil { // its connection is closed first
		t.Error("a request was answered by a server that is closed")
	}
	close(release)
	<-closed
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/stats", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("after Close a request gets %d", w.Code)
	}
}

func TestQueues(t *testing.T) {
	b := newBed(t)
	b.carry("web", b.tcp("web", 1000, 80, packet.TCPSyn), b.tcp("web", 1001, 8080, packet.TCPSyn))
	length := uint64(len(b.tcp("web", 1000, 80, packet.TCPSyn)))
	var got []ENIQueues
	b.get("/v1/queues", &got)
	want := []ENIQueues{
		{ENI: "web", Port: "tap a", Rx: []RxQueue{{Depth: 256}}, Tx: []TxQueue{{Packets: 2, Bytes: 2 * length, Lcore: -1}}},
		{ENI: "web2", Port: "tap b", Rx: []RxQueue{{Depth: 256}}, Tx: []TxQueue{{Lcore: -1}}},
		{ENI: "app", Port: "tap c", Rx: []RxQueue{{Packets: 1, Bytes: length, Depth: 256, HighWater: 1}}, Tx: []TxQueue{{Lcore: -1}}, RxDrops: 1},
		{ENI: "twin", Port: "tap d", Rx: []RxQueue{{Depth: 256}}, Tx: []TxQueue{{Lcore: -1}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("queues (-want +got):\n%s", diff)
	}
	got = nil
	b.get("/v1/queues?eni=app", &got)
	if diff := cmp.Diff(want[2:3], got); diff != "" {
		t.Errorf("queues of app (-want +got):\n%s", diff)
	}
	if said := b.refused(http.MethodGet, "/v1/queues?eni=nobody", ""); said != `there is no ENI "nobody"` {
		t.Errorf("of an ENI that there is not: %s", said)
	}
}
