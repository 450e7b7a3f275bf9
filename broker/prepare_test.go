package broker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
)

// configured makes a topic of one partition with settings, in pairs.
func (n *node) configured(ctx context.Context, topic string, settings ...string) {
	n.Helper()
	configs := make(map[string]*string)
	for pair := range slices.Chunk(settings, 2) {
		configs[pair[0]] = &pair[1]
	}
	if _, err := n.admin().CreateTopic(ctx, 1, 1, configs, topic); err != nil {
		n.Fatal(err)
	}
}

// recordsOf reads so many records from the start of a topic.
func (n *node) recordsOf(ctx context.Context, topic string, count int) (all []*kgo.Record) {
	n.Helper()
	c := n.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer c.Close()
	for len(all) < count {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			n.Fatal(err)
		}
		all = append(all, fetches.Records()...)
	}
	return all
}

// produced sends a batch to a partition, as version 9 does.
func (w *wire) produced(topic string, b []byte) kmsg.ProduceResponseTopicPartition {
	w.Helper()
	req := kmsg.NewPtrProduceRequest()
	req.Acks = -1
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = b
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{p}}}
	return ask[*kmsg.ProduceResponse](w, 9, req).Topics[0].Partitions[0]
}

// Nobody waits for the answer to acks 0. If it cannot be done, the connection ends, so
// that the client asks again what there is.
func TestUnheardRefusal(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.topic(ctx, "orders", 1)
	w := n.wire()
	for _, topic := range []string{"orders", "nowhere"} {
		req := kmsg.NewPtrProduceRequest()
		p := kmsg.NewProduceRequestTopicPartition()
		p.Records = timed(t, batch.None, 0, time.Now().UnixMilli())
		req.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{p}}}
		req.SetVersion(9)
		req.Acks = 0
		if _, err := w.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, 7)); err != nil {
			t.Fatal(err)
		}
		if topic == "orders" {
			ask[*kmsg.ApiVersionsResponse](w, 0, kmsg.NewPtrApiVersionsRequest())
		}
	}
	if got, err := w.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("%d bytes, %v", got, err)
	}
}

// timed is a batch of records at times, of a producer unless it is batch.None.
func timed(t *testing.T, producer int64, codec batch.Codec, times ...int64) []byte {
	t.Helper()
	h := batch.Header{Attributes: batch.Attributes(0).With(codec), BaseTimestamp: times[0], ProducerID: producer}
	if producer == batch.None {
		h.ProducerEpoch, h.BaseSequence = batch.None, batch.None
	}
	var list []batch.Record
	for i, at := range times {
		list = append(list, batch.Record{OffsetDelta: int32(i), TimestampDelta: at - times[0], Value: []byte("value")})
	}
	var e batch.Encoder
	b, err := e.Append(nil, h, list)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// With LogAppendTime records have the node's time; a duplicate is told that of the
// original, over a restart.
func TestLogAppendTime(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	n, ctx := &node{T: t, dir: t.TempDir(), addr: "127.0.0.1:0"}, testContext(t)
	n.clock = func() time.Time { return now }
	n.start()
	t.Cleanup(func() { _ = n.stop() }) // what matters was synced
	n.configured(ctx, "orders", "message.timestamp.type", logAppendTime)
	old := &kgo.Record{Topic: "orders", Value: []byte("value"), Timestamp: time.UnixMilli(1000)}
	if err := n.client().ProduceSync(ctx, old).FirstErr(); err != nil {
		t.Fatal(err)
	}
	b := timed(t, 4711, batch.Gzip, 2000, 3000)
	for range 3 {
		if got := n.wire().produced("orders", slices.Clone(b)); got.ErrorCode != 0 || got.BaseOffset != 1 || got.LogAppendTime != 1_700_000_000_000 {
			t.Errorf("appended: %+v", got)
		}
		for _, r := range n.recordsOf(ctx, "orders", 3) {
			if r.Timestamp.UnixMilli() != 1_700_000_000_000 || r.Attrs.TimestampType() != 1 {
				t.Errorf("offset %d: time %v of type %d", r.Offset, r.Timestamp, r.Attrs.TimestampType())
			}
		}
		if err := n.stop(); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Minute)
		n.start()
	}
	n.configured(ctx, "others")
	if got := n.wire().produced("others", timed(t, batch.None, batch.Plain, now.UnixMilli())); got.ErrorCode != 0 || got.LogAppendTime != -1 {
		t.Errorf("times of the producer: %+v", got)
	}
}

func TestTimestampBounds(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.configured(ctx, "orders", "message.timestamp.before.max.ms", "60000", "message.timestamp.after.max.ms", "60000")
	n.configured(ctx, "stamped", "message.timestamp.type", logAppendTime, "message.timestamp.before.max.ms", "1")
	n.configured(ctx, "others")
	now := time.Now().UnixMilli()
	early, late := now-3_600_000, now+7_200_000
	for range 2 {
		w := n.wire()
		for _, test := range []struct {
			topic string
			times []int64
			wrong []int32 // nil: none
		}{
			{"orders", []int64{now, now}, nil},
			{"orders", []int64{batch.None}, nil},
			{"orders", []int64{now, early, now, late}, []int32{1, 3}},
			{"stamped", []int64{early, late}, nil},
			{"others", []int64{early, 0}, nil},
			{"others", []int64{now, late}, []int32{1}},
		} {
			for codec := batch.Plain; codec <= batch.Zstd; codec++ {
				got := w.produced(test.topic, timed(t, batch.None, codec, test.times...))
				var wrong []int32
				for _, e := range got.ErrorRecords {
					wrong = append(wrong, e.RelativeOffset)
				}
				refused := got.ErrorCode == int16(code.InvalidTimestamp)
				if !slices.Equal(wrong, test.wrong) || refused != (test.wrong != nil) || !refused && got.ErrorCode != 0 {
					t.Errorf("%s, %v: error %d in %v, want in %v", test.topic, test.times, got.ErrorCode, wrong, test.wrong)
				}
			}
		}
		n.restart()
	}
	r := &kgo.Record{Topic: "orders", Timestamp: time.UnixMilli(early)}
	if err := n.client().ProduceSync(ctx, r).FirstErr(); !errors.Is(err, kerr.InvalidTimestamp) {
		t.Errorf("an early record: %v", err)
	}
	many := timed(t, batch.None, batch.Plain, make([]int64, mostWrong+1)...)
	if got := n.wire().produced("orders", many); len(got.ErrorRecords) != mostWrong {
		t.Errorf("%d records are said to be wrong", len(got.ErrorRecords))
	}
}

// Batches are kept as the topic's compression.type says, whatever they came as.
func TestCompression(t *testing.T) {
	n, ctx := start(t), testContext(t)
	sent := []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}
	value := bytes.Repeat([]byte("much "), 100)
	for _, name := range codecs() {
		n.configured(ctx, name, "compression.type", name)
		for _, codec := range sent {
			c := n.client(kgo.ProducerBatchCompression(codec))
			if err := c.ProduceSync(ctx, &kgo.Record{Topic: name, Value: value}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 2 {
		for _, name := range codecs() {
			for i, r := range n.recordsOf(ctx, name, len(sent)) {
				want := codecNamed(name)
				if name == asProduced {
					want = batch.Codec(i)
				}
				if got := batch.Codec(r.Attrs.CompressionType()); got != want || r.Offset != int64(i) || !bytes.Equal(r.Value, value) {
					t.Errorf("%s: offset %d is compressed by %v, want %v", name, r.Offset, got, want)
				}
			}
		}
		n.restart()
	}
}

func TestCompressionRefuses(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.configured(ctx, "orders", "compression.type", "lz4")
	n.configured(ctx, "plain", "compression.type", "uncompressed")
	zeros := func(size int) []byte {
		var e batch.Encoder
		h := batch.Header{Attributes: batch.Attributes(batch.Zstd), ProducerID: batch.None, ProducerEpoch: batch.None, BaseSequence: batch.None}
		h.BaseTimestamp = time.Now().UnixMilli()
		b, err := e.Append(nil, h, []batch.Record{{Value: make([]byte, size)}})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	w := n.wire()
	for _, test := range []struct {
		topic string
		size  int
		want  code.Error
	}{
		{"orders", 2 << 20, code.None},
		{"orders", batch.MaxInflated, code.InvalidRecord},
		{"plain", 2 << 20, code.MessageTooLarge},
	} {
		if got := w.produced(test.topic, zeros(test.size)); got.ErrorCode != int16(test.want) {
			t.Errorf("%s, %d bytes: error %d, want %d", test.topic, test.size, got.ErrorCode, test.want)
		}
	}
}

// A transaction's batches are compressed anew, too.
func TestCompressionInTransactions(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.configured(ctx, "orders", "compression.type", "zstd", "message.timestamp.type", logAppendTime)
	c := n.producer("billing", kgo.ProducerBatchCompression(kgo.GzipCompression()))
	n.inTransaction(ctx, c, "orders", "paid", 1, kgo.TryCommit)
	r := n.recordsOf(ctx, "orders", 1)[0]
	if got := batch.Codec(r.Attrs.CompressionType()); got != batch.Zstd || r.Attrs.TimestampType() != 1 || string(r.Value) != "paid" {
		t.Errorf("%q is compressed by %v, time of type %d", r.Value, got, r.Attrs.TimestampType())
	}
}

// What a request's batches become is bounded for all of them together.
func TestCompressionBoundsRequests(t *testing.T) {
	to := &topic{rules: topicRules{maxBatch: 1000, recode: true, codec: batch.Plain}}
	sent := timed(t, batch.None, batch.Zstd, 1, 2, 3)
	p := producing{b: &Broker{settings: settings{maxRequest: 300}}}
	for n := 1; ; n++ {
		b := prepared{bytes: sent}
		err := p.recode(to, &b)
		if err == nil && n*len(b.bytes) <= 300 {
			continue
		}
		if !errors.Is(err, code.MessageTooLarge) || n == 1 {
			t.Errorf("batch %d: %v", n, err)
		}
		return
	}
}
