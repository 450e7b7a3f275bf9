package promkafkaproducer_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/hapaxmq/hapax/adapter/kafkaproducer"
	"github.com/hapaxmq/hapax/adapter/promkafkaproducer"
)

type stats kafkaproducer.Stats

func (s stats) Stats() kafkaproducer.Stats { return kafkaproducer.Stats(s) }

func TestCollector(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	for _, name := range []string{"payments", "orders"} {
		if err := r.Register(promkafkaproducer.New(name, stats{Published: 4, Again: 3, Refused: 2, Unknown: 1})); err != nil {
			t.Fatal(err)
		}
	}
	var text strings.Builder
	for _, m := range []struct {
		name, help string
		value      int
	}{
		{"published", "Records that the brokers answered for.", 4},
		{"again", "Tries of records that were not answered for, with the same ids.", 3},
		{"refused", "Records given up, for the brokers do not want them.", 2},
		{"unknown", "Records given up of which nobody knows whether they are there.", 1},
	} {
		name := "hapax_producer_" + m.name + "_records_total"
		fmt.Fprintf(&text, "# HELP %s %s\n# TYPE %s counter\n", name, m.help, name)
		for _, producer := range []string{"orders", "payments"} {
			fmt.Fprintf(&text, "%s{producer=%q} %d\n", name, producer, m.value)
		}
	}
	if err := testutil.GatherAndCompare(r, strings.NewReader(text.String())); err != nil {
		t.Error(err)
	}
}
