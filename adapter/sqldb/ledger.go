package sqldb

import (
	"context"
	"database/sql"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/claiming"
)

// LedgerOptions are what a [Ledger] is made with. All programs that share its table should
// have the same ones, but need not.
type LedgerOptions struct {
	// Window is how long a message is remembered, from its commit. Required; a
	// millisecond at least, and a hundred years at most.
	Window time.Duration
	// Table is the name of the table, behind a schema and a dot or not (default:
	// hapax_claims).
	Table string
	// MaxReceipt is the limit of one receipt in bytes (default: 65,536; 1 MiB at most).
	MaxReceipt int
	// TokenMemory is how long a row outlives its lease or window, if [Ledger.Sweep] runs
	// as often, so that the next token is higher even if the server's clock was set back
	// meanwhile (default: 1 h; a second at least).
	TokenMemory time.Duration
}

// Ledger keeps claims in a table, for work whose effects are in no transaction of the
// database: [hapax.Do] and inbox.Lease claim a message, do the work, and commit. It
// starts nothing and holds nothing but the *sql.DB, which stays the caller's. All methods may
// be called from several goroutines at once.
//
// Each step is one statement and a transaction of its own, as durable as the database's
// commits are. Leases and windows are measured by the server's clock,
// which of SQLite is the machine's.
type Ledger struct{ claims *claiming.Ledger }

var (
	_ hapax.BatchLedger = (*Ledger)(nil)
	_ hapax.Operator    = (*Ledger)(nil)
)

// NewLedger returns a ledger. It asks nothing of the database: the table must be there,
// or [Ledger.Migrate] makes it.
func NewLedger(db *sql.DB, d Dialect, o LedgerOptions) (*Ledger, error) {
	claims, err := claiming.New(claiming.Database{
		Dialect: d, Any: anywhere{db}, Session: session(db), Fault: fault(d),
	}, claiming.Options(o))
	if err != nil {
		return nil, err
	}
	return &Ledger{claims}, nil
}

// Claim is one round trip if the message is new; one that is known is asked for by
// a second one in MySQL, which returns no rows from an insert.
// An error of the network leaves it open whether the message is reserved: if so, copies
// are InFlight until the lease ends.
func (l *Ledger) Claim(ctx context.Context, r hapax.Request) (hapax.Claim, error) {
	return l.claims.Claim(ctx, r)
}

// ClaimBatch claims several messages in one round trip (MySQL: two), if they
// are no more than 200. Claims and errors are in the order of the requests; of
// two copies in one batch the second is InFlight.
func (l *Ledger) ClaimBatch(ctx context.Context, requests []hapax.Request) ([]hapax.Claim, []error) {
	return l.claims.ClaimBatch(ctx, requests)
}

// Extend is one round trip.
func (l *Ledger) Extend(ctx context.Context, c hapax.Claim, d time.Duration) (hapax.Claim, error) {
	return l.claims.Extend(ctx, c, d)
}

// Commit is one round trip. It may be repeated. If no answer tells what became of it, the error is
// [hapax.ErrUnknown].
func (l *Ledger) Commit(ctx context.Context, c hapax.Claim, receipt hapax.Receipt) error {
	return l.claims.Commit(ctx, c, receipt)
}

// CommitBatch commits several claims in one round trip, if they are no more than 200
// and their receipts no more than 1 MiB, each with its receipt; nil receipts is none for
// all. The errors are those of [Ledger.Commit], in the order of the claims.
func (l *Ledger) CommitBatch(ctx context.Context, claims []hapax.Claim, receipts []hapax.Receipt) []error {
	return l.claims.CommitBatch(ctx, claims, receipts)
}

// Release is one round trip. The row remembers the token, so that the next one is higher.
func (l *Ledger) Release(ctx context.Context, c hapax.Claim) error {
	return l.claims.Release(ctx, c)
}

// Look is [hapax.Operator]. It is one round trip.
func (l *Ledger) Look(ctx context.Context, s hapax.Scope, id hapax.Identity) (hapax.Claim, error) {
	return l.claims.Look(ctx, s, id)
}

// Expire is [hapax.Operator]. It is one round trip. The row remembers the token, so that the
// next one is higher.
func (l *Ledger) Expire(ctx context.Context, s hapax.Scope, id hapax.Identity) (bool, error) {
	return l.claims.Expire(ctx, s, id)
}

// Close makes all calls that come later return [hapax.ErrClosed]. Those in flight end as
// they would.
func (l *Ledger) Close() error { return l.claims.Close() }

// Migrate makes the table, unless it is there. Several may do so at once. If it is
// there, the right to read and write its rows is enough.
func (l *Ledger) Migrate(ctx context.Context) error { return l.claims.Migrate(ctx) }

// Sweep deletes the rows whose lease or window ended longer ago than
// [LedgerOptions.TokenMemory], in batches of up to 5,000 with rests between them, and returns
// how many. Nothing else depends on it: a row that has ended counts for nothing. Several
// may sweep at once.
func (l *Ledger) Sweep(ctx context.Context) (int64, error) { return l.claims.Sweep(ctx) }
