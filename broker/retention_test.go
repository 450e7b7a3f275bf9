package broker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func (n *node) startOffset(ctx context.Context, topic string) int64 {
	n.Helper()
	starts, err := n.admin().ListStartOffsets(ctx, topic)
	if err != nil {
		n.Fatal(err)
	}
	o, _ := starts.Lookup(topic, 0)
	return o.Offset
}

// What is deleted is gone, over a restart, and the rest is there.
func TestDeleteRecords(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.fill(ctx, "orders", 10)
	n.fill(ctx, "orders", 10)
	cut := func(offset, want int64, refused error) {
		t.Helper()
		var to kadm.Offsets
		to.AddOffset("orders", 0, offset, -1)
		done, err := n.admin().DeleteRecords(ctx, to)
		got, _ := done.Lookup("orders", 0)
		if err := errors.Join(err, got.Err); !errors.Is(err, refused) || refused == nil && got.LowWatermark != want {
			t.Errorf("below %d: from %d on, %v; want %d, %v", offset, got.LowWatermark, err, want, refused)
		}
	}
	cut(21, 0, kerr.OffsetOutOfRange)
	cut(13, 13, nil)
	cut(5, 13, nil)
	for range 2 {
		if got := n.startOffset(ctx, "orders"); got != 13 {
			t.Errorf("from %d on", got)
		}
		n.restart()
	}
	c := n.client(kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for at := int64(13); at < 20; {
		c.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if r.Offset != at {
				t.Fatalf("offset %d, want %d", r.Offset, at)
			}
			at++
		})
		if err := ctx.Err(); err != nil {
			t.Fatal(err)
		}
	}
	cut(-1, 20, nil)
	n.fill(ctx, "orders", 1)
	n.restart()
	n.fill(ctx, "orders", 1)
	cut(-1, 22, nil)
}

func TestRetention(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.fill(ctx, "orders", 3)
	n.fill(ctx, "others", 3)
	old := &kgo.Record{Topic: "ancient", Value: []byte("old"), Timestamp: time.Now().Add(-8 * 24 * time.Hour)}
	if err := n.client().ProduceSync(ctx, old).FirstErr(); err != nil {
		t.Fatal(err)
	}
	n.fill(ctx, "ancient", 1)
	zero := "0"
	if _, err := n.admin().AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "retention.bytes", Value: &zero}}, "orders"); err != nil {
		t.Fatal(err)
	}
	if err := n.broker.retention.once(); err != nil {
		t.Fatal(err)
	}
	if got := n.startOffset(ctx, "orders"); got != 3 {
		t.Errorf("orders of no bytes: from %d on", got)
	}
	if got := n.startOffset(ctx, "ancient"); got != 1 {
		t.Errorf("ancient: from %d on", got)
	}
	if got := n.startOffset(ctx, "others"); got != 0 {
		t.Errorf("others: from %d on", got)
	}
}
