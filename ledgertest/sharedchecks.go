package ledgertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/processtest"
	"github.com/hapaxmq/hapax/internal/proxytest"
)

// crowds: of 64 goroutines in each of two processes one runs a message, and each of the
// others learns that it is done (statements 8 and 9).
func crowds(c *colleague) {
	both := []*processtest.Process{c.start("crowd"), c.start("crowd")}
	for _, p := range both {
		p.Hear("ready")
	}
	for _, p := range both {
		p.Order()
	}
	total := map[string]int{}
	for _, p := range both {
		outcomes := map[string]int{}
		if err := json.Unmarshal([]byte(p.Next()), &outcomes); err != nil {
			c.Fatal(err)
		}
		for o, n := range outcomes {
			total[o] += n
		}
		p.End()
	}
	delete(total, hapax.Held.String())
	if want := map[string]int{"executed": contested, "replayed": (2*competitors - 1) * contested}; !maps.Equal(total, want) {
		c.Errorf("outcomes %v, want %v", total, want)
	}
	want := map[string]int{}
	for n := range contested {
		want[fmt.Sprint(n)] = 1
	}
	if got := c.effects(); !maps.Equal(got, want) {
		c.Errorf("effects %v, want %v", got, want)
	}
}

// deadHolder: a message whose holder is killed runs again once its lease has ended, unless
// it was committed; doubled only if it was killed between effect and commit (statement 15).
func deadHolder(c *colleague) {
	for _, step := range steps {
		outcomes, effects := c.afterKill(step.name)
		if last := outcomes[len(outcomes)-1]; last != step.last || effects != step.effects {
			c.Errorf("killed %s: %v and %d effects, want %v and %d", step.name, last, effects, step.last, step.effects)
		}
	}
	outcomes, effects := c.afterKill(whileCommitting)
	want := map[hapax.Outcome]int{hapax.Executed: 2, hapax.Replayed: 1}
	if last := outcomes[len(outcomes)-1]; effects != want[last] {
		c.Errorf("killed %s: %v and %d effects", whileCommitting, last, effects)
	}
}

// afterKill handles a message, in a place of its own, whose holder was killed at a step.
func (c *colleague) afterKill(step string) (outcomes []hapax.Outcome, effects int) {
	c.Helper()
	next := newColleague(c.TB, c.shared)
	p := next.start(step)
	p.Hear(step)
	p.Kill()
	outcomes = next.deliver(next.open(""), "a")
	for _, o := range outcomes[:len(outcomes)-1] {
		if o != hapax.Held {
			c.Errorf("killed %s: a delivery is %v, want held until the last one", step, o)
		}
	}
	return outcomes, next.effects()["a"]
}

// stoppedHolder: a process is stopped for longer than its lease, and another one runs its
// messages. When it goes on it commits nothing, and its handler's context ends by the
// reason (statements 17 and 18).
func stoppedHolder(c *colleague) {
	p := c.start("stop")
	p.Hear("works")
	p.Stop()
	l := c.open("")
	for _, id := range []string{"a", "by hand"} {
		if all := c.deliver(l, id); all[len(all)-1] != hapax.Executed {
			c.Errorf("message %q, whose holder sleeps, is %v", id, all[len(all)-1])
		}
	}
	p.Continue()
	p.Hear("done")
	p.Order()
	p.End()
	for _, id := range []string{"a", "by hand"} {
		claim, err := l.Claim(context.Background(), request(id, long))
		if err != nil || claim.Verdict != hapax.Duplicate || string(claim.Receipt) != id {
			c.Errorf("in the end %q is %v with receipt %q, %v; want that of who took over", id, claim.Verdict, claim.Receipt, err)
		}
	}
	if got := c.effects()["a"]; got != 2 { // the sleeper had worked
		c.Errorf("%d effects, want 2", got)
	}
}

// cutCommit: the connection is lost at each question that a commit asks, before the server
// hears it and when it has answered. What the caller is told agrees with what is remembered,
// and a commit may be tried again (statement 27).
func cutCommit(c *colleague) {
	if c.shared.Address == "" {
		c.Skip("the ledger has no address")
	}
	p := proxytest.Start(c, c.shared.Address)
	through, direct := c.open(p.Address()), c.open("")
	for _, when := range []proxytest.When{proxytest.Before, proxytest.After} {
		for n := 1; ; n++ {
			id := fmt.Sprint(when, "-", n)
			claim := c.claim(through, id, hapax.Fresh)
			asked := 0
			p.Cut(when, func([]byte) bool { asked++; return asked == n })
			err := through.Commit(context.Background(), claim, hapax.Receipt(id))
			if p.Waits() { // a commit asks fewer questions
				if n == 1 {
					c.Fatal("a commit asks nothing")
				}
				break
			}
			if err != nil && !errors.Is(err, hapax.ErrUnknown) {
				c.claim(direct, id, hapax.InFlight)
			}
			if err != nil {
				err = direct.Commit(context.Background(), claim, hapax.Receipt(id))
			}
			if err != nil {
				c.Errorf("cut at question %d: commit again: %v", n, err)
			}
			if claim := c.claim(direct, id, hapax.Duplicate); string(claim.Receipt) != id {
				c.Errorf("cut at question %d: receipt %q", n, claim.Receipt)
			}
		}
	}
}

// claim demands a verdict.
func (c *colleague) claim(l hapax.Ledger, id string, want hapax.Verdict) hapax.Claim {
	c.Helper()
	claim, err := l.Claim(context.Background(), request(id, long))
	if err != nil || claim.Verdict != want {
		c.Fatalf("claim %q: %v, %v; want %v", id, claim.Verdict, err, want)
	}
	return claim
}

// batchTrips: the claims and commits of a batch are about as many questions as those of one
// message. Some databases take one more, and a long one may be heard in two parts.
func batchTrips(c *colleague) {
	if c.shared.Address == "" {
		c.Skip("the ledger has no address")
	}
	p := proxytest.Start(c, c.shared.Address)
	l, ok := c.open(p.Address()).(hapax.BatchLedger)
	if !ok {
		c.Skip("the ledger takes no batches")
	}
	asked := func(n int) int64 {
		requests := make([]hapax.Request, n)
		for i := range requests {
			requests[i] = request(fmt.Sprint(n, "-", i), long)
		}
		questions := p.Count()
		claims, errs := l.ClaimBatch(context.Background(), requests)
		errs = append(errs, l.CommitBatch(context.Background(), claims, nil)...)
		if err := errors.Join(errs...); err != nil {
			c.Fatal(err)
		}
		return questions.Load()
	}
	asked(99) // which connects, and prepares
	one, many := asked(1), asked(100)
	if many > 2*one+1 {
		c.Errorf("a batch of 100 asks %d times, and one message %d times", many, one)
	}
}

// away is how long a server answers nobody: two seconds, and thirty with HAPAX_TORTURE in
// the environment.
func away() time.Duration {
	if os.Getenv("HAPAX_TORTURE") != "" {
		return 30 * time.Second
	}
	return 2 * time.Second
}

// outage: a server that answers nobody for a while, under load, and then ends all
// connections. Nothing is lost, and no message takes effect more often than once and once
// more for each of its deliveries that was lost or in doubt (statement 41).
func outage(c *colleague) {
	if c.shared.Address == "" {
		c.Skip("the ledger has no address")
	}
	p := proxytest.Start(c, c.shared.Address)
	l := c.open(p.Address())
	c.lease = brief
	const workers, before, behind = 16, 100, 100
	var stop atomic.Bool
	var all sync.WaitGroup
	var done sync.Map
	for w := range workers {
		all.Go(func() {
			for n := 0; !stop.Load(); n++ {
				id := fmt.Sprint(w/2, "-", n) // two workers have copies of each
				c.deliver(l, id)
				done.Store(id, nil)
			}
		})
	}
	reach := func(n int) {
		for until := time.Now().Add(longest); c.count(hapax.Executed) < n && time.Now().Before(until); {
			<-time.After(time.Millisecond)
		}
	}
	reach(before)
	p.Freeze()
	<-time.After(away())
	executed := c.count(hapax.Executed)
	p.Sever()
	p.Thaw()
	reach(executed + behind)
	stop.Store(true)
	all.Wait()
	effects, doubled := c.effects(), 0
	for id, n := range effects {
		if n > 1+c.doubts[id] {
			c.Errorf("message %s took effect %d times, with %d deliveries in doubt", id, n, c.doubts[id])
		}
		doubled += n - 1
	}
	for id := range done.Range {
		if effects[id.(string)] == 0 {
			c.Errorf("message %s is lost", id)
		}
	}
	if c.count(hapax.Executed) < executed+behind {
		c.Errorf("%d executed, of them %d before: it does not go on", c.count(hapax.Executed), executed)
	}
	c.Logf("%d messages, %d effects doubled, outcomes %v", len(effects), doubled, c.outcomes)
}
