package demo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/adapter/sqldb"
)

const driverSQLite = "sqlite"

// ground is what both columns stand on: the brokers, and a database for each service.
type ground struct {
	kafka    []string
	own      bool // the broker is ours, whose topics can keep each message once
	postgres string
	redis    string
	dir      string
	run      string
	schemas  []string // made in PostgreSQL
	reached  bool     // all of it is there
}

// reach tells which server is not there, before anything is made on any.
func (g *ground) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if !g.own {
		client, err := kgo.NewClient(kgo.SeedBrokers(g.kafka...), kgo.DisableClientMetrics())
		if err == nil {
			err = client.Ping(ctx)
			client.Close()
		}
		if err != nil {
			return fmt.Errorf("--kafka %s: %w", g.kafka[0], err)
		}
	}
	if g.postgres != "" {
		if err := g.tellPostgres(ctx, "SELECT 1"); err != nil {
			return fmt.Errorf("--postgres: %w", err)
		}
	}
	if g.redis != "" {
		if err := reachRedis(ctx, g.redis); err != nil {
			return fmt.Errorf("--redis %s: %w", g.redis, err)
		}
	}
	g.reached = true
	return nil
}

// reachRedis asks whether anybody listens, before the client, which writes of its own to
// standard error that nobody does.
func reachRedis(ctx context.Context, addr string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	client := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1})
	return errors.Join(conn.Close(), client.Ping(ctx).Err(), client.Close())
}

// database says where a service's is: a file of SQLite, or a schema of PostgreSQL.
func (g *ground) database(column, part string) (driver, dsn string, dialect sqldb.Dialect, err error) {
	if g.postgres == "" {
		file := filepath.Join(g.dir, column+"-"+part+".db")
		return driverSQLite, "file:" + file + "?_pragma=journal_mode(wal)&_pragma=busy_timeout(60000)", sqldb.SQLite, nil
	}
	at, err := url.Parse(g.postgres)
	if err != nil {
		return "", "", 0, fmt.Errorf("--postgres: %w", err)
	}
	query := at.Query()
	query.Set("search_path", g.schema(column, part))
	at.RawQuery = query.Encode()
	return "pgx", at.String(), sqldb.Postgres, nil
}

func (g *ground) schema(column, part string) string {
	return strings.Join([]string{"hapax_demo", g.run, column, part}, "_")
}

// makeSchema makes a service's schema, if it has one.
func (g *ground) makeSchema(ctx context.Context, column, part string) error {
	if g.postgres == "" {
		return nil
	}
	schema := g.schema(column, part)
	g.schemas = append(g.schemas, schema)
	return g.tellPostgres(ctx, "CREATE SCHEMA "+schema)
}

func (g *ground) tellPostgres(ctx context.Context, statements ...string) (err error) {
	db, err := sql.Open("pgx", g.postgres)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, s := range statements {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("PostgreSQL: %w", err)
		}
	}
	return nil
}

// makeTopics makes a column's topics. They have one partition, so that what comes later in
// a topic is handled later. Those of Hapax keep each message once where the broker can.
func (g *ground) makeTopics(ctx context.Context, kafka *kgo.Client, col *column) error {
	var settings map[string]*string
	if g.own && col.name == columnHapax {
		settings = map[string]*string{"hapax.identity": kadm.StringPtr("header:id"), "hapax.window.ms": kadm.StringPtr("86400000")}
	}
	made, err := kadm.NewClient(kafka).CreateTopics(ctx, 1, 1, settings, g.topics(col)...)
	if err != nil {
		return fmt.Errorf("make topics: %w", err)
	}
	return made.Error()
}

func (g *ground) topics(col *column) []string {
	return []string{col.prefix + topicPayments, col.prefix + topicCredits, col.prefix + topicMoves}
}

// clear removes what was made on servers that are not ours.
func (g *ground) clear(ctx context.Context, kafka *kgo.Client, columns []*column) (err error) {
	if !g.reached {
		return nil
	}
	var drops []string
	for _, s := range g.schemas {
		drops = append(drops, "DROP SCHEMA "+s+" CASCADE")
	}
	if len(drops) > 0 {
		err = g.tellPostgres(ctx, drops...)
	}
	if !g.own && kafka != nil {
		err = errors.Join(err, g.clearKafka(ctx, kafka, columns))
	}
	if g.redis != "" {
		err = errors.Join(err, g.clearRedis(ctx, columns))
	}
	return err
}

func (g *ground) clearKafka(ctx context.Context, kafka *kgo.Client, columns []*column) error {
	admin := kadm.NewClient(kafka)
	var topics, groups []string
	var errs []error
	for _, col := range columns {
		topics = append(topics, g.topics(col)...)
		topics = append(topics, progressOf(col.prefix, partWallet), progressOf(col.prefix, partGateway))
		for _, c := range consumers() {
			group := col.prefix + c.name
			groups = append(groups, group)
			_, err := admin.LeaveGroup(ctx, kadm.LeaveGroup(group).InstanceIDs(c.name)) // else it is there for its session
			errs = append(errs, err)
		}
	}
	gone, err := admin.DeleteTopics(ctx, topics...)
	for _, topic := range gone {
		if !errors.Is(topic.Err, kerr.UnknownTopicOrPartition) {
			err = errors.Join(err, topic.Err)
		}
	}
	ended, other := admin.DeleteGroups(ctx, groups...)
	for _, group := range ended {
		if !errors.Is(group.Err, kerr.GroupIDNotFound) {
			other = errors.Join(other, group.Err)
		}
	}
	return errors.Join(append(errs, err, other)...)
}

// progressOf is the topic of what a part's relay has published.
func progressOf(prefix, part string) string { return prefix + "progress-" + part }

func (g *ground) clearRedis(ctx context.Context, columns []*column) (err error) {
	client := redis.NewClient(&redis.Options{Addr: g.redis})
	defer func() { err = errors.Join(err, client.Close()) }()
	for _, col := range columns {
		keys := client.Scan(ctx, 0, col.prefix+"*", 1000).Iterator()
		for keys.Next(ctx) {
			if err := client.Del(ctx, keys.Val()).Err(); err != nil {
				return err
			}
		}
		if err := keys.Err(); err != nil {
			return err
		}
	}
	return nil
}
