package prominbox_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/prominbox"
	"github.com/hapaxmq/hapax/inbox"
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

func newMetrics(t *testing.T, o prominbox.Options) (*prominbox.Metrics, *prometheus.Registry) {
	t.Helper()
	m, err := prominbox.New(o)
	if err != nil {
		t.Fatal(err)
	}
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(m); err != nil {
		t.Fatal(err)
	}
	return m, r
}

func message(id, value string) *hapax.Message {
	return &hapax.Message{Headers: []hapax.Header{{Name: "id", Value: []byte(id)}}, Value: []byte(value)}
}

func options(name string, m *prominbox.Metrics) inbox.Options {
	return inbox.Options{Name: name, Identity: "header:id", Window: time.Hour, Observer: m.Observer()}
}

func open(t *testing.T, l hapax.Ledger, o inbox.Options) *inbox.Inbox {
	t.Helper()
	in, err := inbox.Lease(l, o, func(_ context.Context, _ hapax.Claim, m *hapax.Message) (hapax.Receipt, error) {
		switch string(m.Value) {
		case "fail":
			return nil, errors.New("declined")
		case "panic":
			panic("declined")
		}
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// handle takes in messages, whatever becomes of them.
func handle(t *testing.T, in *inbox.Inbox, all ...*hapax.Message) {
	for _, m := range all {
		func() {
			defer func() { _ = recover() }()
			_, _ = in.Handle(t.Context(), m)
		}()
	}
}

func want(t *testing.T, r *prometheus.Registry, text string, names ...string) {
	t.Helper()
	if err := testutil.GatherAndCompare(r, strings.NewReader(text), names...); err != nil {
		t.Error(err)
	}
}

// Each delivery is in one outcome, and all that an inbox may come to are there from its
// first message on.
func TestS53DeliveriesSumUp(t *testing.T) {
	m, r := newMetrics(t, prominbox.Options{})
	l := newLedger(t)
	o := options("mails", m)
	o.Committed = 1
	in := open(t, l, o)
	handle(t, in, message("1", "a"), message("1", "a"), message("1", "b"), message("2", "fail"), message("3", "panic"), &hapax.Message{})
	l.committed = hapax.ErrUnknown
	handle(t, in, message("4", "a"))
	l.committed = hapax.ErrLeaseLost
	handle(t, in, message("5", "a"))
	l.asked = errDown
	handle(t, in, message("6", "a"))
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	handle(t, in, message("7", "a"))

	var text strings.Builder
	text.WriteString("# HELP hapax_inbox_deliveries_total Messages that came in, by what became of them.\n# TYPE hapax_inbox_deliveries_total counter\n")
	for outcome, n := range map[hapax.Outcome]int{
		hapax.Executed: 1, hapax.Replayed: 1, hapax.Conflicted: 1, hapax.Failed: 2, hapax.Nameless: 1, hapax.Doubtful: 1, hapax.Lost: 1,
		hapax.Unanswered: 2, hapax.Held: 0, hapax.Passed: 0, hapax.Outdated: 0, hapax.Forfeited: 0,
	} {
		fmt.Fprintf(&text, "hapax_inbox_deliveries_total{guarantee=\"lease\",inbox=\"mails\",outcome=%q} %d\n", outcome.String(), n)
	}
	want(t, r, text.String(), "hapax_inbox_deliveries_total")
	if n := in.Stats().Deliveries; n != 10 {
		t.Errorf("%d deliveries, want the 10 that are counted", n)
	}
	want(t, r, `
# HELP hapax_inbox_cached_deliveries_total Deliveries that were answered from memory, without asking the store.
# TYPE hapax_inbox_cached_deliveries_total counter
hapax_inbox_cached_deliveries_total{inbox="mails"} 1
# HELP hapax_inbox_deliveries_in_progress Messages that came in and have no outcome yet.
# TYPE hapax_inbox_deliveries_in_progress gauge
hapax_inbox_deliveries_in_progress{guarantee="lease",inbox="mails"} 0
# HELP hapax_inbox_store_errors_total Times that the store did not answer: when it was asked for a mark or claim, or at the commit.
# TYPE hapax_inbox_store_errors_total counter
hapax_inbox_store_errors_total{inbox="mails",policy="closed",step="ask"} 1
hapax_inbox_store_errors_total{inbox="mails",policy="closed",step="commit"} 1
hapax_inbox_store_errors_total{inbox="mails",policy="open",step="ask"} 0
`, "hapax_inbox_cached_deliveries_total", "hapax_inbox_deliveries_in_progress", "hapax_inbox_store_errors_total")
}

// A handler that ran though the ledger could not be asked is told from one that ran for
// a message without an identity; a caller that leaves is no error of the store.
func TestStoreErrors(t *testing.T) {
	m, r := newMetrics(t, prominbox.Options{})
	l := newLedger(t)
	o := options("pictures", m)
	o.StoreDown = inbox.FailOpen
	in := open(t, l, o)
	l.asked = errDown
	handle(t, in, message("1", "a"))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if result, err := in.Handle(gone, message("2", "a")); result.Outcome != hapax.Unanswered {
		t.Errorf("%v, %v", result, err)
	}
	want(t, r, `
# HELP hapax_inbox_store_errors_total Times that the store did not answer: when it was asked for a mark or claim, or at the commit.
# TYPE hapax_inbox_store_errors_total counter
hapax_inbox_store_errors_total{inbox="pictures",policy="closed",step="ask"} 0
hapax_inbox_store_errors_total{inbox="pictures",policy="closed",step="commit"} 0
hapax_inbox_store_errors_total{inbox="pictures",policy="open",step="ask"} 1
`, "hapax_inbox_store_errors_total")
}

// marks are of a database that runs each transaction twice.
type marks struct{}

func (marks) Transact(ctx context.Context, f func(context.Context, int) error) error {
	_ = f(ctx, 1)
	return f(ctx, 2)
}

func (marks) Mark(_ context.Context, _ int, all []hapax.Mark) error {
	for i := range all {
		all[i].Verdict = hapax.Fresh
	}
	return nil
}

func (marks) Keep(context.Context, int, *hapax.Mark) error { return nil }

func TestDurations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, r := newMetrics(t, prominbox.Options{
			Buckets:  []float64{1, 10},
			Exemplar: func(context.Context) prometheus.Labels { return prometheus.Labels{"trace_id": "4bf92f3577b34da6"} },
		})
		in, err := inbox.Transaction(marks{}, options("orders", m),
			func(context.Context, int, *hapax.Message) (hapax.Receipt, error) {
				<-time.After(3 * time.Second)
				return nil, nil
			})
		if err != nil {
			t.Fatal(err)
		}
		handle(t, in.Inbox, message("1", "a"))
		want(t, r, `
# HELP hapax_inbox_handler_duration_seconds Time that deliveries spent in the handler, all runs together, of those whose handler ran.
# TYPE hapax_inbox_handler_duration_seconds histogram
hapax_inbox_handler_duration_seconds_bucket{inbox="orders",le="1"} 0
hapax_inbox_handler_duration_seconds_bucket{inbox="orders",le="10"} 1
hapax_inbox_handler_duration_seconds_bucket{inbox="orders",le="+Inf"} 1
hapax_inbox_handler_duration_seconds_sum{inbox="orders"} 6
hapax_inbox_handler_duration_seconds_count{inbox="orders"} 1
# HELP hapax_inbox_handler_reruns_total Runs of handlers beyond the first of their delivery, in a new transaction.
# TYPE hapax_inbox_handler_reruns_total counter
hapax_inbox_handler_reruns_total{inbox="orders"} 1
# HELP hapax_inbox_store_duration_seconds Time that deliveries took beside their handler: the store, and waiting for others. Without what was answered from memory.
# TYPE hapax_inbox_store_duration_seconds histogram
hapax_inbox_store_duration_seconds_bucket{inbox="orders",le="1"} 1
hapax_inbox_store_duration_seconds_bucket{inbox="orders",le="10"} 1
hapax_inbox_store_duration_seconds_bucket{inbox="orders",le="+Inf"} 1
hapax_inbox_store_duration_seconds_sum{inbox="orders"} 0
hapax_inbox_store_duration_seconds_count{inbox="orders"} 1
`, "hapax_inbox_handler_duration_seconds", "hapax_inbox_store_duration_seconds", "hapax_inbox_handler_reruns_total")
		all, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(fmt.Sprint(all), "4bf92f3577b34da6") {
			t.Errorf("no exemplar in %v", all)
		}
	})
}

// Only copies that carry a time have an age, and its bounds are those of the ledger.
func TestAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, r := newMetrics(t, prominbox.Options{})
		in := open(t, newLedger(t), options("mails", m))
		first := message("1", "a")
		first.Time = time.Now().Add(-time.Minute)
		handle(t, in, first, message("2", "a"), message("2", "a"))
		<-time.After(4 * time.Minute)
		handle(t, in, first)
		ahead := *first
		ahead.Time = time.Now().Add(time.Second)
		handle(t, in, &ahead)

		var text strings.Builder
		text.WriteString("# HELP hapax_inbox_duplicate_age_seconds Ages of duplicates: how long before they came the time was that they carry. Without those that carry none.\n" +
			"# TYPE hapax_inbox_duplicate_age_seconds histogram\n")
		for _, bound := range ledger.AgeBounds() {
			n := 1
			if bound >= 5*time.Minute {
				n = 2
			}
			fmt.Fprintf(&text, "hapax_inbox_duplicate_age_seconds_bucket{inbox=\"mails\",le=\"%v\"} %d\n", bound.Seconds(), n)
		}
		text.WriteString("hapax_inbox_duplicate_age_seconds_bucket{inbox=\"mails\",le=\"+Inf\"} 2\n" +
			"hapax_inbox_duplicate_age_seconds_sum{inbox=\"mails\"} 300\nhapax_inbox_duplicate_age_seconds_count{inbox=\"mails\"} 2\n")
		want(t, r, text.String(), "hapax_inbox_duplicate_age_seconds")
	})
}

// A message in its handler is in progress.
func TestInProgress(t *testing.T) {
	m, r := newMetrics(t, prominbox.Options{})
	o := options("mails", m)
	in, err := inbox.AtLeastOnce(o, func(context.Context, *hapax.Message) error {
		want(t, r, `
# HELP hapax_inbox_deliveries_in_progress Messages that came in and have no outcome yet.
# TYPE hapax_inbox_deliveries_in_progress gauge
hapax_inbox_deliveries_in_progress{guarantee="at least once",inbox="mails"} 1
`, "hapax_inbox_deliveries_in_progress")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	handle(t, in, message("1", "a"))
}

// Several inboxes share metrics, from several goroutines.
func TestSharedMetrics(t *testing.T) {
	m, r := newMetrics(t, prominbox.Options{})
	l := newLedger(t)
	var all sync.WaitGroup
	for n := range 8 {
		in := open(t, l, options(fmt.Sprint("handler ", n%2), m))
		all.Go(func() {
			for id := range 50 {
				handle(t, in, message(fmt.Sprint(id), "a"))
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
		if f.GetName() == "hapax_inbox_deliveries_total" {
			for _, one := range f.GetMetric() {
				total += one.GetCounter().GetValue()
			}
		}
	}
	if total != 400 {
		t.Errorf("%v deliveries, want 400", total)
	}
}

func TestNamesAndHelp(t *testing.T) {
	m, r := newMetrics(t, prominbox.Options{})
	handle(t, open(t, newLedger(t), options("mails", m)), message("1", "a"))
	problems, err := testutil.GatherAndLint(r)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	if err := r.Register(m); err == nil {
		t.Error("registered twice")
	}
}

func TestBuckets(t *testing.T) {
	for _, wrong := range [][]float64{{0, 1}, {1, 1}, {2, 1}} {
		if _, err := prominbox.New(prominbox.Options{Buckets: wrong}); err == nil {
			t.Errorf("buckets %v are taken", wrong)
		}
	}
}
