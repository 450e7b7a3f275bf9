package promrelay

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hapaxmq/hapax/outbox/relay"
)

// Relay is what is shown: a [relay.Relay].
type Relay interface{ Stats() relay.Stats }

// Outbox is what it relays: that of package pgxdb or sqldb.
type Outbox interface {
	Pending(ctx context.Context) (relay.Pending, error)
}

const (
	fresh   = 5 * time.Second // how long what was counted counts at least
	share   = 20              // and so many times as long as counting it took
	timeout = 10 * time.Second
)

// New shows a relay and its outbox under that name, which is the label "outbox" of their
// metrics, so that a registry takes several. It may be asked from several goroutines at once.
func New(name string, r Relay, o Outbox) prometheus.Collector {
	desc := func(what, help string) *prometheus.Desc {
		return prometheus.NewDesc("hapax_outbox_"+what, help, nil, prometheus.Labels{"outbox": name})
	}
	return &collector{
		relay: r, outbox: o,
		published: desc("published_records_total", "Records that this relay published."),
		batches:   desc("published_batches_total", "Batches that those records were in."),
		setAside:  desc("set_aside_records_total", "Records that this relay set aside, for the destination refused them."),
		takeovers: desc("takeovers_total", "Shards that this relay took from others whose leases had ended."),
		failures:  desc("relay_errors_total", "Errors of this relay, after each of which it tries again."),
		lag:       desc("publish_lag_seconds", "Time from when a record was put until it was published, of those that this relay sealed."),
		shards:    desc("relay_shards", "Shards that this relay works on."),
		pending:   desc("pending_records", "Records in the outbox, those that were set aside too."),
		faulty:    desc("faulty_records", "Records in the outbox that were set aside."),
		oldest:    desc("oldest_pending_seconds", "Age of the oldest record in the outbox."),
	}
}

type collector struct {
	relay  Relay
	outbox Outbox

	published, batches, setAside, takeovers, failures, lag, shards *prometheus.Desc
	pending, faulty, oldest                                        *prometheus.Desc

	mu    sync.Mutex
	held  relay.Pending
	known bool      // held is what the outbox held
	until time.Time // when it is read again
}

// Describe is for registries: see [prometheus.Collector].
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.published, c.batches, c.setAside, c.takeovers, c.failures, c.lag, c.shards, c.pending, c.faulty, c.oldest,
	} {
		to <- d
	}
}

// Collect is for registries: see [prometheus.Collector].
func (c *collector) Collect(to chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, kind prometheus.ValueType, value float64) {
		to <- prometheus.MustNewConstMetric(d, kind, value)
	}
	s := c.relay.Stats()
	tell(c.published, prometheus.CounterValue, float64(s.Records))
	tell(c.batches, prometheus.CounterValue, float64(s.Batches))
	tell(c.setAside, prometheus.CounterValue, float64(s.Faulty))
	tell(c.takeovers, prometheus.CounterValue, float64(s.Takeovers))
	tell(c.failures, prometheus.CounterValue, float64(s.Failures))
	tell(c.shards, prometheus.GaugeValue, float64(s.Shards))
	to <- c.histogram(&s)
	if held, ok := c.read(); ok {
		tell(c.pending, prometheus.GaugeValue, float64(held.Records))
		tell(c.faulty, prometheus.GaugeValue, float64(held.Faulty))
		tell(c.oldest, prometheus.GaugeValue, held.Oldest.Seconds())
	}
}

func (c *collector) histogram(s *relay.Stats) prometheus.Metric {
	buckets, all := map[float64]uint64{}, uint64(0)
	bounds := relay.LagBounds()
	for i, n := range s.Lags {
		all += uint64(max(n, 0))
		if i < len(bounds) {
			buckets[bounds[i].Seconds()] = all
		}
	}
	return prometheus.MustNewConstHistogram(c.lag, all, s.Lag.Seconds(), buckets)
}

// read tells what the outbox holds, or did a moment ago.
func (c *collector) read() (relay.Pending, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if began := time.Now(); began.After(c.until) {
		ctx, end := context.WithTimeout(context.Background(), timeout)
		held, err := c.outbox.Pending(ctx)
		end()
		c.held, c.known = held, err == nil
		c.until = time.Now().Add(max(fresh, share*time.Since(began)))
	}
	return c.held, c.known
}
