package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/redisdb"
	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/httpkey"
	"github.com/hapaxmq/hapax/ledger"
)

// http posts charges of 1 KB one by one over a connection, to a handler and to the same
// behind keys.
func (b *bench) http() error {
	durable, err := ledger.Open(filepath.Join(b.dir, "keys"), ledger.Options{Window: hapax.Window{Time: time.Hour}, Digests: true})
	if err != nil {
		return err
	}
	added, _, err := b.keyed(durable, nil)
	if err := errors.Join(err, durable.Close()); err != nil {
		return err
	}
	b.add(report.Line{
		Work: "Idempotency-Key on the embedded ledger, durable: added to a request, p50", Bound: report.AtMost(150, "µs"),
		Ours: report.Of(added, "µs"),
	})
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:63790"})
	defer func() { _ = client.Close() }() // nothing is lost
	shared, err := redisdb.Open(b.ctx, client, redisdb.Options{Window: time.Hour, Prefix: fmt.Sprintf("bench:%x:", rand.Uint64())})
	if err != nil {
		return err
	}
	count := &trips{}
	client.AddHook(count)
	added, each, err := b.keyed(shared, count)
	if err != nil {
		return err
	}
	b.add(report.Line{Work: "Idempotency-Key in Redis, synced: added to a request, p50", Ours: report.Of(added, "µs")})
	b.add(report.Line{Work: "the same: round trips of a request", Ours: report.Of(each, ""), Bound: report.AtMost(2, "")})
	return nil
}

// keyed returns what keys add to the median, in microseconds, and round trips of a request.
func (b *bench) keyed(l hapax.Ledger, count *trips) (added, each float64, err error) {
	m, err := httpkey.New(l, httpkey.Options{
		Name: "charges", Window: time.Hour, Lease: 10 * time.Second,
		Tenant: func(*http.Request) (string, error) { return "ann", nil },
	})
	if err != nil {
		return 0, 0, err
	}
	charge := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the client would see it
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"charge":1}`)
	})
	once, bare := httptest.NewServer(m.Wrap(charge)), httptest.NewServer(charge)
	defer once.Close()
	defer bare.Close()
	requests := b.size(2000)
	var passes []measure.Pass
	for _, s := range []*httptest.Server{once, bare} {
		passes = append(passes, func(int) (float64, error) { return b.posts(s, requests) })
		if _, err := passes[len(passes)-1](0); err != nil { // a turn that is not counted
			return 0, 0, err
		}
	}
	if count != nil {
		count.n.Store(0)
	}
	figures, err := measure.Rounds(b.rounds, passes)
	if err != nil {
		return 0, 0, err
	}
	if count != nil {
		each = float64(count.n.Load()) / float64(requests*b.rounds)
	}
	return measure.Median(figures[0]) - measure.Median(figures[1]), each, nil
}

// posts returns the median of requests in microseconds.
func (b *bench) posts(s *httptest.Server, count int) (float64, error) {
	var h measure.Histogram
	body := `{"card":"` + strings.Repeat("x", 1000) + `"}`
	for range count {
		r, err := http.NewRequestWithContext(b.ctx, http.MethodPost, s.URL+"/charges", strings.NewReader(body))
		if err != nil {
			return 0, err
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set(httpkey.Header, fmt.Sprintf(`"%x"`, rand.Uint64()))
		began := time.Now()
		w, err := s.Client().Do(r)
		if err != nil {
			return 0, err
		}
		_, err = io.Copy(io.Discard, w.Body)
		if err := errors.Join(err, w.Body.Close()); err != nil || w.StatusCode != http.StatusCreated {
			return 0, fmt.Errorf("status %d, %w", w.StatusCode, err)
		}
		h.Add(time.Since(began))
	}
	return float64(h.Quantile(0.5)) / float64(time.Microsecond), nil
}

// trips counts round trips to Redis.
type trips struct{ n atomic.Int64 }

func (c *trips) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.n.Add(1)
		return next(ctx, cmd)
	}
}

func (c *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.n.Add(1)
		return next(ctx, cmds)
	}
}
