package demo

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // PostgreSQL
	"github.com/twmb/franz-go/pkg/kgo"
	_ "modernc.org/sqlite" // SQLite

	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/broker"
	"github.com/hapaxmq/hapax/httpkey"
	"github.com/hapaxmq/hapax/outbox"
)

// config says what a part is, and where it finds the others.
type config struct {
	Column   string        `json:"column"`
	Part     string        `json:"part"`
	Dir      string        `json:"dir"`     // for its files
	Kafka    []string      `json:"kafka"`   // brokers
	Prefix   string        `json:"prefix"`  // of its column's topics, groups and keys
	Wire     string        `json:"wire"`    // by which it goes to the brokers; empty: straight
	Driver   string        `json:"driver"`  // of database/sql
	Database string        `json:"dsn"`     //
	Dialect  sqldb.Dialect `json:"dialect"` //
	Redis    string        `json:"redis"`   // where claims are; empty: in a directory
	Lease    time.Duration `json:"lease"`   // how long what a killed process had in work waits
	ByHand   bool          `json:"by_hand"` // it is wired so
	URL      string        `json:"url"`     // of whom it asks
}

// The parts. The broker is one for both columns.
const (
	partBroker     = "broker"
	partGateway    = "gateway"
	partWallet     = "wallet"
	partMail       = "mail"
	partKeyless    = "keyless" // mails too, by a server that takes no keys
	partAnalytics  = "analytics"
	partSettlement = "settlement"
	partAddresses  = "addresses"
)

// service is a part of a column.
type service struct {
	config
	*stage

	db *sql.DB
}

// outgoing is a service's outbox.
type outgoing interface {
	put(ctx context.Context, db database, r outbox.Record) error
	publish(ctx context.Context) error // until ctx ends
}

// wiring is what makes services of handlers. There are two of it.
type wiring interface {
	outgoing(ctx context.Context) (outgoing, error)
	serve(ctx context.Context, h http.Handler) (http.Handler, error)
	consume(ctx context.Context, c consumer, out outgoing) error
	idOf(ctx context.Context, step string) string // of what goes out for a request
}

// Part is one process of the demo. It does what it is told on its standard input, and ends
// with it.
func Part(ctx context.Context, in io.Reader, out io.Writer) error {
	stage, c, err := newStage(in, out)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	go func() {
		stage.listen()
		end()
		time.Sleep(10 * time.Second) // for what is under way
		os.Exit(1)
	}()
	if c.Part == partBroker {
		err = serveBroker(ctx, stage, c)
	} else {
		err = (&service{config: c, stage: stage}).run(ctx)
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%s: %w", c.Part, err)
	}
	return nil
}

// serveBroker is the broker of both columns.
func serveBroker(ctx context.Context, s *stage, c config) error {
	b, err := broker.Open(c.Dir, broker.Options{
		Listeners: []broker.Listener{{Address: "127.0.0.1:0"}},
		Settings:  broker.Settings{"group.initial.rebalance.delay.ms": "0", "auto.create.topics.enable": "false"},
	})
	if err != nil {
		return err
	}
	s.tell(line{What: isReady, Of: b.Addresses()})
	b.Serve(ctx)
	return b.Close()
}

func (s *service) run(ctx context.Context) (err error) {
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if s.db, err = sql.Open(s.Driver, s.Database); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.db.Close()) }()
	var w wiring = &once{service: s}
	if s.ByHand {
		w = &naive{service: s}
	}
	if s.Part == partGateway {
		return s.gateway(ctx, w)
	}
	for _, c := range consumers() {
		if c.name == s.Part {
			return s.consumer(ctx, w, c)
		}
	}
	return fmt.Errorf("no part has the name %q", s.Part)
}

func (s *service) create(ctx context.Context, tables ...string) error {
	for _, table := range tables {
		if _, err := s.db.ExecContext(ctx, table); err != nil {
			return fmt.Errorf("make a table: %w", err)
		}
	}
	return nil
}

// consumer runs a handler for the messages of a topic.
func (s *service) consumer(ctx context.Context, w wiring, c consumer) error {
	if err := s.create(ctx, c.tables...); err != nil {
		return err
	}
	out, err := w.outgoing(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if c.publishes {
		go func() { cancel(out.publish(ctx)) }()
	}
	s.tell(line{What: isReady})
	return errors.Join(w.consume(ctx, c, out), cause(ctx))
}

// handle runs a handler for a message, and asks what is to become of it.
func (s *service) handle(ctx context.Context, c consumer, w work, message []byte) error {
	w.url = s.URL
	if err := c.handle(ctx, w, message); err != nil {
		return err
	}
	if c.topic == topicMoves {
		s.tell(line{What: movedTo, Of: []string{idOf(message)}})
	}
	return s.ask(ctx, afterEffect, idOf(message))
}

// gateway takes payments and moves by HTTP.
func (s *service) gateway(ctx context.Context, w wiring) error {
	err := s.create(ctx, "CREATE TABLE IF NOT EXISTS payments (id TEXT PRIMARY KEY, customer TEXT, cents BIGINT)")
	if err != nil {
		return err
	}
	out, err := w.outgoing(ctx)
	if err != nil {
		return err
	}
	routes := http.NewServeMux()
	routes.HandleFunc("POST /payments", take(s, w, out, confirm))
	routes.HandleFunc("POST /moves", take(s, w, out, accept))
	handler, err := w.serve(ctx, routes)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: s.counted(handler), ReadHeaderTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // what is under way is asked for again
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	go func() { cancel(out.publish(ctx)); _ = server.Close() }()
	s.tell(line{What: isReady, Of: []string{listener.Addr().String()}})
	err = server.Serve(listener)
	return errors.Join(cause(ctx), err)
}

// take runs a handler for a request, in a transaction.
func take[T any](s *service, w wiring, out outgoing, handle func(context.Context, work, T) error) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		var of T
		if err := json.NewDecoder(r.Body).Decode(&of); err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		ctx := r.Context()
		err := s.transact(ctx, func(tx *sql.Tx) error {
			return handle(ctx, work{db: tx, put: func(ctx context.Context, r outbox.Record) error {
				r.ID = w.idOf(ctx, r.Topic)
				return out.put(ctx, tx, r)
			}}, of)
		})
		if err == nil {
			err = s.ask(ctx, beforeAnswer, keyOf(r))
		}
		if err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		rw.WriteHeader(http.StatusCreated)
	}
}

func (s *service) transact(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// counted tells of each request that comes.
func (s *service) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.tell(line{What: came, Of: []string{keyOf(r)}})
		next.ServeHTTP(w, r)
	})
}

// keyOf is the key of a request, which is the id of what it asks for.
func keyOf(r *http.Request) string { return strings.Trim(r.Header.Get(httpkey.Header), `"`) }

// kafka are the options of a client of the brokers.
func (s *service) kafka(more ...kgo.Opt) []kgo.Opt {
	opts := []kgo.Opt{kgo.SeedBrokers(s.Kafka...), kgo.DisableClientMetrics()}
	if s.Wire != "" {
		opts = append(opts, kgo.Dialer(s.dial))
	}
	return append(opts, more...)
}

// member are those of the one member of a group, whose place a process that is started
// again takes at once. One that was thrown out begins at the last offset that was
// committed, as Java's consumers do unless they are told otherwise.
func (s *service) member() []kgo.Opt {
	return s.kafka(kgo.InstanceID(s.Part), kgo.HeartbeatInterval(200*time.Millisecond), kgo.Balancers(kgo.RangeBalancer()))
}

// dial goes to a broker by the wire, where connections can be cut.
func (s *service) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, s.Wire)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(conn, "%s %s\n", s.Column, address); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// cause is why a context ended, if it was for an error.
func cause(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
