package relaying

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/hapaxmq/hapax/internal/marking"
	"github.com/hapaxmq/hapax/internal/putting"
	"github.com/hapaxmq/hapax/internal/sqltext"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// Records are those of an outbox, to be relayed. It is a [relay.Source].
type Records struct {
	dialect sqltext.Dialect
	table   string
	any     Anywhere
	run     Transact
	turn    sync.Mutex // to write, of SQLite, which lets nobody wait in line
}

// Anywhere is a [marking.Tx] whose statements are transactions of their own.
type Anywhere interface {
	marking.Tx
	// QueryAsRelay is Query in PostgreSQL, behind [sqltext.RelaySettings].
	QueryAsRelay(ctx context.Context, row func(scan func(...any) error) error, statement string, args ...any) error
}

// Transact runs a function in a transaction, again if the database asks for it.
type Transact func(ctx context.Context, f func(ctx context.Context, tx marking.Tx) error) error

// Runs is how often a transaction is run at most, with pauses of up to a twentieth of a second.
const Runs = 200

// outboxName is how much of the name of its first shard is that of an outbox.
const outboxName = 12

// Settle bounds a commit or rollback.
const Settle = 30 * time.Second

// New returns the records of a table, whose name was checked; empty is the usual one.
func New(d sqltext.Dialect, table string, anywhere Anywhere, run Transact) *Records {
	if table == "" {
		table = sqltext.Outbox.Table()
	}
	return &Records{dialect: d, table: table, any: anywhere, run: run}
}

// Table is the name of the table.
func (r *Records) Table() string { return r.table }

// transact runs a function in a transaction. Those of one process take turns in SQLite.
func (r *Records) transact(ctx context.Context, f func(ctx context.Context, tx marking.Tx) error) error {
	if r.dialect == sqltext.SQLite {
		r.turn.Lock()
		defer r.turn.Unlock()
	}
	return r.run(ctx, f)
}

// change makes a statement by itself, and tells how many rows it affected, or locked.
func (r *Records) change(ctx context.Context, s sqltext.Statement) (rows int64, err error) {
	if r.dialect != sqltext.SQLite {
		done, err := r.any.Exec(ctx, s.Text, s.Args...)
		return done.Rows, err
	}
	err = r.transact(ctx, func(ctx context.Context, tx marking.Tx) error {
		done, err := tx.Exec(ctx, s.Text, s.Args...)
		rows = done.Rows
		return err
	})
	return rows, err
}

// look asks for rows.
func look(ctx context.Context, tx marking.Tx, s sqltext.Statement, row func(scan func(...any) error) error) error {
	return tx.Query(ctx, row, s.Text, s.Args...)
}

// lookAsRelay asks for rows among many that are dead. In PostgreSQL what it changes is on disk by and by.
func lookAsRelay(ctx context.Context, a Anywhere, d sqltext.Dialect, s sqltext.Statement, row func(scan func(...any) error) error) error {
	if d == sqltext.Postgres {
		return a.QueryAsRelay(ctx, row, s.Text, s.Args...)
	}
	return look(ctx, a, s, row)
}

// execute makes statements one after the other.
func execute(ctx context.Context, tx marking.Tx, all ...sqltext.Statement) error {
	for _, s := range all {
		if _, err := tx.Exec(ctx, s.Text, s.Args...); err != nil {
			return err
		}
	}
	return nil
}

// Shards is the method of [relay.Source]. It makes those that lack: the first, and all up to the last that
// has records.
func (r *Records) Shards(ctx context.Context) ([]relay.Shard, error) {
	shards, err := r.shards(ctx)
	var last int
	if err == nil {
		err = lookAsRelay(ctx, r.any, r.dialect, sqltext.LastShard(r.table), func(scan func(...any) error) error { return scan(&last) })
	}
	if err == nil && last >= putting.MaxShards {
		err = fmt.Errorf("there are records in shard %d, put by a newer program: this one knows %d shards", last, putting.MaxShards)
	}
	if err != nil || len(shards) > last {
		return shards, wrap("read the shards", err)
	}
	for shard := range last + 1 {
		var name [16]byte
		_, _ = rand.Read(name[:]) // never fails
		if _, err := r.change(ctx, sqltext.MakeShard(r.dialect, r.table, shard, hex.EncodeToString(name[:]))); err != nil {
			return nil, wrap("make a shard", err)
		}
	}
	shards, err = r.shards(ctx)
	return shards, wrap("read the shards", err)
}

func (r *Records) shards(ctx context.Context) (all []relay.Shard, err error) {
	err = look(ctx, r.any, sqltext.Shards(r.dialect, r.table), func(scan func(...any) error) error {
		var s relay.Shard
		var ended int64
		err := scan(&s.Number, &s.Name, &s.Holder, &ended, &s.Claimant)
		s.Ended = ended == 1
		all = append(all, s)
		return err
	})
	for i := range all {
		all[i].Outbox = all[0].Name[:min(len(all[0].Name), outboxName)]
	}
	return all, err
}

// Keep is the method of [relay.Source].
func (r *Records) Keep(ctx context.Context, id int64, lease time.Duration) error {
	_, err := r.change(ctx, sqltext.KeepShards(r.dialect, r.table, id, lease.Microseconds()))
	return wrap("keep shards", err)
}

// Take is the method of [relay.Source].
func (r *Records) Take(ctx context.Context, h relay.Hold) (bool, error) {
	rows, err := r.change(ctx, sqltext.TakeShard(r.dialect, r.table, h.Relay, h.Shard, h.Lease.Microseconds()))
	return rows == 1, wrap("take a shard", err)
}

// Ask is the method of [relay.Source].
func (r *Records) Ask(ctx context.Context, id int64, shard int) error {
	_, err := r.change(ctx, sqltext.AskForShard(r.dialect, r.table, id, shard))
	return wrap("ask for a shard", err)
}

// Give is the method of [relay.Source].
func (r *Records) Give(ctx context.Context, h relay.Hold) error {
	_, err := r.change(ctx, sqltext.GiveShard(r.dialect, r.table, h.Relay, h.Shard, h.Lease.Microseconds()))
	return wrap("give a shard back", err)
}

// Waiting is the method of [relay.Source].
func (r *Records) Waiting(ctx context.Context, id int64) (shards []int, err error) {
	err = lookAsRelay(ctx, r.any, r.dialect, sqltext.WaitingShards(r.dialect, r.table, id), func(scan func(...any) error) error {
		var shard int
		err := scan(&shard)
		shards = append(shards, shard)
		return err
	})
	return shards, wrap("look for records", err)
}

func wrap(what string, err error) error {
	if err != nil {
		return fmt.Errorf("outbox: %s: %w", what, err)
	}
	return nil
}
