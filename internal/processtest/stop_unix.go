//go:build unix

package processtest

import (
	"errors"
	"syscall"
)

// Stop stops the process where it is, until [Process.Continue]. It returns when each of its
// threads has stopped, which is some time after the signal.
func (p *Process) Stop() {
	p.tb.Helper()
	p.signal(syscall.SIGSTOP)
	var status syscall.WaitStatus
	err := error(syscall.EINTR)
	for errors.Is(err, syscall.EINTR) {
		_, err = syscall.Wait4(p.cmd.Process.Pid, &status, syscall.WUNTRACED, nil)
	}
	if err != nil || !status.Stopped() {
		p.tb.Fatalf("stop the other process: status %#x, %v", status, err)
	}
}

// Continue lets a process go on that was stopped.
func (p *Process) Continue() { p.signal(syscall.SIGCONT) }

func (p *Process) signal(s syscall.Signal) {
	p.tb.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.tb.Fatalf("signal the other process: %v", err)
	}
}
