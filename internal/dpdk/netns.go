package dpdk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// netnsDir is where "ip netns" keeps named namespaces.
const netnsDir = "/run/netns"

// netnsPath returns the file of a namespace that is given by name or by path.
func netnsPath(ns string) string {
	if strings.Contains(ns, "/") {
		return ns
	}
	return filepath.Join(netnsDir, ns)
}

// InNetns runs f on a locked thread inside a namespace; "" is the process's
// own. The thread goes back to the runtime only if it could return to the
// namespace from which it came.
func InNetns(ns string, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err, home := runInNetns(ns, f)
		if home {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

func runInNetns(ns string, f func() error) (err error, home bool) {
	if ns == "" {
		return f(), true
	}
	before, err := netns.Get()
	if err != nil {
		return fmt.Errorf("the thread's own network namespace: %w", err), true
	}
	defer before.Close()
	there, err := netns.GetFromPath(netnsPath(ns))
	if err != nil {
		return fmt.Errorf("network namespace %s: %w", ns, err), true
	}
	defer there.Close()
	if err := netns.Set(there); err != nil {
		return fmt.Errorf("entering network namespace %s: %w", ns, err), true
	}
	err = f()
	return err, netns.Set(before) == nil
}

// CreateNetns creates a named network namespace with its loopback interface
// up, marked as this process's, unless there is one of that name. It reports
// whether it did.
//
// Errors: without the right to create namespaces, one that says so.
func CreateNetns(name string) (bool, error) {
	if strings.Contains(name, "/") || name == "" || name == "." || name == ".." {
		return false, fmt.Errorf("dpdk: %q is no name for a network namespace", name)
	}
	path := netnsPath(name)
	if isNetns(path) {
		return false, nil
	}
	// A file without a namespace is what is left of an interrupted creation.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("dpdk: network namespace %s: %w", name, err)
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread is inside the namespace
		done <- newNetns(name)
	}()
	if err := <-done; err != nil {
		return false, fmt.Errorf("dpdk: creating network namespace %s: %w", name, err)
	}
	return true, nil
}

func newNetns(name string) error {
	h, err := netns.NewNamed(name)
	if err != nil {
		return err
	}
	defer h.Close()
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetAlias(lo, ownMark())
	}
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return errors.Join(err, netns.DeleteNamed(name))
	}
	return nil
}

// DeleteNetns removes a named network namespace. What is inside goes with it
// as soon as nobody uses it.
func DeleteNetns(name string) error {
	if err := netns.DeleteNamed(name); err != nil {
		return fmt.Errorf("dpdk: removing network namespace %s: %w", name, err)
	}
	return nil
}

func isNetns(path string) bool {
	var s unix.Statfs_t
	return unix.Statfs(path, &s) == nil && s.Type == unix.NSFS_MAGIC
}
