package sqldb_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/internal/putting"
	"github.com/hapaxmq/hapax/outbox"
)

// relay is what the tables of an outbox are made for: it seals the rows that it sees into a
// batch, publishes the batch, and deletes it. All of it is SQL that each database knows,
// and names rows by their positions: others it might have to wait for.
type relay struct {
	room

	db        *sql.DB
	batches   int
	published []outbox.Record
}

// publish seals and publishes what it sees, so many records of a shard in a batch.
func (l *relay) publish(t *testing.T, most int) {
	t.Helper()
	for shard := range putting.Shards {
		for {
			positions, batch := l.seal(t, shard, most)
			if len(batch) == 0 {
				break
			}
			l.published = append(l.published, batch...)
			l.forget(t, positions)
		}
	}
}

// seal puts the first rows of a shard that are committed into a batch. A row that comes to
// light later, at whatever position, comes into a later one.
func (l *relay) seal(t *testing.T, shard, most int) (positions string, batch []outbox.Record) {
	t.Helper()
	l.batches++
	err := l.transact(t, l.db, func(ctx context.Context, tx *sql.Tx) (err error) {
		positions, batch, err = l.visible(ctx, tx, shard, most)
		if err != nil || len(batch) == 0 {
			return err
		}
		_, err = tx.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET batch = %d WHERE shard = %d AND position IN (%s)",
			l.table("outbox"), l.batches, shard, positions))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return positions, batch
}

func (l *relay) visible(ctx context.Context, tx *sql.Tx, shard, most int) (positions string, batch []outbox.Record, err error) {
	rows, err := tx.QueryContext(ctx, fmt.Sprintf("SELECT position, id, order_key, payload FROM %s"+
		" WHERE shard = %d AND batch IS NULL ORDER BY position LIMIT %d", l.table("outbox"), shard, most))
	if err != nil {
		return "", nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var position string
		var r outbox.Record
		var key []byte
		if err := rows.Scan(&position, &r.ID, &key, &r.Payload); err != nil {
			return "", nil, err
		}
		r.OrderKey = string(key)
		all, batch = append(all, position), append(batch, r)
	}
	return strings.Join(all, ","), batch, rows.Err()
}

// forget deletes a batch. From now on the retention of its ids counts.
func (l *relay) forget(t *testing.T, positions string) {
	t.Helper()
	now := "CURRENT_TIMESTAMP"
	if l.dialect == sqldb.SQLite {
		now = "CAST(strftime('%s', 'now') AS INTEGER)"
	}
	err := l.transact(t, l.db, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET marked = %s WHERE id IN (SELECT named FROM %s WHERE position IN (%s))",
			l.table("outbox_ids"), now, l.table("outbox"), positions))
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, fmt.Sprintf("DELETE FROM %s WHERE position IN (%s)", l.table("outbox"), positions))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestLateCommit: a transaction that commits behind others which put later is not
// skipped (statement 43).
func TestLateCommit(t *testing.T) {
	t.Parallel()
	for _, d := range databases() {
		if d.dialect == sqldb.SQLite { // which has one writer
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			r := d.create(t)
			db := r.open(t, "")
			o := r.outbox(t, db)
			relay := relay{room: r, db: db}
			late, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := o.Put(t.Context(), late, outbox.Record{Topic: "t", OrderKey: "k", Payload: []byte("late")}); err != nil {
				t.Fatal(err)
			}
			if err := r.put(t, db, o, outbox.Record{Topic: "t", OrderKey: "k", Payload: []byte("early")}); err != nil {
				t.Fatal(err)
			}
			relay.publish(t, 10)
			if err := late.Commit(); err != nil {
				t.Fatal(err)
			}
			relay.publish(t, 10)
			if p := relay.published; len(p) != 2 || string(p[0].Payload) != "early" || string(p[1].Payload) != "late" {
				t.Errorf("published %q, want the early one and then the late one", p)
			}
		})
	}
}

// TestOrder: while writers put, each behind the lock of its key's row, a relay publishes each key in
// the order of its commits, and skips nothing (statements 43 and 44).
func TestOrder(t *testing.T) {
	t.Parallel()
	const keys, writers, turns = 5, 6, 15
	for _, d := range databases() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			r := d.create(t)
			db := r.open(t, "")
			o := r.outbox(t, db)
			execute(t, db, "CREATE TABLE "+r.table("orders")+" (id INTEGER NOT NULL PRIMARY KEY, n INTEGER NOT NULL)")
			for key := range keys {
				execute(t, db, fmt.Sprintf("INSERT INTO %s VALUES (%d, 0)", r.table("orders"), key))
			}
			var wg sync.WaitGroup
			for range writers {
				wg.Go(func() {
					for range turns {
						if err := r.turn(t, db, o, rand.IntN(keys)); err != nil {
							t.Error(err)
						}
					}
				})
			}
			written := make(chan struct{})
			go func() {
				defer close(written)
				wg.Wait()
			}()
			defer func() { <-written }()
			relay := relay{room: r, db: db}
			for done := false; !done; {
				select {
				case <-written:
					done = true // and once more
				default:
				}
				relay.publish(t, 3)
			}
			next := map[string]int{}
			for _, p := range relay.published {
				if next[p.OrderKey]++; fmt.Sprint(next[p.OrderKey]) != string(p.Payload) {
					t.Fatalf("key %s: %s is published as number %d", p.OrderKey, p.Payload, next[p.OrderKey])
				}
			}
			if len(relay.published) != writers*turns {
				t.Errorf("%d records are published, want %d", len(relay.published), writers*turns)
			}
		})
	}
}

// turn counts up a key's row, and puts what it counted. Half of the first tries are rolled back.
func (r room) turn(t *testing.T, db *sql.DB, o *sqldb.Outbox, key int) error {
	for {
		err := r.transact(t, db, func(ctx context.Context, tx *sql.Tx) error {
			row := fmt.Sprintf("%s WHERE id = %d", r.table("orders"), key)
			if _, err := tx.ExecContext(ctx, strings.Replace("UPDATE "+row, " WHERE", " SET n = n + 1 WHERE", 1)); err != nil {
				return err
			}
			var n int
			if err := tx.QueryRowContext(ctx, "SELECT n FROM "+row).Scan(&n); err != nil {
				return err
			}
			if err := o.Put(ctx, tx, outbox.Record{Topic: "t", OrderKey: fmt.Sprint(key), Payload: fmt.Append(nil, n)}); err != nil {
				return err
			}
			if rand.IntN(2) == 0 {
				return errRollback
			}
			return nil
		})
		if err != errRollback { //nolint:errorlint // as it was returned
			return err
		}
	}
}
