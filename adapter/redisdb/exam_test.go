package redisdb_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/redisdb"
	"github.com/hapaxmq/hapax/internal/servertest"
	"github.com/hapaxmq/hapax/ledgertest"
)

const maxReceipt = 4096

// connect makes a client of one server.
func connect(tb testing.TB, address string) redis.UniversalClient {
	return owned(tb, redis.NewClient(&redis.Options{Addr: address, ContextTimeoutEnabled: true}))
}

// connectCluster makes a client of a Redis Cluster.
func connectCluster(tb testing.TB, nodes []string) redis.UniversalClient {
	return owned(tb, redis.NewClusterClient(&redis.ClusterOptions{Addrs: nodes, ContextTimeoutEnabled: true}))
}

func owned(tb testing.TB, c redis.UniversalClient) redis.UniversalClient {
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// prefix is one that no other test uses.
func prefix() string { return fmt.Sprintf("hapaxtest:%x:", rand.Uint64()) }

func open(tb testing.TB, client redis.UniversalClient, o redisdb.Options) *redisdb.Ledger {
	tb.Helper()
	if o.Window == 0 {
		o.Window = time.Hour
	}
	if o.Prefix == "" {
		o.Prefix = prefix()
	}
	l, err := redisdb.Open(context.Background(), client, o)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// promised are the capabilities of a ledger on a server that syncs and evicts nothing.
func promised() ledgertest.Capabilities {
	return ledgertest.Capabilities{Durable: true, ServerClock: true, FencedWrites: true, Receipts: true, Digests: true, Retries: true, Batches: true, Operator: true}
}

// desk is where one ledger sits the exam: its server, and what may be done to it.
type desk struct {
	capabilities ledgertest.Capabilities
	connect      func(testing.TB) redis.UniversalClient
	server       *servertest.Server // nil if it is shared: it is not killed, nor filled
}

func (d desk) factory() ledgertest.Factory {
	return ledgertest.Factory{Capabilities: d.capabilities, New: func(tb testing.TB, window time.Duration) *ledgertest.Instance {
		o := redisdb.Options{Window: window, Prefix: prefix(), MaxReceipt: maxReceipt,
			Durable: d.capabilities.Durable, BestEffort: d.capabilities.Evicts}
		current := open(tb, d.connect(tb), o)
		if p := current.Promises(); p.Durable != d.capabilities.Durable || p.Evicts != d.capabilities.Evicts {
			tb.Fatalf("the server promises %+v, the exam expects %+v", p, d.capabilities)
		}
		again := func() (l hapax.Ledger, err error) {
			_ = current.Close()
			current, err = redisdb.Open(context.Background(), d.connect(tb), o)
			return current, err
		}
		in := &ledgertest.Instance{Ledger: current, MaxReceipt: maxReceipt, TooLarge: hapax.ErrReceiptSize,
			Skewed: ledgertest.InAnotherTime(tb, func(tb testing.TB) hapax.Ledger { return open(tb, d.connect(tb), o) }),
			Close:  func() error { return current.Close() }, Reopen: again}
		if d.server != nil {
			in.Pressure = func() { fill(tb, d.connect(tb)) }
			in.Crash = func() (hapax.Ledger, error) {
				d.server.Kill()
				d.server.Start()
				return again()
			}
			if !d.capabilities.Durable { // its state is the process
				in.Reopen = in.Crash
			}
		}
		return in
	}}
}

// fill makes a server believe that all of its memory is used.
func fill(tb testing.TB, client redis.UniversalClient) {
	tb.Helper()
	set := func(bytes string) {
		if err := client.ConfigSet(context.Background(), "maxmemory", bytes).Err(); err != nil {
			tb.Errorf("set maxmemory: %v", err)
		}
	}
	set("1")
	tb.Cleanup(func() { set("0") })
}

func TestRedis(t *testing.T) {
	t.Parallel()
	server := servertest.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	ledgertest.RunLedger(t, desk{promised(), toServer(server.Addr), server}.factory())
}

// TestEvictingRedis: a server that evicts, and keeps nothing on disk, is seen to break
// what it does not promise.
func TestEvictingRedis(t *testing.T) {
	t.Parallel()
	server := servertest.StartRedis(t, "--maxmemory-policy", "allkeys-lru")
	p := promised()
	p.Evicts, p.Durable = true, false
	ledgertest.RunLedger(t, desk{p, toServer(server.Addr), server}.factory())
}

func TestValkey(t *testing.T) {
	t.Parallel()
	ledgertest.RunLedger(t, desk{promised(), toServer(servertest.Valkey(t)), nil}.factory())
}

func TestCluster(t *testing.T) {
	t.Parallel()
	nodes := servertest.RedisCluster(t)
	ledgertest.RunLedger(t, desk{promised(), func(tb testing.TB) redis.UniversalClient { return connectCluster(tb, nodes) }, nil}.factory())
}

func toServer(address string) func(testing.TB) redis.UniversalClient {
	return func(tb testing.TB) redis.UniversalClient { return connect(tb, address) }
}
