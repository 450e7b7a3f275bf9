package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/mattn/go-sqlite3"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/inbox"
)

// database is one that has the handler's rows, our marks and those of a hand-written
// inbox.
type database struct {
	*sql.DB
	name    string
	dialect sqldb.Dialect
	blob    string // the type of ids
	index   string // by what the hand-written inbox finds old marks
	mark    string // marks an id by hand, unless it is marked
	effect  string // the handler's one row
	unique  string // the same, unless it is there
}

// open empties a database and makes its tables.
func (b *bench) open(driver, source string, d database) (*database, error) {
	var err error
	if d.DB, err = sql.Open(driver, source); err != nil {
		return nil, err
	}
	d.SetMaxOpenConns(16)
	d.SetMaxIdleConns(16)
	for _, statement := range []string{
		"DROP TABLE IF EXISTS hapax_inbox", "DROP TABLE IF EXISTS hapax_numbers", "DROP TABLE IF EXISTS seen", "DROP TABLE IF EXISTS effects",
		"CREATE TABLE seen (id " + d.blob + " NOT NULL PRIMARY KEY, marked TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)",
		"CREATE INDEX seen_marked ON seen " + d.index,
		"CREATE TABLE effects (id " + d.blob + " NOT NULL PRIMARY KEY, amount BIGINT NOT NULL)",
	} {
		if _, err := d.ExecContext(b.ctx, statement); err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	return &d, nil
}

const postgresSource = "postgres://hapax@127.0.0.1:54329/hapax"

func (b *bench) openPostgres() (*database, error) {
	return b.open("pgx", postgresSource, database{
		name: "PostgreSQL", dialect: sqldb.Postgres, blob: "bytea", index: "USING brin (marked)",
		mark:   "INSERT INTO seen (id) VALUES ($1) ON CONFLICT DO NOTHING",
		effect: "INSERT INTO effects (id, amount) VALUES ($1, $2)",
		unique: "INSERT INTO effects (id, amount) VALUES ($1, $2) ON CONFLICT DO NOTHING",
	})
}

func (b *bench) postgres() error {
	d, err := b.openPostgres()
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // nothing is lost
	for _, measure := range []func(*database) error{b.byID, b.byPosition, b.byColumn, b.batches, b.copies} {
		if err := measure(d); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) mariadb() error {
	d, err := b.open("mysql", "hapax@tcp(127.0.0.1:33069)/hapax", database{
		name: "MariaDB", dialect: sqldb.MariaDB, blob: "VARBINARY(64)", index: "(marked)",
		mark:   "INSERT IGNORE INTO seen (id) VALUES (?)",
		effect: "INSERT INTO effects (id, amount) VALUES (?, ?)",
	})
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // nothing is lost
	return b.byID(d)
}

func (b *bench) sqlite() error {
	file := filepath.Join(b.dir, "bench.sqlite")
	d, err := b.open("sqlite3", "file:"+file+"?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=5000&_txlock=immediate", database{
		name: "SQLite", dialect: sqldb.SQLite, blob: "BLOB", index: "(marked)",
		mark:   "INSERT INTO seen (id) VALUES (?) ON CONFLICT DO NOTHING",
		effect: "INSERT INTO effects (id, amount) VALUES (?, ?)",
	})
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // nothing is lost
	return b.byID(d)
}

// run is a handler of one row.
func (d *database) run(ctx context.Context, tx *sql.Tx, m *hapax.Message) (hapax.Receipt, error) {
	_, err := tx.ExecContext(ctx, d.effect, m.Key, 1)
	return nil, err
}

// byHand is what one writes: mark the id, handle what was not marked, commit both.
func (d *database) byHand(ctx context.Context, number int64) (err error) {
	m := message(number)
	tx, err := d.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	marked, err := tx.ExecContext(ctx, d.mark, m.Key)
	if err != nil {
		return err
	}
	fresh, err := marked.RowsAffected()
	if err != nil {
		return err
	}
	if fresh == 1 {
		if _, err := tx.ExecContext(ctx, d.effect, m.Key, 1); err != nil {
			return err
		}
	}
	return tx.Commit()
}

const handWritten = "written by hand"

// inboxOf is an inbox over marks.
func (d *database) inboxOf(m *sqldb.Marks, err error, o inbox.Options, more ...inbox.TxOption[*sql.Tx]) (*inbox.TxInbox[*sql.Tx], error) {
	if err == nil {
		err = m.Migrate(context.Background())
	}
	if err != nil {
		return nil, err
	}
	return inbox.Transaction(m, o, d.run, more...)
}

// byID is for one worker, and for sixteen.
func (b *bench) byID(d *database) error {
	workers := []int{1, 16}
	if d.dialect == sqldb.SQLite { // which has one writer at a time
		workers = []int{1}
	}
	marks, err := sqldb.ByID(d.DB, d.dialect, sqldb.Options{})
	in, err := d.inboxOf(marks, err, options())
	if err != nil {
		return err
	}
	for _, n := range workers {
		w := work{
			name:    fmt.Sprintf("%s: a handler of one row in a transaction, workers: %d", d.name, n),
			workers: n, count: b.size(2000 * min(n, 4)), peer: handWritten, bound: report.AtLeast(0.95, "×"),
		}
		ours := func(ctx context.Context, number int64) error { return executed(in.Handle(ctx, message(number))) }
		if err := b.compare(w, [2]handle{ours, d.byHand}); err != nil {
			return err
		}
	}
	return nil
}

// byPosition has sixteen partitions, each with a worker.
func (b *bench) byPosition(d *database) error {
	marks, err := sqldb.ByPosition(d.DB, d.dialect, sqldb.Options{})
	o := options()
	o.Identity = inbox.ByPosition
	in, err := d.inboxOf(marks, err, o)
	if err != nil {
		return err
	}
	ours := func(ctx context.Context, number int64) error { return executed(in.Handle(ctx, placed(number))) }
	for _, full := range []bool{false, true} {
		w := work{
			name:    d.name + ": the same by positions, partitions: 16",
			workers: partitions, count: b.size(8000), peer: handWritten + ", by ids", bound: report.AtLeast(1, "×"),
		}
		if full { // as such a table is in use: it holds the ids of its window
			w.peer += fmt.Sprintf(", of which it has %d", b.size(1_000_000))
			_, err := d.ExecContext(b.ctx, "INSERT INTO seen (id) SELECT sha256(int8send(n)) FROM generate_series(1, $1::bigint) n", b.size(1_000_000))
			if err != nil {
				return fmt.Errorf("fill: %w", err)
			}
		}
		if err := b.compare(w, [2]handle{ours, d.byHand}); err != nil {
			return err
		}
	}
	_, err = d.ExecContext(b.ctx, "TRUNCATE seen")
	return err
}

// byColumn has the effect's own unique column for a mark.
func (b *bench) byColumn(d *database) error {
	insert := func(ctx context.Context, tx *sql.Tx, m *hapax.Mark) (bool, error) {
		inserted, err := tx.ExecContext(ctx, d.unique, []byte(m.Identity), 1)
		if err != nil {
			return false, err
		}
		n, err := inserted.RowsAffected()
		return n == 1, err
	}
	marks, err := sqldb.ByOwn(d.DB, d.dialect, insert, sqldb.Options{})
	if err != nil {
		return err
	}
	nothing := func(context.Context, *sql.Tx, *hapax.Message) (hapax.Receipt, error) { return nil, nil }
	in, err := inbox.Transaction(marks, options(), nothing)
	if err != nil {
		return err
	}
	ours := func(ctx context.Context, number int64) error { return executed(in.Handle(ctx, message(number))) }
	return b.compare(work{
		name:    d.name + ": the same, the effect's own unique column is the mark, workers: 16",
		workers: 16, count: b.size(8000), peer: handWritten + ", with a table of marks", bound: report.AtLeast(1.2, "×"),
	}, [2]handle{ours, d.byHand})
}

// batches has a hundred messages handled together, beside one by one.
func (b *bench) batches(d *database) error {
	marks, err := sqldb.ByID(d.DB, d.dialect, sqldb.Options{})
	in, err := d.inboxOf(marks, err, options(), inbox.Batched(func(ctx context.Context, tx *sql.Tx, fresh []*hapax.Message) error {
		var rows strings.Builder
		args := make([]any, 0, 2*len(fresh))
		for i, m := range fresh {
			fmt.Fprintf(&rows, ", ($%d, $%d)", 2*i+1, 2*i+2)
			args = append(args, m.Key, 1)
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO effects (id, amount) VALUES "+rows.String()[2:], args...)
		return err
	}))
	if err != nil {
		return err
	}
	const together = 100
	var waiting []*hapax.Message
	ours := func(ctx context.Context, number int64) error {
		if waiting = append(waiting, message(number)); len(waiting) < together {
			return nil
		}
		for _, h := range in.HandleBatch(ctx, waiting) {
			if err := executed(h.Result, h.Err); err != nil {
				return err
			}
		}
		waiting = waiting[:0]
		return nil
	}
	alone := func(ctx context.Context, number int64) error { return executed(in.Handle(ctx, message(number))) }
	return b.compare(work{
		name:    d.name + ": a hundred messages at once, written by one statement",
		workers: 1, count: b.size(20_000) / together * together, peer: "one by one", bound: report.AtLeast(10, "×"),
	}, [2]handle{ours, alone})
}

// copies has nothing but copies of messages that were handled, by this process.
func (b *bench) copies(d *database) error {
	for _, memory := range []int{0, 1 << 20} {
		marks, err := sqldb.ByID(d.DB, d.dialect, sqldb.Options{})
		o, what := options(), "asked of the database"
		var bound *report.Bound
		if o.Committed = memory; memory > 0 {
			what, bound = "of what is remembered in memory", report.AtLeast(2, "×")
		}
		in, err := d.inboxOf(marks, err, o)
		if err != nil {
			return err
		}
		ours := func(ctx context.Context, number int64) error {
			_, err := in.Handle(ctx, message(number))
			return err
		}
		w := work{
			name:    fmt.Sprintf("%s: copies only, %s, workers: 16", d.name, what),
			workers: 16, count: b.size(8000), peer: handWritten, copies: true, bound: bound,
		}
		if err := b.compare(w, [2]handle{ours, d.byHand}); err != nil {
			return err
		}
	}
	return nil
}
