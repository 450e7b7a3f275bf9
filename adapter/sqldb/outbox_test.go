package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/outbox"
)

func (r room) outbox(tb testing.TB, db *sql.DB) *sqldb.Outbox {
	tb.Helper()
	o, err := sqldb.NewOutbox(db, r.dialect, sqldb.OutboxOptions{Table: r.table("outbox"), Shards: 3})
	if err == nil {
		err = o.Migrate(tb.Context())
	}
	if err != nil {
		tb.Fatal(err)
	}
	return o
}

// transact runs f in a transaction, again if the database asks for it.
func (r room) transact(tb testing.TB, db *sql.DB, f func(ctx context.Context, tx *sql.Tx) error) error {
	m, err := sqldb.ByID(db, r.dialect, sqldb.Options{Runs: 10_000}) // a busy SQLite lets nobody wait in line
	if err != nil {
		return err
	}
	return m.Transact(tb.Context(), f)
}

func (r room) put(tb testing.TB, db *sql.DB, o *sqldb.Outbox, records ...outbox.Record) error {
	return r.transact(tb, db, func(ctx context.Context, tx *sql.Tx) error { return o.Put(ctx, tx, records...) })
}

// pending are the records of an outbox, in the order of their positions.
func (r room) pending(tb testing.TB, db *sql.DB) (records []outbox.Record) {
	tb.Helper()
	rows, err := db.QueryContext(tb.Context(), "SELECT id, topic, order_key, headers, payload FROM "+r.table("outbox")+
		" ORDER BY position")
	if err != nil {
		tb.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var o outbox.Record
		var key, headers []byte
		err := rows.Scan(&o.ID, &o.Topic, &key, &headers, &o.Payload)
		if err == nil {
			o.OrderKey = string(key)
			o.Headers, err = outbox.ParseHeaders(headers)
		}
		if err != nil {
			tb.Fatal(err)
		}
		records = append(records, o)
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
	return records
}

func TestOutbox(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, r room, db *sql.DB) {
		o := r.outbox(t, db)
		t.Run("records are as they were put", func(t *testing.T) { r.putAsTheyAre(t, db, o) })
		t.Run("an id is put once, and with another payload never", func(t *testing.T) { r.putOnce(t, db, o) })
		t.Run("what is rolled back was not put", func(t *testing.T) { r.rolledBack(t, db, o) })
		t.Run("many put the same at once", func(t *testing.T) { r.putAtOnce(t, db, o) })
	})
}

// putAsTheyAre: one by one, which is another statement, and many (statement 42: ids are minted
// once, in the transaction).
func (r room) putAsTheyAre(t *testing.T, db *sql.DB, o *sqldb.Outbox) {
	all := []outbox.Record{
		{Topic: "orders", OrderKey: "a", Payload: []byte(`{"n": 1}`)},
		{Topic: `or"de\rs é`, ID: `o'"brien\ é`, OrderKey: "\x00\xff'", Payload: []byte{0, 255, '\''}},
		{Topic: "orders", Headers: []hapax.Header{{Name: "h", Value: []byte("v")}, {Name: "h", Value: []byte{}}, {Name: "nil"}}},
		{Topic: "orders", ID: "trade 7", Payload: []byte(strings.Repeat("x", 1<<20))},
	}
	for i := range 300 {
		all = append(all, outbox.Record{Topic: "many", OrderKey: fmt.Sprint(i), Payload: []byte("x")})
	}
	for _, one := range all[:4] {
		if err := r.put(t, db, o, one); err != nil {
			t.Fatal(err)
		}
	}
	again := slices.Clone(all) // with other ids, where they are the caller's
	again[1].ID, again[3].ID = "o'brien", "trade 8"
	if err := r.put(t, db, o, again...); err != nil {
		t.Fatal(err)
	}
	got, ids := r.pending(t, db), map[string]bool{}
	want := append(slices.Clone(all[:4]), again...)
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range got {
		ids[got[i].ID] = true
		if want[i].ID == "" {
			want[i].ID = got[i].ID
		}
		if len(got[i].ID) < 5 || !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("record %d is %.200q, want %.200q", i, got[i], want[i])
		}
	}
	if len(ids) != len(want) {
		t.Errorf("%d ids for %d records", len(ids), len(want))
	}
	if err := r.put(t, db, o); err != nil {
		t.Errorf("put nothing: %v", err)
	}
	if err := r.put(t, db, o, outbox.Record{}); err == nil {
		t.Error("a record without a topic is put")
	}
	execute(t, db, "DELETE FROM "+r.table("outbox"))
}

func (r room) putOnce(t *testing.T, db *sql.DB, o *sqldb.Outbox) {
	a := outbox.Record{Topic: "trades", ID: "a", Payload: []byte(`{"amount": 10, "to": "x"}`)}
	b := outbox.Record{Topic: "trades", ID: "b", Payload: []byte("b")}
	other, reordered := a, a
	other.Payload = []byte(`{"amount": 11, "to": "x"}`)
	reordered.Payload = []byte(`{"to":"x","amount":1e1}`)
	elsewhere := other
	elsewhere.Topic = "refunds"
	for _, records := range [][]outbox.Record{{a}, {a}, {reordered}, {a, b, a}, {elsewhere, b}} {
		if err := r.put(t, db, o, records...); err != nil {
			t.Fatal(err)
		}
	}
	// A conflict leaves the transaction as it is, and what is put beside it.
	err := r.transact(t, db, func(ctx context.Context, tx *sql.Tx) error {
		err := o.Put(ctx, tx, other, outbox.Record{Topic: "trades", ID: "c"}, outbox.Record{Topic: "trades", ID: "minted not"})
		conflict := new(outbox.ConflictError)
		if !errors.As(err, &conflict) || !errors.Is(err, hapax.ErrConflict) || conflict.ID != "a" || conflict.Topic != "trades" {
			t.Errorf("put with another payload: %v, want a conflict", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range r.pending(t, db) {
		got = append(got, p.Topic+" "+p.ID)
	}
	if want := []string{"trades a", "trades b", "refunds a", "trades c", "trades minted not"}; !slices.Equal(got, want) {
		t.Errorf("put %q, want %q", got, want)
	}
	execute(t, db, "DELETE FROM "+r.table("outbox"))
}

func (r room) rolledBack(t *testing.T, db *sql.DB, o *sqldb.Outbox) {
	no := errors.New("no")
	records := []outbox.Record{{Topic: "rolled back", ID: "a"}, {Topic: "rolled back"}}
	err := r.transact(t, db, func(ctx context.Context, tx *sql.Tx) error {
		return errors.Join(o.Put(ctx, tx, records...), no)
	})
	if err == nil || err.Error() != "no" || len(r.pending(t, db)) != 0 {
		t.Errorf("rolled back: %v, and %d records", err, len(r.pending(t, db)))
	}
	if err := r.put(t, db, o, records...); err != nil || len(r.pending(t, db)) != 2 {
		t.Errorf("put after that: %v, and %d records", err, len(r.pending(t, db)))
	}
	execute(t, db, "DELETE FROM "+r.table("outbox"))
}

// putAtOnce: writers put the same ids at once, in whatever order; some roll back.
func (r room) putAtOnce(t *testing.T, db *sql.DB, o *sqldb.Outbox) {
	const writers, ids = 8, 6
	var wg sync.WaitGroup
	for n := range writers {
		wg.Go(func() {
			for i := range ids {
				record := outbox.Record{Topic: "at once", ID: fmt.Sprint((i + n) % ids), Payload: []byte("x")}
				err := r.transact(t, db, func(ctx context.Context, tx *sql.Tx) error {
					err := o.Put(ctx, tx, record, outbox.Record{Topic: "minted"})
					if err == nil && n%4 == 0 {
						err = errRollback
					}
					return err
				})
				if err != nil && !errors.Is(err, errRollback) {
					t.Errorf("put beside others: %v", err)
				}
			}
		})
	}
	wg.Wait()
	counts, want := map[string]int{}, map[string]int{"minted": 6 * ids}
	for _, p := range r.pending(t, db) {
		if p.Topic == "at once" {
			counts[p.ID]++
		} else {
			counts[p.Topic]++
		}
	}
	for i := range ids {
		want[fmt.Sprint(i)] = 1
	}
	if !maps.Equal(counts, want) {
		t.Errorf("put %v, want %v", counts, want)
	}
	execute(t, db, "DELETE FROM "+r.table("outbox"))
}

var errRollback = errors.New("roll back")

// TestOutboxRetention: an id is remembered from when its record was published.
func TestOutboxRetention(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, r room, db *sql.DB) {
		o := r.outbox(t, db)
		record := outbox.Record{Topic: "trades", ID: "a"}
		sweeps := func(want int64) {
			t.Helper()
			if n, err := o.Sweep(t.Context(), time.Hour); err != nil || n != want {
				t.Errorf("a sweep forgot %d ids, %v, want %d", n, err, want)
			}
		}
		if err := r.put(t, db, o, record); err != nil {
			t.Fatal(err)
		}
		sweeps(0)
		newPublisher(o).publish(t, 10)
		sweeps(0)
		if err := r.put(t, db, o, record); err != nil || len(r.pending(t, db)) != 0 {
			t.Errorf("put inside of the retention: %v, %d records", err, len(r.pending(t, db)))
		}
		execute(t, db, fmt.Sprintf(map[sqldb.Dialect]string{
			sqldb.Postgres: "UPDATE %s SET marked = marked - interval '61 minutes'",
			sqldb.MariaDB:  "UPDATE %s SET marked = marked - INTERVAL 61 MINUTE",
			sqldb.MySQL:    "UPDATE %s SET marked = marked - INTERVAL 61 MINUTE",
			sqldb.SQLite:   "UPDATE %s SET marked = marked - 3660",
		}[r.dialect], r.table("outbox_ids")))
		sweeps(1)
		if err := r.put(t, db, o, record); err != nil || len(r.pending(t, db)) != 1 {
			t.Errorf("put after the retention: %v, %d records", err, len(r.pending(t, db)))
		}
	})
}
