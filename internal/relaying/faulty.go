package relaying

import (
	"context"
	"slices"
	"time"

	"github.com/hapaxmq/hapax/internal/marking"
	"github.com/hapaxmq/hapax/internal/sqltext"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// Pending tells what the outbox holds.
func (r *Records) Pending(ctx context.Context) (p relay.Pending, err error) {
	err = look(ctx, r.any, sqltext.Pending(r.dialect, r.table), func(scan func(...any) error) error {
		var age int64
		err := scan(&p.Records, &p.Faulty, &age)
		p.Oldest = max(0, time.Duration(age)*time.Microsecond)
		return err
	})
	return p, wrap("count the records", err)
}

// Faulty lists records that were set aside.
func (r *Records) Faulty(ctx context.Context, after int64, most int) (all []relay.Faulty, err error) {
	err = look(ctx, r.any, sqltext.Faulty(r.dialect, r.table, after, most), func(scan func(...any) error) error {
		var f relay.Faulty
		var key []byte
		err := scan(&f.Shard, &f.Position, &f.ID, &f.Topic, &key, &f.Fault)
		f.OrderKey = string(key)
		all = append(all, f)
		return err
	})
	return all, wrap("list records that were set aside", err)
}

// Retry has records that were set aside published again.
func (r *Records) Retry(ctx context.Context, positions []int64) (int, error) {
	n, err := r.absolve(ctx, positions, func(shard int, _ bool, positions []int64) []sqltext.Statement {
		return []sqltext.Statement{sqltext.Absolve(r.dialect, r.table, shard, positions)}
	})
	return n, wrap("retry records", err)
}

// Discard deletes records that were set aside.
func (r *Records) Discard(ctx context.Context, positions []int64) (int, error) {
	n, err := r.absolve(ctx, positions, func(shard int, named bool, positions []int64) []sqltext.Statement {
		return sqltext.Forget(r.dialect, r.table, shard, named, positions)
	})
	return n, wrap("discard records", err)
}

// found are rows with faults of one shard.
type found struct {
	positions []int64
	named     bool
}

// absolve makes statements for the rows of some positions that have faults, and tells how
// many those are.
func (r *Records) absolve(ctx context.Context, positions []int64, by func(shard int, named bool, positions []int64) []sqltext.Statement) (n int, err error) {
	for part := range slices.Chunk(positions, 1000) {
		shards, err := find(ctx, r.any, sqltext.FaultyShards(r.dialect, r.table, part))
		if err != nil {
			return n, err
		}
		for shard, f := range shards {
			done := 0
			err := r.transact(ctx, func(ctx context.Context, tx marking.Tx) error {
				if err := execute(ctx, tx, sqltext.LockShard(r.dialect, r.table, shard)); err != nil {
					return err
				}
				still, err := find(ctx, tx, sqltext.FaultyShards(r.dialect, r.table, f.positions)) // others may have been at it
				if err != nil || len(still) == 0 {
					return err
				}
				done = len(still[shard].positions)
				if err := execute(ctx, tx, by(shard, still[shard].named, still[shard].positions)...); err != nil {
					return err
				}
				return r.recount(ctx, tx, shard)
			})
			if err != nil {
				return n, err
			}
			n += done
		}
	}
	return n, nil
}

// find finds the rows that a statement tells of, by their shards.
func find(ctx context.Context, tx marking.Tx, s sqltext.Statement) (map[int]found, error) {
	shards := map[int]found{}
	err := look(ctx, tx, s, func(scan func(...any) error) error {
		var shard int
		var position int64
		var named bool
		err := scan(&shard, &position, &named)
		shards[shard] = found{append(shards[shard].positions, position), shards[shard].named || named}
		return err
	})
	return shards, err
}
