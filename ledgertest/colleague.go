package ledgertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/processtest"
)

// colleague handles messages in one of several processes. An effect is a line of a file.
type colleague struct {
	testing.TB

	shared Shared
	place  string
	file   string
	lease  time.Duration
	work   time.Duration // of a handler

	mu       sync.Mutex
	outcomes map[string]int // of deliveries
	doubts   map[string]int // deliveries that may have had an effect, and were not committed
}

// newColleague is one in a new place.
func newColleague(tb testing.TB, s Shared) *colleague {
	return &colleague{TB: tb, shared: s, place: s.Create(tb), file: filepath.Join(tb.TempDir(), "effects"), lease: long}
}

func (c *colleague) open(address string) hapax.Ledger {
	c.Helper()
	return c.shared.Open(c, c.place, address)
}

// act is the effect of a message.
func (c *colleague) act(id string) error { return processtest.Note(c.file, id) }

// effects counts them, of each message.
func (c *colleague) effects() map[string]int {
	c.Helper()
	counts, err := processtest.Notes(c.file)
	if err != nil {
		c.Fatal(err)
	}
	return counts
}

// longest is how long a colleague waits for what must come.
const longest = 3 * time.Minute

// deliver gives a message to the ledger again and again, as a broker does, until it is to
// be acknowledged, and returns the outcomes.
func (c *colleague) deliver(l hapax.Ledger, id string) (all []hapax.Outcome) {
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	for {
		r, err := hapax.Do(ctx, l, request(id, c.lease), func(context.Context, hapax.Claim) (hapax.Receipt, error) {
			<-time.After(c.work)
			return hapax.Receipt(id), c.act(id)
		})
		c.tally(id, r.Outcome)
		if all = append(all, r.Outcome); r.Outcome == hapax.Executed || r.Outcome == hapax.Replayed {
			return all
		}
		if ctx.Err() != nil {
			c.Errorf("message %s is not done: %v", id, err)
			return all
		}
		pause := 30 * time.Millisecond // or SQLite is asked by all at once, all the time
		if busy := (*hapax.InFlightError)(nil); errors.As(err, &busy) {
			pause = min(pause, busy.RetryAfter)
		}
		<-time.After(pause)
	}
}

func (c *colleague) tally(id string, o hapax.Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outcomes == nil {
		c.outcomes, c.doubts = make(map[string]int), make(map[string]int)
	}
	c.outcomes[o.String()]++
	if o == hapax.Lost || o == hapax.Doubtful {
		c.doubts[id]++
	}
}

func (c *colleague) count(o hapax.Outcome) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.outcomes[o.String()]
}

const (
	competitors = 64 // in each of two processes
	contested   = 10 // messages
)

// crowd handles all messages in each of many goroutines, and tells the outcomes.
func (c *colleague) crowd(l hapax.Ledger) (outcomes string) {
	c.work = 20 * time.Millisecond // so that others come meanwhile
	var all sync.WaitGroup
	for range competitors {
		all.Go(func() {
			for _, n := range rand.Perm(contested) {
				c.deliver(l, fmt.Sprint(n))
			}
		})
	}
	all.Wait()
	text, err := json.Marshal(c.outcomes)
	if err != nil {
		c.Fatal(err)
	}
	return string(text)
}

// steps are the points of handling one message at which a process is killed: whether it
// has taken effect by then, and whether its holder is known.
var steps = []struct {
	name    string
	effects int // in the end
	last    hapax.Outcome
}{
	{"before its claim", 1, hapax.Executed},
	{"when it has claimed", 1, hapax.Executed},
	{"when it has worked", 2, hapax.Executed},
	{"when it has committed", 1, hapax.Replayed},
}

// whileCommitting is the step of a process that goes on while it is killed.
const whileCommitting = "while it commits"

// upTo handles a message as far as a step, says so, and waits for its end.
func (c *colleague) upTo(l hapax.Ledger, step string) {
	at := func(name string) {
		if name == step {
			processtest.Say(name)
			select {}
		}
	}
	at(steps[0].name)
	claim, err := l.Claim(context.Background(), request("a", c.lease))
	if err != nil || claim.Verdict != hapax.Fresh {
		c.Fatalf("claim: %v, %v", claim.Verdict, err)
	}
	at(steps[1].name)
	if err := c.act("a"); err != nil {
		c.Fatal(err)
	}
	at(steps[2].name)
	if step == whileCommitting {
		processtest.Say(step)
	}
	if err := l.Commit(context.Background(), claim, hapax.Receipt("dead")); err != nil {
		c.Fatalf("commit: %v", err)
	}
	at(steps[3].name)
	select {}
}

// sleep handles one message with Do and another by hand, and says what it is told when it
// has slept through its leases.
func (c *colleague) sleep(l hapax.Ledger, orders <-chan struct{}) {
	ctx := context.Background()
	claim, err := l.Claim(ctx, request("by hand", c.lease))
	if err != nil || claim.Verdict != hapax.Fresh {
		c.Fatalf("claim: %v, %v", claim.Verdict, err)
	}
	r, err := hapax.Do(ctx, l, request("a", c.lease), func(ctx context.Context, _ hapax.Claim) (hapax.Receipt, error) {
		if err := c.act("a"); err != nil {
			return nil, err
		}
		processtest.Say("works")
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), hapax.ErrLeaseLost) {
			c.Errorf("the handler's context ended by %v, want that the lease is lost", context.Cause(ctx))
		}
		return hapax.Receipt("stopped"), nil
	})
	if r.Outcome != hapax.Lost || !errors.Is(err, hapax.ErrLeaseLost) {
		c.Errorf("a holder that slept: %v, %v; want lost", r.Outcome, err)
	}
	if err := l.Commit(ctx, claim, hapax.Receipt("stopped")); !errors.Is(err, hapax.ErrLeaseLost) {
		c.Errorf("a holder that slept commits: %v, want ErrLeaseLost", err)
	}
	processtest.Say("done")
	<-orders
}
