package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// attendance is what the members of a group have done.
type attendance struct {
	*testing.T
	mu      sync.Mutex
	changed *sync.Cond
	handled map[string]int // and committed
	lost    int            // partitions that were taken away
}

// TestConsumersUnderKill: the members of a group of the consumer protocol (KIP-848)
// go on where they were when the node is killed and started again: nobody loses a
// partition, and each record is handled once.
func TestConsumersUnderKill(t *testing.T) {
	s := serve(t, "--set", "group.consumer.heartbeat.interval.ms=50,group.consumer.min.heartbeat.interval.ms=50")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	a := &attendance{T: t, handled: map[string]int{}}
	a.changed = sync.NewCond(&a.mu)
	stop := context.AfterFunc(ctx, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.changed.Broadcast()
	})
	defer stop()
	c := s.client(kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "orders", NumPartitions: 4, ReplicationFactor: 1}}
	if resp, err := create.RequestWith(ctx, c); err != nil || resp.Topics[0].ErrorCode != 0 {
		t.Fatalf("%+v, %v", resp, err)
	}
	stopFirst, stopSecond := a.attend(ctx, s), a.attend(ctx, s)
	defer stopFirst()
	defer stopSecond()
	members := stableMembers(ctx, t, c)
	for round := range 4 {
		for i := range 100 {
			c.Produce(ctx, &kgo.Record{Topic: "orders", Value: fmt.Append(nil, round*100+i)}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		if err := c.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		a.await(ctx, (round+1)*100)
		s.kill()
		s.start()
	}
	if now := stableMembers(ctx, t, c); !slices.Equal(now, members) {
		t.Errorf("the members were %v, and are %v", members, now)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for value, times := range a.handled {
		if times != 1 {
			t.Errorf("%s was handled %d times", value, times)
		}
	}
	if a.lost > 2 { // one member came before the other, who got two of its four
		t.Errorf("%d partitions were taken away", a.lost)
	}
}

// attend has a member join and commit what it reads. It leaves with stop.
func (a *attendance) attend(ctx context.Context, s *served) (stop func()) {
	gone := func(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.lost += len(lost["orders"])
	}
	ctx, cancel := context.WithCancel(ctx)
	c := s.client(kgo.ConsumerGroup("billing"), kgo.ConsumeTopics("orders"), kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()),
		kgo.BlockRebalanceOnPoll(), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsLost(gone), kgo.OnPartitionsRevoked(gone))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			fetches := c.PollFetches(ctx)
			if err := c.CommitUncommittedOffsets(ctx); err != nil && ctx.Err() == nil {
				a.Errorf("commit: %v", err)
			}
			a.mu.Lock()
			fetches.EachRecord(func(r *kgo.Record) { a.handled[string(r.Value)]++ })
			a.changed.Broadcast()
			a.mu.Unlock()
			c.AllowRebalance()
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// await returns when count values are handled.
func (a *attendance) await(ctx context.Context, count int) {
	a.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.handled) < count {
		if ctx.Err() != nil {
			a.Fatalf("%d of %d values are handled", len(a.handled), count)
		}
		a.changed.Wait()
	}
}

// stableMembers waits until two members share the partitions, and tells who has
// which at which epoch.
func stableMembers(ctx context.Context, t *testing.T, c *kgo.Client) (members []string) {
	t.Helper()
	describe := kmsg.NewPtrConsumerGroupDescribeRequest()
	describe.Groups = []string{"billing"}
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		resp, err := describe.RequestWith(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		if g := &resp.Groups[0]; g.State == "Stable" && len(g.Members) == 2 {
			for i := range g.Members {
				members = append(members, fmt.Sprint(g.Members[i].MemberID, g.Members[i].MemberEpoch, g.Members[i].Assignment.TopicPartitions))
			}
			return members
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%+v", resp)
		}
	}
}
