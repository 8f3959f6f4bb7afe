package dpdk

/*
#include "nd.h"
*/
import "C"

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// The levels of rte_log.h.
const (
	rteLogErr     = 4
	rteLogWarning = 5
	rteLogDebug   = 8
)

// logRoute carries DPDK's log to a slog.Logger. Any thread of DPDK's may log,
// lcores included, so the C side only writes a record into a socket that never
// blocks, and a goroutine does the rest.
type logRoute struct {
	log  *slog.Logger
	in   int
	out  *os.File
	done chan struct{}
}

func openLog(log *slog.Logger) (*logRoute, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("dpdk: socket pair for the log: %w", err)
	}
	r := &logRoute{log: log, in: fds[0], out: os.NewFile(uintptr(fds[1]), "dpdk-log"), done: make(chan struct{})}
	if err := check(C.nd_log_open(C.int(r.in))); err != nil {
		unix.Close(r.in)
		r.out.Close()
		return nil, fmt.Errorf("dpdk: log stream: %w", err)
	}
	go r.run()
	return r, nil
}

// close waits until everything logged so far is written.
func (r *logRoute) close() {
	C.nd_log_close()
	unix.Close(r.in)
	<-r.done
	if lost := uint64(C.nd_log_lost()); lost != 0 {
		r.log.Warn("dpdk: messages lost, logged faster than they could be written", "count", lost)
	}
}

func (r *logRoute) run() {
	defer close(r.done)
	defer r.out.Close()
	buf := make([]byte, 4096)
	for {
		n, err := r.out.Read(buf)
		if n < 1 || err != nil {
			return
		}
		text := strings.TrimRight(string(buf[1:n]), "\n")
		for line := range strings.SplitSeq(text, "\n") {
			if line = cleanLogLine(line); line != "" {
				r.log.Log(context.Background(), logLevel(int(buf[0]), line), "dpdk: "+line)
			}
		}
	}
}

// harmless are messages that DPDK logs as errors or warnings, although nothing
// is missing that nitrod uses.
var harmless = []string{
	// net_tap wants traffic control for rte_flow, which nitrod does not use.
	"Disabling rte flow support",
	"multiq qdisc",
	"failed to create ingress qdisc",
	"Specified qdisc kind is unknown",
	// It wants a real-time signal too; Go owns them all, and without one the
	// driver reads on every poll.
	"All rt-signals are in use",
	"No Rx trigger signal available",
	// There are no secondary processes.
	"Failed to send start req to secondary",
	"Failed to register mp action callback",
	// One size of hugepages is enough, and Init chose them with care.
	"kB hugepages reported on node",
	// net_virtio_user says so as an error.
	"No valid MAC in devargs or device, use random",
}

func logLevel(rte int, line string) slog.Level {
	for _, h := range harmless {
		if strings.Contains(line, h) {
			return slog.LevelDebug
		}
	}
	switch {
	case rte >= rteLogDebug:
		return slog.LevelDebug
	case rte > rteLogWarning:
		return slog.LevelInfo
	case rte == rteLogWarning:
		return slog.LevelWarn
	default:
		return slog.LevelError
	}
}
