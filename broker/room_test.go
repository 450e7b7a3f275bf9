package broker

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/internal/vfs"
)

// What is not needed any more goes from a disk that is nearly full.
func TestCleanerMakesRoom(t *testing.T) {
	m := vfs.NewMem()
	n, ctx := startWith(t, func(o *Options) { o.FS = m }), testContext(t)
	r := &kgo.Record{Topic: "gone", Value: make([]byte, 500_000)}
	if err := n.client(kgo.ProducerBatchCompression(kgo.NoCompression())).ProduceSync(ctx, r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	n.restart()
	if _, err := n.admin().DeleteTopic(ctx, "gone"); err != nil {
		t.Fatal(err)
	}
	m.SetCapacity(leastFree)
	for len(n.broker.wal.Older()) > 0 {
		if err := n.broker.cleaner.once(ctx); !errors.Is(err, errNearlyFull) || ctx.Err() != nil {
			t.Fatalf("cleaned: %v, %v", err, ctx.Err())
		}
	}
	m.SetCapacity(0)
}

// A disk that is nearly full is left to new records, which is said.
func TestCleanerLeavesRoom(t *testing.T) {
	m := vfs.NewMem()
	b := openOn(t, m)
	m.SetCapacity(leastFree)
	if err := b.cleaner.once(t.Context()); !errors.Is(err, errNearlyFull) {
		t.Errorf("cleaned: %v", err)
	}
	m.SetCapacity(0)
	if err := errors.Join(b.cleaner.once(t.Context()), b.Close()); err != nil {
		t.Error(err)
	}
}
