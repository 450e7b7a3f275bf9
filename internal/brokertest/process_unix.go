//go:build unix

package brokertest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// process is a broker's, one after the other on the same data.
type process struct {
	timeline *timeline
	command  func() *exec.Cmd
	address  string        // which it listens on when it is ready
	patience time.Duration // how long it may take until then

	stopped int // the exit code of a clean stop

	died func(how string) // is called when it ends without being made to

	mu   sync.Mutex
	life *life
}

// life is that of one process.
type life struct {
	cmd    *exec.Cmd
	said   said
	ended  chan struct{}
	wanted bool // that it ends; guarded by process.mu
	err    error
}

// begin starts a process, and does not wait until it is ready.
func (p *process) begin() (*life, error) {
	l := &life{cmd: p.command(), ended: make(chan struct{})}
	l.cmd.Stdout, l.cmd.Stderr = &l.said, &l.said
	l.cmd.WaitDelay = time.Second
	if err := l.cmd.Start(); err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.life = l
	p.mu.Unlock()
	go func() {
		l.err = l.cmd.Wait()
		p.mu.Lock()
		wanted := l.wanted
		p.mu.Unlock()
		close(l.ended)
		if !wanted || l.said.races() {
			p.died(fmt.Sprintf("%v\n%s", l.err, l.said.tail()))
		}
	}()
	return l, nil
}

// start returns when clients can come.
func (p *process) start(ctx context.Context) error {
	began := p.timeline.now()
	l, err := p.begin()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	go func() {
		select {
		case <-l.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	c, err := dialUntil(ctx, p.address)
	if err != nil {
		return fmt.Errorf("it does not come up in %v: %w\n%s", p.patience, err, l.said.tail())
	}
	p.timeline.note("ready", fmt.Sprintf("after %v", (p.timeline.now()-began).Round(time.Millisecond)))
	return c.Close()
}

// end sends a signal by which the process is to end, and returns when it has.
func (p *process) end(signal syscall.Signal) error {
	p.mu.Lock()
	l := p.life
	if l != nil {
		l.wanted = true
	}
	p.mu.Unlock()
	if l == nil {
		return nil
	}
	_ = l.cmd.Process.Signal(signal) // it may have ended
	if signal != syscall.SIGKILL {
		late := time.AfterFunc(p.patience, func() { _ = l.cmd.Process.Kill() })
		defer late.Stop()
	}
	<-l.ended
	return l.err
}

// expectEnd allows the process to end by itself.
func (p *process) expectEnd() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life.wanted = true
}

// kill is kill -9.
func (p *process) kill() {
	p.timeline.note("kill", "")
	_ = p.end(syscall.SIGKILL) // by a signal, as it should
}

// stop stops it cleanly.
func (p *process) stop() error {
	p.timeline.note("stop", "")
	if err := p.end(syscall.SIGTERM); p.life.cmd.ProcessState.ExitCode() != p.stopped {
		return fmt.Errorf("stop: %w\n%s", err, p.life.said.tail())
	}
	return nil
}

// pause stops the process from running for a while.
func (p *process) pause(ctx context.Context, d time.Duration) {
	p.timeline.note("pause", d.String())
	p.mu.Lock()
	cmd := p.life.cmd
	p.mu.Unlock()
	if cmd.Process.Signal(syscall.SIGSTOP) != nil {
		return // it has ended
	}
	wait(ctx, d)
	_ = cmd.Process.Signal(syscall.SIGCONT)
}

// said keeps the end of what a process says.
type said struct {
	mu sync.Mutex
	b  []byte
}

var _ io.Writer = (*said)(nil)

func (s *said) Write(b []byte) (int, error) {
	const most = 8 << 10
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b = append(s.b, b...)
	if len(s.b) > 2*most {
		s.b = append(s.b[:0], s.b[len(s.b)-most:]...)
	}
	return len(b), nil
}

// races tells whether the race detector had something to say.
func (s *said) races() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Contains(s.b, []byte("DATA RACE"))
}

func (s *said) tail() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.b[max(0, len(s.b)-2048):])
}
