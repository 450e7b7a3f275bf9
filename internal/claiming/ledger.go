package claiming

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/marking"
	"github.com/hapaxmq/hapax/internal/sqltext"
)

// Options are those which all drivers have, as their packages document them.
type Options struct {
	Window      time.Duration
	Table       string
	MaxReceipt  int
	TokenMemory time.Duration
}

const (
	longest            = 100 * 365 * 24 * time.Hour
	defaultMaxReceipt  = 64 << 10
	maxReceipt         = 1 << 20 // a table of claims is no store of files
	defaultTokenMemory = time.Hour
)

func (o Options) withDefaults(d sqltext.Dialect) (Options, error) {
	if !d.Valid() {
		return o, fmt.Errorf("dialect %v: want one of those in this package", d)
	}
	if o.Table == "" {
		o.Table = sqltext.Claims.Table()
	}
	if o.MaxReceipt == 0 {
		o.MaxReceipt = defaultMaxReceipt
	}
	if o.TokenMemory == 0 {
		o.TokenMemory = defaultTokenMemory
	}
	switch {
	case o.Window < time.Millisecond || o.Window > longest:
		return o, fmt.Errorf("window %v: want 1ms to %v", o.Window, longest)
	case o.MaxReceipt < 0 || o.MaxReceipt > maxReceipt:
		return o, fmt.Errorf("receipts of %d bytes: want 0 to %d", o.MaxReceipt, maxReceipt)
	case o.TokenMemory < time.Second || o.TokenMemory > longest:
		return o, fmt.Errorf("token memory %v: want 1s to %v", o.TokenMemory, longest)
	}
	return o, sqltext.CheckTable(o.Table)
}

// Database is where a ledger's table is.
type Database struct {
	Dialect sqltext.Dialect
	Any     marking.Tx // whose statements are transactions of their own, on any connection
	Session func(ctx context.Context, f func(ctx context.Context, tx marking.Tx) error) error
	Fault   func(error) sqltext.Fault
}

// Ledger is a [hapax.Ledger]. All methods may be called from several goroutines at once.
type Ledger struct {
	db     Database
	o      Options
	table  marking.Table
	closed atomic.Bool
	turn   chan struct{} // to write, of SQLite, which has one writer; else nil
}

// New returns a ledger. It asks nothing of the database yet.
func New(db Database, o Options) (*Ledger, error) {
	o, err := o.withDefaults(db.Dialect)
	if err != nil {
		return nil, fmt.Errorf("ledger of claims: %w", err)
	}
	l := &Ledger{db: db, o: o, table: marking.Table{
		Dialect: db.Dialect, Kind: sqltext.Claims, Name: o.Table, Fault: db.Fault, Session: db.Session,
	}}
	if db.Dialect == sqltext.SQLite {
		l.turn = make(chan struct{}, 1)
	}
	return l, nil
}

// Close makes all calls that come later return [hapax.ErrClosed].
func (l *Ledger) Close() error {
	l.closed.Store(true)
	return nil
}

// Migrate makes the table unless it is there.
func (l *Ledger) Migrate(ctx context.Context) error { return l.table.Migrate(ctx) }

// Sweep forgets rows whose lease or window ended longer ago than tokens are remembered.
func (l *Ledger) Sweep(ctx context.Context) (int64, error) {
	swept, err := l.table.Sweep(ctx, l.o.TokenMemory)
	return swept.Rows, err
}

// Extend prolongs a lease.
func (l *Ledger) Extend(ctx context.Context, c hapax.Claim, d time.Duration) (hapax.Claim, error) {
	if err := l.refuse(ctx); err != nil {
		return c, err
	}
	if err := checkLease(d); err != nil {
		return c, err
	}
	statement, args := sqltext.Extend(l.db.Dialect, l.o.Table, c.Key[:], int64(c.Token), micros(d))
	var ends int64
	err := l.insist(ctx, func() error {
		if mysql(l.db.Dialect) {
			done, err := l.db.Any.Exec(ctx, statement, args...)
			ends = done.Last
			return err
		}
		return l.write(ctx, func() error {
			return l.db.Any.Query(ctx, func(scan func(...any) error) error { return scan(&ends) }, statement, args...)
		})
	})
	switch {
	case err != nil:
		return c, failure(err)
	case ends == 0:
		return c, hapax.ErrLeaseLost
	}
	c.Deadline = time.UnixMicro(ends)
	return c, nil
}

// Release gives a claim back. Its row remembers the token.
func (l *Ledger) Release(ctx context.Context, c hapax.Claim) error {
	if err := l.refuse(ctx); err != nil {
		return err
	}
	statement, args := sqltext.Release(l.db.Dialect, l.o.Table, c.Key[:], int64(c.Token))
	var done marking.Done
	err := l.insist(ctx, func() error {
		return l.write(ctx, func() (err error) {
			done, err = l.db.Any.Exec(ctx, statement, args...)
			return err
		})
	})
	switch {
	case err != nil:
		return failure(err)
	case done.Rows == 0:
		return hapax.ErrLeaseLost
	}
	return nil
}

// refuse tells why a call is not made at all.
func (l *Ledger) refuse(ctx context.Context) error {
	if l.closed.Load() {
		return hapax.ErrClosed
	}
	return ctx.Err()
}

// patience is how long a step is tried that the database refuses for the moment.
const patience = 10 * time.Second

// errAgain says that others changed a row while it was asked for.
var errAgain = errors.New("others change the claim at the moment")

// insist tries until it is not refused any more for what others do: a deadlock, a
// serialisation failure, a file that is busy.
func (l *Ledger) insist(ctx context.Context, try func() error) error {
	until := time.Now().Add(patience)
	for n := 1; ; n++ {
		err := try()
		if err == nil || time.Now().After(until) {
			return err
		}
		if fault := l.db.Fault(err); fault != sqltext.Again && fault != sqltext.Busy && !errors.Is(err, errAgain) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(marking.Pause(n)):
		}
	}
}

// write makes a statement that writes. In SQLite those of one process take turns: a file
// that is busy lets nobody wait in line.
func (l *Ledger) write(ctx context.Context, statement func() error) error {
	if l.turn == nil {
		return statement()
	}
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
		return statement()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func checkLease(d time.Duration) error {
	if d <= 0 || d > longest {
		return fmt.Errorf("lease %v: want one above zero, of %v at most", d, longest)
	}
	return nil
}

// failure is the error of a step that the database did not answer, or not as asked.
func failure(err error) error { return fmt.Errorf("ask the database: %w", err) }

// micros rounds up, so that nothing ends early.
func micros(d time.Duration) int64 { return int64((d + time.Microsecond - 1) / time.Microsecond) }

func mysql(d sqltext.Dialect) bool { return d == sqltext.MySQL || d == sqltext.MariaDB }
