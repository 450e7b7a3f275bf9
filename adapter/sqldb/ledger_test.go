package sqldb_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/ledgertest"
)

const maxReceipt = 4096

func (r room) ledger(tb testing.TB, db *sql.DB, o sqldb.LedgerOptions) *sqldb.Ledger {
	tb.Helper()
	o.Table = r.table("claims")
	if o.Window == 0 {
		o.Window = time.Hour
	}
	l, err := sqldb.NewLedger(db, r.dialect, o)
	if err == nil {
		err = l.Migrate(tb.Context())
	}
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func TestLedger(t *testing.T) {
	t.Parallel()
	for _, d := range databases() {
		if d.name == "pq" || raced && d.name == "sqlite" { // [TestShared] has them, and the rest is the same
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			home := d.create(t)
			db := home.open(t, "")
			ledgertest.RunLedger(t, ledgertest.Factory{
				Capabilities: ledgertest.Capabilities{
					Durable: true, ServerClock: true, FencedWrites: true, Receipts: true, Digests: true, Retries: true, Batches: true, Operator: true,
				},
				New: func(tb testing.TB, window time.Duration) *ledgertest.Instance { return examined(tb, home, db, window) },
			})
		})
	}
}

// examined is a ledger in a table of its own. What is behind it is the database, so that
// another one on the table is what one has who comes back.
func examined(tb testing.TB, home room, db *sql.DB, window time.Duration) *ledgertest.Instance {
	r := room{home.database, fmt.Sprintf("t%08x", rand.Uint32())}
	tb.Cleanup(func() { execute(tb, db, "DROP TABLE "+r.table("claims")) })
	o := sqldb.LedgerOptions{Window: window, MaxReceipt: maxReceipt}
	current := r.ledger(tb, db, o)
	again := func() (hapax.Ledger, error) {
		_ = current.Close()
		current = r.ledger(tb, db, o)
		return current, nil
	}
	elsewhere := ledgertest.InAnotherTime(tb, func(tb testing.TB) hapax.Ledger { return r.ledger(tb, home.open(tb, ""), o) })
	return &ledgertest.Instance{
		Ledger: current, Skewed: elsewhere, MaxReceipt: maxReceipt, TooLarge: hapax.ErrReceiptSize,
		Close: func() error { return current.Close() }, Reopen: again,
	}
}

// TestLedgerSweep: what has ended goes, with the token's memory behind it, and nothing
// that is held or remembered does (statement 39).
func TestLedgerSweep(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, r room, db *sql.DB) {
		l := r.ledger(t, db, sqldb.LedgerOptions{TokenMemory: time.Minute})
		held, done, released := r.claim(t, l, "held"), r.claim(t, l, "done"), r.claim(t, l, "released")
		if err := l.Commit(t.Context(), done, nil); err != nil {
			t.Fatal(err)
		}
		if err := l.Release(t.Context(), released); err != nil {
			t.Fatal(err)
		}
		r.sweeps(t, l, 0)
		r.age(t, db, 2*time.Minute) // of the row that was released
		r.sweeps(t, l, 1)
		r.age(t, db, 2*time.Hour)
		r.sweeps(t, l, 2)
		for _, c := range []hapax.Claim{held, done} {
			if _, err := l.Extend(t.Context(), c, time.Minute); err == nil {
				t.Error("a claim that was swept goes on")
			}
		}
		r.claim(t, l, "done")
	})
}

func (r room) claim(t *testing.T, l *sqldb.Ledger, id string) hapax.Claim {
	t.Helper()
	c, err := l.Claim(t.Context(), hapax.Request{Scope: "test", Identity: hapax.Identity(id), Lease: time.Hour})
	if err != nil || c.Verdict != hapax.Fresh {
		t.Fatalf("claim: %v, %v", c.Verdict, err)
	}
	return c
}

func (r room) sweeps(t *testing.T, l *sqldb.Ledger, want int64) {
	t.Helper()
	if n, err := l.Sweep(t.Context()); err != nil || n != want {
		t.Fatalf("a sweep deleted %d rows, %v, want %d", n, err, want)
	}
}

// age makes all claims older.
func (r room) age(t *testing.T, db *sql.DB, d time.Duration) {
	t.Helper()
	_, err := db.ExecContext(context.Background(), "UPDATE "+r.table("claims")+" SET ends = ends - "+r.placeholder(), d.Microseconds())
	if err != nil {
		t.Fatal(err)
	}
}
