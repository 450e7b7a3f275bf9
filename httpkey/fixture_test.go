package httpkey_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/httpkey"
	"github.com/hapaxmq/hapax/ledger"
)

// lease outlasts what tests do in real time, on whatever machine.
const lease = 10 * time.Minute

var errDown = errors.New("the store is down")

// tenantHeader stands for what a login would have found out.
const tenantHeader = "X-Tenant"

func tenant(r *http.Request) (string, error) { return r.Header.Get(tenantHeader), nil }

func options() httpkey.Options {
	return httpkey.Options{Name: "charges", Tenant: tenant, Window: 24 * time.Hour, Lease: lease}
}

// openLedger opens a ledger in memory that compares digests.
func openLedger(t testing.TB) *ledger.Ledger {
	t.Helper()
	return openLedgerWith(t, ledger.Options{Digests: true})
}

func openLedgerWith(t testing.TB, o ledger.Options) *ledger.Ledger {
	t.Helper()
	o.Window = hapax.Window{Unbounded: true}
	l, err := ledger.Open("", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func wrap(t testing.TB, l hapax.Ledger, o httpkey.Options) *httpkey.Middleware {
	t.Helper()
	m, err := httpkey.New(l, o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// charges is a handler with an effect: each run charges once more, and says so.
type charges struct{ made atomic.Int64 }

func (c *charges) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	n := c.made.Add(1)
	w.Header().Set("Location", fmt.Sprintf("/charges/%d", n))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_, _ = fmt.Fprintf(w, `{"charge":%d}`, n)
}

func (c *charges) want(t *testing.T, n int64) {
	t.Helper()
	if got := c.made.Load(); got != n {
		t.Errorf("%d charges, want %d", got, n)
	}
}

// request is a POST of the tenant "ann".
func request(key, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/charges", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(tenantHeader, "ann")
	if key != "" {
		r.Header.Set(httpkey.Header, `"`+key+`"`)
	}
	return r
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// wantProblem compares a problem, and returns it.
func wantProblem(t *testing.T, w *httptest.ResponseRecorder, status int, code httpkey.Code) (p httpkey.Problem) {
	t.Helper()
	if kind := w.Header().Get("Content-Type"); kind != "application/problem+json" {
		t.Errorf("content type %q", kind)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("%v in %q", err, w.Body)
	}
	if w.Code != status || p.Status != status || p.Code != code || p.Title == "" || p.Detail == "" || p.Type == "" {
		t.Errorf("status %d with %+v, want %d %s", w.Code, p, status, code)
	}
	return p
}

// wantSame compares a replay with the first response.
func wantSame(t *testing.T, first, copied *httptest.ResponseRecorder) {
	t.Helper()
	if copied.Code != first.Code || copied.Body.String() != first.Body.String() {
		t.Errorf("replayed %d %q, first was %d %q", copied.Code, copied.Body, first.Code, first.Body)
	}
	if first.Header().Get(httpkey.ReplayedHeader) != "" || copied.Header().Get(httpkey.ReplayedHeader) != "true" {
		t.Errorf("headers %v, first was %v", copied.Header(), first.Header())
	}
}

// watched is an Observer that keeps the ends it sees.
type watched struct{ ends []httpkey.Exchange }

func (s *watched) observer() httpkey.Observer {
	return httpkey.Observer{End: func(_ context.Context, e httpkey.Exchange) { s.ends = append(s.ends, e) }}
}

// want compares the last end.
func (s *watched) want(t *testing.T, o hapax.Outcome, status int) httpkey.Exchange {
	t.Helper()
	if len(s.ends) == 0 {
		t.Fatal("no end was seen")
	}
	e := s.ends[len(s.ends)-1]
	if e.Outcome != o || e.Status != status {
		t.Errorf("outcome %v with status %d (%v), want %v, %d", e.Outcome, e.Status, e.Err, o, status)
	}
	return e
}

// failing is a ledger whose calls can be made to fail.
type failing struct {
	hapax.Ledger

	claim, extend, commit, after error // after: of a commit that has happened
}

func (f *failing) Claim(ctx context.Context, r hapax.Request) (hapax.Claim, error) {
	if f.claim != nil {
		return hapax.Claim{}, f.claim
	}
	return f.Ledger.Claim(ctx, r)
}

func (f *failing) Extend(ctx context.Context, c hapax.Claim, d time.Duration) (hapax.Claim, error) {
	if f.extend != nil {
		return c, f.extend
	}
	return f.Ledger.Extend(ctx, c, d)
}

func (f *failing) Commit(ctx context.Context, c hapax.Claim, r hapax.Receipt) error {
	if f.commit != nil {
		return f.commit
	}
	return errors.Join(f.Ledger.Commit(ctx, c, r), f.after)
}
