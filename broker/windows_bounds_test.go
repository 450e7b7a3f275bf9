package broker

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/internal/vfs"
)

// A window remembers ids, whatever its bounds become, as long as all of them cover
// these, though the topic does not have their records any more; and no copy passes
// while the bounds change.
func TestWindowKeepsIDsOverBounds(t *testing.T) {
	const ids = 300
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	disk := vfs.NewMem()
	n := startWith(t, func(o *Options) { o.FS = disk })
	for _, kind := range []string{"first", "renewed"} {
		topic := "orders-" + kind
		n.makeTopic(topic, 1, map[string]string{"hapax.identity": "header:id", "hapax.window.ms": "3600000", "hapax.window.kind": kind})
		if fresh := n.copies(ctx, topic, ids); fresh != ids {
			t.Fatalf("%s: %d of %d ids are new", topic, fresh, ids)
		}
		var all kadm.Offsets
		all.AddOffset(topic, 0, ids, -1)
		if done, err := n.admin().DeleteRecords(ctx, all); err != nil || done.Error() != nil {
			t.Fatal(err, done.Error())
		}
		for _, change := range []map[string]string{
			{"hapax.window.count": "1000"},
			{"hapax.window.ms": ""},
			{"hapax.window.count": "2000000"},
			{"hapax.window.bytes": "100000000"},
			{"hapax.window.count": ""},
			{"hapax.window.ms": "7200000"},
			{"hapax.window.bytes": "", "hapax.window.count": "500"},
			{"hapax.window.ms": "", "hapax.window.count": "400"},
			{"hapax.window.ms": "3600000", "hapax.window.count": ""},
		} {
			w := n.broker.topics.named(topic).window
			n.passesNothing(ctx, topic, ids, func() { n.alter(topic, change) })
			if w != n.broker.topics.named(topic).window {
				t.Fatalf("%s: %v makes another window", topic, change)
			}
			if fresh := n.copies(ctx, topic, ids); fresh > 0 {
				t.Errorf("%s: %v forgets %d ids", topic, change, fresh)
			}
			n.restart()
			if fresh := n.copies(ctx, topic, ids); fresh > 0 {
				t.Errorf("%s: %v, and a restart, forget %d ids", topic, change, fresh)
			}
		}
	}
}

// passesNothing sends copies while something is done, of which none may stand.
func (n *node) passesNothing(ctx context.Context, topic string, ids int, do func()) {
	n.Helper()
	ctx, cancel := context.WithCancel(ctx)
	var sending sync.WaitGroup
	begun := make(chan struct{})
	sending.Go(func() {
		for sent := 0; ctx.Err() == nil; sent++ {
			if fresh := n.copies(ctx, topic, ids); fresh > 0 {
				n.Errorf("%s: %d copies pass while its bounds change", topic, fresh)
			}
			if sent == 0 {
				close(begun)
			}
		}
	})
	<-begun
	do()
	cancel()
	sending.Wait()
}

// copies sends records with ids up to a number, and tells how many are new.
func (n *node) copies(ctx context.Context, topic string, ids int) (fresh int64) {
	n.Helper()
	unique := func() int64 { return n.broker.topics.named(topic).window.count.unique.Load() }
	before := unique()
	c := n.client()
	defer c.Close()
	var records []*kgo.Record
	for id := range ids {
		records = append(records, message(topic, id))
	}
	for _, r := range c.ProduceSync(ctx, records...) {
		if r.Err != nil && !errors.Is(r.Err, context.Canceled) {
			n.Errorf("produce: %v", r.Err)
		}
	}
	return unique() - before
}
