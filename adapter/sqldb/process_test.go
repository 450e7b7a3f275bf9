package sqldb_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/internal/processtest"
	"github.com/hapaxmq/hapax/ledgertest"
	"github.com/hapaxmq/hapax/outbox"
)

// TestShared: ledgers that several processes share.
func TestShared(t *testing.T) {
	t.Parallel()
	for _, d := range databases() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			ledgertest.RunShared(t, ledgertest.Shared{
				Create: func(tb testing.TB) string {
					r := d.create(tb)
					r.ledger(tb, r.open(tb, ""), sqldb.LedgerOptions{})
					return r.name
				},
				Open: func(tb testing.TB, place, address string) hapax.Ledger {
					r := room{d, place}
					return r.ledger(tb, r.open(tb, address), sqldb.LedgerOptions{})
				},
				Address: d.address,
			})
		})
	}
}

// step is where a process handles a message in a place, and waits for its end.
type step struct{ Place, Name string }

// stop waits for the end, and says so, if this is the step to be killed at.
func (s step) stop(name string) {
	if s.Name == name {
		processtest.Say(name)
		select {}
	}
}

// transaction handles a message in one transaction, up to a step: its mark, an effect, and a
// record of what came of it.
func (r room) transaction(ctx context.Context, db *sql.DB, at step) (hapax.Verdict, error) {
	marks, err := sqldb.ByID(db, r.dialect, sqldb.Options{Table: r.table("inbox"), Wait: 30 * time.Second})
	if err != nil {
		return 0, err
	}
	out, err := sqldb.NewOutbox(db, r.dialect, sqldb.OutboxOptions{Table: r.table("outbox")})
	if err != nil {
		return 0, err
	}
	m := []hapax.Mark{{Scope: "payments", Identity: hapax.Identity("payment 1")}}
	err = marks.Transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := marks.Mark(ctx, tx, m); err != nil || m[0].Verdict != hapax.Fresh {
			return err
		}
		at.stop("mark")
		if err := r.effect(ctx, tx, "a"); err != nil {
			return err
		}
		at.stop("effect")
		confirmed := outbox.Record{Topic: "confirmed", ID: identity.ChildID(m[0].Identity, "confirmed"), OrderKey: "account 1"}
		if err := out.Put(ctx, tx, confirmed, outbox.Record{Topic: "mails", OrderKey: "account 1"}); err != nil {
			return err
		}
		at.stop("put")
		return nil
	})
	if err == nil {
		at.stop("commit")
	}
	return m[0].Verdict, err
}

// TestKilledTransaction: mark, effect and outgoing records are there together or not at
// all, wherever their process is killed (statements 23 and 42).
func TestKilledTransaction(t *testing.T) {
	t.Parallel()
	for _, d := range databases() {
		if d.name == "pq" { // as pgx
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			var at step
			if mine, other := processtest.Task(t, &at); other {
				if mine {
					r := room{d, at.Place}
					_, err := r.transaction(t.Context(), r.open(t, ""), at)
					t.Fatalf("at no step %s: %v", at.Name, err)
				}
				return
			}
			for _, name := range []string{"mark", "effect", "put", "commit"} {
				r := d.create(t)
				db := r.open(t, "")
				r.effects(t, db)
				r.outbox(t, db)
				marks, err := sqldb.ByID(db, r.dialect, sqldb.Options{Table: r.table("inbox")})
				if err != nil {
					t.Fatal(err)
				}
				if err := marks.Migrate(t.Context()); err != nil {
					t.Fatal(err)
				}
				p := processtest.Start(t, t.Name(), step{Place: r.name, Name: name})
				p.Hear(name)
				p.Kill()

				before, want := 0, hapax.Fresh
				if name == "commit" {
					before, want = 1, hapax.Duplicate
				}
				if effects, records := r.there(t, db); effects != before || records != 2*before {
					t.Errorf("killed at %s: %d effects and %d records are there", name, effects, records)
				}
				verdict, err := r.transaction(t.Context(), db, step{})
				if err != nil || verdict != want {
					t.Errorf("killed at %s: comes again and is %v, %v, want %v", name, verdict, err, want)
				}
				if effects, records := r.there(t, db); effects != 1 || records != 2 {
					t.Errorf("killed at %s: %d effects and %d records in the end", name, effects, records)
				}
			}
		})
	}
}

// there are the effects and outgoing records.
func (r room) there(t *testing.T, db *sql.DB) (effects, records int) {
	t.Helper()
	counts, err := r.count(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return counts["a"], len(r.pending(t, db))
}
