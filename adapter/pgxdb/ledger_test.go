package pgxdb_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/pgxdb"
	"github.com/hapaxmq/hapax/ledgertest"
)

const maxReceipt = 4096

func TestLedger(t *testing.T) {
	t.Parallel()
	pool := connect(t, "")
	ledgertest.RunLedger(t, ledgertest.Factory{
		Capabilities: ledgertest.Capabilities{
			Durable: true, ServerClock: true, FencedWrites: true, Receipts: true, Digests: true, Retries: true, Batches: true, Operator: true,
		},
		New: func(tb testing.TB, window time.Duration) *ledgertest.Instance { return examined(tb, pool, window) },
	})
}

// TestShared: a ledger that several processes share.
func TestShared(t *testing.T) {
	t.Parallel()
	ledgertest.RunShared(t, ledgertest.Shared{
		Create: func(tb testing.TB) string {
			pool, place := connect(tb, ""), fmt.Sprintf("p%08x_claims", rand.Uint32())
			dropped(tb, pool, place)
			opened(tb, pool, pgxdb.LedgerOptions{Window: time.Hour, Table: place})
			return place
		},
		Open: func(tb testing.TB, place, address string) hapax.Ledger {
			return opened(tb, connect(tb, address), pgxdb.LedgerOptions{Window: time.Hour, Table: place})
		},
		Address: address,
	})
}

func opened(tb testing.TB, pool *pgxpool.Pool, o pgxdb.LedgerOptions) *pgxdb.Ledger {
	tb.Helper()
	l, err := pgxdb.NewLedger(pool, o)
	if err == nil {
		err = l.Migrate(tb.Context())
	}
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// dropped drops a table when the test has ended.
func dropped(tb testing.TB, pool *pgxpool.Pool, table string) {
	tb.Helper()
	tb.Cleanup(func() {
		if _, err := pool.Exec(context.Background(), "DROP TABLE "+table); err != nil {
			tb.Error(err)
		}
	})
}

// examined is a ledger in a table of its own. What is behind it is the database, so that
// another one on the table is what one has who comes back.
func examined(tb testing.TB, pool *pgxpool.Pool, window time.Duration) *ledgertest.Instance {
	o := pgxdb.LedgerOptions{Window: window, MaxReceipt: maxReceipt, Table: fmt.Sprintf("p%08x_claims", rand.Uint32())}
	dropped(tb, pool, o.Table)
	open := func() *pgxdb.Ledger { return opened(tb, pool, o) }
	current := open()
	again := func() (hapax.Ledger, error) {
		_ = current.Close()
		current = open()
		return current, nil
	}
	elsewhere := ledgertest.InAnotherTime(tb, func(tb testing.TB) hapax.Ledger { return opened(tb, connect(tb, ""), o) })
	return &ledgertest.Instance{
		Ledger: current, Skewed: elsewhere, MaxReceipt: maxReceipt, TooLarge: hapax.ErrReceiptSize,
		Close: func() error { return current.Close() }, Reopen: again,
	}
}
