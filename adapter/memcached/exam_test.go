package memcached_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/memcached"
	"github.com/hapaxmq/hapax/internal/servertest"
	"github.com/hapaxmq/hapax/ledgertest"
)

const maxReceipt = 4096

// connect makes a ledger with a client of its own, whose clock is off by skew.
func connect(address string, o memcached.Options, skew time.Duration) (*memcached.Ledger, error) {
	client := memcache.New(address)
	client.Timeout = 5 * time.Second
	client.MaxIdleConns = 64
	o.Clock = func() time.Time { return time.Now().Add(skew) }
	return memcached.Open(client, o)
}

// prefix is one that no other test uses.
func prefix() string { return fmt.Sprintf("hapaxtest:%x:", rand.Uint64()) }

// TestMemcached sits the exam with a server that every reopening restarts: what a
// Memcached keeps ends with it.
func TestMemcached(t *testing.T) {
	server := servertest.StartMemcached(t, "-m", "2")
	ledgertest.RunLedger(t, ledgertest.Factory{
		Capabilities: ledgertest.Capabilities{Evicts: true, FencedWrites: true, Receipts: true, Digests: true, Retries: true, Operator: true},
		New: func(tb testing.TB, window time.Duration) *ledgertest.Instance {
			o := memcached.Options{Window: window, BestEffort: true, Prefix: prefix(), MaxReceipt: maxReceipt}
			current, err := connect(server.Addr, o, 0)
			if err != nil {
				tb.Fatal(err)
			}
			skewed, err := connect(server.Addr, o, 10*time.Minute)
			if err != nil {
				tb.Fatal(err)
			}
			again := func() (hapax.Ledger, error) {
				_ = current.Close()
				server.Kill()
				server.Start()
				current, err = connect(server.Addr, o, 0)
				return current, err
			}
			return &ledgertest.Instance{Ledger: current, Skewed: skewed, Reopen: again, Crash: again,
				MaxReceipt: maxReceipt, TooLarge: hapax.ErrReceiptSize,
				Close:    func() error { return current.Close() },
				Pressure: func() { fill(tb, server.Addr) },
			}
		},
	})
}

// fill stores what a few hundred thousand messages would take, so that what was there
// before is evicted.
func fill(tb testing.TB, address string) {
	tb.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close()
	w := bufio.NewWriterSize(conn, 1<<20)
	name := prefix()
	for _, size := range []int{17, 33} {
		value := strings.Repeat("x", size)
		for i := range 100_000 {
			fmt.Fprintf(w, "set %s%026d 0 0 %d noreply\r\n%s\r\n", name, i, size, value)
		}
	}
	fmt.Fprint(w, "version\r\n")
	if err := w.Flush(); err != nil {
		tb.Fatal(err)
	}
	if answer, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(answer, "VERSION") {
		tb.Fatalf("fill: %q, %v", answer, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	good := memcached.Options{Window: time.Hour, BestEffort: true}
	for want, change := range map[string]func(*memcached.Options){
		"BestEffort":  func(o *memcached.Options) { o.BestEffort = false },
		"Window":      func(o *memcached.Options) { o.Window = 0 },
		"Window 1e":   func(o *memcached.Options) { o.Window = time.Nanosecond },
		"MaxReceipt":  func(o *memcached.Options) { o.MaxReceipt = 1 << 20 },
		"TokenMemory": func(o *memcached.Options) { o.TokenMemory = -1 },
		"Prefix \"":   func(o *memcached.Options) { o.Prefix = "a b" },
		"Prefix of":   func(o *memcached.Options) { o.Prefix = strings.Repeat("p", 201) },
	} {
		o := good
		change(&o)
		want, _, _ = strings.Cut(want, " 1e")
		if _, err := memcached.Open(memcache.New("127.0.0.1:1"), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want an error about %s", o, err, want)
		}
	}
}

// TestLongWindow: Memcached reads an expiration above thirty days as a Unix time.
func TestLongWindow(t *testing.T) {
	address := servertest.Memcached(t)
	for _, window := range []time.Duration{time.Second, 30*24*time.Hour - time.Second, 30 * 24 * time.Hour, 365 * 24 * time.Hour} {
		l, err := connect(address, memcached.Options{Window: window, BestEffort: true, Prefix: prefix(), TokenMemory: window}, 0)
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		r := hapax.Request{Scope: "long", Identity: hapax.Identity("a"), Lease: time.Minute}
		for range 2 {
			c, err := l.Claim(ctx, r)
			if err != nil || c.Verdict != hapax.Fresh {
				t.Fatalf("window %v: claim: %v, %v", window, c.Verdict, err)
			}
			if err := l.Release(ctx, c); err != nil {
				t.Fatalf("window %v: release: %v", window, err)
			}
		}
		c, err := l.Claim(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Commit(ctx, c, nil); err != nil {
			t.Fatalf("window %v: commit: %v", window, err)
		}
		if c, err := l.Claim(ctx, r); err != nil || c.Verdict != hapax.Duplicate {
			t.Errorf("window %v: after the commit: %v, %v", window, c.Verdict, err)
		}
	}
}

// TestServerGone: nobody is told that a message is fresh, or committed, by a server that
// does not answer.
func TestServerGone(t *testing.T) {
	server := servertest.StartMemcached(t)
	l, err := connect(server.Addr, memcached.Options{Window: time.Hour, BestEffort: true}, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	c, err := l.Claim(ctx, hapax.Request{Identity: hapax.Identity("a"), Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	server.Kill()
	if c, err := l.Claim(ctx, hapax.Request{Identity: hapax.Identity("b"), Lease: time.Minute}); err == nil {
		t.Errorf("claim without a server: %v", c.Verdict)
	}
	if err := l.Commit(ctx, c, nil); err == nil {
		t.Error("commit without a server: no error")
	}
}
