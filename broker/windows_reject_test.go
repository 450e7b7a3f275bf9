package broker

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
)

// named makes a batch of records with ids.
func named(t *testing.T, h batch.Header, ids ...int) []byte {
	t.Helper()
	if h.ProducerID == batch.None {
		h.ProducerEpoch, h.BaseSequence = batch.None, batch.None
	}
	h.BaseTimestamp = 1_700_000_000_000
	var list []batch.Record
	for i, id := range ids {
		list = append(list, batch.Record{
			OffsetDelta: int32(i), Value: fmt.Append(nil, "value of ", id),
			Headers: batch.Headers{}.With(batch.RecordHeader{Key: []byte("id"), Value: fmt.Append(nil, id)}),
		})
	}
	var e batch.Encoder
	b, err := e.Append(nil, h, list)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A batch with records that a topic refuses is refused as a whole. The answer names
// those records, and the producer's sequence stays: without them the batch is next.
func TestRejectNamesRecords(t *testing.T) {
	n := start(t)
	n.makeTopic("orders", 1, map[string]string{"hapax.identity": "header:id", "hapax.window.ms": "3600000", "hapax.duplicates": "reject"})
	w := n.wire()
	send := func(sequence int32, ids ...int) kmsg.ProduceResponseTopicPartition {
		t.Helper()
		return w.produced("orders", named(t, batch.Header{ProducerID: 7, BaseSequence: sequence}, ids...))
	}
	if d := send(0, 1, 2, 3); d.ErrorCode != 0 || d.BaseOffset != 0 {
		t.Fatalf("%+v", d)
	}
	for range 2 {
		d := send(3, 4, 1, 5, 3, 4)
		if d.ErrorCode != int16(code.InvalidRecord) || d.BaseOffset != -1 {
			t.Fatalf("%+v", d)
		}
		var wrong []int32
		for _, r := range d.ErrorRecords {
			if wrong = append(wrong, r.RelativeOffset); r.ErrorMessage == nil || *r.ErrorMessage != "duplicate" {
				t.Errorf("%+v", r)
			}
		}
		if !slices.Equal(wrong, []int32{1, 3, 4}) {
			t.Errorf("refused records %v", wrong)
		}
	}
	if d := send(3, 4, 5); d.ErrorCode != 0 || d.BaseOffset != 3 {
		t.Errorf("%+v", d)
	}
	if d := send(0, 1, 2, 3); d.ErrorCode != 0 || d.BaseOffset != 0 {
		t.Errorf("a batch that is sent again is no batch of copies: %+v", d)
	}
}

// Copies that have nowhere to go are refused, and nothing of their batch is appended.
// Others pass, and other settings change.
func TestTopicOfCopiesIsGone(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.makeTopic("copies", 1, nil)
	n.makeTopic("orders", 1, map[string]string{"hapax.identity": "header:id", "hapax.window.ms": "3600000", "hapax.duplicates": "topic:copies"})
	if _, err := n.admin().DeleteTopic(ctx, "copies"); err != nil {
		t.Fatal(err)
	}
	n.alter("orders", map[string]string{"retention.ms": "1000000", "hapax.window.ms": "7200000"})
	anew := kadm.AlterConfig{Op: kadm.SetConfig, Name: "hapax.conflicts", Value: kmsg.StringPtr("topic:copies")}
	if done, err := n.admin().AlterTopicConfigs(ctx, []kadm.AlterConfig{anew}, "orders"); err != nil || !errors.Is(done[0].Err, kerr.InvalidConfig) {
		t.Errorf("conflicts are to go there too: %v, %v", err, done[0].Err)
	}
	w := n.wire()
	send := func(ids ...int) kmsg.ProduceResponseTopicPartition {
		t.Helper()
		return w.produced("orders", named(t, batch.Header{ProducerID: batch.None}, ids...))
	}
	if d := send(1, 2); d.ErrorCode != 0 {
		t.Fatalf("%+v", d)
	}
	d := send(3, 1)
	if d.ErrorCode != int16(code.InvalidConfig) || d.ErrorMessage == nil || !strings.Contains(*d.ErrorMessage, `topic "copies", which is gone`) {
		t.Errorf("%+v", d)
	}
	if d := send(3); d.ErrorCode != 0 || d.BaseOffset != 2 {
		t.Errorf("%+v", d)
	}
	n.makeTopic("copies", 1, nil)
	if d := send(3, 4); d.ErrorCode != 0 || d.BaseOffset != 3 {
		t.Errorf("%+v", d)
	}
	if r := n.recordsOf(ctx, "copies", 1)[0]; string(r.Value) != "value of 3" {
		t.Errorf("%s", r.Value)
	}
}

// bytesOf is all that the partition 0 of a topic has.
func (n *node) bytesOf(topic string) []byte {
	n.Helper()
	p := n.broker.topics.named(topic).partitions[0]
	found, err := p.Read(p.Start(), 1<<30, true, false)
	if err != nil {
		n.Fatal(err)
	}
	b, err := n.broker.records.load(found.Extents)
	if err != nil {
		n.Fatal(err)
	}
	return b
}

// A topic that only counts what its window would do has the same bytes, and answers
// alike, as one without a window.
func TestShadowChangesNothing(t *testing.T) {
	n := start(t)
	shadow := map[string]string{"hapax.identity": "header:id", "hapax.window.ms": "3600000", "hapax.mode": "shadow"}
	names := []string{"plain"}
	n.makeTopic("plain", 1, nil)
	n.makeTopic("copies", 1, nil)
	for _, fate := range []string{"drop", "mark", "reject", "topic:copies"} {
		set := maps.Clone(shadow)
		set["hapax.duplicates"], set["hapax.missing"] = fate, "reject"
		name := strings.ReplaceAll(fate, ":", "-")
		n.makeTopic(name, 1, set)
		names = append(names, name)
	}
	r := rand.New(rand.NewSource(1))
	w := n.wire()
	next := make(map[int64]int32)
	for range 120 {
		h := batch.Header{ProducerID: int64(r.Intn(4)) - 1, Attributes: batch.Attributes(0).With(batch.Codec(r.Intn(5)))}
		h.BaseSequence = next[h.ProducerID]
		if r.Intn(8) == 0 {
			h.BaseSequence += int32(r.Intn(3)) - 1 // it may be out of sequence
		}
		ids := make([]int, 1+r.Intn(6))
		for i := range ids {
			ids[i] = r.Intn(50)
		}
		b := named(t, h, ids...)
		var first kmsg.ProduceResponseTopicPartition
		for i, name := range names {
			d := w.produced(name, bytes.Clone(b))
			d.ErrorMessage = nil
			if i == 0 {
				if first = d; d.ErrorCode == 0 && h.BaseSequence == next[h.ProducerID] {
					next[h.ProducerID] += int32(len(ids))
				}
				continue
			}
			if d.ErrorCode != first.ErrorCode || d.BaseOffset != first.BaseOffset || d.LogStartOffset != first.LogStartOffset {
				t.Errorf("topic %s answers %+v, and one without a window %+v", name, d, first)
			}
		}
	}
	if n.broker.topics.named("drop").window.count.duplicates.Load() == 0 {
		t.Error("nothing was counted")
	}
	for range 2 {
		want := n.bytesOf("plain")
		for _, name := range names[1:] {
			if !bytes.Equal(n.bytesOf(name), want) {
				t.Errorf("topic %s has other bytes than one without a window", name)
			}
		}
		n.restart()
	}
	if p := n.broker.topics.named("copies").partitions[0]; p.Limit(false) != 0 {
		t.Errorf("records have gone elsewhere, up to offset %d", p.Limit(false))
	}
}
