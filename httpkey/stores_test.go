package httpkey_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
	_ "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/go-redis/v9"
	_ "modernc.org/sqlite"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/memcached"
	"github.com/hapaxmq/hapax/adapter/pgxdb"
	"github.com/hapaxmq/hapax/adapter/redisdb"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/httpkey"
	"github.com/hapaxmq/hapax/internal/servertest"
	"github.com/hapaxmq/hapax/ledger"
)

// store is where keys are kept.
type store struct {
	name string
	open func(t *testing.T) func() hapax.Ledger // a ledger for each server; they share what is in it
}

func stores() []store {
	return []store{
		{"memory", func(t *testing.T) func() hapax.Ledger {
			l := openLedger(t)
			return func() hapax.Ledger { return l }
		}},
		{"directory", func(t *testing.T) func() hapax.Ledger {
			l, err := ledger.Open(t.TempDir(), ledger.Options{Window: hapax.Window{Time: time.Hour}, Digests: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			})
			return func() hapax.Ledger { return l }
		}},
		{"redis", func(t *testing.T) func() hapax.Ledger {
			address, prefix := servertest.Redis(t), fmt.Sprintf("httpkey:%x:", rand.Uint64())
			return func() hapax.Ledger { return openRedis(t, address, prefix, nil) }
		}},
		{"sqlite", func(t *testing.T) func() hapax.Ledger {
			source := "file:" + filepath.Join(t.TempDir(), "db") + "?_pragma=journal_mode(wal)&_pragma=busy_timeout(60000)"
			return func() hapax.Ledger { return openSQL(t, "sqlite", source, sqldb.SQLite, "hapax_claims") }
		}},
		{"postgres", func(t *testing.T) func() hapax.Ledger {
			source, table := servertest.Postgres(t), fmt.Sprintf("httpkey_%x", rand.Uint64())
			return func() hapax.Ledger { return openSQL(t, "pgx", source, sqldb.Postgres, table) }
		}},
		{"pgx", func(t *testing.T) func() hapax.Ledger {
			pool, err := pgxpool.New(t.Context(), servertest.Postgres(t))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(pool.Close)
			table := fmt.Sprintf("httpkey_%x", rand.Uint64())
			return func() hapax.Ledger {
				l, err := pgxdb.NewLedger(pool, pgxdb.LedgerOptions{Window: time.Hour, Table: table})
				if err == nil {
					err = l.Migrate(t.Context())
				}
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _, _ = pool.Exec(context.Background(), "DROP TABLE IF EXISTS "+table) })
				return l
			}
		}},
		{"mariadb", func(t *testing.T) func() hapax.Ledger {
			source, table := servertest.MariaDB(t), fmt.Sprintf("httpkey_%x", rand.Uint64())
			return func() hapax.Ledger { return openSQL(t, "mysql", source, sqldb.MariaDB, table) }
		}},
		{"memcached", func(t *testing.T) func() hapax.Ledger {
			address, prefix := servertest.Memcached(t), fmt.Sprintf("httpkey:%x:", rand.Uint64())
			return func() hapax.Ledger {
				client := memcache.New(address)
				client.Timeout, client.MaxIdleConns = patience, 32
				t.Cleanup(func() { _ = client.Close() })
				l, err := memcached.Open(client, memcached.Options{Window: time.Hour, BestEffort: true, Prefix: prefix})
				if err != nil {
					t.Fatal(err)
				}
				return l
			}
		}},
	}
}

// openSQL opens a ledger on a table, which ends with the test.
func openSQL(t *testing.T, driver, source string, d sqldb.Dialect, table string) *sqldb.Ledger {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	l, err := sqldb.NewLedger(db, d, sqldb.LedgerOptions{Window: time.Hour, Table: table})
	if err == nil {
		err = l.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = db.ExecContext(context.Background(), "DROP TABLE IF EXISTS "+table) })
	return l
}

func openRedis(t testing.TB, address, prefix string, hook redis.Hook) *redisdb.Ledger {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: address, ReadTimeout: patience, WriteTimeout: patience})
	t.Cleanup(func() { _ = client.Close() })
	l, err := redisdb.Open(context.Background(), client, redisdb.Options{Window: time.Hour, Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	if hook != nil {
		client.AddHook(hook)
	}
	return l
}

// TestTwoServers: clients send copies to either of two servers, which fail at times,
// until they have an answer: it is one for each key, whoever gives it.
func TestTwoServers(t *testing.T) {
	t.Parallel()
	for _, s := range stores() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel() // they wait for each other's runs, by whole seconds
			open := s.open(t)
			const keys, clients = 12, 6
			var made [keys]atomic.Int64
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var n int
				_, _ = fmt.Fscan(r.Body, &n)
				switch rand.IntN(4) {
				case 0:
					w.WriteHeader(http.StatusInternalServerError)
					return
				case 1:
					panic(http.ErrAbortHandler) // cuts the connection
				}
				w.WriteHeader(http.StatusCreated)
				_, _ = fmt.Fprintf(w, "%s: charge %d.%d", r.Header.Get(tenantHeader), n, made[n].Add(1))
			})
			var servers []*httptest.Server
			for range 2 {
				server := httptest.NewServer(wrap(t, open(), options()).Wrap(handler))
				t.Cleanup(server.Close)
				servers = append(servers, server)
			}
			client := servers[0].Client()
			client.Transport = &httpkey.Transport{Base: client.Transport, Tries: 1000, Pause: 1, Longest: 2 * time.Second}
			var all sync.WaitGroup
			for range clients {
				all.Go(func() {
					for n := range keys {
						url := servers[rand.IntN(2)].URL
						status, body := ask(t, client, url, fmt.Sprint("key ", n), "ann", fmt.Sprint(n))
						if want := fmt.Sprintf("ann: charge %d.1", n); status != http.StatusCreated || body != want {
							t.Errorf("key %d: %d %q", n, status, body)
						}
					}
				})
			}
			all.Wait()
			if status, _ := ask(t, client, servers[1].URL, "key 0", "ann", "1"); status != http.StatusUnprocessableEntity {
				t.Errorf("another payload: %d", status)
			}
			if _, body := ask(t, client, servers[1].URL, "key 0", "eve", "0"); body != "eve: charge 0.2" {
				t.Errorf("another tenant: %q", body)
			}
		})
	}
}

// ask posts with a client, and reads the answer.
func ask(t *testing.T, client *http.Client, url, key, tenant, body string) (status int, answer string) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	r.Header.Set(tenantHeader, tenant)
	if err := httpkey.SetKey(r.Header, key); err != nil {
		t.Error(err)
	}
	w, err := client.Do(r)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	if err != nil {
		t.Error(err)
	}
	return w.StatusCode, string(text)
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

// TestRoundTrips: claim and commit are one each, and a copy is one.
func TestRoundTrips(t *testing.T) {
	var count trips
	l := openRedis(t, servertest.Redis(t), fmt.Sprintf("httpkey:%x:", rand.Uint64()), &count)
	client := wrap(t, l, options()).Wrap(new(charges))
	serve(client, request("warm", "{}")) // opens the connection
	for _, test := range []struct {
		what string
		want int64
	}{{"the first", 2}, {"a copy", 1}, {"another copy", 1}} {
		count.n.Store(0)
		if serve(client, request("k", "{}")); count.n.Load() != test.want {
			t.Errorf("%s: %d round trips, want %d", test.what, count.n.Load(), test.want)
		}
	}
}
