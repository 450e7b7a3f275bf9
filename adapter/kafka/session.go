package kafka

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// session is the work of one Run. Between a poll and AllowRebalance franz-go calls
// none of assigned, revoked and lost, so records meet the partition they were
// fetched for: those of an earlier assignment never come after those of a later one.
type session struct {
	*Consumer

	ctx  context.Context // of all partitions
	fail context.CancelCauseFunc
	gate gate

	mu         sync.Mutex
	partitions map[place]*partition
}

type place struct {
	topic  string
	number int32
}

// take gives records that were polled to their partitions.
func (s *session) take(fetches kgo.Fetches) {
	fetches.EachError(func(topic string, number int32, err error) {
		if s.ctx.Err() == nil && !errors.Is(err, context.Canceled) && !errors.Is(err, kgo.ErrClientClosed) {
			s.o.Logger.Error("kafka: fetch", "group", s.o.Group, "topic", topic, "partition", number, "error", err)
		}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	fetches.EachTopic(func(t kgo.FetchTopic) {
		for _, f := range t.Partitions {
			if p := s.partitions[place{t.Topic, f.Partition}]; p != nil && len(f.Records) > 0 {
				p.put(t.TopicID, f.Records)
			}
		}
	})
}

// assigned begins work on partitions.
func (s *session) assigned(_ context.Context, client *kgo.Client, added map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, numbers := range added {
		for _, n := range numbers {
			s.partitions[place{topic, n}] = s.begin(client, topic, n)
		}
	}
}

// revoked ends work on partitions, and commits what of it is settled.
func (s *session) revoked(ctx context.Context, client *kgo.Client, gone map[string][]int32) {
	s.end(gone)
	ctx, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	if err := client.CommitMarkedOffsets(ctx); err != nil {
		s.o.Logger.Warn("kafka: commit before partitions go: what was settled since the last commit comes again",
			"group", s.o.Group, "error", err)
	}
}

// lost ends work on partitions that are somebody else's by now: nothing is committed.
func (s *session) lost(_ context.Context, _ *kgo.Client, gone map[string][]int32) { s.end(gone) }

// end ends work on partitions, and returns when their handlers have returned.
func (s *session) end(gone map[string][]int32) {
	for _, p := range s.remove(gone) {
		<-p.done
		p.resume() // franz-go would remember the pause
	}
}

// remove takes partitions out, and tells their handlers.
func (s *session) remove(gone map[string][]int32) (ending []*partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, numbers := range gone {
		for _, n := range numbers {
			if p := s.partitions[place{topic, n}]; p != nil {
				p.cancel(ErrRevoked)
				ending = append(ending, p)
				delete(s.partitions, place{topic, n})
			}
		}
	}
	return ending
}

// drain returns when no partition works any more. They take nothing more.
func (s *session) drain() {
	s.close()
	s.mu.Lock()
	working := slices.Collect(maps.Values(s.partitions))
	s.mu.Unlock()
	for _, p := range working {
		<-p.done
	}
}

// gate keeps all partitions from taking records for a while.
type gate struct {
	mu   sync.Mutex
	shut time.Time // until then
}

func (g *gate) hold(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if until := time.Now().Add(d); until.After(g.shut) {
		g.shut = until
	}
}

// remaining is how long the gate stays shut.
func (g *gate) remaining() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return time.Until(g.shut)
}
