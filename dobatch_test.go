package hapax_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapaxmq/hapax"
)

var errDeclined = errors.New("card declined")

// shelf is a book that takes batches. One that is said to be torn fails as the network does.
type shelf struct {
	*book

	torn error
}

func (s shelf) ClaimBatch(ctx context.Context, requests []hapax.Request) ([]hapax.Claim, []error) {
	defer s.once(s.made(), "claims")
	claims, errs := make([]hapax.Claim, len(requests)), make([]error, len(requests))
	for i, r := range requests {
		claims[i], errs[i] = s.Claim(ctx, r)
	}
	return claims, errs
}

func (s shelf) CommitBatch(ctx context.Context, claims []hapax.Claim, receipts []hapax.Receipt) []error {
	defer s.once(s.made(), "commits")
	errs := make([]error, len(claims))
	for i, c := range claims {
		errs[i] = s.Commit(ctx, c, receipts[i])
		if errs[i] == nil {
			errs[i] = s.torn
		}
	}
	return errs
}

// made is how many calls there were.
func (s shelf) made() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

// once makes one call of those since n.
func (s shelf) once(n int, call string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls[:n], call)
}

func batchOf(ids ...string) []hapax.Request {
	rs := make([]hapax.Request, len(ids))
	for i, id := range ids {
		rs[i] = request(id)
	}
	return rs
}

func wantDone(t *testing.T, got []hapax.Done, want ...hapax.Outcome) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d results, want %d", len(got), len(want))
	}
	for i, d := range got {
		if d.Result.Outcome != want[i] {
			t.Errorf("message %d is %v, %v; want %v", i, d.Result.Outcome, d.Err, want[i])
		}
		if ok := want[i] == hapax.Executed || want[i] == hapax.Replayed; ok != (d.Err == nil) {
			t.Errorf("message %d is %v: error %v", i, d.Result.Outcome, d.Err)
		}
	}
}

// oneAfterTheOther ends each with what work says of it.
func oneAfterTheOther(work func(w *hapax.Work) (hapax.Receipt, error)) hapax.BatchHandler {
	return func(_ context.Context, fresh []*hapax.Work) error {
		for _, w := range fresh {
			w.End(work(w))
		}
		return nil
	}
}

func number(w *hapax.Work) (hapax.Receipt, error) { return fmt.Append(nil, w.Index), nil }

func TestDoBatchIsTwoRoundTrips(t *testing.T) {
	b := shelf{book: newBook()}
	got := hapax.DoBatch(t.Context(), b, batchOf("a", "b", "a", "c"), oneAfterTheOther(number))
	wantDone(t, got, hapax.Executed, hapax.Executed, hapax.Held, hapax.Executed)
	if got := string(got[3].Result.Receipt); got != "3" {
		t.Errorf("receipt %q", got)
	}
	if !errors.Is(got[2].Err, hapax.ErrInFlight) {
		t.Errorf("the second copy: %v", got[2].Err)
	}
	b.wantCalls(t, "claims commits")
	wantDone(t, hapax.DoBatch(t.Context(), b, batchOf("a", "d"), oneAfterTheOther(number)), hapax.Replayed, hapax.Executed)
}

// Any ledger will do; it is asked once for each message.
func TestDoBatchOverAnyLedger(t *testing.T) {
	b := newBook()
	wantDone(t, hapax.DoBatch(t.Context(), b, batchOf("a", "b"), oneAfterTheOther(number)), hapax.Executed, hapax.Executed)
	b.wantCalls(t, "claim claim commit commit")
}

func TestDoBatchTogether(t *testing.T) {
	b := shelf{book: newBook()}
	runs := 0
	got := hapax.DoBatch(t.Context(), b, batchOf("a", "b"), func(_ context.Context, fresh []*hapax.Work) error {
		if runs++; len(fresh) != 2 || fresh[0].Claim.Token == 0 {
			t.Errorf("given %d messages", len(fresh))
		}
		return nil
	})
	wantDone(t, got, hapax.Executed, hapax.Executed)
	if runs != 1 {
		t.Errorf("the handler ran %d times", runs)
	}
	hapax.DoBatch(t.Context(), b, batchOf("a", "b"), func(context.Context, []*hapax.Work) error {
		t.Error("the handler ran for copies")
		return nil
	})
}

// If it fails for all, each is given to it alone, under the claim that it has.
func TestDoBatchOneByOneAfterAFailure(t *testing.T) {
	b := shelf{book: newBook()}
	var sizes []int
	got := hapax.DoBatch(t.Context(), b, batchOf("a", "b", "bad", "c"), func(_ context.Context, fresh []*hapax.Work) error {
		if len(fresh) > 1 {
			fresh[0].End(hapax.Receipt("at once"), nil)
		}
		sizes = append(sizes, len(fresh))
		for _, w := range fresh {
			if w.Index == 2 {
				return errDeclined
			}
		}
		return nil
	})
	wantDone(t, got, hapax.Executed, hapax.Executed, hapax.Failed, hapax.Executed)
	if !errors.Is(got[2].Err, errDeclined) || string(got[0].Result.Receipt) != "at once" {
		t.Errorf("%v, receipt %q", got[2].Err, got[0].Result.Receipt)
	}
	if fmt.Sprint(sizes) != "[4 1 1 1]" {
		t.Errorf("given %v messages, want those together, then all but the one that was ended", sizes)
	}
	b.wantCalls(t, "claims commits release")
	wantDone(t, hapax.DoBatch(t.Context(), b, batchOf("bad", "a"), oneAfterTheOther(number)), hapax.Executed, hapax.Replayed)
}

func TestDoBatchPartly(t *testing.T) {
	b := shelf{book: newBook()}
	rs := batchOf("a", "no lease", "b", "c")
	rs[1].Lease = 0
	got := hapax.DoBatch(t.Context(), b, rs, oneAfterTheOther(func(w *hapax.Work) (hapax.Receipt, error) {
		if w.Index == 2 {
			return nil, errDeclined
		}
		return nil, nil
	}))
	wantDone(t, got, hapax.Executed, hapax.Unanswered, hapax.Failed, hapax.Executed)

	b.onClaim = func(context.Context) error { return errDeclined }
	wantDone(t, hapax.DoBatch(t.Context(), b, batchOf("e", "f"), nil), hapax.Unanswered, hapax.Unanswered)
	wantDone(t, hapax.DoBatch(t.Context(), b, nil, nil))
}

func TestDoBatchCommitInDoubt(t *testing.T) {
	b := shelf{newBook(), hapax.ErrUnknown}
	got := hapax.DoBatch(t.Context(), b, batchOf("a", "b"), oneAfterTheOther(number))
	wantDone(t, got, hapax.Doubtful, hapax.Doubtful)
	if !errors.Is(got[0].Err, hapax.ErrUnknown) {
		t.Error(got[0].Err)
	}
	b.wantCalls(t, "claims commits") // and nothing is released: it may be there
}

func TestDoBatchReceiptTooLarge(t *testing.T) {
	b := shelf{book: newBook()}
	refusals := 1
	b.onCommit = func(context.Context) error {
		if refusals--; refusals == 0 {
			return hapax.ErrReceiptSize
		}
		return nil
	}
	got := hapax.DoBatch(t.Context(), b, batchOf("a", "b"), oneAfterTheOther(number))
	if got[0].Result.Outcome != hapax.Executed || !errors.Is(got[0].Err, hapax.ErrReceiptSize) {
		t.Errorf("%v, %v; want executed all the same", got[0].Result.Outcome, got[0].Err)
	}
	wantDone(t, got[1:], hapax.Executed)
}

func TestDoBatchPanics(t *testing.T) {
	b := shelf{book: newBook()}
	func() {
		defer func() {
			if p := recover(); p != "third" {
				t.Errorf("panic %v, want that of the handler", p)
			}
		}()
		hapax.DoBatch(t.Context(), b, batchOf("a", "b", "c"), func(_ context.Context, fresh []*hapax.Work) error {
			fresh[0].End(nil, nil)
			panic("third")
		})
	}()
	b.wantCalls(t, "claims commits release release")
	wantDone(t, hapax.DoBatch(t.Context(), b, batchOf("a", "b", "c"), oneAfterTheOther(number)),
		hapax.Replayed, hapax.Executed, hapax.Executed)
}

// Leases are extended while others are handled, and what is done is not left
// uncommitted for long.
func TestDoBatchLastsLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := shelf{book: newBook()}
		got := hapax.DoBatch(t.Context(), b, batchOf("a", "b", "c", "d"), oneAfterTheOther(func(w *hapax.Work) (hapax.Receipt, error) {
			<-time.After(lease / 4)
			if w.Index == 3 {
				<-time.After(3 * lease)
			}
			return number(w)
		}))
		wantDone(t, got, hapax.Executed, hapax.Executed, hapax.Executed, hapax.Executed)
		b.mu.Lock()
		defer b.mu.Unlock()
		calls := strings.ReplaceAll(strings.Join(b.calls, " "), " extend", "")
		if calls != "claims commits commits" || count(b.calls, "extend") < 9 {
			t.Errorf("ledger was asked %q, want commits after a third of a lease, and leases extended", b.calls)
		}
	})
}

// One whose lease is lost does not take along those that are done, and those that are
// not are told.
func TestDoBatchLosesALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := shelf{book: newBook()}
		b.onExtend = func(context.Context) error { return hapax.ErrLeaseLost }
		got := hapax.DoBatch(t.Context(), b, batchOf("a", "b", "c"), func(ctx context.Context, fresh []*hapax.Work) error {
			fresh[0].End(nil, nil)
			<-ctx.Done()
			if cause := context.Cause(ctx); !errors.Is(cause, hapax.ErrLeaseLost) {
				t.Errorf("told of %v", cause)
			}
			<-fresh[1].Context().Done()
			<-fresh[2].Context().Done()
			fresh[1].End(nil, nil)
			return nil // as if it had done all
		})
		wantDone(t, got[1:], hapax.Lost, hapax.Lost)
	})
}

func TestDoBatchCallerLeaves(t *testing.T) {
	b := shelf{book: newBook()}
	ctx, leave := context.WithCancel(t.Context())
	runs := 0
	got := hapax.DoBatch(ctx, b, batchOf("a", "b", "c"), func(ctx context.Context, fresh []*hapax.Work) error {
		runs++
		fresh[0].End(nil, nil)
		leave()
		<-ctx.Done()
		return ctx.Err()
	})
	wantDone(t, got, hapax.Executed, hapax.Failed, hapax.Failed)
	if runs != 1 || !errors.Is(got[1].Err, context.Canceled) {
		t.Errorf("%d runs, %v", runs, got[1].Err)
	}
	b.wantCalls(t, "claims commits release release") // settled all the same
}
