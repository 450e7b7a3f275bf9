package redisdb_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/redisdb"
	"github.com/hapaxmq/hapax/internal/servertest"
)

// deaf is a network that loses the next answer, and the connection with it.
type deaf struct{ next atomic.Bool }

func (d *deaf) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	return &deafConn{conn, d}, err
}

type deafConn struct {
	net.Conn
	network *deaf
}

// Read waits for the answer, so that the server has done what it was asked, and loses it.
func (c *deafConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && c.network.next.CompareAndSwap(true, false) {
		_ = c.Close()
		return 0, io.EOF
	}
	return n, err
}

func connectDeaf(t *testing.T, retries int) (*deaf, redis.UniversalClient) {
	t.Helper()
	network := new(deaf)
	return network, owned(t, redis.NewClient(&redis.Options{Addr: servertest.Redis(t), Dialer: network.dial, MaxRetries: retries}))
}

// TestLostAnswersAreAskedFor: the client asks again, and each step answers as it would
// have: a claim is not InFlight by itself, a commit and a release are not lost.
func TestLostAnswersAreAskedFor(t *testing.T) {
	network, client := connectDeaf(t, 2)
	l := open(t, client, redisdb.Options{})
	ctx := context.Background()
	lose := func() { network.next.Store(true) }

	lose()
	c := claim(t, l, request("a"), hapax.Fresh)
	lose()
	c, err := l.Extend(ctx, c, time.Hour)
	if err != nil {
		t.Errorf("extend: %v", err)
	}
	lose()
	if err := l.Release(ctx, c); err != nil {
		t.Errorf("release: %v", err)
	}
	if err := l.Release(ctx, c); !errors.Is(err, hapax.ErrLeaseLost) {
		t.Errorf("another release: %v, want ErrLeaseLost", err)
	}
	lose()
	next := claim(t, l, request("a"), hapax.Fresh)
	if next.Token <= c.Token {
		t.Errorf("token %d after %d", next.Token, c.Token)
	}
	lose()
	if err := l.Commit(ctx, next, hapax.Receipt("first")); err != nil {
		t.Errorf("commit: %v", err)
	}
	lose()
	if c := claim(t, l, request("a"), hapax.Duplicate); string(c.Receipt) != "first" {
		t.Errorf("receipt %q", c.Receipt)
	}
	if network.next.Load() {
		t.Error("the network lost nothing")
	}
}

// TestLostAnswerIsUnknown: without another try nobody is told that a commit passed or
// failed (statement 27); the caller's own try tells.
func TestLostAnswerIsUnknown(t *testing.T) {
	network, client := connectDeaf(t, -1)
	l := open(t, client, redisdb.Options{})
	ctx := context.Background()

	network.next.Store(true)
	if c, err := l.Claim(ctx, request("a")); err == nil {
		t.Errorf("claim whose answer was lost: %v", c.Verdict)
	}
	claim(t, l, request("a"), hapax.InFlight) // until its lease ends
	c := claim(t, l, request("b"), hapax.Fresh)
	network.next.Store(true)
	if err := l.Commit(ctx, c, nil); !errors.Is(err, hapax.ErrUnknown) {
		t.Errorf("commit whose answer was lost: %v, want ErrUnknown", err)
	}
	if err := l.Commit(ctx, c, nil); err != nil {
		t.Errorf("commit again: %v", err)
	}
	claim(t, l, request("b"), hapax.Duplicate)
}
