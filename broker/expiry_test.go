package broker

import (
	"log/slog"
	"testing"
	"time"

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
