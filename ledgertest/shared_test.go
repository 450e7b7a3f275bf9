package ledgertest

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/internal/processtest"
	"github.com/hapaxmq/hapax/internal/rehearsaltest"
)

// tables are ledgers in files that several processes open, with one fault planted, or none.
func tables(fault string) Shared {
	return Shared{
		Create: func(tb testing.TB) string {
			place := filepath.Join(tb.TempDir(), "db")
			inTable(tb, place)
			return place
		},
		Open: func(tb testing.TB, place, _ string) hapax.Ledger { return &careless{inTable(tb, place), fault} },
	}
}

func inTable(tb testing.TB, place string) *sqldb.Ledger {
	tb.Helper()
	db, err := sql.Open("sqlite", "file:"+place+"?_pragma=journal_mode(wal)&_pragma=synchronous(off)")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	l, err := sqldb.NewLedger(db, sqldb.SQLite, sqldb.LedgerOptions{Window: time.Hour})
	if err == nil {
		err = l.Migrate(tb.Context())
	}
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// careless is a ledger that is wrong in one way.
type careless struct {
	*sqldb.Ledger

	fault string
}

func (l *careless) Claim(ctx context.Context, r hapax.Request) (hapax.Claim, error) {
	c, err := l.Ledger.Claim(ctx, r)
	if c.Verdict == hapax.InFlight && l.fault == "a claim is not seen by others" {
		c.Verdict = hapax.Fresh
	}
	return c, err
}

func (l *careless) Commit(ctx context.Context, c hapax.Claim, r hapax.Receipt) error {
	if l.fault == "a commit is forgotten" {
		return nil
	}
	err := l.Ledger.Commit(ctx, c, r)
	if l.fault == "who was overtaken commits" {
		return nil
	}
	return err
}

func TestRunShared(t *testing.T) {
	t.Parallel()
	RunShared(t, tables(""))
}

// TestSharedCatches plants one fault at a time and demands that the check which should
// notice it does.
func TestSharedCatches(t *testing.T) {
	t.Parallel()
	for fault, check := range map[string]func(*colleague){
		"a claim is not seen by others": crowds,
		"a commit is forgotten":         deadHolder,
		"who was overtaken commits":     stoppedHolder,
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			s := tables(fault)
			var of errand
			if mine, other := processtest.Task(t, &of); other {
				if mine {
					of.perform(t, s)
				}
				return
			}
			t.Run("check", func(t *testing.T) {
				r := rehearsaltest.Run(t, func(tb testing.TB) { check(newColleague(tb, s)) })
				if !r.Failed() {
					t.Error("the exam did not find it")
				}
			})
		})
	}
}
