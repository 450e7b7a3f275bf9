package sqldb_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/outbox"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// publisher takes what is in an outbox, as relays do.
type publisher struct {
	from      relay.Source
	published []relay.Record
}

// publish seals what it sees, so many records of a shard in a batch, and deletes it. A row that comes
// to light later, at whatever position, comes into a later batch.
func (p *publisher) publish(t *testing.T, most int) {
	t.Helper()
	shards, err := p.from.Shards(t.Context()) // which makes them
	if err != nil {
		t.Fatal(err)
	}
	for _, shard := range shards {
		h := relay.Hold{Relay: 1, Shard: shard.Number, Lease: time.Minute}
		had, err := p.from.Take(t.Context(), h)
		if err != nil || !had {
			t.Fatalf("take shard %d: %v, %v", shard.Number, had, err)
		}
		for batch, last := (relay.Batch{}), int64(0); ; last = batch.Number {
			batch, err = p.from.Next(t.Context(), h, batch, relay.Size{Records: most, Bytes: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			if len(batch.Records) == 0 {
				break
			}
			if batch.Number <= last {
				t.Errorf("batch %d follows batch %d", batch.Number, last)
			}
			p.published = append(p.published, batch.Records...)
		}
	}
}

func newPublisher(o *sqldb.Outbox) *publisher { return &publisher{from: o.Records()} }

// TestShards: relays find the shards that records are put into, whatever number they were made with.
func TestShards(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, r room, db *sql.DB) {
		three := r.outbox(t, db)
		one, err := sqldb.NewOutbox(db, r.dialect, sqldb.OutboxOptions{Table: r.table("outbox")})
		if err != nil {
			t.Fatal(err)
		}
		p := newPublisher(one)
		const keys = 30
		for _, to := range []struct {
			*sqldb.Outbox
			shards int
		}{{one, 1}, {three, 3}, {one, 3}} {
			for key := range keys {
				if err := r.put(t, db, to.Outbox, outbox.Record{Topic: "t", OrderKey: fmt.Sprint(key)}); err != nil {
					t.Fatal(err)
				}
			}
			shards, err := p.from.Shards(t.Context())
			if err != nil || len(shards) != to.shards {
				t.Errorf("%d shards, %v: want %d", len(shards), err, to.shards)
			}
			p.publish(t, 10)
		}
		if len(p.published) != 3*keys {
			t.Errorf("%d records are published, want %d", len(p.published), 3*keys)
		}
		execute(t, db, "INSERT INTO "+r.table("outbox")+" (shard, id, topic, order_key, headers) VALUES (16, 'i', 't', '', '')")
		if _, err := p.from.Shards(t.Context()); err == nil || !strings.Contains(err.Error(), "records in shard 16, put by a newer program") {
			t.Errorf("records in shard 16: %v", err)
		}
		for _, n := range []int{-1, 17} {
			if _, err := sqldb.NewOutbox(db, r.dialect, sqldb.OutboxOptions{Shards: n}); err == nil || !strings.Contains(err.Error(), "want 1 to 16") {
				t.Errorf("%d shards: %v", n, err)
			}
		}
	})
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
			p := newPublisher(o)
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
			p.publish(t, 10)
			if err := late.Commit(); err != nil {
				t.Fatal(err)
			}
			p.publish(t, 10)
			if got := p.published; len(got) != 2 || string(got[0].Payload) != "early" || string(got[1].Payload) != "late" {
				t.Errorf("published %v, want the early one and then the late one", got)
			}
		})
	}
}

// TestForgetReads: what a published batch reads does not grow with the ids that are remembered.
// MariaDB and MySQL count it for each connection.
func TestForgetReads(t *testing.T) {
	t.Parallel()
	const remembered = 3000
	for _, d := range databases() {
		if d.driver != "mysql" {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			r := d.create(t)
			db := r.open(t, "")
			db.SetMaxOpenConns(1)
			o := r.outbox(t, db)
			p := newPublisher(o)
			put := func(name string, n int) {
				t.Helper()
				records := make([]outbox.Record, n)
				for i := range records {
					records[i] = outbox.Record{ID: fmt.Sprintf("%s-%d", name, i), Topic: "t", OrderKey: "k"}
				}
				if err := r.put(t, db, o, records...); err != nil {
					t.Fatal(err)
				}
			}
			put("before", remembered)
			p.publish(t, 1000)
			put("now", 1)
			execute(t, db, "FLUSH STATUS")
			p.publish(t, 1000)
			rows, err := db.QueryContext(t.Context(), "SHOW SESSION STATUS WHERE Variable_name IN ('Handler_read_next', 'Handler_read_rnd_next')")
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			read := 0
			for rows.Next() {
				var name string
				var n int
				if err := rows.Scan(&name, &n); err != nil {
					t.Fatal(err)
				}
				read += n
			}
			if err := rows.Err(); err != nil || read == 0 || read >= remembered {
				t.Errorf("one record was published by reading %d rows, %v; %d ids are remembered", read, err, remembered)
			}
			if len(p.published) != remembered+1 {
				t.Errorf("%d records are published, want %d", len(p.published), remembered+1)
			}
		})
	}
}

// TestOrder: while writers put, each behind the lock of its key's row, a relay publishes each key in
// the order of its commits, and skips nothing (statements 43 and 44).
func TestOrder(t *testing.T) {
	t.Parallel()
	const keys, writers, turns = 5, 6, 15
	everywhere(t, func(t *testing.T, r room, db *sql.DB) {
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
		p := newPublisher(o)
		for done := false; !done; {
			select {
			case <-written:
				done = true // and once more
			default:
			}
			p.publish(t, 3)
		}
		next := map[string]int{}
		for _, r := range p.published {
			if next[r.OrderKey]++; fmt.Sprint(next[r.OrderKey]) != string(r.Payload) {
				t.Fatalf("key %s: %s is published as number %d", r.OrderKey, r.Payload, next[r.OrderKey])
			}
		}
		if len(p.published) != writers*turns {
			t.Errorf("%d records are published, want %d", len(p.published), writers*turns)
		}
	})
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
