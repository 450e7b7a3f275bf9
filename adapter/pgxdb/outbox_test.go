package pgxdb_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/pgxdb"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/outbox"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// TestOutbox: an id is put once, by many at once, with another payload never, and not if
// its transaction is rolled back.
func TestOutbox(t *testing.T) {
	t.Parallel()
	pool, table := connect(t, ""), create(t)+".outbox"
	out := migrated(t, pool, table)
	put := func(records ...outbox.Record) error {
		return pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return out.Put(t.Context(), tx, records...) })
	}
	a := outbox.Record{Topic: "trades", ID: `"a"`, OrderKey: "\x00", Payload: []byte{0, 255}, Headers: []hapax.Header{{Name: "h"}}}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := put(a); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	other := a
	other.Payload = nil
	if err := put(other); !errors.Is(err, hapax.ErrConflict) {
		t.Errorf("put with another payload: %v, want a conflict", err)
	}
	if err := put(outbox.Record{Topic: "minted"}, outbox.Record{Topic: `"\`, ID: "b"}); err != nil {
		t.Error(err)
	}
	got := topics(t, pool, table)
	if want := []string{"trades 00ff 016800", "minted  ", `"\  `}; !slices.Equal(got, want) {
		t.Errorf("put %q, want %q", got, want)
	}
	if n, err := out.Sweep(t.Context(), 1); n != 0 || err != nil {
		t.Errorf("a sweep forgot %d ids of what is not published, %v", n, err)
	}
}

// migrated is an outbox whose tables are there.
func migrated(t *testing.T, pool *pgxpool.Pool, table string) *pgxdb.Outbox {
	t.Helper()
	out, err := pgxdb.NewOutbox(pool, pgxdb.OutboxOptions{Table: table})
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return out
}

func topics(t *testing.T, pool *pgxpool.Pool, table string) []string {
	t.Helper()
	rows, err := pool.Query(context.Background(), "SELECT topic, payload, headers FROM "+table+" ORDER BY position")
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		var topic string
		var payload, headers []byte
		err := row.Scan(&topic, &payload, &headers)
		return fmt.Sprintf("%s %x %x", topic, payload, headers), err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestWake: relays hear of what was put, whichever driver it was put by.
func TestWake(t *testing.T) {
	t.Parallel()
	pool, table := connect(t, ""), create(t)+".outbox"
	out, err := pgxdb.NewOutbox(pool, pgxdb.OutboxOptions{Table: table})
	if err != nil {
		t.Fatal(err)
	}
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { _ = db.Close() })
	other, err := sqldb.NewOutbox(db, sqldb.Postgres, sqldb.OutboxOptions{Table: table})
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan struct{}, 1)
	hears := func(why string) {
		t.Helper()
		select {
		case <-heard:
		case <-time.After(3 * time.Minute):
			t.Fatalf("heard nothing of %s", why)
		}
	}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- out.Records().(relay.Waker).Listen(ctx, func() { heard <- struct{}{} })
	}()
	hears("what was there before")
	for name, wake := range map[string]func(){"pgxdb": out.Wake, "sqldb": other.Wake} {
		wake()
		hears(name)
	}
	end()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("listening ended with %v", err)
	}
}
