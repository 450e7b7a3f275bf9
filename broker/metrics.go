package broker

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/batch"
)

// counters count since the node was opened.
type counters struct {
	connections  atomic.Int64 // now
	accepted     atomic.Uint64
	requests     [maxKey]atomic.Uint64
	logins       atomic.Uint64
	loginsFailed atomic.Uint64
	bytesIn      atomic.Uint64
	bytesOut     atomic.Uint64 // of batches

	batches  atomic.Uint64 // appended
	records  atomic.Uint64 // in them
	repeated atomic.Uint64 // batches that a producer sent again
	refused  atomic.Uint64 // batches
	commits  atomic.Uint64 // of transactions
	aborts   atomic.Uint64
}

// produced counts a batch of a producer.
func (c *counters) produced(h *batch.Header, repeat bool, err error) {
	switch {
	case err != nil:
		c.refused.Add(1)
	case repeat:
		c.repeated.Add(1)
	default:
		c.batches.Add(1)
		c.records.Add(uint64(h.Count))
	}
}

func (c *counters) ended(commit bool) {
	if commit {
		c.commits.Add(1)
	} else {
		c.aborts.Add(1)
	}
}

// maxKey is above the keys of all requests.
const maxKey = 128

func (c *counters) write(e *exposition) {
	e.gauge("hapax_connections", uint64(max(c.connections.Load(), 0)))
	for _, counted := range []struct {
		name string
		n    *atomic.Uint64
	}{
		{"hapax_connections_accepted_total", &c.accepted},
		{`hapax_logins_total{result="ok"}`, &c.logins},
		{`hapax_logins_total{result="failed"}`, &c.loginsFailed},
		{"hapax_request_bytes_total", &c.bytesIn},
		{"hapax_fetched_bytes_total", &c.bytesOut},
		{`hapax_batches_total{result="appended"}`, &c.batches},
		{`hapax_batches_total{result="repeated"}`, &c.repeated},
		{`hapax_batches_total{result="refused"}`, &c.refused},
		{"hapax_records_appended_total", &c.records},
		{`hapax_transactions_ended_total{result="committed"}`, &c.commits},
		{`hapax_transactions_ended_total{result="aborted"}`, &c.aborts},
	} {
		e.counter(counted.name, counted.n.Load())
	}
	for key := range c.requests {
		if n := c.requests[key].Load(); n > 0 {
			e.counter("hapax_requests_total"+labels("api", kmsg.NameForKey(int16(key))), n)
		}
	}
}

func (v viewer) writeMetrics(w io.Writer) {
	e := &exposition{w: w}
	v.b.counters.write(e)
	v.b.memory.write(e)
	v.b.cleaner.counts.write(e)
	n := v.node()
	failed := uint64(0)
	if n.Log.Failed != "" {
		failed = 1
	}
	e.gauge("hapax_log_read_only", failed)
	e.gauge("hapax_log_unsynced_bytes", uint64(n.Log.Unsynced))
	e.gauge("hapax_log_files", uint64(n.Log.Files))
	e.gauge("hapax_topics", uint64(n.Topics))
	e.gauge("hapax_groups", uint64(n.Groups))
	e.gauge("hapax_transactional_ids", uint64(n.Transactions.IDs))
	e.gauge("hapax_transactions_open", uint64(n.Transactions.Open))
	topics := v.topics()
	for _, gauge := range []struct {
		name string
		of   func(p PartitionView) int64
	}{
		{"hapax_partition_start_offset", func(p PartitionView) int64 { return p.Start }},
		{"hapax_partition_high_watermark", func(p PartitionView) int64 { return p.High }},
		{"hapax_partition_last_stable_offset", func(p PartitionView) int64 { return p.Stable }},
		{"hapax_partition_bytes", func(p PartitionView) int64 { return p.Bytes }},
	} {
		for _, t := range topics {
			for i, p := range t.Partitions {
				e.gauge(gauge.name+labels("topic", t.Name, "partition", strconv.Itoa(i)), uint64(gauge.of(p)))
			}
		}
	}
	writeWindows(e, topics)
	for _, g := range v.groups() {
		for _, o := range g.Offsets {
			e.gauge("hapax_group_lag"+labels("group", g.Name, "topic", o.Topic, "partition", fmt.Sprint(o.Partition)), uint64(o.Lag))
		}
	}
	metrics.ExposeMetadata(true)
	metrics.WriteProcessMetrics(w)
}

// exposition writes metrics in Prometheus' text format: those of one name follow
// each other behind one line of its kind, for some readers refuse all of it
// otherwise. That a reader is gone is nothing to it.
type exposition struct {
	w    io.Writer
	last string // name
}

func (e *exposition) counter(name string, value uint64) { e.write("counter", name, value) }

func (e *exposition) gauge(name string, value uint64) { e.write("gauge", name, value) }

func (e *exposition) write(kind, name string, value uint64) {
	bare, _, _ := strings.Cut(name, "{")
	e.begin(kind, bare, "")
	_, _ = fmt.Fprintf(e.w, "%s %d\n", name, value)
}

// begin says what follows, unless it is more of the same.
func (e *exposition) begin(kind, bare, help string) {
	if bare == e.last {
		return
	}
	e.last = bare
	if help != "" {
		_, _ = fmt.Fprintf(e.w, "# HELP %s %s\n", bare, help)
	}
	_, _ = fmt.Fprintf(e.w, "# TYPE %s %s\n", bare, kind)
}

// labels are names and values, behind each other, as the format has them: it knows
// these escapes and no others, and UTF-8 alone.
func labels(pairs ...string) string {
	text := ""
	for i := 0; i+1 < len(pairs); i += 2 {
		value := strings.ToValidUTF8(pairs[i+1], "\uFFFD")
		if strings.ContainsAny(value, "\\\"\n") { // seldom, and a replacer takes long to make
			value = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(value)
		}
		text += "," + pairs[i] + `="` + value + `"`
	}
	return "{" + text[1:] + "}"
}
