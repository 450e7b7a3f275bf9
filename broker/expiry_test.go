package broker

import (
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/group"
)

// The offsets of a group without members go when their time is over.
func TestOffsetsExpire(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	b, err := Open(t.TempDir(), Options{
		Listeners: []Listener{{Address: "127.0.0.1:0"}},
		Settings:  Settings{"offsets.retention.minutes": "10"},
		Clock:     func() time.Time { return now },
		Logger:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	asked := group.CommitRequest{Version: 8, Group: "billing", Generation: -1, Producer: group.NoProducer, Retention: -1}
	asked.Offsets = []group.Offset{{Partition: group.Partition{Topic: newID()}, Offset: 7}}
	var codes []code.Error
	if _, err := b.groups.decide(func(g *group.Groups, now int64) (event group.Event) {
		codes, event = g.DecideCommit(asked, now)
		return event
	}); err != nil || codes[0] != code.None {
		t.Fatal(codes, err)
	}
	for _, step := range []struct{ minutes, left int }{{9, 1}, {2, 0}} {
		now = now.Add(time.Duration(step.minutes) * time.Minute)
		if err := b.groups.expire(); err != nil {
			t.Fatal(err)
		}
		left := 0
		b.groups.look(func(g *group.Groups, _ int64) { left = len(g.List()) })
		if left != step.left {
			t.Errorf("%d minutes later there are %d groups, want %d", step.minutes, left, step.left)
		}
	}
}

// A producer that has been silent for long is forgotten, so that clients that come
// and go leave nothing behind.
func TestProducersExpire(t *testing.T) {
	var now atomic.Int64
	now.Store(time.Now().UnixMilli())
	n := &node{T: t, dir: t.TempDir(), addr: "127.0.0.1:0", clock: func() time.Time { return time.UnixMilli(now.Load()) }}
	n.start()
	t.Cleanup(func() {
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
	n.fill(testContext(t), "orders", 1)
	policy := "compact" // what is kept of records has nothing to do with it
	if _, err := n.admin().AlterTopicConfigs(testContext(t), []kadm.AlterConfig{{Name: "cleanup.policy", Value: &policy}}, "orders"); err != nil {
		t.Fatal(err)
	}
	p := n.broker.topics.list()[0].partitions[0]
	for _, step := range []struct{ hours, left int }{{23, 1}, {2, 0}} {
		now.Add(int64(step.hours) * time.Hour.Milliseconds())
		if err := n.broker.retention.once(); err != nil {
			t.Fatal(err)
		}
		if got := len(p.Producers()); got != step.left {
			t.Errorf("%d hours later %d producers are known, want %d", step.hours, got, step.left)
		}
	}
}
