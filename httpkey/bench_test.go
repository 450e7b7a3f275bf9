package httpkey_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/httpkey"
	"github.com/hapaxmq/hapax/internal/servertest"
	"github.com/hapaxmq/hapax/ledger"
)

// BenchmarkMiddleware posts charges of 1 KB one by one over a connection, to the bare
// handler and to the same behind keys, in turns. What keys add is the median of one
// less that of the other, in "added-µs-p50"; "trips" are round trips to the store, and
// "sync-µs-p50" is what the disk takes to write and sync as much as a receipt.
func BenchmarkMiddleware(b *testing.B) {
	var count trips
	for _, store := range []struct {
		name string
		open func() hapax.Ledger
	}{
		{"memory", func() hapax.Ledger { return openLedger(b) }},
		{"durable", func() hapax.Ledger {
			l, err := ledger.Open(b.TempDir(), ledger.Options{Window: hapax.Window{Time: time.Hour}, Digests: true})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = l.Close() })
			return l
		}},
		{"redis", func() hapax.Ledger {
			return openRedis(b, servertest.Redis(b), fmt.Sprintf("httpkey:%x:", rand.Uint64()), &count)
		}},
	} {
		b.Run(store.name, func(b *testing.B) {
			var c charges
			bare := httptest.NewServer(reading(&c))
			defer bare.Close()
			once := httptest.NewServer(wrap(b, store.open(), options()).Wrap(reading(&c)))
			defer once.Close()
			var key atomic.Int64
			post := func(s *httptest.Server) time.Duration {
				r := charging(b, s.URL+"/charges", key.Add(1))
				began := time.Now()
				w, err := s.Client().Do(r)
				if err != nil {
					b.Fatal(err)
				}
				_, err = io.Copy(io.Discard, w.Body)
				if took := time.Since(began); err == nil && w.Body.Close() == nil && w.StatusCode == http.StatusCreated {
					return took
				}
				b.Fatalf("status %d, %v", w.StatusCode, err)
				return 0
			}
			for range 50 { // warm
				post(bare)
				post(once)
			}
			sync := syncing(b)
			count.n.Store(0)
			var without, with, synced []time.Duration
			for b.Loop() {
				without = append(without, post(bare))
				with = append(with, post(once))
				if store.name == "durable" {
					synced = append(synced, sync())
				}
			}
			if len(synced) > 0 {
				b.ReportMetric(micros(median(synced)), "sync-µs-p50")
			}
			b.ReportMetric(micros(median(without)), "bare-µs-p50")
			b.ReportMetric(micros(median(with)), "keyed-µs-p50")
			b.ReportMetric(micros(median(with)-median(without)), "added-µs-p50")
			b.ReportMetric(float64(count.n.Load())/float64(len(with)), "trips")
		})
	}
}

// charging is a request with a body of 1 KB.
func charging(b *testing.B, url string, key int64) *http.Request {
	body := `{"card":"` + strings.Repeat("x", 1000) + `"}`
	r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set(tenantHeader, "ann")
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(httpkey.Header, fmt.Sprintf(`"%d"`, key))
	return r
}

// syncing makes what writes a page into a file that is written already, over and over, and
// syncs it.
func syncing(b *testing.B) func() time.Duration {
	f, err := os.Create(filepath.Join(b.TempDir(), "file"))
	if err == nil {
		_, err = f.Write(make([]byte, 1<<20))
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	at := int64(0)
	return func() time.Duration {
		began := time.Now()
		_, err := f.WriteAt(make([]byte, 256), at%(1<<20))
		if err := errors.Join(err, f.Sync()); err != nil {
			b.Fatal(err)
		}
		at += 256
		return time.Since(began)
	}
}

// reading is next behind the reading of the body, as handlers do.
func reading(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		next.ServeHTTP(w, r)
	})
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
