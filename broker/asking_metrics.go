package broker

import (
	"fmt"
	"strconv"
)

// windowMetric is a metric of a topic's window.
type windowMetric struct {
	kind, name, help string
	more             []string // labels, beside the topic's
	of               func(w *WindowView) float64
}

// windowMetrics are those of each window, those of one name behind each other.
func windowMetrics() []windowMetric {
	const (
		records = "hapax_window_records_total"
		help    = "Records that the topic's window was asked about, by what it said: unique, duplicate, conflict (a known id with another value), missing (no id); and unasked: those that it was not asked about, while it was warming or, in shadow, full or failed, by which the others are too low."
	)
	return []windowMetric{
		{"counter", records, help, []string{"verdict", "unique"}, func(w *WindowView) float64 { return float64(w.Records.Unique) }},
		{"counter", records, help, []string{"verdict", "duplicate"}, func(w *WindowView) float64 { return float64(w.Records.Duplicates) }},
		{"counter", records, help, []string{"verdict", "conflict"}, func(w *WindowView) float64 { return float64(w.Records.Conflicts) }},
		{"counter", records, help, []string{"verdict", "missing"}, func(w *WindowView) float64 { return float64(w.Records.Missing) }},
		{"counter", records, help, []string{"verdict", "unasked"}, func(w *WindowView) float64 { return float64(w.Records.Unasked) }},
		{"counter", "hapax_window_ids_forgotten_early_total", "Ids that were let go before their window ended, because a budget was reached and hapax.window.full=evict.",
			nil, func(w *WindowView) float64 { return float64(w.Early) }},
		{"counter", "hapax_window_batches_refused_total", "Batches that were refused because a budget of the window was reached, and hapax.window.full=refuse or nothing could be let go.",
			nil, func(w *WindowView) float64 { return float64(w.Refused) }},
		{"gauge", "hapax_window_ids", "Ids that the topic remembers.", nil, func(w *WindowView) float64 { return float64(w.Live) }},
		{"gauge", "hapax_window_cold_ids", "Of the ids that the topic remembers, those on disk and not in memory.", nil, func(w *WindowView) float64 { return float64(w.Cold) }},
		{"gauge", "hapax_window_memory_bytes", "Bytes of memory that the topic's ids take.", nil, func(w *WindowView) float64 { return float64(w.Memory) }},
		{"gauge", "hapax_window_disk_bytes", "Bytes of disk that the topic's ids take, beside the log.", nil, func(w *WindowView) float64 { return float64(w.Disk) }},
		{"gauge", "hapax_window_log_bytes", "Bytes of the log's older files that stay for what the window may not have on disk yet: what a second brings, or, if it has failed, what it has yet to read.", nil, func(w *WindowView) float64 { return float64(w.Log) }},
		{"gauge", "hapax_window_reach_seconds", "How far back the window reaches: every id that came since then is remembered.", nil, func(w *WindowView) float64 { return w.Reach }},
		{"gauge", "hapax_window_warming_full", "1 if the window stays warming, and records pass, because its memory or disk is used up before it has read what is there: raise hapax.window.memory.bytes or hapax.window.disk.bytes, or shorten it.", nil, func(w *WindowView) float64 {
			if w.Short != "" {
				return 1
			}
			return 0
		}},
		{"gauge", "hapax_window_failed", "1 if the window has failed: the topic takes nothing (in shadow: records pass uncounted) until that is mended and the node is started again, or until hapax.identity is taken from it and set anew.", nil, func(w *WindowView) float64 {
			if w.Failed != "" {
				return 1
			}
			return 0
		}},
	}
}

// writeWindows writes what there is to know of topics' windows.
func writeWindows(e *exposition, topics []TopicView) {
	for _, m := range windowMetrics() {
		for i := range topics {
			if w := topics[i].Window; w != nil {
				e.begin(m.kind, m.name, m.help)
				e.value(m.name+labels(append([]string{"topic", topics[i].Name}, m.more...)...), m.of(w))
			}
		}
	}
	for i := range topics {
		if w := topics[i].Window; w != nil {
			writeAges(e, topics[i].Name, w.Ages)
		}
	}
}

// writeAges writes a histogram of the ages of duplicates, whose sum nobody knows.
func writeAges(e *exposition, topic string, ages []WindowAge) {
	const name = "hapax_window_duplicate_age_seconds"
	e.begin("histogram", name, "Ages of duplicates: how long before them their first copy came, or up to 1/128 of hapax.window.ms more (1/64 beside another bound, and all of it where the window is tumbling).")
	all := int64(0)
	for _, a := range ages {
		all += a.Duplicates
		le := "+Inf"
		if a.UpTo > 0 {
			le = strconv.FormatFloat(float64(a.UpTo)/1000, 'f', -1, 64)
		}
		e.value(name+"_bucket"+labels("topic", topic, "le", le), float64(all))
	}
	e.value(name+"_count"+labels("topic", topic), float64(all))
}

// value writes a line of the metric that was begun.
func (e *exposition) value(name string, v float64) {
	_, _ = fmt.Fprintf(e.w, "%s %s\n", name, strconv.FormatFloat(v, 'f', -1, 64))
}
