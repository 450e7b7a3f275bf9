package main

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/hapaxmq/hapax/bench/peer"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/bench/stream"
)

// TestMain lets rows run this binary anew as their child.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && (os.Args[1] == "-child" || os.Args[1] == "-victim") {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestRowsAreMeasured(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	dir := t.TempDir()
	var out bytes.Buffer
	if err := suite().Run([]string{"-quick", "-rounds", "1", "-json", "-dir", dir, "-rows", "latency|cores|disk|opening|sequences"}, &out); err != nil {
		t.Fatal(err)
	}
	var got report.Report
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	lines := make(map[string]int)
	for _, l := range got.Lines {
		if l.Error != "" {
			t.Errorf("%s: %s", l.Work, l.Error)
		}
		lines[l.Row]++
	}
	for _, row := range []string{"latency", "cores", "disk", "opening", "sequences"} {
		if lines[row] == 0 {
			t.Errorf("row %s: no lines", row)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// The hot rows as benchmarks, for benchstat. An operation is one message.

func BenchmarkOneByOne(b *testing.B) {
	b.Run("hapax", func(b *testing.B) { benchmark(b, ledgerTaker(func(e *engine) take { return e.take })) })
	b.Run("bare", func(b *testing.B) { benchmark(b, bareTaker((*peer.Bare).Take)) })
	b.Run("map", func(b *testing.B) { benchmark(b, mapTaker) })
}

func BenchmarkBatches(b *testing.B) {
	b.Run("hapax", func(b *testing.B) {
		benchmark(b, ledgerTaker(func(e *engine) take { return e.batches(peer.BareBatch) }))
	})
	b.Run("bare", func(b *testing.B) { benchmark(b, bareTaker((*peer.Bare).TakeBatches)) })
}

// taker opens something that takes in up to room ids.
type taker func(b *testing.B, room int64) (t take, closeIt func() error)

func ledgerTaker(by func(*engine) take) taker {
	return func(b *testing.B, _ int64) (take, func() error) {
		e, err := openEngine(settings{})
		if err != nil {
			b.Fatal(err)
		}
		return by(e), e.close
	}
}

func bareTaker(by func(*peer.Bare, []stream.ID) (int, error)) taker {
	return func(b *testing.B, room int64) (take, func() error) {
		t, err := peer.NewBare(room)
		if err != nil {
			b.Fatal(err)
		}
		return func(ids []stream.ID) (int, error) { return by(t, ids) }, t.Close
	}
}

func mapTaker(_ *testing.B, room int64) (take, func() error) {
	return peer.NewMap(room).Take, func() error { return nil }
}

// benchmark takes in the stream from 4 M live ids to 5 M, and again.
func benchmark(b *testing.B, open taker) {
	const from, to = 4_000_000, 5_000_000
	s := stream.Tenth()
	var c *contestant
	closeIt := func() error { return nil }
	var spent float64
	b.StopTimer() // the passes alone count, so that b.N is chosen by them
	for left := b.N; left > 0; left -= portion {
		if c == nil || s.Fresh(c.at) > to-portion {
			if err := closeIt(); err != nil {
				b.Fatal(err)
			}
			c = &contestant{name: b.Name()}
			c.take, closeIt = open(b, to)
			if err := c.fill(s, from); err != nil {
				b.Fatal(err)
			}
		}
		n := int64(min(left, portion))
		b.StartTimer()
		d, err := c.pass(s, n)
		b.StopTimer()
		if err != nil {
			b.Fatal(err)
		}
		spent += float64(d)
	}
	if err := closeIt(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(spent/float64(b.N), "ns/op")
}
