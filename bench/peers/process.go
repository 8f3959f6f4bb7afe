package peers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a child with its output kept in memory.
//
// The kernel kills it when the benchmark dies without stopping it, so that no
// poller is left behind on the core.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *output
	done  chan struct{} // closed when the child has been waited for
}

// stopGrace is how long a child may take to end after SIGTERM.
const stopGrace = 10 * time.Second

// start starts the command in a process group of its own, so that Ctrl-C
// reaches the benchmark alone, which then stops its children in order.
func start(cmd *exec.Cmd) (*process, error) {
	p := &process{name: cmd.Path, cmd: cmd, out: &output{}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.out, p.out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.stdin = stdin
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = cmd.Wait() // how it ended stands in ProcessState
		close(p.done)
	}()
	return p, nil
}

// stop ends the child and returns when it is gone.
func (p *process) stop() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails only if it has ended
	select {
	case <-p.done:
	case <-time.After(stopGrace):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// alive returns an error with the end of the child's output if it has ended.
func (p *process) alive() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s ended (%v): %s", p.name, p.cmd.ProcessState, p.out.tail(600))
	default:
		return nil
	}
}

// waitFor waits until the child's output from offset on holds text n times,
// and returns that output.
func (p *process) waitFor(ctx context.Context, offset int, text string, n int, limit time.Duration) (string, error) {
	var got string
	err := poll(ctx, 5*time.Millisecond, limit, func() (bool, error) {
		got = p.out.from(offset)
		if strings.Count(got, text) >= n {
			return true, nil
		}
		return false, p.alive()
	})
	if err != nil {
		return "", fmt.Errorf("waiting for %q from %s: %w: %s", text, p.name, err, p.out.tail(600))
	}
	return got, nil
}

// output collects what a child writes. It keeps the first maxOutput bytes: a
// peer that floods its log must not fill the memory of the benchmark.
//
// Thread-safety: all methods may be called from any goroutine.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const maxOutput = 4 << 20

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if room := maxOutput - o.buf.Len(); room > 0 {
		o.buf.Write(b[:min(room, len(b))])
	}
	return len(b), nil
}

func (o *output) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Len()
}

func (o *output) from(offset int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.buf.Bytes()[min(offset, o.buf.Len()):])
}

// tail returns at most the last n bytes.
func (o *output) tail(n int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	b := o.buf.Bytes()
	return strings.TrimSpace(string(b[max(0, len(b)-n):]))
}

// run runs a short command and returns what it prints; the error holds what
// it says on stderr.
func run(ctx context.Context, env []string, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
