package redisstreams_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/redisstreams"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/internal/deliverytest"
	"github.com/hapaxmq/hapax/internal/servertest"
)

func TestHandlerDiesBeforeAck(t *testing.T) {
	t.Parallel()
	deliverytest.HandlerDiesBeforeAck(t, source)
}

// TestAckAfterTimeout acknowledges entries in a loop that is idle for so long that
// another consumer has taken them, and has acknowledged them before.
func TestAckAfterTimeout(t *testing.T) {
	t.Parallel()
	s := declare(t)
	first := deliverytest.Transacted(t, s, nil)
	once := deliverytest.Once(s, 3)
	entries := s.read("late", 3)
	for _, x := range entries {
		s.handle(first, x)
	}
	second := first.Book.Watch(t, inbox.Transacted, nil)
	second.Want = len(once)
	deliverytest.TakeAll(t, s, second)
	if second.Outcomes[hapax.Replayed] < len(once) {
		t.Errorf("outcomes %v, want %d copies", second.Outcomes, len(once))
	}
	late := s.o
	late.Consumer = "late"
	for _, x := range entries {
		s.must(redisstreams.Settle(t.Context(), s.client, late, x, inbox.Settlement{Action: inbox.Ack}, nil))
	}
	first.Book.Audit(t, once)
	s.Settled()
}

// TestNeverAcks handles entries in a loop that acknowledges none.
func TestNeverAcks(t *testing.T) {
	t.Parallel()
	s := declare(t)
	w := deliverytest.Transacted(t, s, nil)
	once := deliverytest.Once(s, 5)
	for _, x := range s.read("silent", len(once)) {
		s.handle(w, x)
	}
	deliverytest.NeverAcked(t, s, w, once)
}

// TestClaimedWhileHandled: another consumer takes an entry on which the first one is
// at work, and waits for it.
func TestClaimedWhileHandled(t *testing.T) {
	t.Parallel()
	s := declare(t)
	b := deliverytest.New(t, s.Header())
	claimed := make(chan struct{})
	w := b.Watch(t, inbox.Leased, func(string) error { <-claimed; return nil })
	once := deliverytest.Once(s, 1)
	var handled sync.WaitGroup
	x := s.read("slow", 1)[0]
	begun := make(chan struct{})
	w.Before = func(string) { close(begun) }
	handled.Go(func() {
		if _, err := w.Handle(t.Context(), redisstreams.Message(s.o.Stream, "payload", x)); err != nil {
			t.Error(err)
		}
	})
	<-begun
	var held sync.Once
	second := &deliverytest.Watch{Book: b, Inbox: w.Inbox, Want: 1, After: func(string) { held.Do(func() { close(claimed) }) }}
	deliverytest.TakeAll(t, s, second)
	handled.Wait()
	if second.Outcomes[hapax.Executed] > 0 || second.Outcomes[hapax.Replayed] == 0 {
		t.Errorf("outcomes %v of the second one, want it to be a copy", second.Outcomes)
	}
	b.Audit(t, once)
	s.Settled()
}

// TestTwoConsumers: entries go to several consumers, which take from each other what
// fails, and leave nothing behind of themselves.
func TestTwoConsumers(t *testing.T) {
	t.Parallel()
	s := declare(t)
	var mu sync.Mutex
	failed := make(map[string]bool)
	w := deliverytest.Transacted(t, s, func(id string) error {
		mu.Lock()
		defer mu.Unlock()
		if !failed[id] {
			failed[id] = true
			return errors.New("not yet")
		}
		return nil
	})
	once := deliverytest.Once(s, 40)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.Want, w.Done = len(once), cancel
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if err := s.Consume(ctx, w); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	w.Book.Audit(t, once)
	s.Settled()
	if left, err := s.client.XInfoConsumers(t.Context(), s.o.Stream, groupName).Result(); err != nil || len(left) > 0 {
		t.Errorf("consumers %v are left, %v", left, err)
	}
}

// TestInProgress: an entry is not idle while its handler runs. It is never idle for so long
// that it could be claimed, which would be another delivery.
func TestInProgress(t *testing.T) {
	t.Parallel()
	s := declare(t)
	s.o.MinIdle = 5 * time.Second
	w := deliverytest.Transacted(t, s, func(string) error {
		var last time.Duration
		for renewed := 0; renewed < 2; {
			p, err := s.client.XPendingExt(t.Context(), &redis.XPendingExtArgs{Stream: s.o.Stream, Group: groupName, Start: "-", End: "+", Count: 1}).Result()
			if err != nil || len(p) != 1 {
				return errors.Join(err, inbox.Permanent(errors.New("nothing is pending")))
			}
			if p[0].RetryCount != 1 {
				return inbox.Permanent(fmt.Errorf("delivered %d times", p[0].RetryCount))
			}
			if p[0].Idle < last {
				renewed++
			}
			last = p[0].Idle
		}
		return nil
	})
	once := deliverytest.Once(s, 1)
	w.Want = 1
	deliverytest.TakeAll(t, s, w)
	w.Book.Audit(t, once)
	s.Settled()
}

// TestServerDies kills the server while entries are handled. It comes up with what it
// has synced, which is all.
func TestServerDies(t *testing.T) {
	t.Parallel()
	server := servertest.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	s := declareAt(t, server.Addr)
	s.o.Durable = true
	w := deliverytest.Transacted(t, s, nil)
	once := deliverytest.Once(s, 60)
	var mu sync.Mutex
	seen := 0
	w.After = func(string) {
		mu.Lock()
		defer mu.Unlock()
		if seen++; seen%20 == 10 {
			server.Kill() // before this one is acknowledged
			server.Start()
		}
	}
	w.Want = len(once)
	deliverytest.TakeAll(t, s, w)
	w.Book.Audit(t, once)
	// An answer may have been lost: what is left are copies.
	again := w.Book.Watch(t, inbox.Transacted, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var run sync.WaitGroup
	run.Go(func() {
		if err := s.Consume(ctx, again); err != nil {
			t.Error(err)
		}
	})
	until(t, func() bool {
		p, err := s.client.XPending(t.Context(), s.o.Stream, groupName).Result()
		return err == nil && p.Count == 0
	})
	cancel()
	run.Wait()
	if again.Outcomes[hapax.Executed] > 0 {
		t.Errorf("outcomes %v of what was left, want copies only", again.Outcomes)
	}
	w.Book.Audit(t, once)
	s.Settled()
}

// TestCluster consumes from a Redis Cluster, and refuses what would need two of its nodes.
func TestCluster(t *testing.T) {
	t.Parallel()
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: servertest.RedisCluster(t)})
	t.Cleanup(func() { _ = client.Close() })
	s := declareOver(t, client)
	s.o.Attempts = 3
	deliverytest.Fails(t, s)
	o := s.o
	o.DeadLetters = "elsewhere"
	if _, err := redisstreams.New(t.Context(), client, deliverytest.Transacted(t, s, nil), o); err == nil {
		t.Error("dead letters in another slot are good, want an error")
	}
}
