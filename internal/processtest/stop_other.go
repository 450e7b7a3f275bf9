//go:build !unix

package processtest

// Stop skips the test: here no process can be stopped.
func (p *Process) Stop() { p.tb.Skip("skipped: this system stops no processes") }

// Continue is for a process that was stopped.
func (p *Process) Continue() {}
