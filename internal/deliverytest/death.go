package deliverytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/hapaxmq/hapax/inbox"
)

const deathEnv = "HAPAX_DEATH"

// Point is where a process dies.
type Point string

const (
	// AtEffect is in the handler, when its effect is written: in a transaction, before
	// the commit.
	AtEffect Point = "at the effect"
	// AtAck is after the handler and its commit, before the broker is told.
	AtAck Point = "at the acknowledgement"
)

// Death is a process that consumes and dies by SIGKILL at its first message.
type Death struct {
	From      string // what it consumes from
	Point     Point
	Guarantee inbox.Guarantee
	Dir       string // of the book; [Book.Die] sets it
	Header    string
}

// Consume takes messages from a queue or a stream to an inbox, until it fails.
type Consume func(ctx context.Context, from string, in *Watch) error

// Main is the TestMain of a package whose tests let processes die: it runs the tests,
// or in such a process what consume does.
func Main(m *testing.M, consume Consume) int {
	text := os.Getenv(deathEnv)
	if text == "" {
		return m.Run()
	}
	var d Death
	err := json.Unmarshal([]byte(text), &d)
	if err == nil {
		err = d.live(context.Background(), consume)
	}
	fmt.Fprintln(os.Stderr, "did not die:", err)
	return 1
}

// live consumes until it dies.
func (d Death) live(ctx context.Context, consume Consume) error {
	b, err := Open(ctx, d.Dir, d.Header)
	if err != nil {
		return err
	}
	die := func(at Point) {
		if d.Point == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	in, err := b.Inbox(ctx, d.Guarantee, func(string) error { die(AtEffect); return nil })
	if err != nil {
		return err
	}
	return consume(ctx, d.From, &Watch{Book: b, Inbox: in, After: func(string) { die(AtAck) }})
}

// Die runs a process until it has died.
func (b *Book) Die(tb testing.TB, d Death) {
	tb.Helper()
	d.Dir, d.Header = b.dir, b.header
	text, err := json.Marshal(d)
	if err != nil {
		tb.Fatal(err)
	}
	command := exec.CommandContext(tb.Context(), os.Args[0], "-test.run=^$") //nolint:gosec // the test itself
	command.Env = append(os.Environ(), deathEnv+"="+string(text))
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		tb.Fatalf("the process ended by %v, not by a kill: %s", err, out)
	}
}
