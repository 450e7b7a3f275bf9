package inbox_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
)

// claimAs claims what the inbox of options would, as another process.
func claimAs(t *testing.T, l hapax.Ledger, in *inbox.Inbox, m *hapax.Message) hapax.Claim {
	t.Helper()
	id, err := in.Identity(m)
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Claim(t.Context(), hapax.Request{Scope: hapax.Scope(in.Name()), Identity: id, Lease: lease})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func nothing(context.Context, hapax.Claim, *hapax.Message) (hapax.Receipt, error) { return nil, nil }

// The holder died with its claim: nobody will commit or release it.
func TestS15AfterADeadHolderOneRunsWhenItsLeaseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := openLedger(t)
		in := leased(t, l, options(), nothing)
		claimAs(t, l, in, message("1", "a"))
		r, err := wantOutcome(t, in, message("1", "a"), hapax.Held, hapax.ErrInFlight)
		s := inbox.Settle(r, err)
		if s.After <= 0 || s.After > lease {
			t.Errorf("told to come again after %v, want at most the lease", s.After)
		}
		<-time.After(s.After + time.Millisecond)
		wantOutcome(t, in, message("1", "a"), hapax.Executed, nil)
		wantOutcome(t, in, message("1", "a"), hapax.Replayed, nil)
	})
}

// A transaction that died leaves nothing behind, and the next copy runs at once.
func TestS15AfterADeadTransactionOneRunsAtOnce(t *testing.T) {
	db := newDatabase()
	in := transaction(t, db, options(), effect)
	died := db.begin()
	if r, err := in.HandleIn(t.Context(), died, message("1", "a")); r.Outcome != hapax.Executed {
		t.Fatalf("%v, %v", r.Outcome, err)
	}
	if err := died.end(false); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, in.Inbox, message("1", "a"), hapax.Executed, nil)
	wantEffects(t, db, "a")
}

func TestS16ALongHandlerRunsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		extended := 0
		l := &faulty{Ledger: openLedger(t), onExtend: func() error { extended++; return nil }}
		var runs counter
		in := leased(t, l, options(), func(context.Context, hapax.Claim, *hapax.Message) (hapax.Receipt, error) {
			runs.add()
			<-time.After(10 * lease)
			return nil, nil
		})
		first := make(chan hapax.Result)
		go func() {
			r, _ := in.Handle(t.Context(), message("1", "a"))
			first <- r
		}()
		synctest.Wait()
		for range 50 {
			<-time.After(lease / 6)
			wantOutcome(t, in, message("1", "a"), hapax.Held, hapax.ErrInFlight)
		}
		if r := <-first; r.Outcome != hapax.Executed {
			t.Errorf("the long one is %v", r.Outcome)
		}
		runs.want(t, 1)
		if extended < 29 {
			t.Errorf("extended %d times in ten leases, want every third of one", extended)
		}
	})
}

func TestS17TheHandlerIsToldBeforeItsLeaseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, o := &lines{}, options()
		o.Logger = log.logger()
		l := &faulty{Ledger: openLedger(t), onExtend: always(errDown)}
		began := time.Now()
		in := leased(t, l, o, func(ctx context.Context, c hapax.Claim, _ *hapax.Message) (hapax.Receipt, error) {
			<-ctx.Done()
			if cause := context.Cause(ctx); !errors.Is(cause, hapax.ErrLeaseLost) {
				t.Errorf("cause %v, want lease lost", cause)
			}
			if !time.Now().Before(c.Deadline) {
				t.Errorf("told after %v, want before the lease ends", time.Since(began))
			}
			return nil, nil
		})
		r, err := wantOutcome(t, in, message("1", "a"), hapax.Lost, hapax.ErrLeaseLost)
		if s := inbox.Settle(r, err); s.Action != inbox.Retry {
			t.Errorf("settled as %+v", s)
		}
		if !strings.Contains(log.String(), `level=WARN msg="inbox: lost"`) {
			t.Errorf("logged as\n%s", log)
		}
	})
}

func TestS18AnOvertakenHolderChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		real := openLedger(t)
		paused := &faulty{Ledger: real, onExtend: always(errDown)}
		tokens := make(chan uint64, 2)
		slow := leased(t, paused, options(), func(_ context.Context, c hapax.Claim, _ *hapax.Message) (hapax.Receipt, error) {
			tokens <- c.Token
			<-time.After(3 * lease) // whatever it is told
			return hapax.Receipt("slow"), nil
		})
		o := options()
		o.Duplicates = inbox.Replay()
		quick := leased(t, real, o, func(_ context.Context, c hapax.Claim, _ *hapax.Message) (hapax.Receipt, error) {
			tokens <- c.Token
			return hapax.Receipt("quick"), nil
		})
		first := make(chan hapax.Result)
		go func() {
			r, _ := slow.Handle(t.Context(), message("1", "a"))
			first <- r
		}()
		<-time.After(lease + time.Second)
		wantOutcome(t, quick, message("1", "a"), hapax.Executed, nil)
		if r := <-first; r.Outcome != hapax.Lost {
			t.Errorf("the overtaken one is %v, want lost", r.Outcome)
		}
		if r, _ := wantOutcome(t, quick, message("1", "a"), hapax.Replayed, nil); string(r.Receipt) != "quick" {
			t.Errorf("receipt %q, want that of the one that committed", r.Receipt)
		}
		if a, b := <-tokens, <-tokens; a >= b {
			t.Errorf("tokens %d and %d, want them to rise", a, b)
		}
	})
}

func TestS19TokensRiseAndReachTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := openLedger(t)
		var last uint64
		fails := true
		in := leased(t, l, options(), func(_ context.Context, c hapax.Claim, _ *hapax.Message) (hapax.Receipt, error) {
			if c.Token <= last {
				t.Errorf("token %d after %d", c.Token, last)
			}
			last = c.Token
			if fails {
				return nil, errDeclined
			}
			return nil, nil
		})
		for range 3 {
			wantOutcome(t, in, message("1", "a"), hapax.Failed, errDeclined) // released
			last = claimAs(t, l, in, message("1", "a")).Token                // run out
			<-time.After(lease + time.Second)
		}
		fails = false
		wantOutcome(t, in, message("1", "a"), hapax.Executed, nil)
	})
}

func TestS21AHungHandlerLosesItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options()
		o.Limits.Run = 2 * lease
		began := time.Now()
		in := leased(t, openLedger(t), o, func(ctx context.Context, _ hapax.Claim, _ *hapax.Message) (hapax.Receipt, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		})
		r, err := wantOutcome(t, in, message("1", "a"), hapax.Lost, hapax.ErrLeaseLost)
		if took := time.Since(began); took < o.Limits.Run || took > o.Limits.Run+lease {
			t.Errorf("stopped after %v, want %v and at most a lease", took, o.Limits.Run)
		}
		if s := inbox.Settle(r, err); !s.Failed {
			t.Errorf("settled as %+v: one that always hangs must come to the dead letters", s)
		}
	})
}

// A holder whose lease has no time left is one that is gone, not one without an end.
func TestS22NoTimeLeftIsAskAgainNow(t *testing.T) {
	for _, left := range []time.Duration{0, -time.Minute} {
		l := answer{claim: hapax.Claim{Verdict: hapax.InFlight, Deadline: time.Now().Add(left)}}
		in := leased(t, l, options(), nothing)
		r, err := wantOutcome(t, in, message("1", "a"), hapax.Held, hapax.ErrInFlight)
		if s := inbox.Settle(r, err); s != (inbox.Settlement{Action: inbox.Retry}) {
			t.Errorf("%v left: settled as %+v, want to come again at once", left, s)
		}
	}
}

// answer is a ledger that always answers a claim the same way.
type answer struct {
	hapax.Ledger

	claim hapax.Claim
}

func (a answer) Claim(context.Context, hapax.Request) (hapax.Claim, error) { return a.claim, nil }

// A commit of a lease that nobody knows of is never acknowledged, and comes again
// after the lease.
func TestS27AnUnknownCommitOfALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, o := &lines{}, options()
		o.Logger = log.logger()
		l := &faulty{Ledger: openLedger(t), onCommit: always(hapax.ErrUnknown)}
		in := leased(t, l, o, nothing)
		r, err := wantOutcome(t, in, message("1", "a"), hapax.Doubtful, hapax.ErrUnknown)
		if s := inbox.Settle(r, err); s != (inbox.Settlement{Action: inbox.Retry, After: lease}) {
			t.Errorf("settled as %+v", s)
		}
		if !strings.Contains(log.String(), "level=ERROR") {
			t.Errorf("logged as\n%s", log)
		}
	})
}

func TestS41WhenTheLedgerIsDown(t *testing.T) {
	t.Run("closed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := &faulty{Ledger: openLedger(t), onClaim: always(errDown)}
			var runs counter
			in := leased(t, l, options(), func(context.Context, hapax.Claim, *hapax.Message) (hapax.Receipt, error) {
				runs.add()
				return nil, nil
			})
			var waited []time.Duration
			for range 12 {
				r, err := wantOutcome(t, in, message("1", "a"), hapax.Unanswered, errDown)
				s := inbox.Settle(r, err)
				if s.Action != inbox.Stop || s.Failed {
					t.Fatalf("settled as %+v", s)
				}
				waited = append(waited, s.After)
				<-time.After(s.After)
			}
			if waited[0] != 100*time.Millisecond || waited[3] <= waited[2] || waited[11] != 30*time.Second {
				t.Errorf("waits %v, want longer ones up to 30s", waited)
			}
			runs.want(t, 0)
			l.onClaim = nil
			wantOutcome(t, in, message("1", "a"), hapax.Executed, nil)
			l.onClaim = always(errDown)
			r, err := wantOutcome(t, in, message("2", "a"), hapax.Unanswered, errDown)
			if s := inbox.Settle(r, err); s.After != waited[0] {
				t.Errorf("a new outage begins with a pause of %v", s.After)
			}
		})
	})
	t.Run("open", func(t *testing.T) {
		log, o := &lines{}, options()
		o.Logger, o.StoreDown = log.logger(), inbox.FailOpen
		l := &faulty{Ledger: openLedger(t), onClaim: always(errDown)}
		var fails error
		in := leased(t, l, o, func(_ context.Context, c hapax.Claim, _ *hapax.Message) (hapax.Receipt, error) {
			if c.Token != 0 {
				t.Errorf("token %d without a claim", c.Token)
			}
			return nil, fails
		})
		r, err := wantOutcome(t, in, message("1", "a"), hapax.Passed, nil)
		if s := inbox.Settle(r, err); s.Action != inbox.Ack {
			t.Errorf("settled as %+v", s)
		}
		if got := in.Stats().Outcomes[hapax.Passed]; got != 1 || !strings.Contains(log.String(), "level=WARN") {
			t.Errorf("counted %d, logged as\n%s", got, log)
		}
		fails = errDeclined
		wantOutcome(t, in, message("1", "a"), hapax.Failed, errDeclined)
		left, leave := context.WithCancel(t.Context())
		leave()
		if r, _ := in.Handle(left, message("1", "a")); r.Outcome != hapax.Unanswered {
			t.Errorf("after the caller left: %v", r.Outcome)
		}
	})
}

func TestAtMostOnceMarksFirst(t *testing.T) {
	l := &faulty{Ledger: openLedger(t)}
	var runs counter
	var fails error
	in, err := inbox.AtMostOnce(l, options(), func(context.Context, *hapax.Message) error {
		runs.add()
		if errors.Is(fails, errDown) {
			panic(fails)
		}
		return fails
	})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, in)
	wantOutcome(t, in, message("1", "a"), hapax.Executed, nil)
	wantOutcome(t, in, message("1", "a"), hapax.Replayed, nil)
	wantOutcome(t, in, message("1", "b"), hapax.Conflicted, hapax.ErrConflict)

	fails = errDeclined
	r, err := wantOutcome(t, in, message("2", "a"), hapax.Forfeited, errDeclined)
	if s := inbox.Settle(r, err); s.Action != inbox.DeadLetter {
		t.Errorf("settled as %+v: another try will not run it", s)
	}
	wantOutcome(t, in, message("2", "a"), hapax.Replayed, nil)

	fails = errDown
	func() {
		defer func() { _ = recover() }()
		_, _ = in.Handle(t.Context(), message("3", "a"))
		t.Error("no panic")
	}()
	wantOutcome(t, in, message("3", "a"), hapax.Replayed, nil)
	if got := in.Stats().Outcomes[hapax.Forfeited]; got != 2 {
		t.Errorf("%d forfeited, want 2", got)
	}
	runs.want(t, 3)

	// A mark that may be there is never followed by the handler.
	l.onCommit = always(hapax.ErrUnknown)
	wantOutcome(t, in, message("4", "a"), hapax.Doubtful, hapax.ErrUnknown)
	runs.want(t, 3)
}

func TestAtLeastOnceRunsEveryCopy(t *testing.T) {
	var runs counter
	in, err := inbox.AtLeastOnce(inbox.Options{Name: "addresses"}, func(context.Context, *hapax.Message) error {
		if runs.add() == 2 {
			return errDeclined
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, in)
	wantOutcome(t, in, message("1", "a"), hapax.Executed, nil)
	wantOutcome(t, in, message("1", "a"), hapax.Failed, errDeclined)
	wantOutcome(t, in, message("1", "a"), hapax.Executed, nil)
}
