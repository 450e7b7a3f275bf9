package promhttpkey_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/promhttpkey"
	"github.com/hapaxmq/hapax/httpkey"
	"github.com/hapaxmq/hapax/ledger"
)

var errDown = errors.New("connection refused")

// away is a ledger that can be asked as long as neither error is set.
type away struct {
	hapax.Ledger

	asked, committed error
}

func (a *away) Claim(ctx context.Context, r hapax.Request) (hapax.Claim, error) {
	if a.asked != nil {
		return hapax.Claim{}, a.asked
	}
	return a.Ledger.Claim(ctx, r)
}

func (a *away) Commit(ctx context.Context, c hapax.Claim, r hapax.Receipt) error {
	if a.committed != nil {
		return a.committed
	}
	return a.Ledger.Commit(ctx, c, r)
}

func newLedger(t *testing.T) *away {
	t.Helper()
	l, err := ledger.Open("", ledger.Options{Window: hapax.Window{Time: time.Hour}, Digests: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return &away{Ledger: l}
}

func newMetrics(t *testing.T, o promhttpkey.Options) (*promhttpkey.Metrics, *prometheus.Registry) {
	t.Helper()
	m, err := promhttpkey.New(o)
	if err != nil {
		t.Fatal(err)
	}
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(m); err != nil {
		t.Fatal(err)
	}
	return m, r
}

// api is a handler behind keys that does what the body of a request says.
func api(t *testing.T, l hapax.Ledger, m *promhttpkey.Metrics, change func(*httpkey.Options)) http.Handler {
	t.Helper()
	o := httpkey.Options{Name: "charges", Tenant: httpkey.OneTenant, Window: time.Hour, Observer: m.Observer()}
	if change != nil {
		change(&o)
	}
	once, err := httpkey.New(l, o)
	if err != nil {
		t.Fatal(err)
	}
	return once.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.RawQuery {
		case "fail":
			w.WriteHeader(http.StatusInternalServerError)
		case "panic":
			panic(http.ErrAbortHandler)
		default:
			w.WriteHeader(http.StatusCreated)
		}
	}))
}

// post sends a request for each key, which may have a query behind it, whatever becomes
// of them.
func post(api http.Handler, keys ...string) {
	for _, key := range keys {
		key, query, _ := strings.Cut(key, "?")
		r := httptest.NewRequest(http.MethodPost, "/charges?"+query, http.NoBody)
		if key != "" {
			r.Header.Set(httpkey.Header, key)
		}
		func() {
			defer func() { _ = recover() }()
			api.ServeHTTP(httptest.NewRecorder(), r)
		}()
	}
}

func want(t *testing.T, r *prometheus.Registry, text string, names ...string) {
	t.Helper()
	if err := testutil.GatherAndCompare(r, strings.NewReader(text), names...); err != nil {
		t.Error(err)
	}
}

// Each request is in one outcome, and all that one may come to are there from the first
// on.
func TestRequestsSumUp(t *testing.T) {
	m, r := newMetrics(t, promhttpkey.Options{})
	l := newLedger(t)
	once := api(t, l, m, nil)
	post(once, "1", "1", "1", "1?other", "", "é", "2?fail", "3?panic")
	l.committed = hapax.ErrUnknown
	post(once, "4")
	l.committed = hapax.ErrLeaseLost
	post(once, "5")
	l.asked = errDown
	post(once, "6")
	post(api(t, l, m, func(o *httpkey.Options) { o.FailOpen = true }), "7")

	var text strings.Builder
	text.WriteString("# HELP hapax_httpkey_requests_total Requests of the methods that take keys, by what became of them.\n# TYPE hapax_httpkey_requests_total counter\n")
	for outcome, n := range map[hapax.Outcome]int{
		hapax.Executed: 1, hapax.Replayed: 2, hapax.Held: 0, hapax.Conflicted: 1, hapax.Failed: 2, hapax.Lost: 1,
		hapax.Doubtful: 1, hapax.Unanswered: 1, hapax.Passed: 2, hapax.Nameless: 1,
	} {
		_, _ = fmt.Fprintf(&text, "hapax_httpkey_requests_total{name=\"charges\",outcome=\"%v\"} %d\n", outcome, n)
	}
	want(t, r, text.String(), "hapax_httpkey_requests_total")
	want(t, r, `
# HELP hapax_httpkey_replayed_responses_total First responses that were given to copies.
# TYPE hapax_httpkey_replayed_responses_total counter
hapax_httpkey_replayed_responses_total{name="charges"} 2
# HELP hapax_httpkey_requests_in_progress Requests that came in and have no outcome yet.
# TYPE hapax_httpkey_requests_in_progress gauge
hapax_httpkey_requests_in_progress{name="charges"} 0
# HELP hapax_httpkey_store_errors_total Times that the ledger did not answer: when it was asked for a claim, or at the commit.
# TYPE hapax_httpkey_store_errors_total counter
hapax_httpkey_store_errors_total{name="charges",policy="closed",step="ask"} 1
hapax_httpkey_store_errors_total{name="charges",policy="closed",step="commit"} 1
hapax_httpkey_store_errors_total{name="charges",policy="open",step="ask"} 1
`, "hapax_httpkey_replayed_responses_total", "hapax_httpkey_requests_in_progress", "hapax_httpkey_store_errors_total")
}

// A request is in progress until it is answered, and its time is the handler's or the
// store's.
func TestDurations(t *testing.T) {
	m, r := newMetrics(t, promhttpkey.Options{Exemplar: func(context.Context) prometheus.Labels {
		return prometheus.Labels{"trace_id": "4bf92f3577b34da6"}
	}})
	once := api(t, newLedger(t), m, nil)
	post(once, "1", "1", "", "2?fail")
	counts := map[string]uint64{}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, one := range f.GetMetric() {
			if h := one.GetHistogram(); h != nil {
				counts[f.GetName()] = h.GetSampleCount()
				if h.GetSampleSum() > 60 || h.GetSampleSum() <= 0 {
					t.Errorf("%s sums up to %v s", f.GetName(), h.GetSampleSum())
				}
			}
		}
	}
	if counts["hapax_httpkey_handler_duration_seconds"] != 3 || counts["hapax_httpkey_store_duration_seconds"] != 3 {
		t.Errorf("%v durations, want three each", counts)
	}
}

func TestInProgress(t *testing.T) {
	m, r := newMetrics(t, promhttpkey.Options{})
	begun := make(chan struct{})
	once, err := httpkey.New(newLedger(t), httpkey.Options{Name: "charges", Tenant: httpkey.OneTenant, Window: time.Hour, Observer: m.Observer()})
	if err != nil {
		t.Fatal(err)
	}
	leave := make(chan struct{})
	h := once.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(begun)
		<-leave
	}))
	var running sync.WaitGroup
	running.Go(func() { post(h, "1") })
	<-begun
	post(h, "1") // a copy
	want(t, r, `
# HELP hapax_httpkey_requests_in_progress Requests that came in and have no outcome yet.
# TYPE hapax_httpkey_requests_in_progress gauge
hapax_httpkey_requests_in_progress{name="charges"} 1
`, "hapax_httpkey_requests_in_progress")
	close(leave)
	running.Wait()
}

// Several middlewares share metrics, from several goroutines.
func TestSharedMetrics(t *testing.T) {
	m, r := newMetrics(t, promhttpkey.Options{})
	l := newLedger(t)
	var all sync.WaitGroup
	for n := range 8 {
		once := api(t, l, m, func(o *httpkey.Options) { o.Name = fmt.Sprint("route ", n%2) })
		all.Go(func() {
			for key := range 50 {
				post(once, fmt.Sprint(key))
			}
		})
	}
	all.Wait()
	total := 0.0
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "hapax_httpkey_requests_total" {
			for _, one := range f.GetMetric() {
				total += one.GetCounter().GetValue()
			}
		}
	}
	if total != 400 {
		t.Errorf("%v requests, want 400", total)
	}
}

func TestNamesAndHelp(t *testing.T) {
	m, r := newMetrics(t, promhttpkey.Options{})
	post(api(t, newLedger(t), m, nil), "1")
	problems, err := testutil.GatherAndLint(r)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	if err := r.Register(m); err == nil {
		t.Error("registered twice")
	}
	if _, err := promhttpkey.New(promhttpkey.Options{Buckets: []float64{2, 1}}); err == nil {
		t.Error("buckets that fall are taken")
	}
}
