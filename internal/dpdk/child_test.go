package dpdk

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"testing"
)

// childEnv makes the test binary play a role instead of running tests.
const childEnv = "NITROD_DPDK_TEST_CHILD"

// roles are what a child can be; each returns its exit code.
var roles = map[string]func() error{}

func runChild(role string) int {
	f, ok := roles[role]
	if !ok {
		fmt.Fprintln(os.Stderr, "no such role:", role)
		return 2
	}
	if err := f(); err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		return 1
	}
	return 0
}

func childInit(o Options) error {
	o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return Init(o)
}

// child is a running role. It says a line when it is ready, and ends when its
// standard input does.
type child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
}

func startChild(t *testing.T, role string, env ...string) *child {
	t.Helper()
	c := &child{cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), append(env, childEnv+"="+role)...)
	c.cmd.Stderr = os.Stderr
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.cmd.Process.Kill(); _ = c.cmd.Wait() })
	return c
}

// line waits for the child's next line.
func (c *child) line(t *testing.T) string {
	t.Helper()
	s, err := c.out.ReadString('\n')
	if err != nil {
		t.Fatalf("the child ended: %v", err)
	}
	return s[:len(s)-1]
}

// finish ends the child and waits for it.
func (c *child) finish(t *testing.T) {
	t.Helper()
	c.stdin.Close()
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("the child failed: %v", err)
	}
}

// say prints a child's line.
func say(s string) { fmt.Println(s) }

// untilTold waits until the parent closes the child's standard input, calling
// step all the time.
func untilTold(step func()) {
	told := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); close(told) }()
	for {
		select {
		case <-told:
			return
		default:
			step()
		}
	}
}
