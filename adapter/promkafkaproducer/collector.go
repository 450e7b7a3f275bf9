package promkafkaproducer

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hapaxmq/hapax/adapter/kafkaproducer"
)

// Producer is what is shown: a [kafkaproducer.Producer].
type Producer interface{ Stats() kafkaproducer.Stats }

// New shows a producer under that name, which is the label "producer" of its metrics, so
// that a registry takes several. It may be asked from several goroutines at once.
func New(name string, p Producer) prometheus.Collector {
	c := &collector{producer: p}
	add := func(what, help string, of func(kafkaproducer.Stats) int64) {
		desc := prometheus.NewDesc("hapax_producer_"+what+"_records_total", help, nil, prometheus.Labels{"producer": name})
		c.counters = append(c.counters, counter{desc, of})
	}
	add("published", "Records that the brokers answered for.", func(s kafkaproducer.Stats) int64 { return s.Published })
	add("again", "Tries of records that were not answered for, with the same ids.", func(s kafkaproducer.Stats) int64 { return s.Again })
	add("refused", "Records given up, for the brokers do not want them.", func(s kafkaproducer.Stats) int64 { return s.Refused })
	add("unknown", "Records given up of which nobody knows whether they are there.", func(s kafkaproducer.Stats) int64 { return s.Unknown })
	return c
}

type collector struct {
	producer Producer
	counters []counter
}

type counter struct {
	desc *prometheus.Desc
	of   func(kafkaproducer.Stats) int64
}

// Describe is for registries: see [prometheus.Collector].
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, n := range c.counters {
		to <- n.desc
	}
}

// Collect is for registries: see [prometheus.Collector].
func (c *collector) Collect(to chan<- prometheus.Metric) {
	s := c.producer.Stats()
	for _, n := range c.counters {
		to <- prometheus.MustNewConstMetric(n.desc, prometheus.CounterValue, float64(n.of(s)))
	}
}
