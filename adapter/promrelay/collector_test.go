package promrelay_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/hapaxmq/hapax/adapter/promrelay"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// box is a relay and its outbox, with what they tell.
type box struct {
	stats   relay.Stats
	pending relay.Pending
	err     error
	reads   int
	takes   time.Duration
}

func (b *box) Stats() relay.Stats { return b.stats }

func (b *box) Pending(context.Context) (relay.Pending, error) {
	b.reads++
	<-time.After(b.takes)
	return b.pending, b.err
}

func registry(t *testing.T, b *box) *prometheus.Registry {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	for _, name := range []string{"payments", "orders"} {
		if err := r.Register(promrelay.New(name, b, b)); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestCollector(t *testing.T) {
	b := &box{
		stats:   relay.Stats{Shards: 1, Records: 6, Batches: 2, Faulty: 3, Takeovers: 4, Failures: 5, Lag: 90 * time.Second},
		pending: relay.Pending{Records: 8, Faulty: 7, Oldest: 1500 * time.Millisecond},
	}
	b.stats.Lags[0], b.stats.Lags[3], b.stats.Lags[len(b.stats.Lags)-1] = 1, 2, 3
	r := registry(t, b)
	var text strings.Builder
	for _, m := range []struct {
		name, help, kind string
		value            float64
	}{
		{"published_records_total", "Records that this relay published.", "counter", 6},
		{"published_batches_total", "Batches that those records were in.", "counter", 2},
		{"set_aside_records_total", "Records that this relay set aside, for the destination refused them.", "counter", 3},
		{"takeovers_total", "Shards that this relay took from others whose leases had ended.", "counter", 4},
		{"relay_errors_total", "Errors of this relay, after each of which it tries again.", "counter", 5},
		{"relay_shards", "Shards that this relay works on.", "gauge", 1},
		{"pending_records", "Records in the outbox, those that were set aside too.", "gauge", 8},
		{"faulty_records", "Records in the outbox that were set aside.", "gauge", 7},
		{"oldest_pending_seconds", "Age of the oldest record in the outbox.", "gauge", 1.5},
	} {
		name := "hapax_outbox_" + m.name
		fmt.Fprintf(&text, "# HELP %s %s\n# TYPE %s %s\n", name, m.help, name, m.kind)
		for _, outbox := range []string{"orders", "payments"} {
			fmt.Fprintf(&text, "%s{outbox=%q} %v\n", name, outbox, m.value)
		}
	}
	const lag = "hapax_outbox_publish_lag_seconds"
	fmt.Fprintf(&text, "# HELP %s Time from when a record was put until it was published, of those that this relay sealed.\n# TYPE %s histogram\n", lag, lag)
	for _, outbox := range []string{"orders", "payments"} {
		for i, bound := range relay.LagBounds() {
			fmt.Fprintf(&text, "%s_bucket{outbox=%q,le=\"%v\"} %d\n", lag, outbox, bound.Seconds(), 1+2*min(1, i/3))
		}
		fmt.Fprintf(&text, "%s_bucket{outbox=%q,le=\"+Inf\"} 6\n%s_sum{outbox=%q} 90\n%s_count{outbox=%q} 6\n", lag, outbox, lag, outbox, lag, outbox)
	}
	if err := testutil.GatherAndCompare(r, strings.NewReader(text.String())); err != nil {
		t.Error(err)
	}
}

// TestReads: the outbox is not read more often than it may be, and what it held is not told
// while it can't be read.
func TestReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &box{}
		r := prometheus.NewPedanticRegistry()
		if err := r.Register(promrelay.New("payments", b, b)); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			pass, takes time.Duration
			err         error
			reads       int
			told        int
		}{
			{0, 0, nil, 1, 1},
			{4 * time.Second, 0, nil, 1, 1},
			{2 * time.Second, time.Second, nil, 2, 1},
			{19 * time.Second, 0, nil, 2, 1},
			{2 * time.Second, 0, errors.New("away"), 3, 0},
			{6 * time.Second, 0, nil, 4, 1},
		} {
			<-time.After(step.pass)
			b.takes, b.err = step.takes, step.err
			told, err := testutil.GatherAndCount(r, "hapax_outbox_pending_records")
			if err != nil || told != step.told || b.reads != step.reads {
				t.Errorf("after %v: told %d of it, read %d times, %v, want %d and %d", step.pass, told, b.reads, err, step.told, step.reads)
			}
		}
	})
}
