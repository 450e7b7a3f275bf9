package measure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Usage is what a finished process took.
type Usage struct {
	Wall time.Duration
	CPU  time.Duration // user and system, of all threads
	Peak int64         // most bytes of memory at once; never less than this process's own
}

// Run runs a command to its end and returns what it took.
func Run(c *exec.Cmd) (Usage, error) {
	tie(c)
	start := time.Now()
	if err := c.Run(); err != nil {
		return Usage{}, fmt.Errorf("run %s: %w", c, err)
	}
	wall := time.Since(start)
	state := c.ProcessState
	return Usage{
		Wall: wall,
		CPU:  state.UserTime() + state.SystemTime(),
		Peak: state.SysUsage().(*syscall.Rusage).Maxrss << 10,
	}, nil
}

// Self is a command that runs this program anew with other arguments.
func Self(ctx context.Context, args ...string) (*exec.Cmd, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	c := exec.CommandContext(ctx, path, args...)
	c.Stderr = os.Stderr
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 10 * time.Second // to tidy up in; then it is killed
	tie(c)
	return c, nil
}

// Go runs the go command in the ledger's own module. It must be called in bench/.
func Go(ctx context.Context, args ...string) error {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/hapaxmq/hapax").Output()
	if err != nil {
		return fmt.Errorf("find module (run in bench/): %w", err)
	}
	c := exec.CommandContext(ctx, "go", args...)
	c.Dir = strings.TrimSpace(string(root))
	if output, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", c, err, output)
	}
	return nil
}

// tie lets a process die with us.
func tie(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// Child does a task in a process of its own and returns its result.
func Child[Result any](ctx context.Context, task string, args any) (result Result, err error) {
	c, err := command(ctx, "-child", task, args)
	if err != nil {
		return result, err
	}
	var complaint strings.Builder
	c.Stderr = &complaint
	output, err := c.Output()
	if err != nil {
		return result, fmt.Errorf("child %q: %w: %s", task, errors.Join(err, context.Cause(ctx)), complaint.String())
	}
	if err := json.Unmarshal(output, &result); err != nil {
		return result, fmt.Errorf("child %q: read result: %w", task, err)
	}
	return result, nil
}

// Victim does a task in a process of its own, which does not end by itself, and
// kills that with SIGKILL as soon as it has written its result.
func Victim[Result any](ctx context.Context, task string, args any) (result Result, err error) {
	c, err := command(ctx, "-victim", task, args)
	if err != nil {
		return result, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return result, fmt.Errorf("child %q: %w", task, err)
	}
	if err := c.Start(); err != nil {
		return result, fmt.Errorf("child %q: %w", task, err)
	}
	err = json.NewDecoder(out).Decode(&result)
	killed := c.Process.Kill()
	_ = c.Wait() // it was killed
	if err := errors.Join(err, killed); err != nil {
		return result, fmt.Errorf("child %q: %w", task, err)
	}
	return result, nil
}

func command(ctx context.Context, as, task string, args any) (*exec.Cmd, error) {
	encoded, err := json.Marshal(args)
	if err != nil {
		return nil, fmt.Errorf("child %q: %w", task, err)
	}
	return Self(ctx, as, task, string(encoded))
}

// Reply writes a child's result.
func Reply(w io.Writer, result any) error { return json.NewEncoder(w).Encode(result) }
