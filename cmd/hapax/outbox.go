package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "modernc.org/sqlite"

	"github.com/hapaxmq/hapax/adapter/pgxdb"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// outboxCommand is hapax outbox.
type outboxCommand struct {
	Relay   outboxRelay   `cmd:"" help:"Publish what an outbox holds, until it is stopped."`
	List    outboxList    `cmd:"" help:"Tell what an outbox holds, and which records can't be published."`
	Retry   outboxRetry   `cmd:"" help:"Have records that were set aside published after all."`
	Discard outboxDiscard `cmd:"" help:"Delete records that were set aside, so that what waits for them is published."`
}

// outboxPlace is the database of an outbox.
type outboxPlace struct {
	Database string `required:"" env:"HAPAX_DATABASE" placeholder:"URL" help:"postgres://USER:PASSWORD@HOST/NAME, mysql:// the same (of MariaDB too), or sqlite:FILE. It can be in HAPAX_DATABASE, which other users of this machine do not see."`
	Reach    span   `default:"30s" placeholder:"SPAN" help:"How long to wait for the database to answer at the start (default 30s)."`
	Table    string `default:"hapax_outbox" placeholder:"NAME" help:"The outbox's table, behind a schema and a dot or not (default hapax_outbox)."`
}

// box is an outbox, in whichever database.
type box interface {
	Records() relay.Source
	Migrate(ctx context.Context) error
	Sweep(ctx context.Context, retention time.Duration) (int64, error)
	Pending(ctx context.Context) (relay.Pending, error)
	Faulty(ctx context.Context, after int64, most int) ([]relay.Faulty, error)
	Retry(ctx context.Context, positions ...int64) (int, error)
	Discard(ctx context.Context, positions ...int64) (int, error)
}

// connections are how many a command holds at most: relays have a goroutine for each shard
// they hold, of which there are 16 at most, and three more.
const connections = 16 + 3

// open returns the outbox, and what closes its database.
func (p *outboxPlace) open(ctx context.Context) (b box, done func(), err error) {
	ctx, end := context.WithTimeout(ctx, time.Duration(p.Reach))
	defer end()
	scheme, rest, _ := strings.Cut(p.Database, ":")
	switch scheme {
	case "postgres", "postgresql":
		b, done, err = p.postgres(ctx)
	case "mysql", "mariadb":
		b, done, err = p.mysql(ctx)
	case "sqlite":
		b, done, err = p.sqlite(ctx, rest)
	default:
		return nil, nil, usage("--database: want postgres://USER:PASSWORD@HOST/NAME, mysql://USER:PASSWORD@HOST/NAME or sqlite:FILE")
	}
	return b, done, err
}

func (p *outboxPlace) postgres(ctx context.Context) (box, func(), error) {
	config, err := pgxpool.ParseConfig(p.Database)
	if err != nil {
		return nil, nil, usage("--database: want postgres://USER:PASSWORD@HOST:PORT/NAME: %w", withoutURL(err))
	}
	config.MaxConns = connections
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	b, err := pgxdb.NewOutbox(pool, pgxdb.OutboxOptions{Table: p.Table})
	if err != nil {
		pool.Close()
		return nil, nil, usage("--table: %w", err)
	}
	return b, pool.Close, p.reach(pool.Ping(ctx), pool.Close)
}

func (p *outboxPlace) mysql(ctx context.Context) (box, func(), error) {
	at, err := url.Parse(p.Database)
	if err != nil || at.Host == "" {
		return nil, nil, usage("--database: want mysql://USER:PASSWORD@HOST:PORT/NAME")
	}
	source := mysql.NewConfig()
	source.User, source.Net, source.Addr, source.DBName = at.User.Username(), "tcp", at.Host, strings.TrimPrefix(at.Path, "/")
	source.Passwd, _ = at.User.Password()
	config, err := mysql.ParseDSN(strings.TrimSuffix(source.FormatDSN()+"?"+at.RawQuery, "?"))
	if err != nil {
		return nil, nil, usage("--database: what is behind the question mark is no parameter of go-sql-driver/mysql: %w", err)
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, nil, usage("--database: %w", err)
	}
	db := sql.OpenDB(connector)
	var version string
	if err := p.reach(db.QueryRowContext(ctx, "SELECT version()").Scan(&version), func() { _ = db.Close() }); err != nil {
		return nil, nil, err
	}
	dialect := sqldb.MySQL
	if strings.Contains(version, "MariaDB") {
		dialect = sqldb.MariaDB
	}
	return p.of(db, dialect)
}

func (p *outboxPlace) sqlite(ctx context.Context, file string) (box, func(), error) {
	file = strings.TrimPrefix(file, "//")
	if file == "" {
		return nil, nil, usage("--database: want sqlite:FILE")
	}
	if _, err := os.Stat(file); err != nil { // it would be made
		return nil, nil, fmt.Errorf("--database: %w", err)
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+"?_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		return nil, nil, err
	}
	if err := p.reach(db.PingContext(ctx), func() { _ = db.Close() }); err != nil {
		return nil, nil, err
	}
	return p.of(db, sqldb.SQLite)
}

func (p *outboxPlace) of(db *sql.DB, d sqldb.Dialect) (box, func(), error) {
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	done := func() { _ = db.Close() }
	b, err := sqldb.NewOutbox(db, d, sqldb.OutboxOptions{Table: p.Table})
	if err != nil {
		done()
		return nil, nil, usage("--table: %w", err)
	}
	return b, done, nil
}

// reach is why a database was not reached, if it was not; then it is done.
func (p *outboxPlace) reach(err error, done func()) error {
	if err == nil {
		return nil
	}
	done()
	if dial, ok := errors.AsType[*net.OpError](err); ok { // drivers say it over and over
		err = dial
	}
	return fmt.Errorf("reach the database: %w: is it running, and is --database right?", err)
}

// withoutURL is an error without what it says of the URL, which may have a password.
func withoutURL(err error) error {
	if parse, ok := errors.AsType[*pgconn.ParseConfigError](err); ok && errors.Unwrap(parse) != nil {
		return errors.Unwrap(parse)
	}
	return err
}

// found is an error of an outbox, and what to do if its table is not there.
func (p *outboxPlace) found(err error) error {
	if err == nil {
		return nil
	}
	postgres, isPostgres := errors.AsType[*pgconn.PgError](err)
	my, isMySQL := errors.AsType[*mysql.MySQLError](err)
	if isPostgres && postgres.Code == "42P01" || isMySQL && my.Number == 1146 || strings.Contains(err.Error(), "no such table") {
		return fmt.Errorf("%w: there is no outbox %s here: is --table right? hapax outbox relay makes one", err, p.Table)
	}
	return err
}
