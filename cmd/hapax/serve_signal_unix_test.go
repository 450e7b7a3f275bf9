//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
)

// Signals that ask it to end, that of a terminal which is gone too, end a node as it
// should: its log is closed.
func TestServeSignals(t *testing.T) {
	t.Parallel()
	for _, end := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if signal.Ignored(end) {
			continue
		}
		s := serve(t)
		if err := s.process.Process.Signal(end); err != nil {
			t.Fatal(err)
		}
		if err := s.process.Wait(); err != nil {
			t.Errorf("%v: %v\n%s", end, err, s.said.String())
		}
	}
}
