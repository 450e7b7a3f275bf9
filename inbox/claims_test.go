package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
)

// pipelined is a ledger that takes batches, and counts its round trips.
type pipelined struct {
	hapax.BatchLedger

	mu    sync.Mutex
	trips []string

	down      error // of claims
	onCommits func() error
}

func (b *pipelined) Claim(ctx context.Context, r hapax.Request) (hapax.Claim, error) {
	b.trip("claim")
	if b.down != nil {
		return hapax.Claim{}, b.down
	}
	return b.BatchLedger.Claim(ctx, r)
}

func (b *pipelined) ClaimBatch(ctx context.Context, rs []hapax.Request) ([]hapax.Claim, []error) {
	b.trip(fmt.Sprint("claims ", len(rs)))
	claims, errs := b.BatchLedger.ClaimBatch(ctx, rs)
	for i := range errs {
		if b.down != nil {
			claims[i], errs[i] = hapax.Claim{}, b.down
		}
	}
	return claims, errs
}

func (b *pipelined) CommitBatch(ctx context.Context, claims []hapax.Claim, receipts []hapax.Receipt) []error {
	b.trip(fmt.Sprint("commits ", len(claims)))
	if err := call(b.onCommits); err != nil {
		errs := make([]error, len(claims))
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	return b.BatchLedger.CommitBatch(ctx, claims, receipts)
}

func (b *pipelined) trip(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trips = append(b.trips, name)
}

func (b *pipelined) want(t *testing.T, want string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if got := strings.Join(b.trips, ", "); got != want {
		t.Errorf("the ledger was asked %q, want %q", got, want)
	}
	b.trips = nil
}

func inBatches(t *testing.T) *pipelined { return &pipelined{BatchLedger: openLedger(t)} }

func wantBatch(t *testing.T, in *inbox.Inbox, ms []*hapax.Message, want ...hapax.Outcome) []inbox.Handled {
	t.Helper()
	ended := in.HandleBatch(t.Context(), ms)
	for i, h := range ended {
		if h.Result.Outcome != want[i] {
			t.Errorf("message %d of a batch is %v, %v; want %v", i, h.Result.Outcome, h.Err, want[i])
		}
	}
	return ended
}

func messages(ids ...string) []*hapax.Message {
	ms := make([]*hapax.Message, len(ids))
	for i, id := range ids {
		ms[i] = message(id, "a")
	}
	return ms
}

// A batch under leases costs two round trips, runs each message once, in order, and one
// that fails does not mark the others.
func TestS14ABatchUnderLeases(t *testing.T) {
	l, o := inBatches(t), options()
	o.Duplicates = inbox.Replay()
	var order []string
	in := leased(t, l, o, func(ctx context.Context, c hapax.Claim, m *hapax.Message) (hapax.Receipt, error) {
		id, _ := m.Header("id")
		order = append(order, string(id))
		if c.Token == 0 || inbox.ChildID(ctx, "mail") == "" {
			t.Errorf("%s has token %d and child %q", id, c.Token, inbox.ChildID(ctx, "mail"))
		}
		if string(id) == "bad" {
			return nil, errDeclined
		}
		return hapax.Receipt("ran " + string(id)), nil
	})
	wantBatch(t, in, messages("1", "2", "3"), hapax.Executed, hapax.Executed, hapax.Executed)
	l.want(t, "claims 3, commits 3")
	ended := wantBatch(t, in, messages("4", "bad", "4", "1", "5"),
		hapax.Executed, hapax.Failed, hapax.Replayed, hapax.Replayed, hapax.Executed)
	l.want(t, "claims 4, commits 2, claims 1")
	if got := string(ended[2].Result.Receipt); got != "ran 4" {
		t.Errorf("the copy in the batch is given %q", got)
	}
	if s := ended[1].Settle(); s.Action != inbox.Retry || !s.Failed {
		t.Errorf("the one that failed is settled as %+v", s)
	}
	other := message("1", "another payload")
	wantBatch(t, in, []*hapax.Message{other, message("6", "a")}, hapax.Conflicted, hapax.Executed)
	if got := strings.Join(order, " "); got != "1 2 3 4 bad 5 6" {
		t.Errorf("the handler ran for %s", got)
	}
}

func TestS14ABatchAtMostOnce(t *testing.T) {
	l := inBatches(t)
	var runs counter
	in, err := inbox.AtMostOnce(l, options(), func(ctx context.Context, m *hapax.Message) error {
		runs.add()
		if l.trips[len(l.trips)-1] != "commits 3" && runs.runs <= 3 {
			t.Error("the handler runs before the marks are committed")
		}
		if id, _ := m.Header("id"); string(id) == "bad" {
			return errDeclined
		}
		if inbox.ChildID(ctx, "mail") == "" {
			t.Error("no child id")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, in)
	wantBatch(t, in, messages("1", "bad", "2"), hapax.Executed, hapax.Forfeited, hapax.Executed)
	l.want(t, "claims 3, commits 3")
	wantBatch(t, in, messages("3", "bad", "3"), hapax.Executed, hapax.Replayed, hapax.Replayed)
	runs.want(t, 4)

	l.onCommits = always(hapax.ErrUnknown) // what may be marked never runs
	wantBatch(t, in, messages("5", "6"), hapax.Doubtful, hapax.Doubtful)
	runs.want(t, 4)
}

// A handler that panics in a batch: what ran before is committed, the rest is free.
func TestS11APanicInABatch(t *testing.T) {
	l := inBatches(t)
	panics := true
	handler := func(m *hapax.Message) {
		if id, _ := m.Header("id"); string(id) == "2" && panics {
			panic("in the handler")
		}
	}
	lease := leased(t, l, options(), func(_ context.Context, _ hapax.Claim, m *hapax.Message) (hapax.Receipt, error) {
		handler(m)
		return nil, nil
	})
	o := options()
	o.Name = "reminders"
	atMost, err := inbox.AtMostOnce(l, o, func(_ context.Context, m *hapax.Message) error {
		handler(m)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, atMost)
	for _, test := range []struct {
		in     *inbox.Inbox
		counts map[hapax.Outcome]uint64 // as known when it panics
		again  []hapax.Outcome
	}{
		{lease, map[hapax.Outcome]uint64{hapax.Doubtful: 1, hapax.Failed: 2},
			[]hapax.Outcome{hapax.Replayed, hapax.Executed, hapax.Executed}},
		{atMost, map[hapax.Outcome]uint64{hapax.Executed: 1, hapax.Forfeited: 2},
			[]hapax.Outcome{hapax.Replayed, hapax.Replayed, hapax.Replayed}},
	} {
		panics = true
		func() {
			defer func() {
				if p := recover(); p != "in the handler" {
					t.Errorf("panic %v, want that of the handler", p)
				}
			}()
			test.in.HandleBatch(t.Context(), messages("1", "2", "3"))
		}()
		if got := test.in.Stats().Outcomes; fmt.Sprint(got) != fmt.Sprint(test.counts) {
			t.Errorf("%v: counted %v, want %v", test.in.Guarantee(), got, test.counts)
		}
		panics = false
		wantBatch(t, test.in, messages("1", "2", "3"), test.again...)
	}
}

// While one of a batch is handled the leases of all are extended, and those that are
// done are committed: they do not wait for the end of a long batch.
func TestS16ALongBatchRunsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := inBatches(t)
		var runs counter
		in := leased(t, l, options(), func(context.Context, hapax.Claim, *hapax.Message) (hapax.Receipt, error) {
			runs.add()
			<-time.After(2 * lease)
			return nil, nil
		})
		first := make(chan []inbox.Handled)
		go func() { first <- in.HandleBatch(t.Context(), messages("1", "2", "3")) }()
		for n := range 17 {
			<-time.After(lease / 3)
			want := hapax.Held
			if n >= 6 {
				want = hapax.Replayed
			}
			if r, err := in.Handle(t.Context(), message("1", "a")); r.Outcome != want && n != 5 {
				t.Errorf("after %d thirds of a lease the first one is %v, %v; want %v", n+1, r.Outcome, err, want)
			}
			if n < 16 {
				wantOutcome(t, in, message("3", "a"), hapax.Held, hapax.ErrInFlight)
			}
		}
		for _, h := range <-first {
			if h.Result.Outcome != hapax.Executed {
				t.Errorf("%v, %v", h.Result.Outcome, h.Err)
			}
		}
		runs.want(t, 3)
	})
}

func TestS27AnUnknownCommitOfABatch(t *testing.T) {
	l := inBatches(t)
	in := leased(t, l, options(), nothing)
	l.onCommits = always(hapax.ErrUnknown)
	for _, h := range wantBatch(t, in, messages("1", "2"), hapax.Doubtful, hapax.Doubtful) {
		if s := h.Settle(); s != (inbox.Settlement{Action: inbox.Retry, After: lease}) || !errors.Is(h.Err, hapax.ErrUnknown) {
			t.Errorf("settled as %+v, %v", s, h.Err)
		}
	}
}

func TestS41ABatchWhileTheLedgerIsDown(t *testing.T) {
	l := inBatches(t)
	l.down = errDown
	closedStore := leased(t, l, options(), nothing)
	for _, h := range wantBatch(t, closedStore, messages("1", "2"), hapax.Unanswered, hapax.Unanswered) {
		if s := h.Settle(); s.Action != inbox.Stop || s.After <= 0 || s.Failed {
			t.Errorf("settled as %+v", s)
		}
	}
	l.want(t, "claims 2")
	o := options()
	o.StoreDown = inbox.FailOpen
	wantBatch(t, leased(t, l, o, nothing), messages("1", "2", "1"), hapax.Passed, hapax.Passed, hapax.Passed)
}

// Of a batch those that another holds are waited for alone.
func TestS08OneOfABatchMayWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, o := inBatches(t), options()
		o.Wait = time.Minute
		in := leased(t, l, o, nothing)
		held := claimAs(t, l, in, message("2", "a"))
		go func() {
			<-time.After(5 * time.Second)
			if err := l.Commit(t.Context(), held, nil); err != nil {
				t.Error(err)
			}
		}()
		wantBatch(t, in, messages("1", "2", "3"), hapax.Executed, hapax.Replayed, hapax.Executed)
	})
}

// The caller leaves while one of a batch is handled: the others are not begun, and that
// is no failed attempt.
func TestABatchWhoseCallerLeaves(t *testing.T) {
	var runs counter
	ctx, leave := context.WithCancel(t.Context())
	in := leased(t, inBatches(t), options(), func(ctx context.Context, _ hapax.Claim, _ *hapax.Message) (hapax.Receipt, error) {
		runs.add()
		leave()
		return nil, nil
	})
	ended := in.HandleBatch(ctx, messages("1", "2"))
	if ended[0].Result.Outcome != hapax.Executed {
		t.Errorf("%v, %v", ended[0].Result.Outcome, ended[0].Err)
	}
	if s := ended[1].Settle(); ended[1].Result.Outcome != hapax.Failed || s.Failed || s.Action != inbox.Retry {
		t.Errorf("%v, settled as %+v", ended[1].Result.Outcome, s)
	}
	runs.want(t, 1)
	wantOutcome(t, in, message("2", "a"), hapax.Executed, nil)
}
