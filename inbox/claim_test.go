package inbox_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
)

// guarded are the two guarantees under which a message takes effect once: each makes
// an inbox whose handler is h.
func guarded() map[string]func(t *testing.T, o inbox.Options, h func(context.Context, *hapax.Message) error) *inbox.Inbox {
	return map[string]func(*testing.T, inbox.Options, func(context.Context, *hapax.Message) error) *inbox.Inbox{
		"lease": func(t *testing.T, o inbox.Options, h func(context.Context, *hapax.Message) error) *inbox.Inbox {
			return leased(t, openLedger(t), o, func(ctx context.Context, _ hapax.Claim, m *hapax.Message) (hapax.Receipt, error) {
				return hapax.Receipt("r"), h(ctx, m)
			})
		},
		"transaction": func(t *testing.T, o inbox.Options, h func(context.Context, *hapax.Message) error) *inbox.Inbox {
			return transaction(t, newDatabase(), o, func(ctx context.Context, _ *tx, m *hapax.Message) (hapax.Receipt, error) {
				return hapax.Receipt("r"), h(ctx, m)
			}).Inbox
		},
	}
}

func TestS08OneRunsOthersAreHeld(t *testing.T) {
	for name, open := range guarded() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var runs counter
				in := open(t, options(), func(context.Context, *hapax.Message) error {
					runs.add()
					<-time.After(10 * time.Second)
					return nil
				})
				const copies = 64
				got := map[hapax.Outcome]int{}
				var mu sync.Mutex
				var all sync.WaitGroup
				for range copies {
					all.Go(func() {
						r, err := in.Handle(t.Context(), message("1", "a"))
						if r.Outcome == hapax.Held {
							s := inbox.Settle(r, err)
							if s.Action != inbox.Retry || s.Failed || s.After <= 0 || s.After > lease {
								t.Errorf("held: settled as %+v", s)
							}
						}
						mu.Lock()
						defer mu.Unlock()
						got[r.Outcome]++
					})
				}
				all.Wait()
				if got[hapax.Executed] != 1 || got[hapax.Held] != copies-1 {
					t.Errorf("outcomes %v, want 1 executed and the others held", got)
				}
				wantOutcome(t, in, message("1", "a"), hapax.Replayed, nil)
				runs.want(t, 1)
			})
		})
	}
}

// In wait mode the others get the stored result, and those whose time is over are held.
func TestS08OthersMayWaitForTheResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options()
		o.Wait, o.Duplicates = 20*time.Second, inbox.Replay()
		var runs counter
		in := leased(t, openLedger(t), o, func(_ context.Context, _ hapax.Claim, m *hapax.Message) (hapax.Receipt, error) {
			runs.add()
			work, err := time.ParseDuration(string(m.Value))
			<-time.After(work)
			return hapax.Receipt("done"), err
		})
		for _, test := range []struct {
			id, work string
			want     hapax.Outcome
			took     time.Duration // at most
		}{{"1", "10s", hapax.Replayed, 11 * time.Second}, {"2", "30s", hapax.Held, 20 * time.Second}} {
			var all sync.WaitGroup
			all.Go(func() { _, _ = in.Handle(t.Context(), message(test.id, test.work)) })
			synctest.Wait()
			for range 8 {
				all.Go(func() {
					began := time.Now()
					r, err := in.Handle(t.Context(), message(test.id, test.work))
					if r.Outcome != test.want || (test.want == hapax.Replayed) != (string(r.Receipt) == "done") {
						t.Errorf("%v with receipt %q, %v; want %v", r.Outcome, r.Receipt, err, test.want)
					}
					if took := time.Since(began); took > test.took {
						t.Errorf("took %v, want at most %v", took, test.took)
					}
				})
			}
			all.Wait()
		}
		runs.want(t, 2)
		left, leave := context.WithCancel(t.Context())
		claimed := message("3", "1s")
		go func() { _, _ = in.Handle(t.Context(), claimed) }()
		synctest.Wait()
		leave()
		if r, _ := in.Handle(left, claimed); r.Outcome == hapax.Executed {
			t.Errorf("a caller that has left got %v", r.Outcome)
		}
		<-time.After(time.Minute)
	})
}

// Real threads, many ids: every id takes effect once, and the store is asked once
// for each delivery.
func TestS09TheClaimIsOneStep(t *testing.T) {
	db := newDatabase()
	in := transaction(t, db, options(), effect).Inbox
	const workers, ids = 64, 50
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for n := range ids {
				id := string(rune('a' + n))
				if _, err := in.Handle(t.Context(), message(id, id)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if got := db.effects(); len(got) != ids {
		t.Errorf("%d effects of %d messages", len(got), ids)
	}
	if db.asked != workers*ids {
		t.Errorf("the store was asked %d times for %d deliveries", db.asked, workers*ids)
	}
}

func TestS10AFailureFreesTheMessage(t *testing.T) {
	for name, open := range guarded() {
		t.Run(name, func(t *testing.T) {
			var runs counter
			in := open(t, options(), func(context.Context, *hapax.Message) error {
				if runs.add() == 1 {
					return errDeclined
				}
				return nil
			})
			r, err := wantOutcome(t, in, message("1", "a"), hapax.Failed, errDeclined)
			if s := inbox.Settle(r, err); s.Action != inbox.Retry || !s.Failed {
				t.Errorf("settled as %+v", s)
			}
			wantOutcome(t, in, message("1", "a"), hapax.Executed, nil)
			runs.want(t, 2)
		})
	}
}

func TestS11APanicFreesTheMessageAndPropagates(t *testing.T) {
	for name, open := range guarded() {
		for _, how := range []string{"panic", "goexit"} {
			t.Run(name+" "+how, func(t *testing.T) {
				var runs counter
				in := open(t, options(), func(context.Context, *hapax.Message) error {
					switch {
					case runs.add() > 1:
						return nil
					case how == "panic":
						panic(errDeclined)
					}
					runtime.Goexit()
					return nil
				})
				ended := make(chan any, 1)
				go func() {
					defer func() {
						end := recover()
						ended <- end
					}()
					_, _ = in.Handle(t.Context(), message("1", "a"))
					t.Error("Handle returned")
				}()
				if end := <-ended; how == "panic" && end != any(errDeclined) {
					t.Errorf("ended with %v, want the handler's panic", end)
				}
				if s := in.Stats(); s.Outcomes[hapax.Failed] != 1 {
					t.Errorf("counted as %v", s.Outcomes)
				}
				wantOutcome(t, in, message("1", "a"), hapax.Executed, nil)
			})
		}
	}
}

func TestS12CopiesAreNoErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, open := range guarded() {
			log, o := &lines{}, options()
			o.Logger = log.logger()
			in := open(t, o, func(context.Context, *hapax.Message) error {
				<-time.After(5 * time.Second)
				return nil
			})
			go func() { _, _ = in.Handle(t.Context(), message("1", "a")) }()
			synctest.Wait()
			for _, want := range []hapax.Outcome{hapax.Held, hapax.Replayed} {
				r, err := in.Handle(t.Context(), message("1", "a"))
				if s := inbox.Settle(r, err); r.Outcome != want || s.Failed {
					t.Errorf("%s: outcome %v, settled as %+v, want %v, not failed", name, r.Outcome, s, want)
				}
				<-time.After(time.Minute)
			}
			if text := log.String(); strings.Contains(text, "level=ERROR") || strings.Contains(text, "level=WARN") {
				t.Errorf("%s: logged as\n%s", name, text)
			}
		}
	})
}

func TestS13ADuplicateIsVisible(t *testing.T) {
	var seen []hapax.Outcome
	o := options()
	o.Observer.End = func(_ context.Context, d inbox.Delivery) { seen = append(seen, d.Outcome) }
	in := transaction(t, newDatabase(), o, effect).Inbox
	wantOutcome(t, in, message("1", "a"), hapax.Executed, nil)
	r, err := wantOutcome(t, in, message("1", "a"), hapax.Replayed, nil)
	if r.Receipt != nil || err != nil {
		t.Errorf("dropped: receipt %q, %v", r.Receipt, err)
	}
	if len(seen) != 2 || seen[0] != hapax.Executed || seen[1] != hapax.Replayed {
		t.Errorf("seen as %v", seen)
	}
}

// batches has a handler of several messages, which fails if one of them does.
func batches(t *testing.T, db *database, o inbox.Options, fails map[string]error) *inbox.TxInbox[*tx] {
	t.Helper()
	one := func(ctx context.Context, tx *tx, m *hapax.Message) (hapax.Receipt, error) {
		tx.insert("of " + string(m.Value))
		return nil, fails[string(m.Value)]
	}
	return transaction(t, db, o, one, inbox.Batched(func(_ context.Context, tx *tx, ms []*hapax.Message) error {
		var failed error
		for _, m := range ms {
			tx.insert("all " + string(m.Value))
			failed = errors.Join(failed, fails[string(m.Value)])
		}
		return failed
	}))
}

func TestS14ABatchRunsEachOnceAndFailsAlone(t *testing.T) {
	db, fails := newDatabase(), map[string]error{}
	in := batches(t, db, options(), fails)
	ms := []*hapax.Message{message("1", "a"), message("2", "b"), message("1", "a"), message("2", "other")}
	ended := in.HandleBatch(t.Context(), ms)
	for i, want := range []hapax.Outcome{hapax.Executed, hapax.Executed, hapax.Replayed, hapax.Conflicted} {
		if ended[i].Result.Outcome != want {
			t.Errorf("message %d: %v, %v; want %v", i, ended[i].Result.Outcome, ended[i].Err, want)
		}
	}
	wantEffects(t, db, "all a", "all b")
	if db.asked != 1 {
		t.Errorf("the store was asked %d times", db.asked)
	}

	fails["d"] = errDeclined
	ended = in.HandleBatch(t.Context(), []*hapax.Message{message("3", "c"), message("4", "d"), message("5", "e"), message("1", "a")})
	for i, want := range []hapax.Outcome{hapax.Executed, hapax.Failed, hapax.Executed, hapax.Replayed} {
		if ended[i].Result.Outcome != want {
			t.Errorf("message %d: %v, %v; want %v", i, ended[i].Result.Outcome, ended[i].Err, want)
		}
	}
	if s := ended[1].Settle(); s.Action != inbox.Retry || !s.Failed {
		t.Errorf("the one that failed is settled as %+v", s)
	}
	delete(fails, "d")
	wantOutcome(t, in.Inbox, message("4", "d"), hapax.Executed, nil)
	wantEffects(t, db, "all a", "all b", "of c", "of e", "of d")
}

// A message that the store can't mark, whatever is done, stops nobody else.
func TestAMessageThatCannotBeMarkedIsNameless(t *testing.T) {
	db := newDatabase()
	in := batches(t, db, options(), nil)
	far := message("2", "b")
	far.Time = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
	ended := in.HandleBatch(t.Context(), []*hapax.Message{message("1", "a"), far, message("3", "c")})
	for i, want := range []hapax.Outcome{hapax.Executed, hapax.Nameless, hapax.Executed} {
		if ended[i].Result.Outcome != want {
			t.Errorf("message %d: %v, %v; want %v", i, ended[i].Result.Outcome, ended[i].Err, want)
		}
	}
	if s := ended[1].Settle(); s != (inbox.Settlement{Action: inbox.DeadLetter}) {
		t.Errorf("settled as %+v", s)
	}
	wantEffects(t, db, "of a", "of c")
}
