package dpdk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
)

// What nitrod makes in the kernel outlives a kill -9, so it carries a mark: the
// interface's alias says which process made it ("ip link" shows it). For a
// namespace it is the alias of its loopback interface. There is no file that
// could be left behind or lost.
const markPrefix = "nitrod "

// mark is a process: its number, and when it started, in the kernel's ticks
// since boot, since numbers are used again.
type mark struct {
	pid   int
	start uint64
}

func (m mark) String() string { return fmt.Sprintf("%spid=%d start=%d", markPrefix, m.pid, m.start) }

func parseMark(alias string) (mark, bool) {
	var m mark
	rest, ok := strings.CutPrefix(alias, markPrefix)
	if !ok {
		return m, false
	}
	_, err := fmt.Sscanf(rest, "pid=%d start=%d", &m.pid, &m.start)
	return m, err == nil
}

func ownMark() string {
	pid := os.Getpid()
	start, _ := processStart(pid)
	return mark{pid: pid, start: start}.String()
}

// alive reports whether the process still runs.
func (m mark) alive() bool {
	start, ok := processStart(m.pid)
	return ok && start == m.start
}

// processStart reads field 22 of /proc/pid/stat (proc_pid_stat(5)).
func processStart(pid int) (uint64, bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}
	return parseProcessStart(stat)
}

func parseProcessStart(stat []byte) (uint64, bool) {
	// The name, field 2, stands in brackets and may hold blanks and brackets.
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, false
	}
	const startField = 22 - 3 // the first one after the name is field 3
	fields := bytes.Fields(stat[end+1:])
	if len(fields) <= startField || string(fields[0]) == "Z" {
		return 0, false
	}
	start, err := strconv.ParseUint(string(fields[startField]), 10, 64)
	return start, err == nil
}

// Stale is something in the kernel that a former run left behind.
type Stale struct {
	Netns string // "": the process's own namespace
	Tap   string // "": the namespace itself
}

// String names it.
func (s Stale) String() string {
	if s.Tap == "" {
		return "network namespace " + s.Netns
	}
	return "tap " + s.Tap + " in " + netnsName(s.Netns)
}

// FindStale lists the taps and named namespaces that a run of nitrod made which
// is gone, in the order in which they can be removed. It looks in the
// process's own namespace and in all named ones.
func FindStale() ([]Stale, error) {
	spaces := []string{""}
	entries, err := os.ReadDir(netnsDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("dpdk: named network namespaces: %w", err)
	}
	for _, e := range entries {
		if isNetns(netnsPath(e.Name())) {
			spaces = append(spaces, e.Name())
		}
	}
	var stale []Stale
	for _, ns := range spaces {
		err := InNetns(ns, func() error {
			found, err := staleHere(ns)
			stale = append(stale, found...)
			return err
		})
		// A namespace may go while we look.
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("dpdk: looking for what a former run left: %w", err)
		}
	}
	return stale, nil
}

// staleHere works on a thread inside the namespace.
func staleHere(ns string) ([]Stale, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	var stale []Stale
	live, marked := false, false
	for _, l := range links {
		m, ok := parseMark(l.Attrs().Alias)
		if !ok {
			continue
		}
		gone := !m.alive() && !hasCarrier(l)
		if l.Attrs().Name == "lo" {
			marked = !m.alive() && ns != "" // loopback always has a carrier
			continue
		}
		live = live || !gone
		if gone {
			stale = append(stale, Stale{Netns: ns, Tap: l.Attrs().Name})
		}
	}
	if marked && !live {
		stale = append(stale, Stale{Netns: ns})
	}
	return stale, nil
}

// RemoveStale removes what FindStale found, except for what keep names, and
// returns what it removed. A kept tap keeps its namespace.
func RemoveStale(keep func(Stale) bool) ([]Stale, error) {
	found, err := FindStale()
	if err != nil {
		return nil, err
	}
	var kept []string
	var removed []Stale
	for _, s := range found {
		switch {
		case keep != nil && keep(s), s.Tap == "" && slices.Contains(kept, s.Netns):
			kept = append(kept, s.Netns)
			continue
		case s.Tap != "":
			err = RemoveTap(s.Tap, s.Netns)
		default:
			err = DeleteNetns(s.Netns)
		}
		if err != nil {
			return removed, err
		}
		removed = append(removed, s)
	}
	return removed, nil
}
