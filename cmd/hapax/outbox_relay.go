package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/hapaxmq/hapax/adapter/promrelay"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// outboxRelay is hapax outbox relay.
type outboxRelay struct {
	outboxPlace
	outboxTo

	Retention span   `default:"7d" placeholder:"SPAN" help:"How long the ids that callers gave are remembered once their records are published (default 7d): as long one can't be put again."`
	Lease     span   `default:"10s" placeholder:"SPAN" help:"How long a relay that died holds its shards (default 10s)."`
	Batch     int    `default:"1000" placeholder:"N" help:"How many records are published in one step at most (default 1000)."`
	Metrics   string `placeholder:"ADDR" help:"Where /metrics and /healthz are served (default: nowhere)."`
}

func (*outboxRelay) examples() string {
	return `  hapax outbox relay --database postgres://app@db.example.org/shop --kafka 127.0.0.1:9092
  hapax outbox relay --database sqlite:shop.db --kafka 127.0.0.1:9092 --window --metrics 127.0.0.1:9464
  hapax outbox relay --database sqlite:shop.db --nats nats://127.0.0.1:4222
  hapax outbox relay --database sqlite:shop.db --rabbitmq amqp://127.0.0.1:5672 --exchange payments

The outbox's tables are made if they are not there. Any number of relays can run at
once: as many work as there are shards, one unless the programs that put say more, and
the others stand by. One that is killed leaves nothing out. Into Kafka it leaves
nothing doubled: who reads committed has each record once, and with --window so has
everybody, inside the topics' windows. NATS drops copies inside its streams' windows;
of RabbitMQ's an inbox does, by message-id. SIGTERM and SIGINT stop it when it has
published what it is at.
`
}

// Run relays until it is told to stop.
func (c *outboxRelay) Run(w *world) error {
	to, said, err := c.destination()
	if err != nil {
		return err
	}
	b, done, err := c.open(w.ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := b.Migrate(w.ctx); err != nil {
		return fmt.Errorf("make the outbox: %w", err)
	}
	o := relay.Options{Lease: time.Duration(c.Lease), Batch: relay.Size{Records: c.Batch, Bytes: 4 << 20}, Logger: w.stderr.dated()}
	r, err := relay.New(b.Records(), to, o)
	if err != nil {
		return usage("%w", err)
	}
	at, stop, err := c.metrics(w, r, b)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w.stdout, "Outbox: %s in %s\n%s%s", c.Table, c.shown(), said, at); err != nil {
		return errors.Join(err, stop())
	}
	var sweeping sync.WaitGroup
	sweeping.Go(func() { c.sweep(w, b) })
	err = r.Run(w.ctx)
	sweeping.Wait()
	return errors.Join(err, stop())
}

// shown is the database as it may be seen.
func (p *outboxPlace) shown() string {
	at, err := url.Parse(p.Database)
	if err != nil {
		return "the database"
	}
	at.RawQuery = "" // which may have a password too
	return at.Redacted()
}

// sweep forgets ids whose retention is over, every hour.
func (c *outboxRelay) sweep(w *world, b box) {
	for w.ctx.Err() == nil {
		if _, err := b.Sweep(w.ctx, time.Duration(c.Retention)); err != nil && w.ctx.Err() == nil {
			w.stderr.dated().Warn("ids whose retention is over stay for another hour", "error", err)
		}
		select {
		case <-w.ctx.Done():
		case <-time.After(time.Hour):
		}
	}
}

// metrics serves metrics, until stop, and says where.
func (c *outboxRelay) metrics(w *world, r *relay.Relay, b box) (said string, stop func() error, err error) {
	if c.Metrics == "" {
		return "", func() error { return nil }, nil
	}
	l, err := (&net.ListenConfig{}).Listen(w.ctx, "tcp", c.Metrics)
	if err != nil {
		return "", nil, fmt.Errorf("--metrics %s: %w", c.Metrics, err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(promrelay.New(c.Table, r, b))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	s := &http.Server{
		Handler: mux, ErrorLog: slog.NewLogLogger(w.stderr.dated().Handler(), slog.LevelWarn),
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10, BaseContext: func(net.Listener) context.Context { return w.ctx },
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	return fmt.Sprintf("Metrics: http://%s/metrics\n", l.Addr()), func() error {
		closed := s.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			return errors.Join(err, closed)
		}
		return closed
	}, nil
}
