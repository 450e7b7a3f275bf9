package broker

import (
	"math/rand"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/batch"
)

// crawl reads a partition as a client does that goes on behind the last record it was
// given, and by one offset if it was given none. It returns the offsets of the records,
// and how often it asked.
func (w *wire) crawl(topic string, to int64, most int32) (offsets []int64, asked int) {
	w.Helper()
	for next := int64(0); next < to; asked++ {
		req := kmsg.NewPtrFetchRequest()
		req.MaxBytes = most
		p := kmsg.NewFetchRequestTopicPartition()
		p.FetchOffset, p.PartitionMaxBytes = next, most
		req.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
		d := ask[*kmsg.FetchResponse](w, 11, req).Topics[0].Partitions[0]
		if d.ErrorCode != 0 {
			w.Fatalf("offset %d: error %d", next, d.ErrorCode)
		}
		got := false
		for b := d.RecordBatches; len(b) > 0; {
			h, err := batch.ReadHeader(b)
			if err != nil {
				w.Fatal(err)
			}
			if h.Size() > len(b) {
				break
			}
			var decoder batch.Decoder
			for r, err := range decoder.Records(b[:h.Size()]) {
				if err != nil {
					w.Fatal(err)
				}
				if at := h.BaseOffset + int64(r.OffsetDelta); at >= next {
					offsets, next, got = append(offsets, at), at+1, true
				}
			}
			b = b[h.Size():]
		}
		if !got {
			next++
		}
	}
	return offsets, asked
}

// A client that goes on behind the last record it was given, and not behind the
// batch, is given what is next across any gap at once: in old records that were put
// together too.
func TestNoCrawlAcrossGaps(t *testing.T) {
	for _, most := range []int32{1, 500, 1 << 20} {
		n := start(t)
		n.makeTopic("orders", 1, map[string]string{"hapax.identity": "header:id", "hapax.window.ms": "3600000"})
		w, r := n.wire(), rand.New(rand.NewSource(2))
		var want []int64
		var end int64
		seen := make(map[int]bool)
		for i := range 300 {
			ids := make([]int, 1+r.Intn(8))
			for k := range ids {
				ids[k] = r.Intn(1 + i)
			}
			h := batch.Header{ProducerID: batch.None, Attributes: batch.Attributes(0).With(batch.Codec(r.Intn(5)))}
			if i == 299 {
				ids = []int{300} // the end of what is there is reached by its batch
			}
			d := w.produced("orders", named(t, h, ids...))
			if d.ErrorCode != 0 || d.BaseOffset != end {
				t.Fatalf("%+v", d)
			}
			for k, id := range ids {
				if !seen[id] {
					want = append(want, end+int64(k))
				}
				seen[id] = true
			}
			end += int64(len(ids))
		}
		for _, tidy := range []bool{false, true} {
			if tidy {
				n.restart()
				n.clean()
				if n.broker.cleaner.counts.regrouped.Load() == 0 {
					t.Error("nothing was put together")
				}
			}
			got, asked := n.wire().crawl("orders", end, most)
			if !slices.Equal(got, want) {
				t.Errorf("most %d: offsets %v, want %v", most, got, want)
			}
			if asked > len(want) {
				t.Errorf("most %d: %d records in %d requests", most, len(want), asked)
			}
		}
	}
}

// given are the batches that a fetch is given.
func (w *wire) given(topic string, version int16, offset int64) (all []batch.Header) {
	w.Helper()
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes = 1 << 20
	p := kmsg.NewFetchRequestTopicPartition()
	p.FetchOffset, p.PartitionMaxBytes = offset, 1<<20
	req.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	for b := ask[*kmsg.FetchResponse](w, version, req).Topics[0].Partitions[0].RecordBatches; len(b) > 0; {
		h, err := batch.ReadHeader(b)
		if err != nil {
			w.Fatal(err)
		}
		all, b = append(all, h), b[h.Size():]
	}
	return all
}

// Batches without records are not given. Where nothing is behind them a control record
// is, at their last offset; to clients that may not know what that is the last batch.
func TestBatchesWithoutRecords(t *testing.T) {
	n := start(t)
	n.makeTopic("orders", 1, map[string]string{"hapax.identity": "header:id", "hapax.window.ms": "3600000"})
	w := n.wire()
	for _, ids := range [][]int{{1, 2}, {1, 2}, {2}, {3}, {1, 3, 2}, {3}} { // at 0, 2, 4, 5, 6, 9
		if d := w.produced("orders", named(t, batch.Header{ProducerID: batch.None}, ids...)); d.ErrorCode != 0 {
			t.Fatalf("%+v", d)
		}
	}
	if got := w.given("orders", 11, 0); len(got) != 2 || got[0].BaseOffset != 0 || got[1].BaseOffset != 5 {
		t.Errorf("from 0 on: %+v", got)
	}
	if got := w.given("orders", 11, 6); len(got) != 1 || !got[0].Attributes.Has(batch.Control) || got[0].BaseOffset != 9 {
		t.Errorf("behind all records: %+v", got)
	}
	if got := w.given("orders", 10, 6); len(got) != 1 || got[0].Count != 0 || got[0].BaseOffset != 9 {
		t.Errorf("behind all records, to an old client: %+v", got)
	}
}

// Old clients are not given batches without records of what was put together either,
// but for the last one.
func TestRunsAreSplitForOldClients(t *testing.T) {
	n := start(t)
	n.makeTopic("orders", 1, map[string]string{"hapax.identity": "header:id", "hapax.window.ms": "3600000"})
	w := n.wire()
	var want []int64 // where batches with records begin
	for i := range int64(200) {
		id := int(i)
		if i%3 != 0 && i < 190 || i == 199 { // a copy
			id = 0
		} else {
			want = append(want, i)
		}
		if d := w.produced("orders", named(t, batch.Header{ProducerID: batch.None}, id)); d.ErrorCode != 0 {
			t.Fatalf("%+v", d)
		}
	}
	n.restart()
	n.clean()
	if n.broker.cleaner.counts.regrouped.Load() == 0 {
		t.Fatal("nothing was put together")
	}
	w = n.wire()
	for from := int64(0); from < 199; from += 7 {
		var got []int64
		for _, h := range w.given("orders", 10, from) {
			if h.Count == 0 {
				t.Fatalf("from %d on: a batch without records at %d", from, h.BaseOffset)
			}
			got = append(got, h.BaseOffset)
		}
		if at, _ := slices.BinarySearch(want, from); !slices.Equal(got, want[at:]) {
			t.Errorf("from %d on: batches at %v, want %v", from, got, want[at:])
		}
	}
	if got := w.given("orders", 10, 199); len(got) != 1 || got[0].Count != 0 || got[0].BaseOffset != 199 {
		t.Errorf("behind all records: %+v", got)
	}
}
