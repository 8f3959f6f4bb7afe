package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// deadline is for what must happen and does, on any machine, far sooner.
const deadline = time.Minute

// nitrod is the program under test, and buildErr why there is none.
var (
	nitrod   string
	buildErr error
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if lacking() != "" {
			return m.Run() // every test says so and skips
		}
		dir, err := os.MkdirTemp("", "nitrod-e2e")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		nitrod = filepath.Join(dir, "nitrod")
		out, err := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-X main.version=e2e", "-o", nitrod,
			"github.com/nitrod/nitrod/cmd/nitrod").CombinedOutput()
		if err != nil {
			buildErr = fmt.Errorf("go build: %w\n%s", err, out)
		}
		return m.Run()
	}())
}

// lacking names what the machine lacks for these tests, or is empty.
func lacking() string {
	if os.Getuid() != 0 {
		return "root, to make network namespaces and taps"
	}
	if f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0); err != nil {
		return "the tun device: " + err.Error()
	} else {
		f.Close()
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return "the command ip (package iproute2)"
	}
	if err := mayUnshare(); err != nil {
		return "the right to make network namespaces: " + err.Error()
	}
	return ""
}

func mayUnshare() error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		done <- unix.Unshare(unix.CLONE_NEWNET)
	}()
	return <-done
}

// need skips the test where the machine cannot run it.
func need(t *testing.T, commands ...string) {
	t.Helper()
	if lack := lacking(); lack != "" {
		t.Skip("this machine lacks " + lack)
	}
	if buildErr != nil {
		t.Fatal(buildErr)
	}
	for _, c := range commands {
		if _, err := exec.LookPath(c); err != nil {
			t.Skipf("this machine lacks the command %s", c)
		}
	}
}

// eventually polls until f is content, and fails with its last complaint.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(deadline); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatalf("in vain for %v: %v", deadline, err)
}

// onLcores runs a test on one lcore and, where there are two CPUs, on two.
func onLcores(t *testing.T, f func(t *testing.T, lcores int)) {
	for lcores := 1; lcores <= 2; lcores++ {
		t.Run(fmt.Sprintf("lcores=%d", lcores), func(t *testing.T) {
			needCPUs(t, lcores)
			f(t, lcores)
		})
	}
}

func needCPUs(t *testing.T, n int) {
	t.Helper()
	if have := runtime.NumCPU(); have < n {
		t.Skipf("this machine lacks CPUs: %d lcores need as many, there are %d", n, have)
	}
}

// isTimeout tells a refusal by silence from one in words.
func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
