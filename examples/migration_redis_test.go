package examples_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/redisdb"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/internal/servertest"
)

// shipBefore marks an order, then ships it: what fails, or dies, in between is lost.
func shipBefore(ctx context.Context, client *redis.Client, id string, ship func(context.Context) error) error {
	fresh, err := client.SetNX(ctx, "seen:"+id, 1, 24*time.Hour).Result()
	if err != nil || !fresh {
		return err
	}
	return ship(ctx)
}

// shipAfter claims an order, ships it, and notes that it did.
func shipAfter(ctx context.Context, client *redis.Client, ship func(context.Context) error) (*inbox.Inbox, error) {
	seen, err := redisdb.Open(ctx, client, redisdb.Options{Window: 24 * time.Hour})
	if err != nil {
		return nil, err
	}
	return inbox.Lease(seen, inbox.Options{
		Name: "shipping", Identity: "header:order", Window: 24 * time.Hour,
	}, func(ctx context.Context, _ hapax.Claim, m *hapax.Message) (hapax.Receipt, error) {
		if n, err := client.Exists(ctx, "seen:"+orderOf(m)).Result(); err != nil || n > 0 {
			return nil, err // shipped before the change: take this out after 24 hours
		}
		return nil, ship(ctx)
	})
}

func orderOf(m *hapax.Message) string {
	id, _ := m.Header("order")
	return string(id)
}

func TestMigrationFromRedis(t *testing.T) {
	t.Parallel()
	client := redis.NewClient(&redis.Options{Addr: servertest.Redis(t), ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	run := own("order")
	id := func(n int) string { return fmt.Sprint(run, "-", n) }
	shipped, down := 0, errors.New("no carrier")
	ship := func(context.Context) error {
		if down != nil {
			return down
		}
		shipped++
		return nil
	}
	// Before: the first is lost, the second is shipped.
	if err := shipBefore(t.Context(), client, id(1), ship); !errors.Is(err, down) {
		t.Fatal(err)
	}
	down = nil
	for _, n := range []int{1, 2, 2} {
		must(t, shipBefore(t.Context(), client, id(n), ship))
	}
	if shipped != 1 {
		t.Fatalf("%d orders shipped before the change, want that of two one is lost", shipped)
	}

	in, err := shipAfter(t.Context(), client, ship)
	must(t, err)
	t.Cleanup(func() { must(t, in.Close()) })
	handle := func(n int, want hapax.Outcome) {
		t.Helper()
		r, err := in.Handle(t.Context(), &hapax.Message{Headers: []hapax.Header{{Name: "order", Value: []byte(id(n))}}})
		if r.Outcome != want {
			t.Errorf("order %d: %v, %v; want %v", n, r.Outcome, err, want)
		}
	}
	handle(2, hapax.Executed) // without shipping: it was before the change
	down = errors.New("no carrier")
	handle(3, hapax.Failed)
	down = nil
	handle(3, hapax.Executed)
	handle(3, hapax.Replayed)
	handle(2, hapax.Replayed)
	if shipped != 2 {
		t.Errorf("%d orders shipped, want 2", shipped)
	}
}
