package redisdb_test

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/redisdb"
	"github.com/hapaxmq/hapax/internal/servertest"
	"github.com/hapaxmq/hapax/ledgertest"
)

// shared is a ledger that several processes use, at a server or in a cluster.
func shared(address string, connect func(tb testing.TB, address string) redis.UniversalClient) ledgertest.Shared {
	return ledgertest.Shared{
		Create: func(tb testing.TB) string {
			place := prefix()
			tb.Cleanup(func() { forget(tb, connect(tb, address), place) })
			return place
		},
		Open: func(tb testing.TB, place, through string) hapax.Ledger {
			if through == "" {
				through = address
			}
			return open(tb, connect(tb, through), redisdb.Options{Prefix: place})
		},
		Address: address,
	}
}

// forget deletes what a test has left.
func forget(tb testing.TB, client redis.UniversalClient, prefix string) {
	tb.Helper()
	ctx := context.Background()
	sweep := func(ctx context.Context, node *redis.Client) error {
		keys := node.Scan(ctx, 0, prefix+"*", 1000).Iterator()
		for keys.Next(ctx) {
			node.Del(ctx, keys.Val())
		}
		return keys.Err()
	}
	var err error
	if cluster, ok := client.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, sweep)
	} else {
		err = sweep(ctx, client.(*redis.Client))
	}
	if err != nil {
		tb.Error(err)
	}
}

func TestShared(t *testing.T) {
	t.Parallel()
	t.Run("Redis", func(t *testing.T) {
		t.Parallel()
		ledgertest.RunShared(t, shared(servertest.Redis(t), connect))
	})
	t.Run("Valkey", func(t *testing.T) {
		t.Parallel()
		ledgertest.RunShared(t, shared(servertest.Valkey(t), connect))
	})
	t.Run("Cluster", func(t *testing.T) {
		t.Parallel()
		nodes := servertest.RedisCluster(t)
		s := shared("", func(tb testing.TB, _ string) redis.UniversalClient { return connectCluster(tb, nodes) })
		ledgertest.RunShared(t, s)
	})
}
