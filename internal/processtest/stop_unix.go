//go:build unix

package processtest

import "syscall"

// Stop stops the process where it is, until [Process.Continue].
func (p *Process) Stop() { p.signal(syscall.SIGSTOP) }

// Continue lets a process go on that was stopped.
func (p *Process) Continue() { p.signal(syscall.SIGCONT) }

func (p *Process) signal(s syscall.Signal) {
	p.tb.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.tb.Fatalf("signal the other process: %v", err)
	}
}
