package redisdb_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/redisdb"
	"github.com/hapaxmq/hapax/internal/servertest"
)

// books are what happened to each message, and the outcome of each delivery.
type books struct {
	mu         sync.Mutex
	effects    map[string]int
	doubts     map[string]int // deliveries that were lost or doubtful after their effect
	outcomes   map[hapax.Outcome]int
	deliveries int
}

func newBooks() *books {
	return &books{effects: map[string]int{}, doubts: map[string]int{}, outcomes: map[hapax.Outcome]int{}}
}

func (b *books) effect(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.effects[id]++
}

func (b *books) delivered(id string, o hapax.Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deliveries++
	b.outcomes[o]++
	if o == hapax.Lost || o == hapax.Doubtful {
		b.doubts[id]++
	}
}

func (b *books) count(o hapax.Outcome) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.outcomes[o]
}

// audit counts effects against messages: none lost, doubled only where a delivery said
// that it may be, and every delivery counted once (statement 53).
func (b *books) audit(t *testing.T) {
	t.Helper()
	doubled, sum := 0, 0
	for id, n := range b.effects {
		if n-1 > b.doubts[id] {
			t.Errorf("message %s took effect %d times, with %d doubtful deliveries", id, n, b.doubts[id])
		}
		doubled += n - 1
	}
	for _, n := range b.outcomes {
		sum += n
	}
	if sum != b.deliveries {
		t.Errorf("%d deliveries have %d outcomes: %v", b.deliveries, sum, b.outcomes)
	}
	t.Logf("%d messages, %d effects doubled, outcomes %v", len(b.effects), doubled, b.outcomes)
}

// TestStoreStops: a server that answers nobody for two seconds under load (thirty, with
// HAPAX_TORTURE in the environment), with leases of half of one, and then goes on where it
// was. Nothing runs that was not claimed, and nothing is lost.
func TestStoreStops(t *testing.T) {
	t.Parallel()
	server := servertest.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	client := owned(t, redis.NewClient(&redis.Options{Addr: server.Addr, ContextTimeoutEnabled: true,
		ReadTimeout: 100 * time.Millisecond, MaxRetries: 1}))
	l := open(t, client, redisdb.Options{})
	b := newBooks()

	const workers = 16
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				// Two workers are given copies of each message.
				handle(l, b, fmt.Sprintf("%d-%d", w/2, n))
			}
		})
	}
	wait := func(o hapax.Outcome, more int) {
		t.Helper()
		pause := time.NewTicker(time.Millisecond)
		defer pause.Stop()
		for want, until := b.count(o)+more, time.Now().Add(time.Minute); b.count(o) < want; <-pause.C {
			if time.Now().After(until) {
				t.Fatalf("waited for %d more %v for a minute: %v", more, o, b.outcomes)
			}
		}
	}
	wait(hapax.Executed, 200)
	outage := 2 * time.Second
	if os.Getenv("HAPAX_TORTURE") != "" {
		outage = 30 * time.Second
	}
	server.Pause()
	<-time.After(outage)
	wait(hapax.Unanswered, 1)
	server.Resume()
	wait(hapax.Executed, 200)
	close(stop)
	wg.Wait()
	b.audit(t)
}

// handle delivers a message until it is to be acknowledged.
func handle(l hapax.Ledger, b *books, id string) {
	r := hapax.Request{Scope: "outage", Identity: hapax.Identity(id), Lease: 500 * time.Millisecond}
	for {
		result, err := hapax.Do(context.Background(), l, r, func(context.Context, hapax.Claim) (hapax.Receipt, error) {
			b.effect(id)
			return nil, nil
		})
		b.delivered(id, result.Outcome)
		pause := 20 * time.Millisecond
		switch busy := (*hapax.InFlightError)(nil); {
		case result.Outcome == hapax.Executed || result.Outcome == hapax.Replayed:
			return
		case errors.As(err, &busy):
			pause = min(pause, busy.RetryAfter)
		}
		<-time.After(pause)
	}
}

// TestFailover: a replica that becomes primary before it has all that the old one
// answered. What it lacks is Fresh again, no more and no less, and with higher tokens, so
// that a resource which fences by them refuses the old holders.
func TestFailover(t *testing.T) {
	t.Parallel()
	old := servertest.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	host, port, err := net.SplitHostPort(old.Addr)
	if err != nil {
		t.Fatal(err)
	}
	heir := servertest.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always", "--replicaof", host, port, "--repl-diskless-sync-delay", "0")
	ctx := context.Background()
	o := redisdb.Options{Prefix: prefix()}
	before := connect(t, old.Addr)
	if err := before.ConfigSet(ctx, "repl-diskless-sync-delay", "0").Err(); err != nil {
		t.Fatal(err)
	}
	l := open(t, before, o)

	commit := func(name string, n int) []hapax.Claim {
		t.Helper()
		claims, errs := l.ClaimBatch(ctx, requests(name, n))
		if err := errors.Join(append(errs, l.CommitBatch(ctx, claims, nil)...)...); err != nil {
			t.Fatal(err)
		}
		return claims
	}
	const kept, forgotten, held = 20, 10, 5
	commit("kept", kept)
	for replicas := 0; replicas < 1; { // until the replica has it
		if replicas, err = before.Do(ctx, "WAIT", 1, 1000).Int(); err != nil {
			t.Fatal(err)
		}
	}
	after := connect(t, heir.Addr)
	if err := after.SlaveOf(ctx, "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	lost := commit("forgotten", forgotten)
	claims, errs := l.ClaimBatch(ctx, requests("held", held))
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	old.Kill()

	l = open(t, after, o)
	for i := range kept {
		claim(t, l, request(fmt.Sprint("kept", i)), hapax.Duplicate)
	}
	again := 0
	for name, tokens := range map[string][]hapax.Claim{"forgotten": lost, "held": claims} {
		for i, first := range tokens {
			c := claim(t, l, request(fmt.Sprint(name, i)), hapax.Fresh)
			again++
			if c.Token <= first.Token {
				t.Errorf("%s%d: token %d after %d", name, i, c.Token, first.Token)
			}
			if err := l.Commit(ctx, first, nil); !errors.Is(err, hapax.ErrLeaseLost) {
				t.Errorf("%s%d: the old holder's commit: %v, want ErrLeaseLost", name, i, err)
			}
		}
	}
	if again != forgotten+held {
		t.Errorf("%d messages run again, want %d", again, forgotten+held)
	}
}
