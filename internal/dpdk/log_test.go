package dpdk

import (
	"context"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// logRecorder is a slog.Handler that keeps what it is given.
type logRecorder struct {
	mu      sync.Mutex
	records []slog.Record
}

func (r *logRecorder) Enabled(context.Context, slog.Level) bool { return true }
func (r *logRecorder) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *logRecorder) WithGroup(string) slog.Handler            { return r }

func (r *logRecorder) Handle(_ context.Context, rec slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, rec)
	return nil
}

func (r *logRecorder) find(text string) (slog.Record, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rec := range r.records {
		if strings.Contains(rec.Message, text) {
			return rec, true
		}
	}
	return slog.Record{}, false
}

func TestLogReachesTheDaemonsLog(t *testing.T) {
	needEAL(t)
	name := "net_nosuch" + uniqueName("")
	if _, err := OpenPort(PortConfig{Device: name}); err == nil {
		t.Fatal("a device that does not exist was opened")
	}
	for {
		rec, ok := ealLogs.find(name)
		if ok {
			if rec.Level != slog.LevelError {
				t.Errorf("an error of EAL's was logged as %v", rec.Level)
			}
			return
		}
		runtime.Gosched()
	}
}

func TestLogLevels(t *testing.T) {
	for _, c := range []struct {
		rte  int
		line string
		want slog.Level
	}{
		{1, "EAL: panic", slog.LevelError},
		{4, "EAL: failed", slog.LevelError},
		{5, "EAL: odd", slog.LevelWarn},
		{6, "EAL: notice", slog.LevelInfo},
		{7, "EAL: info", slog.LevelInfo},
		{8, "EAL: detail", slog.LevelDebug},
		{4, "tap0: failed to create multiq qdisc.", slog.LevelDebug},
	} {
		if got := logLevel(c.rte, c.line); got != c.want {
			t.Errorf("level %d of %q is %v, want %v", c.rte, c.line, got, c.want)
		}
	}
}

func TestCleanLogLine(t *testing.T) {
	for in, want := range map[string]string{
		"eth_dev_tap_create(): failed \n": "failed",
		"EAL: text (with brackets): more": "EAL: text (with brackets): more",
		"\n":                              "",
	} {
		if got := cleanLogLine(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
