package prominbox

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/internal/durations"
)

// Options of which the zero value is good.
type Options struct {
	// Buckets are the upper bounds of both histograms of durations, in seconds and
	// rising. The default goes from half a millisecond to a minute. Servers that take
	// native histograms get these as well, ten buckets or so to each doubling.
	Buckets []float64
	// Exemplar gives labels that lead from a duration to one delivery, such as its
	// trace's id, out of the context of its handler: of 128 characters at most, all names
	// and values together. Nil, from it or instead of it: none.
	Exemplar func(context.Context) prometheus.Labels
}

// Metrics counts what inboxes do. Its methods may be called from several goroutines at
// once.
type Metrics struct {
	exemplar func(context.Context) prometheus.Labels

	deliveries, cached, reruns, storeErrors *prometheus.CounterVec
	inProgress                              *prometheus.GaugeVec
	handler, store, age                     *prometheus.HistogramVec

	mu    sync.RWMutex
	known map[handler]*series // one a handler of this program
}

// handler is an inbox as its metrics name it.
type handler struct {
	name      string
	guarantee inbox.Guarantee
}

// New makes metrics of no inbox yet. It registers nothing.
func New(o Options) (*Metrics, error) {
	buckets, err := durations.Buckets(o.Buckets)
	if err != nil {
		return nil, err
	}
	return &Metrics{
		exemplar:   o.Exemplar,
		deliveries: counter("deliveries_total", "Messages that came in, by what became of them.", "guarantee", "outcome"),
		cached:     counter("cached_deliveries_total", "Deliveries that were answered from memory, without asking the store."),
		reruns:     counter("handler_reruns_total", "Runs of handlers beyond the first of their delivery, in a new transaction."),
		storeErrors: counter("store_errors_total",
			"Times that the store did not answer: when it was asked for a mark or claim, or at the commit.", "step", "policy"),
		inProgress: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: prefix + "deliveries_in_progress", Help: "Messages that came in and have no outcome yet.",
		}, []string{"inbox", "guarantee"}),
		handler: histogram("handler_duration_seconds",
			"Time that deliveries spent in the handler, all runs together, of those whose handler ran.", buckets),
		store: histogram("store_duration_seconds",
			"Time that deliveries took beside their handler: the store, and waiting for others. Without what was answered from memory.", buckets),
		age: histogram("duplicate_age_seconds",
			"Ages of duplicates: how long before they came the time was that they carry. Without those that carry none.", ages()),
		known: map[handler]*series{},
	}, nil
}

const prefix = "hapax_inbox_"

func counter(name, text string, more ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: text}, append([]string{"inbox"}, more...))
}

func histogram(name, text string, buckets []float64) *prometheus.HistogramVec {
	return durations.Histogram(prefix+name, text, buckets, "inbox")
}

// ages are the bounds by which the embedded ledger and the broker tell ages apart.
func ages() []float64 {
	const minute, hour, day = 60, 3_600, 86_400
	return []float64{1, 10, minute, 5 * minute, 15 * minute, hour, 6 * hour, day, 7 * day, 30 * day}
}

func (m *Metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.deliveries, m.cached, m.reruns, m.storeErrors, m.inProgress, m.handler, m.store, m.age}
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

// Observer is what counts, for the options of any number of inboxes.
func (m *Metrics) Observer() inbox.Observer {
	return inbox.Observer{
		Begin: func(ctx context.Context, in *inbox.Inbox, _ *hapax.Message) context.Context {
			m.of(handler{in.Name(), in.Guarantee()}).inProgress.Inc()
			return ctx
		},
		End: func(ctx context.Context, d inbox.Delivery) {
			m.of(handler{d.Inbox, d.Guarantee}).end(ctx, d)
		},
	}
}

// of finds the series of a handler, or makes them.
func (m *Metrics) of(h handler) *series {
	m.mu.RLock()
	s := m.known[h]
	m.mu.RUnlock()
	if s != nil {
		return s
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s = m.known[h]; s == nil {
		s = m.newSeries(h)
		m.known[h] = s
	}
	return s
}

// series are the metrics of one handler. They are all there from the first delivery on,
// for the rate of what comes up later than that is wrong.
type series struct {
	exemplar func(context.Context) prometheus.Labels

	outcomes                 [hapax.Forfeited + 1]prometheus.Counter
	cached, reruns           prometheus.Counter
	unasked, open, committed prometheus.Counter // errors of the store
	inProgress               prometheus.Gauge
	handler, store, age      prometheus.Observer
}

func (m *Metrics) newSeries(h handler) *series {
	s := &series{
		exemplar: m.exemplar,
		cached:   m.cached.WithLabelValues(h.name), reruns: m.reruns.WithLabelValues(h.name),
		inProgress: m.inProgress.WithLabelValues(h.name, h.guarantee.String()),
		handler:    m.handler.WithLabelValues(h.name), store: m.store.WithLabelValues(h.name),
		age: m.age.WithLabelValues(h.name),
	}
	for o := hapax.Executed; o <= hapax.Forfeited; o++ {
		s.outcomes[o] = m.deliveries.WithLabelValues(h.name, h.guarantee.String(), o.String())
	}
	s.unasked = m.storeErrors.WithLabelValues(h.name, "ask", "closed")
	s.open = m.storeErrors.WithLabelValues(h.name, "ask", "open")
	s.committed = m.storeErrors.WithLabelValues(h.name, "commit", "closed")
	return s
}

// end counts a delivery that has ended.
func (s *series) end(ctx context.Context, d inbox.Delivery) {
	s.inProgress.Dec()
	if d.Outcome < hapax.Executed || d.Outcome > hapax.Forfeited {
		return // of a later version
	}
	s.outcomes[d.Outcome].Inc()
	switch {
	case d.Open:
		s.open.Inc()
	case d.Outcome == hapax.Doubtful:
		s.committed.Inc()
	case d.Outcome == hapax.Unanswered && !errors.Is(d.Err, inbox.ErrClosed) && ctx.Err() == nil:
		s.unasked.Inc()
	}
	if d.Runs > 1 {
		s.reruns.Add(float64(d.Runs - 1))
	}
	var labels prometheus.Labels
	if s.exemplar != nil {
		labels = s.exemplar(ctx)
	}
	if d.Runs > 0 {
		durations.Observe(s.handler, d.Worked, labels)
	}
	if d.Cached {
		s.cached.Inc()
	} else {
		durations.Observe(s.store, d.Took-d.Worked, labels)
	}
	if at := d.Message.Time; d.Outcome == hapax.Replayed && !at.IsZero() {
		durations.Observe(s.age, time.Since(at)-d.Took, labels)
	}
}
