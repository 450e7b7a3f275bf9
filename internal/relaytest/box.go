//go:build unix

package relaytest

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // a driver
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // a driver
	_ "modernc.org/sqlite"             // a driver

	"github.com/hapaxmq/hapax/adapter/pgxdb"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/internal/servertest"
	"github.com/hapaxmq/hapax/outbox"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// Patience is how long anything may take in these tests; nothing waits for it that
// goes well.
const Patience = 3 * time.Minute

// Place is where an outbox is.
type Place struct{ Driver, Source, Table string }

// Places are the databases.
func Places() map[string]func(t *testing.T) Place {
	postgres := func(driver string) func(*testing.T) Place {
		return func(t *testing.T) Place {
			t.Helper()
			return Place{driver, servertest.Postgres(t) + "&synchronous_commit=off", table()}
		}
	}
	return map[string]func(t *testing.T) Place{
		"postgres": postgres("pgx"), "pgxdb": postgres("pgxpool"),
		"mariadb": func(t *testing.T) Place { t.Helper(); return Place{"mysql", servertest.MariaDB(t), table()} },
		"sqlite":  SQLite,
	}
}

// OwnPlaces are databases in servers of a test's own, which it may kill.
func OwnPlaces() map[string]func(t *testing.T) (Place, *servertest.Server) {
	postgres := func(driver string) func(*testing.T) (Place, *servertest.Server) {
		return func(t *testing.T) (Place, *servertest.Server) {
			t.Helper()
			s, url := servertest.StartPostgres(t)
			return Place{driver, url, table()}, s
		}
	}
	return map[string]func(t *testing.T) (Place, *servertest.Server){
		"postgres": postgres("pgx"), "pgxdb": postgres("pgxpool"),
		"mariadb": func(t *testing.T) (Place, *servertest.Server) {
			t.Helper()
			s, address := servertest.StartMariaDB(t)
			return Place{"mysql", address, table()}, s
		},
	}
}

// table is the name of one of a test's own.
func table() string { return fmt.Sprintf("t%08x", rand.Uint32()) }

// SQLite is the database that needs no server.
func SQLite(t *testing.T) Place {
	t.Helper()
	return Place{"sqlite", "file:" + filepath.Join(t.TempDir(), "db") + "?_pragma=journal_mode(wal)&_pragma=synchronous(off)", table()}
}

// store is an outbox, however it is reached.
type store interface {
	Records() relay.Source
	Pending(ctx context.Context) (relay.Pending, error)
	Faulty(ctx context.Context, after int64, most int) ([]relay.Faulty, error)
	Retry(ctx context.Context, positions ...int64) (int, error)
	Discard(ctx context.Context, positions ...int64) (int, error)
}

// Box is an outbox and its database.
type Box struct {
	Place
	store
	DB  *sql.DB
	Out *sqldb.Outbox

	marks *sqldb.Marks // to transact with
	pool  *pgxpool.Pool
}

func (p Place) dialect() sqldb.Dialect {
	return map[string]sqldb.Dialect{"mysql": sqldb.MariaDB, "sqlite": sqldb.SQLite, "pgx": sqldb.Postgres, "pgxpool": sqldb.Postgres}[p.Driver]
}

func (p Place) open(ctx context.Context) (*Box, error) {
	db, err := sql.Open(strings.TrimSuffix(p.Driver, "pool"), p.Source)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	b := &Box{Place: p, DB: db}
	if b.Out, err = sqldb.NewOutbox(db, p.dialect(), sqldb.OutboxOptions{Table: p.Table, Shards: 2}); err != nil {
		return nil, err
	}
	b.store = b.Out
	if b.marks, err = sqldb.ByID(db, p.dialect(), sqldb.Options{Runs: 10_000}); err != nil || p.Driver != "pgxpool" {
		return b, err
	}
	if b.pool, err = pgxpool.New(ctx, p.Source); err != nil {
		return nil, err
	}
	b.store, err = pgxdb.NewOutbox(b.pool, pgxdb.OutboxOptions{Table: p.Table, Shards: 2})
	return b, err
}

// NewBox makes the tables of an outbox, which end with the test.
func NewBox(t *testing.T, p Place) *Box {
	t.Helper()
	b, err := p.open(t.Context())
	if err == nil {
		err = b.Out.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if b.pool != nil {
			b.pool.Close()
		}
		for _, more := range []string{"", "_ids", "_relays", "_keys"} {
			_, err := b.DB.Exec("DROP TABLE IF EXISTS " + p.Table + more)
			if err != nil {
				t.Error(err)
			}
		}
		_ = b.DB.Close()
	})
	return b
}

// Put puts records in a transaction.
func (b *Box) Put(t *testing.T, records ...outbox.Record) {
	t.Helper()
	if err := b.Transact(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return b.Out.Put(ctx, tx, records...) }); err != nil {
		t.Fatal(err)
	}
}

// Transact runs a function in a transaction, again where the database says so.
func (b *Box) Transact(ctx context.Context, f func(ctx context.Context, tx *sql.Tx) error) error {
	return b.marks.Transact(ctx, f)
}

// Execute executes a statement.
func (b *Box) Execute(t *testing.T, statement string) {
	t.Helper()
	if _, err := b.DB.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// Run runs a relay until the returned function is called.
func (b *Box) Run(t *testing.T, to relay.Destination, o relay.Options) (stop func()) {
	t.Helper()
	return Run(t, b.Records(), to, o)
}

// Run runs a relay from a source until the returned function is called.
func Run(t *testing.T, from relay.Source, to relay.Destination, o relay.Options) (stop func()) {
	t.Helper()
	o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	r, err := relay.New(from, to, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run a relay: %v", err)
		}
	}
}

// Free ends the leases of relays that were killed.
func (b *Box) Free(t *testing.T) {
	t.Helper()
	b.Execute(t, "UPDATE "+b.Table+"_relays SET ends = 0")
}

// Drained waits until nothing is left in the outbox.
func (b *Box) Drained(t *testing.T) {
	t.Helper()
	b.Until(t, func(p relay.Pending) bool { return p.Records == 0 })
}

// Until waits until the outbox holds what is wanted.
func (b *Box) Until(t *testing.T, ok func(relay.Pending) bool) {
	t.Helper()
	ctx, end := context.WithTimeout(t.Context(), Patience)
	defer end()
	var last relay.Pending
	for {
		p, err := b.Pending(ctx)
		switch {
		case ctx.Err() != nil:
			t.Fatalf("the outbox still has %+v", last)
		case err != nil:
			t.Fatalf("wait for the outbox: %v", err)
		case ok(p):
			return
		}
		last = p
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
}
