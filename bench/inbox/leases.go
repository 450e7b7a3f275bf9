package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/redisdb"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/ledger"
)

const (
	window = time.Hour
	lease  = 30 * time.Second
	redisA = "127.0.0.1:63790" // of scripts/services: it syncs before it answers
	prefix = "hapax-bench:"
)

// leases are claims and commits, in Redis and in the embedded ledger.
func (b *bench) leases() (err error) {
	client := redis.NewClient(&redis.Options{Addr: redisA, ContextTimeoutEnabled: true, PoolSize: 16})
	defer func() { _ = client.Close() }() // nothing is lost
	if err := clean(b.ctx, client); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clean(context.WithoutCancel(b.ctx), client)) }()
	shared, err := redisdb.Open(b.ctx, client, redisdb.Options{Window: window, Durable: true, Prefix: prefix + "claim:"})
	if err != nil {
		return err
	}
	embedded, err := ledger.Open(filepath.Join(b.dir, "ledger"), ledger.Options{Window: hapax.Window{Time: window}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, embedded.Close()) }()
	for _, c := range []struct {
		work        work
		contestants [2]handle
	}{
		{work{name: "Redis, synced: claim and commit, workers: 16", workers: 16, count: b.size(20_000),
			peer: "SET NX and SET by hand", bound: report.AtLeast(0.95, "×")}, [2]handle{claims(shared), byHandIn(client)}},
		{work{name: "Redis, synced: a hundred claims, then a hundred commits, at once", workers: 1, count: b.size(40_000) / 100 * 100,
			peer: "one by one", bound: report.AtLeast(10, "×")}, [2]handle{claimBatches(shared, 100), claims(shared)}},
		{work{name: "embedded ledger, synced: claim and commit, workers: 16", workers: 16, count: b.size(100_000),
			peer: "Redis, synced: SET NX and SET by hand", bound: report.AtLeast(2, "×")}, [2]handle{claims(embedded), byHandIn(client)}},
	} {
		if err := b.compare(c.work, c.contestants); err != nil {
			return err
		}
	}
	return nil
}

// clean deletes what earlier runs have left, and nothing else: tests use the server too.
func clean(ctx context.Context, client *redis.Client) error {
	for cursor := uint64(0); ; {
		keys, next, err := client.Scan(ctx, cursor, prefix+"*", 10_000).Result()
		if err == nil && len(keys) > 0 {
			err = client.Unlink(ctx, keys...).Err()
		}
		if err != nil || next == 0 {
			return err
		}
		cursor = next
	}
}

func request(number int64) hapax.Request {
	return hapax.Request{Scope: "bench", Identity: hapax.Identity(message(number).Key), Lease: lease}
}

// claims claims and commits.
func claims(l hapax.Ledger) handle {
	return func(ctx context.Context, number int64) error {
		c, err := l.Claim(ctx, request(number))
		if err == nil && c.Verdict != hapax.Fresh {
			err = fmt.Errorf("%v, and not %v", c.Verdict, hapax.Fresh)
		}
		if err != nil {
			return err
		}
		return l.Commit(ctx, c, nil)
	}
}

// claimBatches does so with so many at once.
func claimBatches(l *redisdb.Ledger, together int) handle {
	waiting := make([]hapax.Request, 0, together)
	return func(ctx context.Context, number int64) error {
		if waiting = append(waiting, request(number)); len(waiting) < together {
			return nil
		}
		claimed, errs := l.ClaimBatch(ctx, waiting)
		waiting = waiting[:0]
		for i := range claimed {
			if errs[i] == nil && claimed[i].Verdict != hapax.Fresh {
				errs[i] = fmt.Errorf("%v, and not %v", claimed[i].Verdict, hapax.Fresh)
			}
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
		return errors.Join(l.CommitBatch(ctx, claimed, make([]hapax.Receipt, len(claimed)))...)
	}
}

// byHandIn claims by SET NX, and commits by SET: what one writes, and what does not
// see that its claim ran out.
func byHandIn(client *redis.Client) handle {
	return func(ctx context.Context, number int64) error {
		key := prefix + "by hand:" + string(message(number).Key)
		fresh, err := client.SetNX(ctx, key, "claimed", lease).Result()
		if err == nil && !fresh {
			err = errors.New("it is claimed")
		}
		if err != nil {
			return err
		}
		return client.Set(ctx, key, "done", window).Err()
	}
}
