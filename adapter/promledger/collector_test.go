package promledger_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/promledger"
	"github.com/hapaxmq/hapax/ledger"
)

// counted is a ledger that has counted so.
type counted struct{ stats ledger.Stats }

func (c counted) Stats() ledger.Stats { return c.stats }

func registry(t *testing.T, all ...prometheus.Collector) *prometheus.Registry {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	for _, c := range all {
		if err := r.Register(c); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestCollector(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := ledger.Stats{
		Fresh: 1, Duplicates: 2, Redelivered: 3, InFlight: 4, Conflicts: 5, Late: 6, Stale: 7,
		Live: 8, LiveCold: 9, EvictedLive: 10, Claims: 11, Producers: 12, Memory: 13, Disk: 14,
		Since: now.Add(-time.Hour), Time: now, Failed: errors.New("disk is gone"),
	}
	s.Ages[0], s.Ages[5], s.Ages[len(s.Ages)-1] = 1, 2, 1_000_000
	r := registry(t, promledger.New("sent", counted{s}))

	var text strings.Builder
	text.WriteString("# HELP hapax_ledger_answers_total Answers of the ledger since it was opened, by verdict.\n# TYPE hapax_ledger_answers_total counter\n")
	for i, v := range []hapax.Verdict{hapax.Fresh, hapax.Duplicate, hapax.Redelivered, hapax.InFlight, hapax.Conflict, hapax.Late, hapax.Stale} {
		fmt.Fprintf(&text, "hapax_ledger_answers_total{ledger=\"sent\",verdict=%q} %d\n", v.String(), i+1)
	}
	text.WriteString("# HELP hapax_ledger_duplicate_age_seconds Ages of duplicates: how long before them their first copy came, to the width of a generation.\n" +
		"# TYPE hapax_ledger_duplicate_age_seconds histogram\n")
	for i, bound := range ledger.AgeBounds() {
		n := 1
		if i >= 5 {
			n = 3
		}
		fmt.Fprintf(&text, "hapax_ledger_duplicate_age_seconds_bucket{ledger=\"sent\",le=\"%v\"} %d\n", bound.Seconds(), n)
	}
	text.WriteString("hapax_ledger_duplicate_age_seconds_bucket{ledger=\"sent\",le=\"+Inf\"} 1000003\n" +
		"hapax_ledger_duplicate_age_seconds_sum{ledger=\"sent\"} 2.592000007201e+12\n" +
		"hapax_ledger_duplicate_age_seconds_count{ledger=\"sent\"} 1000003\n" +
		"# HELP hapax_ledger_reach_seconds How far back the ledger reaches: every id that came since then is remembered.\n" +
		"# TYPE hapax_ledger_reach_seconds gauge\nhapax_ledger_reach_seconds{ledger=\"sent\"} 3600\n")
	if err := testutil.GatherAndCompare(r, strings.NewReader(text.String()),
		"hapax_ledger_answers_total", "hapax_ledger_duplicate_age_seconds", "hapax_ledger_reach_seconds"); err != nil {
		t.Error(err)
	}
	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range all {
		one := f.GetMetric()[0]
		got[strings.TrimPrefix(f.GetName(), "hapax_ledger_")] = one.GetGauge().GetValue() + one.GetCounter().GetValue()
	}
	for name, want := range map[string]float64{
		"ids": 8, "cold_ids": 9, "ids_forgotten_early_total": 10, "claims": 11, "producers": 12, "memory_bytes": 13, "disk_bytes": 14, "failed": 1,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if problems, err := testutil.GatherAndLint(r); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// Two ledgers share a registry, and one that is closed shows nothing.
func TestSeveral(t *testing.T) {
	open := func() *ledger.Ledger {
		l, err := ledger.Open(t.TempDir(), ledger.Options{Window: hapax.Window{Time: time.Hour}})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	a, b := open(), open()
	defer func() { _ = a.Close() }()
	r := registry(t, promledger.New("a", a), promledger.New("b", b))
	count := func() int {
		n, err := testutil.GatherAndCount(r, "hapax_ledger_ids")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(); n != 2 {
		t.Errorf("%d ledgers, want 2", n)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 1 {
		t.Errorf("%d ledgers with one closed, want 1", n)
	}
}
