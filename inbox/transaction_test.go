package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
)

// TestS23AllOrNothing cuts the transaction at each of its steps.
func TestS23AllOrNothing(t *testing.T) {
	commit := func(what fault) func(*database) {
		return func(db *database) { db.onCommit = func() fault { return what } }
	}
	for _, test := range []struct {
		name  string
		plant func(*database)
		want  hapax.Outcome
		is    error
	}{
		{"begin", func(db *database) { db.onBegin = always(errDown) }, hapax.Unanswered, errDown},
		{"mark", func(db *database) { db.onMark = always(errDown) }, hapax.Unanswered, errDown},
		{"handler", func(*database) {}, hapax.Failed, errDeclined},
		{"keep", func(db *database) { db.onKeep = always(errDown) }, hapax.Failed, errDown},
		{"commit refused", commit(refused), hapax.Failed, errRefused},
		{"commit cut", commit(cutBefore), hapax.Doubtful, hapax.ErrUnknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			db := newDatabase()
			test.plant(db)
			fails := test.name == "handler"
			o := options()
			o.Duplicates = inbox.Replay()
			in := transaction(t, db, o, func(ctx context.Context, tx *tx, m *hapax.Message) (hapax.Receipt, error) {
				receipt, _ := effect(ctx, tx, m)
				if fails {
					return receipt, errDeclined
				}
				return receipt, nil
			}).Inbox
			r, err := wantOutcome(t, in, message("1", "a"), test.want, test.is)
			if s := inbox.Settle(r, err); s.Action == inbox.Ack || s.Action == inbox.DeadLetter {
				t.Errorf("settled as %+v: the message would be lost", s)
			}
			if wantEffects(t, db); len(db.marks) > 0 {
				t.Errorf("marks %v without an effect", db.marks)
			}
			db.onBegin, db.onMark, db.onKeep, db.onCommit, fails = nil, nil, nil, nil, false
			wantOutcome(t, in, message("1", "a"), hapax.Executed, nil)
			if r, _ := wantOutcome(t, in, message("1", "a"), hapax.Replayed, nil); string(r.Receipt) != "done a" {
				t.Errorf("receipt %q", r.Receipt)
			}
			wantEffects(t, db, "a")
		})
	}
}

// The database refuses a mark that is not first; a copy does no work, and waits no
// longer than for a lock.
func TestS24TheMarkIsFirstAndWaitsBriefly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := newDatabase()
		var runs counter
		in := transaction(t, db, options(), func(ctx context.Context, tx *tx, m *hapax.Message) (hapax.Receipt, error) {
			if runs.add() == 1 {
				<-time.After(time.Minute)
			}
			return effect(ctx, tx, m)
		}).Inbox
		go func() { _, _ = in.Handle(t.Context(), message("1", "a")) }()
		synctest.Wait()
		began := time.Now()
		r, err := wantOutcome(t, in, message("1", "a"), hapax.Held, hapax.ErrInFlight)
		if s := inbox.Settle(r, err); s != (inbox.Settlement{Action: inbox.Retry, After: db.lockTimeout}) {
			t.Errorf("settled as %+v", s)
		}
		if took := time.Since(began); took != db.lockTimeout {
			t.Errorf("waited for %v, want %v", took, db.lockTimeout)
		}
		<-time.After(2 * time.Minute)
		wantOutcome(t, in, message("1", "a"), hapax.Replayed, nil)
		runs.want(t, 1)
	})
}

func TestS25ADuplicateLeavesTheCallersTransactionUsable(t *testing.T) {
	db := newDatabase()
	in := transaction(t, db, options(), effect)
	wantOutcome(t, in.Inbox, message("1", "a"), hapax.Executed, nil)
	for _, test := range []struct {
		m    *hapax.Message
		want hapax.Outcome
	}{
		{message("1", "a"), hapax.Replayed}, {message("1", "other"), hapax.Conflicted}, {message("2", "b"), hapax.Executed},
	} {
		tx := db.begin()
		r, err := in.HandleIn(t.Context(), tx, test.m)
		if r.Outcome != test.want {
			t.Errorf("%v, %v; want %v", r.Outcome, err, test.want)
		}
		tx.insert("caller's " + test.want.String())
		if err := tx.end(true); err != nil {
			t.Error(err)
		}
	}
	wantEffects(t, db, "a", "caller's replayed", "caller's conflicted", "b", "caller's executed")
}

// What was done in the caller's transaction is gone when that is rolled back: it
// must not be remembered in memory.
func TestHandleInIsNotRemembered(t *testing.T) {
	db, o := newDatabase(), options()
	o.Committed = 10
	in := transaction(t, db, o, effect)
	tx := db.begin()
	if r, err := in.HandleIn(t.Context(), tx, message("1", "a")); r.Outcome != hapax.Executed {
		t.Fatalf("%v, %v", r.Outcome, err)
	}
	tx.first = true // let it mark again
	if r, err := in.HandleIn(t.Context(), tx, message("1", "a")); r.Outcome != hapax.Replayed {
		t.Fatalf("%v, %v", r.Outcome, err)
	}
	_ = tx.end(false)
	wantOutcome(t, in.Inbox, message("1", "a"), hapax.Executed, nil)
	wantEffects(t, db, "a")
}

func TestS26ASerialisationFailureIsNoFailedAttempt(t *testing.T) {
	db, commits := newDatabase(), 0
	db.onCommit = func() fault {
		if commits++; commits < 4 {
			return serialise
		}
		return sound
	}
	var runs []int
	o := options()
	o.Observer.End = func(_ context.Context, d inbox.Delivery) { runs = append(runs, d.Runs) }
	in := transaction(t, db, o, effect).Inbox
	r, err := wantOutcome(t, in, message("1", "a"), hapax.Executed, nil)
	if s := inbox.Settle(r, err); s != (inbox.Settlement{Action: inbox.Ack}) {
		t.Errorf("settled as %+v", s)
	}
	wantEffects(t, db, "a")
	if s := in.Stats(); !slices.Equal(runs, []int{4}) || s.Reruns != 3 {
		t.Errorf("seen as %v runs, %d reruns; want 4 and 3", runs, s.Reruns)
	}
}

func TestS27AnUnknownCommitIsResolved(t *testing.T) {
	for _, cut := range []fault{cutBefore, cutAfter} {
		for _, left := range []bool{false, true} {
			t.Run(fmt.Sprintf("committed %t, caller left %t", cut == cutAfter, left), func(t *testing.T) {
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				db, commits := newDatabase(), 0
				db.onCommit = func() fault {
					if commits++; commits > 1 {
						return sound
					}
					if left {
						leave()
					}
					return cut
				}
				var runs counter
				in := transaction(t, db, options(), func(ctx context.Context, tx *tx, m *hapax.Message) (hapax.Receipt, error) {
					runs.add()
					return effect(ctx, tx, m)
				}).Inbox
				r, err := in.Handle(ctx, message("1", "a"))
				switch {
				case cut == cutBefore && left:
					if r.Outcome != hapax.Failed || !errors.Is(err, context.Canceled) {
						t.Errorf("%v, %v; want failed, for the caller has left", r.Outcome, err)
					}
					wantEffects(t, db)
					wantOutcome(t, in, message("1", "a"), hapax.Executed, nil)
				case r.Outcome != hapax.Executed || err != nil || string(r.Receipt) != "done a":
					t.Errorf("%v, %q, %v", r.Outcome, r.Receipt, err)
				}
				wantEffects(t, db, "a")
				if want := map[fault]int{cutBefore: 2, cutAfter: 1}[cut]; runs.runs != want {
					t.Errorf("ran %d times, want %d", runs.runs, want)
				}
				if s := in.Stats(); s.Resolved != 1 {
					t.Errorf("%d resolved", s.Resolved)
				}
			})
		}
	}
}

func TestS27AnUnknownCommitIsDoubtfulIfNobodyCanBeAsked(t *testing.T) {
	log, o, db := &lines{}, options(), newDatabase()
	o.Logger = log.logger()
	db.onCommit = func() fault {
		db.onBegin = always(errDown)
		return cutAfter
	}
	in := transaction(t, db, o, effect).Inbox
	r, err := wantOutcome(t, in, message("1", "a"), hapax.Doubtful, hapax.ErrUnknown)
	if s := inbox.Settle(r, err); s.Action != inbox.Retry || s.Failed || s.After == 0 {
		t.Errorf("settled as %+v", s)
	}
	if !strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("logged as\n%s", log)
	}
	db.onBegin, db.onCommit = nil, nil
	wantOutcome(t, in, message("1", "a"), hapax.Replayed, nil)
	wantEffects(t, db, "a")
}

func TestS27AnUnknownCommitOfABatchIsResolved(t *testing.T) {
	for _, cut := range []fault{cutBefore, cutAfter} {
		db, commits := newDatabase(), 0
		db.onCommit = func() fault {
			if commits++; commits == 1 {
				return cut
			}
			return sound
		}
		in := batches(t, db, options(), nil)
		for i, h := range in.HandleBatch(t.Context(), []*hapax.Message{message("1", "a"), message("2", "b"), message("1", "a")}) {
			want := hapax.Executed
			if i == 2 {
				want = hapax.Replayed
			}
			if h.Result.Outcome != want || h.Err != nil {
				t.Errorf("cut %d: message %d: %v, %v; want %v", cut, i, h.Result.Outcome, h.Err, want)
			}
		}
		if n := len(db.effects()); n != 2 {
			t.Errorf("cut %d: %d effects", cut, n)
		}
	}
}

// A handler that ends its transaction is found out: the commit is not the inbox's.
func TestS28AHandlerThatCommitsIsReported(t *testing.T) {
	for _, commit := range []bool{true, false} {
		db, log, o := newDatabase(), &lines{}, options()
		o.Logger = log.logger()
		in := transaction(t, db, o, func(_ context.Context, tx *tx, _ *hapax.Message) (hapax.Receipt, error) {
			tx.insert("a")
			return nil, tx.end(commit)
		}).Inbox
		r, err := in.Handle(t.Context(), message("1", "a"))
		want := hapax.Executed
		if !commit {
			want = hapax.Doubtful
		}
		if r.Outcome != want || (err != nil) == commit {
			t.Errorf("committed %t: %v, %v; want %v", commit, r.Outcome, err, want)
		}
		if text := log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, errEnded.Error()) {
			t.Errorf("logged as\n%s", text)
		}
	}
}

// TestTransactionOnce lets chance choose faults, copies and batches, and delivers
// every message until it is acknowledged: each takes effect once.
func TestTransactionOnce(t *testing.T) {
	for _, spec := range []string{"header:id", inbox.ByPosition} {
		for seed := range uint64(100) {
			t.Run(fmt.Sprintf("%s %d", spec, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { once(t, spec, seed) })
			})
		}
	}
}

// plant makes steps fail by chance.
func (db *database) plant(chance func(n int) bool, any func() fault) {
	errSometimes := func() error {
		if chance(12) {
			return errDown
		}
		return nil
	}
	db.onBegin, db.onMark, db.onKeep = errSometimes, errSometimes, errSometimes
	db.onCommit = func() fault {
		if chance(4) {
			return any()
		}
		return sound
	}
}

func once(t *testing.T, spec string, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	chance := func(n int) bool { return rng.IntN(n) == 0 }
	db, o := newDatabase(), options()
	o.Identity, o.Committed = spec, rng.IntN(2)*8
	db.ordered = spec == inbox.ByPosition
	db.plant(chance, func() fault { return fault(rng.IntN(int(cutAfter) + 1)) })
	in := transaction(t, db, o, func(ctx context.Context, tx *tx, m *hapax.Message) (hapax.Receipt, error) {
		if chance(6) {
			tx.insert("half")
			return nil, errDeclined
		}
		return effect(ctx, tx, m)
	}, inbox.Batched(func(_ context.Context, tx *tx, ms []*hapax.Message) error {
		for _, m := range ms {
			tx.insert(string(m.Value))
		}
		if chance(4) {
			return errDeclined
		}
		return nil
	})).Inbox

	const messages = 40
	waiting := make([]*hapax.Message, messages)
	want := make([]string, messages)
	for n := range waiting {
		waiting[n] = at("t", int64(n))
		want[n] = string(waiting[n].Value)
		waiting[n].Headers = message(fmt.Sprint(n), "").Headers
	}
	for rounds := 0; len(waiting) > 0; rounds++ { // as a broker does: in order, from the first that is not acknowledged
		if rounds > 10_000 {
			t.Fatalf("%d messages are never acknowledged", len(waiting))
		}
		some := slices.Clone(waiting[:min(len(waiting), 1+rng.IntN(6))])
		if chance(3) {
			some = append(some, some[0])
		}
		acked := true
		for i, h := range in.HandleBatch(t.Context(), some) {
			s := h.Settle()
			if s.Action == inbox.DeadLetter {
				t.Fatalf("%v, %v", h.Result.Outcome, h.Err)
			}
			if acked = acked && s.Action == inbox.Ack; acked && len(waiting) > 0 && some[i] == waiting[0] && !chance(5) {
				waiting = waiting[1:]
			}
		}
	}
	got := db.effects()
	if spec != inbox.ByPosition {
		slices.Sort(got)
		slices.Sort(want)
	}
	if !slices.Equal(got, want) {
		t.Errorf("effects %q\nwant %q", got, want)
	}
}
