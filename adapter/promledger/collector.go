package promledger

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
)

// Ledger is what is shown: a [ledger.Ledger].
type Ledger interface{ Stats() ledger.Stats }

// New shows a ledger under that name, which is the label "ledger" of its metrics, so
// that a registry takes several. It may be asked from several goroutines at once, and
// also once the ledger is closed: then it shows nothing.
func New(name string, l Ledger) prometheus.Collector {
	desc := func(what, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("hapax_ledger_"+what, help, labels, prometheus.Labels{"ledger": name})
	}
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	return &collector{
		ledger:  l,
		answers: desc("answers_total", "Answers of the ledger since it was opened, by verdict.", "verdict"),
		ages: desc("duplicate_age_seconds",
			"Ages of duplicates: how long before them their first copy came, to the width of a generation."),
		reach: desc("reach_seconds", "How far back the ledger reaches: every id that came since then is remembered."),
		single: []metric{
			{desc("ids", "Ids that are remembered."), gauge, func(s *ledger.Stats) int64 { return s.Live }},
			{desc("cold_ids", "Of the ids that are remembered, those on disk and not in memory."), gauge, func(s *ledger.Stats) int64 { return s.LiveCold }},
			{desc("ids_forgotten_early_total", "Ids that were let go before their window ended, because a budget was reached."), counter, func(s *ledger.Stats) int64 { return s.EvictedLive }},
			{desc("claims", "Claims that are held, some of which may just have run out."), gauge, func(s *ledger.Stats) int64 { return s.Claims }},
			{desc("producers", "Producers whose numbers are remembered."), gauge, func(s *ledger.Stats) int64 { return s.Producers }},
			{desc("memory_bytes", "Bytes of memory that tables, filters and producers take."), gauge, func(s *ledger.Stats) int64 { return s.Memory }},
			{desc("disk_bytes", "Bytes of disk that files take."), gauge, func(s *ledger.Stats) int64 { return s.Disk }},
			{desc("failed", "1 if the ledger refuses all work until it is opened again."), gauge, func(s *ledger.Stats) int64 {
				if s.Failed != nil {
					return 1
				}
				return 0
			}},
		},
	}
}

type collector struct {
	ledger               Ledger
	answers, ages, reach *prometheus.Desc
	single               []metric
}

// metric is one number of a ledger.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(*ledger.Stats) int64
}

// Describe is for registries: see [prometheus.Collector].
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	to <- c.answers
	to <- c.ages
	to <- c.reach
	for _, m := range c.single {
		to <- m.desc
	}
}

// Collect is for registries: see [prometheus.Collector].
func (c *collector) Collect(to chan<- prometheus.Metric) {
	s := c.ledger.Stats()
	if s.Time.IsZero() { // it is closed
		return
	}
	for verdict, n := range map[hapax.Verdict]int64{
		hapax.Fresh: s.Fresh, hapax.Duplicate: s.Duplicates, hapax.Redelivered: s.Redelivered, hapax.InFlight: s.InFlight,
		hapax.Conflict: s.Conflicts, hapax.Late: s.Late, hapax.Stale: s.Stale,
	} {
		to <- prometheus.MustNewConstMetric(c.answers, prometheus.CounterValue, float64(n), verdict.String())
	}
	for _, m := range c.single {
		to <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(m.of(&s)))
	}
	if !s.Since.IsZero() {
		to <- prometheus.MustNewConstMetric(c.reach, prometheus.GaugeValue, max(s.Time.Sub(s.Since), 0).Seconds())
	}
	to <- c.histogram(&s)
}

// histogram is that of ages. Nobody knows their sum: it is told as if each were its
// bound.
func (c *collector) histogram(s *ledger.Stats) prometheus.Metric {
	var all uint64
	var sum float64
	buckets := make(map[float64]uint64, len(s.Ages))
	bounds := ledger.AgeBounds()
	for i, n := range s.Ages {
		all += uint64(max(n, 0))
		sum += float64(n) * bounds[min(i, len(bounds)-1)].Seconds()
		if i < len(bounds) {
			buckets[bounds[i].Seconds()] = all
		}
	}
	return prometheus.MustNewConstHistogram(c.ages, all, sum, buckets)
}
