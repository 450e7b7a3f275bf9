package hapax_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapaxmq/hapax"
)

const lease = 30 * time.Second

func request(id string) hapax.Request {
	return hapax.Request{Identity: hapax.Identity(id), Lease: lease}
}

func done(context.Context, hapax.Claim) (hapax.Receipt, error) { return hapax.Receipt("done"), nil }

// lasting is a handler that works for d, or until it is told to stop.
func lasting(d time.Duration) hapax.Handler {
	return func(ctx context.Context, _ hapax.Claim) (hapax.Receipt, error) {
		select {
		case <-time.After(d):
			return hapax.Receipt("done"), nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// stubborn works for d, whatever it is told.
func stubborn(d time.Duration) hapax.Handler {
	return func(context.Context, hapax.Claim) (hapax.Receipt, error) {
		<-time.After(d)
		return hapax.Receipt("done"), nil
	}
}

func wantOutcome(t *testing.T, res hapax.Result, err error, want hapax.Outcome, is error) {
	t.Helper()
	if res.Outcome != want || !errors.Is(err, is) {
		t.Errorf("outcome %v, error %v; want %v, %v", res.Outcome, err, want, is)
	}
}

func TestDoExecutesThenReplays(t *testing.T) {
	b := newBook()
	for _, want := range []hapax.Outcome{hapax.Executed, hapax.Replayed, hapax.Replayed} {
		res, err := hapax.Do(t.Context(), b, request("a"), done)
		wantOutcome(t, res, err, want, nil)
		if string(res.Receipt) != "done" {
			t.Errorf("%v: receipt %q, want that of the first run", want, res.Receipt)
		}
	}
	b.wantCalls(t, "claim commit claim claim")
}

func TestDoRunsOnceForConcurrentCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const copies = 64
		b := newBook()
		results := make(chan hapax.Result, copies)
		for range copies {
			go func() {
				res, err := hapax.Do(t.Context(), b, request("a"), lasting(time.Second))
				if held := new(hapax.InFlightError); errors.As(err, &held) && held.RetryAfter != lease {
					t.Errorf("held: ask again in %v, want %v", held.RetryAfter, lease)
				}
				results <- res
			}()
		}
		got := map[hapax.Outcome]int{}
		for range copies {
			got[(<-results).Outcome]++
		}
		if got[hapax.Executed] != 1 || got[hapax.Held] != copies-1 {
			t.Errorf("outcomes %v, want 1 executed and %d held", got, copies-1)
		}
	})
}

func TestDoAnswersWithoutRunning(t *testing.T) {
	never := func(context.Context, hapax.Claim) (hapax.Receipt, error) {
		t.Error("the handler ran")
		return nil, nil
	}
	for _, test := range []struct {
		name  string
		claim hapax.Claim
		want  hapax.Outcome
		is    error
	}{
		{"in flight", hapax.Claim{Verdict: hapax.InFlight, Deadline: time.Now().Add(time.Minute)}, hapax.Held, hapax.ErrInFlight},
		{"conflict", hapax.Claim{Verdict: hapax.Conflict}, hapax.Conflicted, hapax.ErrConflict},
		{"duplicate without receipt", hapax.Claim{Verdict: hapax.Duplicate}, hapax.Replayed, nil},
		{"late is no answer", hapax.Claim{Verdict: hapax.Late}, hapax.Unanswered, nil},
		{"no verdict", hapax.Claim{}, hapax.Unanswered, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			res, err := hapax.Do(t.Context(), answer{claim: test.claim}, request("a"), never)
			if res.Outcome != test.want || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("outcome %v, error %v; want %v, %v", res.Outcome, err, test.want, test.is)
			}
			if ok := test.want == hapax.Replayed; ok != (err == nil) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// answer is a ledger that always answers a claim the same way.
type answer struct {
	hapax.Ledger
	claim hapax.Claim
}

func (a answer) Claim(context.Context, hapax.Request) (hapax.Claim, error) { return a.claim, nil }

func TestDoTellsHoldersRemainingLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct{ left, want time.Duration }{
			{20 * time.Second, 20 * time.Second},
			{0, 0},
			{-time.Minute, 0},       // our clock is ahead
			{10 * time.Hour, lease}, // our clock is behind
		} {
			held := answer{claim: hapax.Claim{Verdict: hapax.InFlight, Deadline: time.Now().Add(test.left)}}
			_, err := hapax.Do(t.Context(), held, request("a"), done)
			var e *hapax.InFlightError
			if !errors.As(err, &e) || e.RetryAfter != test.want {
				t.Errorf("%v left: error %v, want to ask again in %v", test.left, err, test.want)
			}
		}
	})
}

func TestDoComparesDigests(t *testing.T) {
	b := newBook()
	r := request("a")
	r.Digest = 1
	res, err := hapax.Do(t.Context(), b, r, done)
	wantOutcome(t, res, err, hapax.Executed, nil)
	r.Digest = 2
	res, err = hapax.Do(t.Context(), b, r, done)
	wantOutcome(t, res, err, hapax.Conflicted, hapax.ErrConflict)
}

func TestDoReleasesAfterFailure(t *testing.T) {
	failure := errors.New("card declined")
	for _, test := range []struct {
		name string
		run  hapax.Handler
	}{
		{"error", func(context.Context, hapax.Claim) (hapax.Receipt, error) { return nil, failure }},
		{"panic", func(context.Context, hapax.Claim) (hapax.Receipt, error) { panic(failure) }},
		{"goexit", func(context.Context, hapax.Claim) (hapax.Receipt, error) { runtime.Goexit(); return nil, nil }},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBook()
			ended := make(chan any)
			go func() {
				defer func() {
					end := recover() // nil at the end of Goexit
					ended <- end
				}()
				res, err := hapax.Do(t.Context(), b, request("a"), test.run)
				wantOutcome(t, res, err, hapax.Failed, failure)
				if err != failure { //nolint:errorlint // it must be the very same
					t.Errorf("error %v, want the handler's as it was", err)
				}
			}()
			if end := <-ended; test.name == "panic" && end != any(failure) {
				t.Errorf("ended with %v, want the handler's panic", end)
			}
			b.wantCalls(t, "claim release")
			var token uint64
			res, err := hapax.Do(t.Context(), b, request("a"), func(_ context.Context, c hapax.Claim) (hapax.Receipt, error) {
				token = c.Token
				return nil, nil
			})
			wantOutcome(t, res, err, hapax.Executed, nil)
			if token != 2 {
				t.Errorf("the next run has token %d, want a higher one, 2", token)
			}
		})
	}
}

func TestDoReportsFailedRelease(t *testing.T) {
	b := newBook()
	failure, down := errors.New("card declined"), errors.New("disk is gone")
	b.onRelease = func(context.Context) error { return down }
	res, err := hapax.Do(t.Context(), b, request("a"), func(context.Context, hapax.Claim) (hapax.Receipt, error) {
		return nil, failure
	})
	wantOutcome(t, res, err, hapax.Failed, failure)
	wantOutcome(t, res, err, hapax.Failed, down)
}

func TestDoSettlesAfterCallerLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		res, err := hapax.Do(ctx, b, request("finishes"), stubborn(55*time.Second))
		wantOutcome(t, res, err, hapax.Executed, nil)

		ctx, leave = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		res, err = hapax.Do(ctx, b, request("stops"), lasting(time.Minute))
		wantOutcome(t, res, err, hapax.Failed, context.Canceled)
		b.wantCalls(t, "claim extend extend extend extend extend commit claim release")
	})
}

func TestDoHoldsTheLeaseOfALongHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		first := make(chan hapax.Result)
		go func() {
			res, _ := hapax.Do(t.Context(), b, request("a"), lasting(10*lease))
			first <- res
		}()
		synctest.Wait()
		for range 100 {
			<-time.After(lease / 11)
			res, err := hapax.Do(t.Context(), b, request("a"), done)
			wantOutcome(t, res, err, hapax.Held, hapax.ErrInFlight)
		}
		if res := <-first; res.Outcome != hapax.Executed {
			t.Errorf("the long run was %v, want executed", res.Outcome)
		}
		if n := count(b.calls, "extend"); n < 29 || n > 30 {
			t.Errorf("%d extensions in ten leases, want three a lease", n)
		}
	})
}

// TestDoStopsBeforeAnUnextendedLeaseEnds lets extending fail in every way, from
// the start or after a while, and measures when the handler is told.
func TestDoStopsBeforeAnUnextendedLeaseEnds(t *testing.T) {
	down := errors.New("connection refused")
	refuse := func(context.Context) error { return down }
	obey := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	hang := func(ctx context.Context) error { <-time.After(5 * lease); return down }
	steal := func(context.Context) error { return hapax.ErrLeaseLost }
	flaky := 0
	for _, test := range []struct {
		name string
		hook func(context.Context) error
		told time.Duration // when the handler's context ends
		why  error
	}{
		{"refused", refuse, lease * 9 / 10, down},
		{"no answer", obey, lease * 9 / 10, context.DeadlineExceeded},
		{"hangs for ever", hang, lease * 9 / 10, hapax.ErrLeaseLost},
		{"token moved on", steal, lease / 3, hapax.ErrLeaseLost},
		{"refused from the fourth on", func(context.Context) error {
			if flaky++; flaky > 3 {
				return down
			}
			return nil
		}, lease + lease*9/10, down},
		{"every second refused", func(context.Context) error {
			if flaky++; flaky%2 == 1 {
				return down
			}
			return nil
		}, 0, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, start := newBook(), time.Now()
				flaky, b.onExtend = 0, test.hook
				var told time.Duration
				res, err := hapax.Do(t.Context(), b, request("a"), func(ctx context.Context, _ hapax.Claim) (hapax.Receipt, error) {
					select {
					case <-time.After(4 * lease):
					case <-ctx.Done():
						told = time.Since(start)
						if cause := context.Cause(ctx); !errors.Is(cause, hapax.ErrLeaseLost) || !errors.Is(cause, test.why) {
							t.Errorf("cause %v, want lease lost because of %v", cause, test.why)
						}
					}
					return nil, nil // as many a loop returns that was told to stop
				})
				if told != test.told {
					t.Errorf("told after %v, want %v", told, test.told)
				}
				want, is := hapax.Lost, hapax.ErrLeaseLost
				if test.why == nil {
					want, is = hapax.Executed, nil
				}
				wantOutcome(t, res, err, want, is)
				if committed := count(b.calls, "commit") > 0; committed != (want == hapax.Executed) {
					t.Errorf("outcome %v, but the ledger was asked %v", want, b.calls)
				}
			})
		})
	}
}

func TestDoLostKeepsHandlersError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, failure := newBook(), errors.New("half of it sent")
		b.onExtend = func(context.Context) error { return hapax.ErrLeaseLost }
		res, err := hapax.Do(t.Context(), b, request("a"), func(ctx context.Context, _ hapax.Claim) (hapax.Receipt, error) {
			<-ctx.Done()
			return nil, failure
		})
		wantOutcome(t, res, err, hapax.Lost, hapax.ErrLeaseLost)
		wantOutcome(t, res, err, hapax.Lost, failure)
	})
}

func TestDoMargin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, start := newBook(), time.Now()
		b.onExtend = func(context.Context) error { return errors.New("down") }
		res, err := hapax.Limits{Margin: lease / 2}.Do(t.Context(), b, request("a"), lasting(time.Hour))
		wantOutcome(t, res, err, hapax.Lost, hapax.ErrLeaseLost)
		if told := time.Since(start); told != lease/2 {
			t.Errorf("told after %v, want half a lease", told)
		}
	})
}

// TestDoOvertaken pauses the first holder past its lease: the second runs, and
// nothing of the first is committed.
func TestDoOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		b.onExtend = func(context.Context) error { return errors.New("cut off") }
		type ended struct {
			res hapax.Result
			err error
		}
		first := make(chan ended)
		go func() {
			res, err := hapax.Do(t.Context(), b, request("a"), stubborn(3*lease))
			first <- ended{res, err}
		}()
		<-time.After(lease)
		res, err := hapax.Do(t.Context(), b, request("a"), func(context.Context, hapax.Claim) (hapax.Receipt, error) {
			return hapax.Receipt("second"), nil
		})
		wantOutcome(t, res, err, hapax.Executed, nil)
		e := <-first
		wantOutcome(t, e.res, e.err, hapax.Lost, hapax.ErrLeaseLost)
		res, err = hapax.Do(t.Context(), b, request("a"), done)
		wantOutcome(t, res, err, hapax.Replayed, nil)
		if string(res.Receipt) != "second" {
			t.Errorf("receipt %q, want the second run's", res.Receipt)
		}
	})
}

func TestDoStopsRenewingAHungHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, start := newBook(), time.Now()
		limits := hapax.Limits{Run: 2 * lease}
		res, err := limits.Do(t.Context(), b, request("a"), lasting(24*time.Hour))
		wantOutcome(t, res, err, hapax.Lost, hapax.ErrLeaseLost)
		if ran := time.Since(start); ran < limits.Run || ran >= limits.Run+lease {
			t.Errorf("ran for %v, want at least %v and less than a lease more", ran, limits.Run)
		}
		if !strings.Contains(err.Error(), "ran for longer than 1m0s") {
			t.Errorf("error %q does not say why", err)
		}
		// By default it is an hour.
		start = time.Now()
		res, err = hapax.Do(t.Context(), b, request("b"), lasting(24*time.Hour))
		wantOutcome(t, res, err, hapax.Lost, hapax.ErrLeaseLost)
		if ran := time.Since(start); ran < time.Hour || ran >= time.Hour+lease {
			t.Errorf("ran for %v, want an hour", ran)
		}
	})
}

// A receipt that is too large must not make the effect happen again.
func TestDoReceiptTooLarge(t *testing.T) {
	b := newBook()
	commits := 0
	b.onCommit = func(context.Context) error {
		if commits++; commits == 1 {
			return hapax.ErrReceiptSize
		}
		return nil
	}
	res, err := hapax.Do(t.Context(), b, request("a"), done)
	wantOutcome(t, res, err, hapax.Executed, hapax.ErrReceiptSize)
	b.wantCalls(t, "claim commit commit")
	res, err = hapax.Do(t.Context(), b, request("a"), done)
	wantOutcome(t, res, err, hapax.Replayed, nil)
}

func TestDoCommitFails(t *testing.T) {
	for _, test := range []struct {
		err  error
		want hapax.Outcome
	}{
		{hapax.ErrUnknown, hapax.Doubtful},
		{hapax.ErrFull, hapax.Doubtful},
		{hapax.ErrClosed, hapax.Doubtful},
		{hapax.ErrLeaseLost, hapax.Lost},
	} {
		b := newBook()
		b.onCommit = func(context.Context) error { return test.err }
		res, err := hapax.Do(t.Context(), b, request("a"), done)
		wantOutcome(t, res, err, test.want, test.err)
		b.wantCalls(t, "claim commit")
	}
}

func TestDoBoundsCommitAndRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, start := newBook(), time.Now()
		hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		b.onCommit, b.onRelease = hang, hang
		limits := hapax.Limits{Settle: time.Second}
		res, err := limits.Do(t.Context(), b, request("a"), done)
		wantOutcome(t, res, err, hapax.Doubtful, context.DeadlineExceeded)
		res, err = limits.Do(t.Context(), b, request("b"), func(context.Context, hapax.Claim) (hapax.Receipt, error) {
			return nil, errors.New("no")
		})
		wantOutcome(t, res, err, hapax.Failed, context.DeadlineExceeded)
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v, want a second each", took)
		}
	})
}

func TestDoClaimFails(t *testing.T) {
	b := newBook()
	b.onClaim = func(context.Context) error { return hapax.ErrClosed }
	res, err := hapax.Do(t.Context(), b, request("a"), done)
	wantOutcome(t, res, err, hapax.Unanswered, hapax.ErrClosed)
	b.wantCalls(t, "claim")
}

func TestDoClaimAnsweredTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		b.onClaim = func(context.Context) error { <-time.After(lease); return nil }
		res, err := hapax.Do(t.Context(), b, request("a"), func(context.Context, hapax.Claim) (hapax.Receipt, error) {
			t.Error("the handler ran")
			return nil, nil
		})
		wantOutcome(t, res, err, hapax.Lost, hapax.ErrLeaseLost)
		b.wantCalls(t, "claim release")
	})
}

func TestDoRefusesBadLimits(t *testing.T) {
	for _, test := range []struct {
		lease  time.Duration
		limits hapax.Limits
	}{
		{lease: 0},
		{lease: -time.Second},
		{lease, hapax.Limits{Run: -1}},
		{lease, hapax.Limits{Margin: -1}},
		{lease, hapax.Limits{Settle: -1}},
		{lease, hapax.Limits{Margin: lease/2 + 1}},
	} {
		b, r := newBook(), request("a")
		r.Lease = test.lease
		res, err := test.limits.Do(t.Context(), b, r, done)
		if res.Outcome != hapax.Unanswered || err == nil {
			t.Errorf("lease %v, %+v: outcome %v, error %v", test.lease, test.limits, res.Outcome, err)
		}
		b.wantCalls(t, "")
	}
}

// TestDoTinyLease: a lease too short to be of use is lost, not a panic.
func TestDoTinyLease(t *testing.T) {
	for lease := time.Duration(1); lease < 8; lease++ {
		r := request("a")
		r.Lease = lease
		res, err := hapax.Do(t.Context(), newBook(), r, lasting(time.Hour))
		wantOutcome(t, res, err, hapax.Lost, hapax.ErrLeaseLost)
	}
}
