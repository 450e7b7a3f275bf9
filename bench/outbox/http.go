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
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/ledger"
)

// http posts charges of 1 KB one by one over a connection, to a handler and to the same
// behind keys.
func (b *bench) http() error {
	durable, err := ledger.Open(filepath.Join(b.dir, "keys"), ledger.Options{Window: hapax.Window{Time: time.Hour}, Digests: true})
	if err != nil {
		return err
	}
	keys, err := b.keys(durable)
	if err != nil {
		return errors.Join(err, durable.Close())
	}
	synced, err := newSynced(filepath.Join(b.dir, "synced"))
	if err != nil {
		return errors.Join(err, durable.Close())
	}
	added, err := b.adds(keys.Wrap, synced.wrap)
	if err := errors.Join(err, synced.Close(), durable.Close()); err != nil {
		return err
	}
	b.add(report.Line{
		Work: "Idempotency-Key on the embedded ledger, durable: added to a request, p50", Bound: report.AtMost(150, "µs"),
		Ours: report.Of(added[0], "µs"), Peer: "a write of 200 bytes and its sync, by hand", Their: report.Of(added[1], "µs"), Ratio: added[0] / added[1],
	})
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:63790"})
	defer func() { _ = client.Close() }() // nothing is lost
	shared, err := redisdb.Open(b.ctx, client, redisdb.Options{Window: time.Hour, Prefix: fmt.Sprintf("bench:%x:", rand.Uint64())})
	if err != nil {
		return err
	}
	if keys, err = b.keys(shared); err != nil {
		return err
	}
	count := &trips{}
	client.AddHook(count)
	if added, err = b.adds(keys.Wrap); err != nil {
		return err
	}
	each := float64(count.n.Load()) / float64(b.size(posted)*(b.rounds+1))
	b.add(report.Line{Work: "Idempotency-Key in Redis, synced: added to a request, p50", Ours: report.Of(added[0], "µs")})
	b.add(report.Line{Work: "the same: round trips of a request", Ours: report.Of(each, ""), Bound: report.AtMost(2, "")})
	return nil
}

// posted is how many requests a turn has.
const posted = 2000

func (b *bench) keys(l hapax.Ledger) (*httpkey.Middleware, error) {
	return httpkey.New(l, httpkey.Options{
		Name: "charges", Window: time.Hour, Lease: 10 * time.Second,
		Tenant: func(*http.Request) (string, error) { return "ann", nil },
	})
}

// adds returns what each way to wrap a handler adds to the median, in microseconds.
func (b *bench) adds(wraps ...func(http.Handler) http.Handler) (added []float64, err error) {
	charge := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the client would see it
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"charge":1}`)
	})
	bare := func(h http.Handler) http.Handler { return h }
	var passes []measure.Pass
	var servers []*httptest.Server
	defer func() {
		for _, s := range servers {
			s.Close()
		}
	}()
	for _, wrap := range append(wraps, bare) {
		s := httptest.NewServer(wrap(charge))
		servers = append(servers, s)
		passes = append(passes, func(int) (float64, error) { return b.posts(s, b.size(posted)) })
		if _, err := passes[len(passes)-1](0); err != nil { // a turn that is not counted
			return nil, err
		}
	}
	figures, err := measure.Rounds(b.rounds, passes)
	if err != nil {
		return nil, err
	}
	for i := range wraps {
		added = append(added, measure.Median(figures[i])-measure.Median(figures[len(wraps)]))
	}
	return added, nil
}

// synced is a file that a request is written into, and synced, before it is handled:
// the least that any durable store does.
type synced struct {
	vfs.File
	n int64
}

const (
	syncedBytes = 200 // what a ledger writes for a request
	syncedTurns = 4096
)

func newSynced(name string) (*synced, error) {
	f, err := vfs.OS().Create(name)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteAt(make([]byte, syncedBytes*syncedTurns), 0) // as a log has zeros ahead of it
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &synced{File: f}, nil
}

// wrap makes a handler for requests one by one.
func (s *synced) wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.n++
		_, err := s.WriteAt(make([]byte, syncedBytes), s.n%syncedTurns*syncedBytes)
		if err == nil {
			err = s.Sync()
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		h.ServeHTTP(w, r)
	})
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
