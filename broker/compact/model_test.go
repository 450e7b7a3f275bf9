package compact

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/hapaxmq/hapax/broker/batch"
)

// written is a record as it was produced.
type written struct {
	key, value []byte
	time       int64
	fate       *fate
}

// fate is what becomes of a transaction; nil is none.
type fate struct{ open, aborted bool }

func (w written) committed() bool { return w.fate == nil || !w.fate.open && !w.fate.aborted }

// model is a partition: its batches, and all that was ever in it.
type model struct {
	*rapid.T
	batches [][]byte
	end     int64
	clean   int64
	now     int64
	encoder batch.Encoder

	records map[int64]written
	aborted Transactions
	last    map[int64]Last
	open    map[int64]*fate
	first   map[int64]int64
	next    map[int64]int32 // sequence numbers
}

const retention = 100

func newModel(t *rapid.T) *model {
	return &model{
		T: t, now: 1000, records: make(map[int64]written), aborted: make(Transactions), last: make(map[int64]Last),
		open: make(map[int64]*fate), first: make(map[int64]int64), next: make(map[int64]int32),
	}
}

// produce appends a batch.
func (m *model) produce() {
	m.now += rapid.Int64Range(0, 20).Draw(m.T, "later")
	h := batch.Header{BaseOffset: m.end, BaseTimestamp: m.now, ProducerID: batch.None, ProducerEpoch: batch.None, BaseSequence: batch.None}
	h.Attributes = h.Attributes.With(rapid.SampledFrom([]batch.Codec{batch.Plain, batch.LZ4, batch.Zstd}).Draw(m.T, "codec"))
	var of *fate
	id := rapid.Int64Range(-1, 3).Draw(m.T, "producer")
	count := rapid.Int32Range(1, 4).Draw(m.T, "records")
	if id >= 0 {
		h.ProducerID, h.ProducerEpoch, h.BaseSequence = id, 0, m.next[id]
		m.next[id] += count
		m.last[id] = Last{Offset: m.end}
		if id >= 2 {
			h.Attributes |= batch.Transactional
			if of = m.open[id]; of == nil {
				of = &fate{open: true}
				m.open[id], m.first[id] = of, m.end
			}
		}
	}
	records := make([]batch.Record, count)
	for i := range records {
		r := batch.Record{OffsetDelta: int32(i), TimestampDelta: int64(i)}
		if key := rapid.IntRange(-1, 5).Draw(m.T, "key"); key >= 0 {
			r.Key = fmt.Append(nil, "key", key)
		}
		if rapid.IntRange(0, 2).Draw(m.T, "value") > 0 {
			r.Value = fmt.Append(nil, "value", m.end+int64(i))
			r.Headers = batch.MakeHeaders(batch.RecordHeader{Key: []byte("h"), Value: r.Value})
		}
		records[i] = r
		m.records[m.end+int64(i)] = written{r.Key, r.Value, m.now + int64(i), of}
	}
	b, err := m.encoder.Append(nil, h, records)
	if err != nil {
		m.Fatal(err)
	}
	m.batches = append(m.batches, b)
	m.end += int64(count)
}

// finish ends a transaction.
func (m *model) finish() {
	id := rapid.Int64Range(2, 3).Draw(m.T, "ended")
	of := m.open[id]
	abort := rapid.Bool().Draw(m.T, "abort")
	m.batches = append(m.batches, batch.AppendMarker(nil, batch.Marker{Offset: m.end, Time: m.now, ProducerID: id, Commit: !abort}))
	if of != nil {
		of.open, of.aborted = false, abort
		if delete(m.open, id); abort {
			m.aborted.Add(id, Span{m.first[id], m.end})
		}
	}
	if _, ok := m.last[id]; !ok {
		m.last[id] = Last{Offset: batch.None}
	}
	m.end++
}

// compact is one pass, up to an offset below which no transaction is open.
func (m *model) compact() {
	limit := m.end
	for id := range m.open {
		limit = min(limit, m.first[id])
	}
	latest := NewLatest(rapid.Int64Range(0, 8*keyBytes).Draw(m.T, "memory"), m.aborted)
	to := m.clean
	for _, b := range m.batches {
		h, _ := batch.ReadHeader(b) // it was written here
		if h.LastOffset() < m.clean {
			continue
		}
		if h.LastOffset() >= limit || latest.Full() || rapid.IntRange(0, 30).Draw(m.T, "stop") == 0 {
			break
		}
		latest.Add(b)
		to = h.LastOffset() + 1
	}
	f := Filter{Latest: latest, Aborted: m.aborted, Producers: m.last, Now: m.now, Retention: retention}
	var left [][]byte
	for _, b := range m.batches {
		h, _ := batch.ReadHeader(b) // it was written here
		if h.LastOffset() >= to {
			left = append(left, b)
			continue
		}
		grown, same, err := f.Append(nil, b)
		if err != nil {
			m.Fatal(err)
		}
		if same != bytes.Equal(grown, b) {
			m.Fatalf("same is %v", same)
		}
		if len(grown) > 0 {
			left = append(left, grown)
		}
	}
	m.batches, m.clean = left, to
}

// check reads all there is, and demands that it is what was written, all of what a
// reader of committed records needs, and no more than may be.
func (m *model) check() {
	found, headers := make(map[int64]bool), make(map[int64]bool)
	last := int64(-1)
	var d batch.Decoder
	for _, b := range m.batches {
		h, err := batch.ReadHeader(b)
		if err != nil || !batch.Intact(b) || h.BaseOffset <= last {
			m.Fatalf("batch at %d behind %d: %v", h.BaseOffset, last, err)
		}
		last = h.LastOffset()
		headers[h.BaseOffset] = true
		for r, err := range d.Records(b) {
			if err != nil {
				m.Fatal(err)
			}
			if h.Attributes.Has(batch.Control) {
				continue
			}
			offset := h.BaseOffset + int64(r.OffsetDelta)
			w, ok := m.records[offset]
			if !ok || !bytes.Equal(w.key, r.Key) || !bytes.Equal(w.value, r.Value) || (w.value == nil) != (r.Value == nil) ||
				w.time != h.BaseTimestamp+r.TimestampDelta || r.Value != nil && r.Headers.Len() != 1 {
				m.Fatalf("offset %d: %q=%q at %d, want %+v", offset, r.Key, r.Value, h.BaseTimestamp+r.TimestampDelta, w)
			}
			found[offset] = true
		}
	}
	for id, l := range m.last {
		if l.Offset != batch.None && !headers[l.Offset] {
			m.Fatalf("the last batch of producer %d, at %d, is gone", id, l.Offset)
		}
	}
	m.checkKeys(found)
}

func (m *model) checkKeys(found map[int64]bool) {
	newest := make(map[string]int64) // of all, and of what is clean; records are up to 3 ms ahead of the clock
	clean := make(map[string]int64)
	for offset := range m.end {
		w, ok := m.records[offset]
		switch {
		case !ok:
		case offset >= m.clean:
			if !found[offset] {
				m.Fatalf("offset %d is gone, and only below %d it is compacted", offset, m.clean)
			}
			fallthrough
		case w.committed() && w.key != nil:
			if w.committed() {
				newest[string(w.key)] = offset
			}
			if offset < m.clean {
				clean[string(w.key)] = offset
			}
		}
	}
	for key, offset := range newest {
		if w := m.records[offset]; !found[offset] && (w.value != nil || m.now < w.time-3+retention) {
			m.Fatalf("%s: its last value, %q at offset %d, is gone", key, w.value, offset)
		}
	}
	for offset := range found {
		if w := m.records[offset]; offset < m.clean && (!w.committed() || w.key == nil || clean[string(w.key)] != offset) {
			m.Fatalf("offset %d is still there: %+v", offset, w)
		}
	}
}

// Whatever was produced and however often it was compacted: each offset has what it
// ever had, each key its last committed value, and below what is clean nothing else.
func TestCompactionAgreesWithModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 6).Draw(t, "step") {
			case 0:
				m.finish()
			case 1:
				m.compact()
				m.check()
			case 2:
				m.now += rapid.Int64Range(0, 2*retention).Draw(t, "pause")
			default:
				m.produce()
			}
		}
		m.compact()
		m.check()
	})
}
