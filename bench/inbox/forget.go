package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/inbox"
)

// forgotten is a table of marks of which half is forgotten while others are made.
type forgotten struct {
	name    string
	driver  string
	source  string
	dialect sqldb.Dialect
	options sqldb.Options
	fill    string // so many marks, so many hours ago; both are numbers in the text
	bound   *report.Bound
}

// forgetInPostgres measures how long it takes to forget half of the marks, and what
// messages that come meanwhile wait for.
func (b *bench) forgetInPostgres() error {
	const postgres = "postgres://hapax@127.0.0.1:54329/hapax"
	return b.forget(
		forgotten{
			name: "PostgreSQL, by partitions", driver: "pgx", source: postgres, dialect: sqldb.Postgres,
			options: sqldb.Options{Table: "bench_forget", Span: time.Hour}, bound: report.AtMost(100, "ms"),
			fill: "INSERT INTO bench_forget (id, period, digest) SELECT sha256(int8send(n)), date_trunc('hour', now()) - interval '%[2]d hours', 0 FROM generate_series(1, %[1]d) n",
		},
		forgotten{
			name: "PostgreSQL, by batches", driver: "pgx", source: postgres, dialect: sqldb.Postgres,
			options: sqldb.Options{Table: "bench_forget"},
			fill:    "INSERT INTO bench_forget (id, digest, marked) SELECT sha256(int8send(n + %[2]d * 10000000)), 0, now() - interval '%[2]d hours' FROM generate_series(1, %[1]d) n",
		},
	)
}

// forgetElsewhere does so where there are no partitions.
func (b *bench) forgetElsewhere() error {
	return b.forget(
		forgotten{
			name: "MariaDB, by batches", driver: "mysql", source: "hapax@tcp(127.0.0.1:33069)/hapax", dialect: sqldb.MariaDB,
			options: sqldb.Options{Table: "bench_forget"},
			fill:    "INSERT INTO bench_forget (id, digest, marked) SELECT UNHEX(SHA2(seq + %[2]d * 10000000, 256)), 0, NOW(3) - INTERVAL %[2]d HOUR FROM seq_1_to_%[1]d",
		},
		forgotten{
			name: "SQLite, by batches", driver: "sqlite3", dialect: sqldb.SQLite,
			source:  "file:" + filepath.Join(b.dir, "forget.sqlite") + "?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=5000&_txlock=immediate",
			options: sqldb.Options{Table: "bench_forget"},
			fill: "INSERT INTO bench_forget (id, digest, marked) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %[1]d) " +
				"SELECT randomblob(32), 0, CAST(strftime('%%s', 'now') AS INTEGER) - 3600 * %[2]d FROM n",
		},
	)
}

func (b *bench) forget(tables ...forgotten) error {
	for _, f := range tables {
		if err := b.forgetIn(f); err != nil {
			b.lines = append(b.lines, report.Line{Row: "forget", Work: f.name, Error: err.Error()})
		}
	}
	return nil
}

func (b *bench) forgetIn(f forgotten) (err error) {
	db, err := sql.Open(f.driver, f.source)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	drop := func() error {
		_, err := db.ExecContext(context.WithoutCancel(b.ctx), "DROP TABLE IF EXISTS bench_forget")
		if err == nil {
			_, err = db.ExecContext(context.WithoutCancel(b.ctx), "DROP TABLE IF EXISTS bench_forget_horizon")
		}
		return err
	}
	if err := drop(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	marks, err := sqldb.ByID(db, f.dialect, f.options)
	if err != nil {
		return err
	}
	if err := marks.Migrate(b.ctx); err != nil {
		return err
	}
	if _, err := marks.Sweep(b.ctx, 3*time.Hour); err != nil { // makes the partitions
		return err
	}
	count := b.size(1_000_000)
	for _, hours := range []int{3, 0} {
		if _, err := db.ExecContext(b.ctx, fmt.Sprintf(f.fill, count, hours)); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
	}
	took, waits, err := b.sweepAmid(marks)
	if err != nil {
		return err
	}
	slices.Sort(waits)
	b.lines = append(b.lines, report.Line{
		Row: "forget", Work: fmt.Sprintf("%s: forget %d of %d marks", f.name, count, 2*count),
		Ours: report.Of(float64(took)/1e6, "ms"), Bound: f.bound,
		Note: fmt.Sprintf("messages meanwhile: %d, p99 %v, longest %v", len(waits),
			waits[len(waits)*99/100].Round(10*time.Microsecond), waits[len(waits)-1].Round(10*time.Microsecond)),
	})
	return nil
}

// sweepAmid forgets what is older than two hours while four workers handle messages, from a
// second before until a second after, and returns how long that took and each message.
func (b *bench) sweepAmid(marks *sqldb.Marks) (took time.Duration, waits []time.Duration, err error) {
	o := options()
	in, err := inbox.Transaction(marks, o, func(context.Context, *sql.Tx, *hapax.Message) (hapax.Receipt, error) { return nil, nil })
	if err != nil {
		return 0, nil, err
	}
	ctx, stop := context.WithCancelCause(b.ctx)
	defer stop(nil)
	var all sync.WaitGroup
	var mu sync.Mutex
	const workers, most = 4, 1 << 22
	first := b.fresh(most)
	for w := range int64(workers) {
		all.Go(func() {
			for n := w; n < most && ctx.Err() == nil; n += workers {
				m := message(first + n)
				m.Time = time.Now()
				began := time.Now()
				if err := executed(in.Handle(b.ctx, m)); err != nil {
					stop(err)
					return
				}
				mu.Lock()
				waits = append(waits, time.Since(began))
				mu.Unlock()
			}
		})
	}
	<-time.After(time.Second)
	began := time.Now()
	_, err = marks.Sweep(b.ctx, 2*time.Hour)
	took = time.Since(began)
	<-time.After(time.Second)
	if cause := context.Cause(ctx); cause != nil {
		err = errors.Join(err, cause)
	}
	stop(nil)
	all.Wait()
	return took, waits, err
}
