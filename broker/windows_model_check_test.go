package broker

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/broker/unique"
	"github.com/hapaxmq/hapax/ledgertest"
)

// expect compares what is in the log of records with what should be.
func (m *modelled) expect(all []*modelRecord, want map[int]modelStanding) {
	m.Helper()
	for _, x := range all {
		if !m.readable(x.at) {
			continue
		}
		got := m.readAll(m.partition(x.at.Partition), x.at.Offset, false)[x.at.Offset].text
		s, text := want[x.number], ""
		if s.topic == modelTopic {
			text = s.text
		}
		if got != text {
			m.Fatalf("%v with %+v stands as %q, want %q, which is %+v", x, m.fates, got, text, s)
		}
	}
}

// textOf is a record as it is compared, and its number.
func textOf(r *batch.Record) (number int, text string) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", r.Key, r.Value)
	for h := range r.Headers.All() {
		if fmt.Fprintf(&b, " %s=%s", h.Key, h.Value); string(h.Key) == "n" {
			_, _ = fmt.Sscan(string(h.Value), &number) // it is one
		}
	}
	return number, b.String()
}

// read is a record that was read.
type modelRead struct {
	number int
	text   string
}

// readAll reads a partition from an offset on.
func (m *modelled) readAll(p *partition.Partition, from int64, committed bool) map[int64]modelRead {
	m.Helper()
	all := make(map[int64]modelRead)
	for {
		found, err := p.Read(from, 1<<20, true, committed)
		if err != nil {
			m.Fatal(err)
		}
		if len(found.Extents) == 0 {
			return all
		}
		b, err := m.broker.records.load(found.Extents)
		if err != nil {
			m.Fatal(err)
		}
		err = eachBatch(b, func(one []byte) error {
			h, err := batch.ReadHeader(one)
			aborted := func(a partition.Aborted) bool {
				return h.Attributes.Has(batch.Transactional) && a.Producer == h.ProducerID && a.First <= h.BaseOffset && h.BaseOffset <= a.Last
			}
			if err != nil || h.Attributes.Has(batch.Control) || slices.ContainsFunc(found.Aborted, aborted) {
				return err
			}
			var d batch.Decoder
			for r, err := range d.Records(one) {
				if err != nil {
					return err
				}
				if offset := h.BaseOffset + int64(r.OffsetDelta); offset >= from {
					number, text := textOf(&r)
					all[offset] = modelRead{number, text}
				}
			}
			return nil
		})
		if err != nil {
			m.Fatal(err)
		}
		from = found.Extents[len(found.Extents)-1].Last + 1
	}
}

// checkFirsts compares what the window says of ids.
func (m *modelled) checkFirsts() {
	m.Helper()
	m.memory.SetTime(m.now())
	for print, first := range m.firsts {
		recall := m.memory.Recall(print)
		if recall == ledgertest.Open {
			continue
		}
		s, ok := m.ask(first.print)
		if ok != (recall == ledgertest.Kept) || ok && (placeOf(s.Position) != first.at || !s.First.Equal(first.came)) {
			m.Errorf("the first with %s is at %v since %v: %t, want %v since %v: %v", print, placeOf(s.Position), s.First, ok, first.at, first.came, recall)
		}
	}
}

// check compares what is read committed.
func (m *modelled) check() {
	m.Helper()
	m.settle()
	m.checkFirsts()
	want := maps.Clone(m.stands)
	maps.DeleteFunc(want, func(_ int, s modelStanding) bool { return s.topic == modelTopic && !m.readable(s.at) })
	got := make(map[int]modelStanding)
	for _, name := range []string{modelTopic, "copies", "others"} {
		if name == m.gone {
			continue
		}
		for i, p := range m.broker.topics.named(name).partitions {
			for offset, r := range m.readAll(p, p.Start(), true) {
				at := unique.Place{Partition: int32(i)}
				if name == modelTopic {
					at.Offset = offset
				}
				if was, twice := got[r.number]; twice {
					m.Errorf("record %d is there twice: %v, %v", r.number, was, modelStanding{name, at, r.text})
				}
				got[r.number] = modelStanding{name, at, r.text}
			}
		}
	}
	for _, number := range slices.Sorted(maps.Keys(want)) {
		if got[number] != want[number] && want[number].topic != anywhere {
			m.Errorf("record %d is %v, want %v", number, got[number], want[number])
		}
		delete(got, number)
	}
	for number, s := range got {
		m.Errorf("record %d is %v, want none", number, s)
	}
}
