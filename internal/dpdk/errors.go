package dpdk

/*
#include "nd.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
)

// Errno is an error number of DPDK's: errno's, or one of its own above 1000.
// errors.Is matches it with the syscall.Errno of the same value.
type Errno int

// Error returns rte_strerror's text.
func (e Errno) Error() string { return C.GoString(C.nd_strerror(C.int(e))) }

// Is reports whether target is the same error number.
func (e Errno) Is(target error) bool {
	n, ok := target.(syscall.Errno)
	return ok && int(n) == int(e)
}

// ErrNotInitialised is returned by calls that need EAL before Init or after
// Cleanup.
var ErrNotInitialised = errors.New("dpdk: EAL is not initialised")

// check turns a C function's result into an error.
func check(ret C.int) error {
	if ret >= 0 {
		return nil
	}
	return Errno(-ret)
}

// withLog adds to err what DPDK last logged as an error on this thread, which
// is often the only place where the reason is.
func withLog(err error) error {
	line := cleanLogLine(C.GoString(C.nd_log_last_error()))
	if err == nil || line == "" {
		return err
	}
	return fmt.Errorf("%w (%s)", err, line)
}

// cleanLogLine strips the function's name and the blanks that drivers put
// around their messages.
func cleanLogLine(s string) string {
	s = strings.TrimSpace(s)
	if name, rest, ok := strings.Cut(s, "(): "); ok && !strings.ContainsAny(name, " \t") {
		s = strings.TrimSpace(rest)
	}
	return s
}
