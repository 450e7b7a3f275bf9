package examples_test

import (
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "modernc.org/sqlite"

	"github.com/hapaxmq/hapax/adapter/pgxdb"
	"github.com/hapaxmq/hapax/examples"
	"github.com/hapaxmq/hapax/httpkey"
)

// newPayments makes the API's servers, over a schema of the test's own. The answers to some
// requests are lost, when the charge is made.
func newPayments(t *testing.T, servers int, lost func() bool) (db *pgxpool.Pool, urls []string) {
	t.Helper()
	db = postgres(t, "CREATE TABLE charges (id text PRIMARY KEY, account text NOT NULL, amount bigint NOT NULL)")
	for range servers {
		keys, err := pgxdb.NewLedger(db, pgxdb.LedgerOptions{Window: 24 * time.Hour})
		must(t, err)
		must(t, keys.Migrate(t.Context()))
		api, err := examples.PaymentsAPI(db, keys, map[string]string{"sk_ann": "ann", "sk_bob": "bob"})
		must(t, err)
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if lost() {
				api.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			}
			api.ServeHTTP(w, r)
		}))
		t.Cleanup(s.Close)
		urls = append(urls, s.URL)
	}
	return db, urls
}

// A client that is started again, and servers of which any answers, charge each order once.
func TestPayments(t *testing.T) {
	var asked atomic.Int64
	charges, urls := newPayments(t, 2, func() bool { return asked.Add(1)%3 != 0 })
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "orders"))
	must(t, err)
	defer db.Close()
	_, err = db.ExecContext(t.Context(), "CREATE TABLE orders (id TEXT PRIMARY KEY, amount INTEGER NOT NULL, pay_key TEXT NOT NULL, paid TEXT)")
	must(t, err)
	const orders = 6
	for n := range orders {
		must(t, examples.NewOrder(t.Context(), db, fmt.Sprint(n), 100))
	}
	once := &http.Client{} // as a program that dies when its first try fails
	retries := &http.Client{Transport: &httpkey.Transport{Pause: time.Millisecond}}
	deaths := 0
	for run := 0; ; run++ {
		client := once
		if run%2 == 1 {
			client = retries
		}
		if examples.PayAll(t.Context(), db, client, urls[run%2], "sk_ann") == nil {
			break
		}
		if deaths++; deaths > 10*orders {
			t.Fatal("orders are not paid")
		}
	}
	var count, cents int
	must(t, charges.QueryRow(t.Context(), "SELECT count(*), sum(amount) FROM charges").Scan(&count, &cents))
	if count != orders || cents != 100*orders || deaths == 0 {
		t.Errorf("%d charges of %d cents, want %d; %d tries failed", count, cents, orders, deaths)
	}
	var receipts int
	must(t, db.QueryRowContext(t.Context(), "SELECT count(DISTINCT paid) FROM orders").Scan(&receipts))
	if receipts != orders {
		t.Errorf("%d receipts of %d orders", receipts, orders)
	}
}

// What a key was used for it is used for: another body is refused, another account has
// another key, and nobody is served without one.
func TestPaymentsOfOthers(t *testing.T) {
	charges, urls := newPayments(t, 2, func() bool { return false })
	first := ""
	for n, test := range []struct {
		secret, key, body string
		status            int
	}{
		{"sk_ann", `"1"`, `{"amount":100}`, http.StatusCreated},
		{"sk_ann", `"1"`, `{ "amount": 100 }`, http.StatusCreated},
		{"sk_ann", `"1"`, `{"amount":200}`, http.StatusUnprocessableEntity},
		{"sk_bob", `"1"`, `{"amount":100}`, http.StatusCreated},
		{"sk_eve", `"1"`, `{"amount":100}`, http.StatusForbidden},
		{"sk_ann", "", `{"amount":100}`, http.StatusBadRequest},
		{"sk_ann", `"2"`, `{"amount":0}`, http.StatusBadRequest},
		{"sk_ann", `"2"`, `{"amount":100}`, http.StatusUnprocessableEntity}, // it was refused, and answered
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, urls[n%2]+"/v1/charges", strings.NewReader(test.body))
		must(t, err)
		r.Header.Set("Authorization", "Bearer "+test.secret)
		r.Header.Set("Content-Type", "application/json")
		if test.key != "" {
			r.Header.Set("Idempotency-Key", test.key)
		}
		w, err := http.DefaultClient.Do(r)
		must(t, err)
		body, err := io.ReadAll(w.Body)
		must(t, err)
		must(t, w.Body.Close())
		if w.StatusCode != test.status {
			t.Errorf("request %d: %s: %s; want %d", n+1, w.Status, body, test.status)
		}
		if replayed := w.Header.Get("Idempotency-Replayed") == "true"; replayed != (n == 1) || replayed && string(body) != first {
			t.Errorf("request %d is answered %s, replayed: %t", n+1, body, replayed)
		}
		if n == 0 {
			first = string(body)
		}
	}
	var count int
	must(t, charges.QueryRow(t.Context(), "SELECT count(*) FROM charges").Scan(&count))
	if count != 2 {
		t.Errorf("%d charges, want one of each account", count)
	}
}
