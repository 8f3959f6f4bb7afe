package control

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestClientWithoutDaemon(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale.sock")
	leaveSocket(t, stale)
	for _, path := range []string{filepath.Join(dir, "none.sock"), stale} {
		c := NewClient(path)
		var v Version
		for _, err := range []error{c.Get("/v1/version", nil, &v), c.Post("/v1/explain", &ExplainRequest{}, &v)} {
			if !errors.Is(err, ErrNotRunning) || !strings.HasPrefix(err.Error(), "no nitrod answers on "+path+": ") {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

// leaveSocket leaves a socket on which nobody listens, as a killed daemon does.
func leaveSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Fatal(err)
	}
}

// TestClientAnswers gives the client what a daemon, or something else on its
// socket, may say.
func TestClientAnswers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /good", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"nitrod":"` + r.URL.Query().Get("q") + `"}`))
	})
	mux.HandleFunc("GET /problem", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"this is why"}`))
	})
	mux.HandleFunc("GET /garbage", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte(`oops`))
	})
	mux.HandleFunc("GET /truncated", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"nitrod":`)) })
	mux.HandleFunc("GET /gone", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	s := http.Server{Handler: mux}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	c := NewClient(path)
	var v Version
	if err := c.Get("/good", url.Values{"q": {"a&b"}}, &v); err != nil || v.Nitrod != "a&b" {
		t.Errorf("%+v, %v", v, err)
	}
	for path, want := range map[string]string{
		"/problem":   "this is why",
		"/garbage":   "answered 500 Internal Server Error",
		"/missing":   "answered 404 Not Found",
		"/truncated": "unexpected EOF",
		"/gone":      "EOF",
	} {
		if err := c.Get(path, nil, &v); err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, ErrNotRunning) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}
