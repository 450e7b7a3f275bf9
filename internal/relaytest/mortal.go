//go:build unix

package relaytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hapaxmq/hapax/outbox/relay"
)

// Steps are those at which a relay dies; between sealed and published, a destination may
// have more of its own. Over a connection of [Mortal.Dial] there are two: a part of a
// batch is sent, and an answer has come.
func Steps() []string {
	return []string{"taken", "opened", "resumed", "sealed", "sent", "answered", "published", "deleted"}
}

// Few is a batch that leaves something to do for all steps.
func Few() relay.Size { return relay.Size{Records: 3, Bytes: 1 << 20} }

// task is what another process of a test's binary is for.
type task struct {
	Step   string // at which the relay is to die
	Server string
	Place  Place
}

const taskVariable = "HAPAX_RELAY_TASK"

// Main is the TestMain of a package whose tests let relays die: it runs the tests, or in
// such a process a relay to a destination, which is opened for the server that the test
// has named.
func Main(m *testing.M, open func(server string, m *Mortal) (relay.Destination, error)) int {
	text, ok := os.LookupEnv(taskVariable)
	if !ok {
		return m.Run()
	}
	var of task
	err := json.Unmarshal([]byte(text), &of)
	if err == nil {
		err = of.relay(context.Background(), open)
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func (of task) relay(ctx context.Context, open func(string, *Mortal) (relay.Destination, error)) error {
	b, err := of.Place.open(ctx)
	if err != nil {
		return err
	}
	m := &Mortal{Source: b.Records(), step: of.Step}
	if m.Destination, err = open(of.Server, m); err != nil {
		return err
	}
	r, err := relay.New(m, m, relay.Options{Batch: Few()})
	if err != nil {
		return err
	}
	ctx, end := context.WithTimeout(ctx, Patience)
	defer end()
	return fmt.Errorf("it did not die at %q: %w", of.Step, r.Run(ctx))
}

// Die runs a relay in a process of its own until it has died at a step, and ends its leases.
func (b *Box) Die(t *testing.T, step, server string) {
	t.Helper()
	text, err := json.Marshal(task{step, server, b.Place})
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$") //nolint:gosec // the test itself
	c.Env = append(os.Environ(), taskVariable+"="+string(text))
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the process that was to be killed at %q ended with %v:\n%s", step, err, out)
	}
	b.Free(t)
}

// Mortal lets the process of a relay die at a step. It is the source and the destination of
// the relay.
type Mortal struct {
	relay.Source
	relay.Destination

	step       string
	publishing atomic.Bool
}

// Reached dies if it is the step to die at.
func (m *Mortal) Reached(step string) {
	if m.step == step {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// Publishing tells whether a batch has ever been published, or begun to be.
func (m *Mortal) Publishing() bool { return m.publishing.Load() }

// Take is the method of [relay.Source].
func (m *Mortal) Take(ctx context.Context, h relay.Hold) (bool, error) {
	had, err := m.Source.Take(ctx, h)
	m.Reached("taken")
	return had, err
}

// Resume is the method of [relay.Source].
func (m *Mortal) Resume(ctx context.Context, h relay.Hold, published int64) (relay.Batch, error) {
	b, err := m.Source.Resume(ctx, h, published)
	m.Reached("resumed")
	return b, err
}

// Next is the method of [relay.Source].
func (m *Mortal) Next(ctx context.Context, h relay.Hold, published relay.Batch, most relay.Size) (relay.Batch, error) {
	b, err := m.Source.Next(ctx, h, published, most)
	if len(b.Records) > 0 {
		m.Reached("sealed")
	}
	if err == nil && len(published.Records) > 0 {
		m.Reached("deleted")
	}
	return b, err
}

// Open is the method of [relay.Destination].
func (m *Mortal) Open(ctx context.Context, s relay.Shard) (relay.Line, int64, error) {
	l, last, err := m.Destination.Open(ctx, s)
	m.Reached("opened")
	return &mortalLine{l, m}, last, err
}

type mortalLine struct {
	relay.Line
	*Mortal
}

func (l *mortalLine) Publish(ctx context.Context, b relay.Batch, alone bool, sealed func() error) error {
	l.publishing.Store(true)
	err := l.Line.Publish(ctx, b, alone, sealed)
	l.Reached("published")
	return err
}

// Dial is for the connections of the destination.
func (m *Mortal) Dial(network, address string) (net.Conn, error) {
	c, err := net.Dial(network, address)
	return &mortalConn{c, m}, err
}

type mortalConn struct {
	net.Conn
	*Mortal
}

func (c *mortalConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if c.Publishing() {
		c.Reached("sent")
	}
	return n, err
}

func (c *mortalConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.Publishing() {
		c.Reached("answered")
	}
	return n, err
}
