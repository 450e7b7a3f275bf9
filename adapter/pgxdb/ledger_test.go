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

// examined is a ledger in a table of its own. What is behind it is the database, so that
// another one on the table is what a second client has, or one who comes back.
func examined(tb testing.TB, pool *pgxpool.Pool, window time.Duration) *ledgertest.Instance {
	o := pgxdb.LedgerOptions{Window: window, MaxReceipt: maxReceipt, Table: fmt.Sprintf("p%08x_claims", rand.Uint32())}
	tb.Cleanup(func() {
		if _, err := pool.Exec(context.Background(), "DROP TABLE "+o.Table); err != nil {
			tb.Error(err)
		}
	})
	open := func() *pgxdb.Ledger {
		l, err := pgxdb.NewLedger(pool, o)
		if err == nil {
			err = l.Migrate(tb.Context())
		}
		if err != nil {
			tb.Fatal(err)
		}
		return l
	}
	current := open()
	again := func() (hapax.Ledger, error) {
		_ = current.Close()
		current = open()
		return current, nil
	}
	return &ledgertest.Instance{
		Ledger: current, Skewed: open(), MaxReceipt: maxReceipt, TooLarge: hapax.ErrReceiptSize,
		Close: func() error { return current.Close() }, Reopen: again,
	}
}
