package promhttpkey

import (
	"context"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/httpkey"
	"github.com/hapaxmq/hapax/internal/durations"
)

// Options of which the zero value is good.
type Options struct {
	// Buckets are the upper bounds of both histograms, in seconds and rising. The default
	// goes from half a millisecond to a minute. Servers that take native histograms get
	// these as well, ten buckets or so to each doubling.
	Buckets []float64
	// Exemplar gives labels that lead from a duration to one request, such as its
	// trace's id, out of its context: of 128 characters at most, all names and values
	// together. Nil, from it or instead of it: none.
	Exemplar func(context.Context) prometheus.Labels
}

// Metrics counts what middlewares do. Its methods may be called from several goroutines
// at once.
type Metrics struct {
	exemplar func(context.Context) prometheus.Labels

	requests, replayed, storeErrors *prometheus.CounterVec
	inProgress                      *prometheus.GaugeVec
	handler, store                  *prometheus.HistogramVec

	mu    sync.RWMutex
	known map[string]*series // by the middleware's name
}

// New makes metrics of no middleware yet. It registers nothing.
func New(o Options) (*Metrics, error) {
	buckets, err := durations.Buckets(o.Buckets)
	if err != nil {
		return nil, err
	}
	counter := func(name, text string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: text}, append([]string{"name"}, labels...))
	}
	return &Metrics{
		exemplar: o.Exemplar,
		requests: counter("requests_total", "Requests of the methods that take keys, by what became of them.", "outcome"),
		replayed: counter("replayed_responses_total", "First responses that were given to copies."),
		storeErrors: counter("store_errors_total",
			"Times that the ledger did not answer: when it was asked for a claim, or at the commit.", "step", "policy"),
		inProgress: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: prefix + "requests_in_progress", Help: "Requests that came in and have no outcome yet.",
		}, []string{"name"}),
		handler: durations.Histogram(prefix+"handler_duration_seconds",
			"Time that requests spent in the handler, of those whose handler ran.", buckets, "name"),
		store: durations.Histogram(prefix+"store_duration_seconds",
			"Time that requests with a key took beside their handler: the ledger, and waiting for others.", buckets, "name"),
		known: map[string]*series{},
	}, nil
}

const prefix = "hapax_httpkey_"

func (m *Metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.requests, m.replayed, m.storeErrors, m.inProgress, m.handler, m.store}
}

// Describe is for registries: see [prometheus.Collector].
func (m *Metrics) Describe(to chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(to)
	}
}

// Collect is for registries: see [prometheus.Collector].
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(to)
	}
}

// Observer is what counts, for the options of any number of middlewares.
func (m *Metrics) Observer() httpkey.Observer {
	return httpkey.Observer{
		Begin: func(ctx context.Context, by *httpkey.Middleware, _ *http.Request) context.Context {
			m.of(by.Name()).inProgress.Inc()
			return ctx
		},
		End: func(ctx context.Context, e httpkey.Exchange) { m.of(e.Name).end(ctx, e) },
	}
}

// of finds the series of a middleware, or makes them.
func (m *Metrics) of(name string) *series {
	m.mu.RLock()
	s := m.known[name]
	m.mu.RUnlock()
	if s != nil {
		return s
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s = m.known[name]; s == nil {
		s = m.newSeries(name)
		m.known[name] = s
	}
	return s
}

// series are the metrics of one middleware. They are all there from the first request on,
// for the rate of what comes up later than that is wrong.
type series struct {
	exemplar func(context.Context) prometheus.Labels

	outcomes                 [hapax.Forfeited + 1]prometheus.Counter
	replayed                 prometheus.Counter
	unasked, open, committed prometheus.Counter // errors of the ledger
	inProgress               prometheus.Gauge
	handler, store           prometheus.Observer
}

func (m *Metrics) newSeries(name string) *series {
	s := &series{
		exemplar:   m.exemplar,
		replayed:   m.replayed.WithLabelValues(name),
		unasked:    m.storeErrors.WithLabelValues(name, "ask", "closed"),
		open:       m.storeErrors.WithLabelValues(name, "ask", "open"),
		committed:  m.storeErrors.WithLabelValues(name, "commit", "closed"),
		inProgress: m.inProgress.WithLabelValues(name),
		handler:    m.handler.WithLabelValues(name), store: m.store.WithLabelValues(name),
	}
	for o := hapax.Executed; o <= hapax.Nameless; o++ { // the others are inboxes'
		s.outcomes[o] = m.requests.WithLabelValues(name, o.String())
	}
	return s
}

// end counts a request that has ended.
func (s *series) end(ctx context.Context, e httpkey.Exchange) {
	s.inProgress.Dec()
	if e.Outcome < hapax.Executed || e.Outcome > hapax.Nameless {
		return // of a later version
	}
	s.outcomes[e.Outcome].Inc()
	switch {
	case e.Open:
		s.open.Inc()
	case e.Outcome == hapax.Doubtful:
		s.committed.Inc()
	case e.Outcome == hapax.Unanswered && ctx.Err() == nil:
		s.unasked.Inc()
	}
	if e.Replayed {
		s.replayed.Inc()
	}
	var labels prometheus.Labels
	if s.exemplar != nil {
		labels = s.exemplar(ctx)
	}
	if e.Worked > 0 {
		durations.Observe(s.handler, e.Worked, labels)
	}
	if e.Key != [32]byte{} {
		durations.Observe(s.store, e.Took-e.Worked, labels)
	}
}
