package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/inbox"
)

func TestS36NothingIsChosenSilently(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*inbox.Options)
		want   string // of the error; empty: none
	}{
		{"good", func(*inbox.Options) {}, ""},
		{"no name", func(o *inbox.Options) { o.Name = "" }, "name is empty"},
		{"no identity", func(o *inbox.Options) { o.Identity = "" }, "identity is empty"},
		{"bad identity", func(o *inbox.Options) { o.Identity = "headers:id" }, "headers"},
		{"two identities", func(o *inbox.Options) {
			o.Identify = func(dst []byte, _ *hapax.Message) ([]byte, error) { return dst, nil }
		}, "want one of them"},
		{"no window", func(o *inbox.Options) { o.Window = 0 }, "how long marks are remembered"},
		{"negative redelivery", func(o *inbox.Options) { o.Redelivery = -1 }, "redelivery"},
		{"negative wait", func(o *inbox.Options) { o.Wait = -1 }, "wait"},
		{"negative lease", func(o *inbox.Options) { o.Lease = -1 }, "lease"},
		{"margin", func(o *inbox.Options) { o.Limits.Margin = time.Hour }, "margin"},
		{"missing", func(o *inbox.Options) { o.Missing = 9 }, "missing"},
		{"content for positions", func(o *inbox.Options) {
			o.Identity, o.Missing = inbox.ByPosition, identity.ContentOnMissing
		}, "content is no number"},
		{"committed", func(o *inbox.Options) { o.Committed = 1 << 30 }, "committed"},
		{"unknown store down", func(o *inbox.Options) { o.StoreDown = 9 }, "store down"},
		{"callback without function", func(o *inbox.Options) { o.Duplicates = inbox.Callback(nil) }, "callback"},
		{"route without function", func(o *inbox.Options) { o.Duplicates = inbox.Route(nil) }, "route"},
	} {
		o := options()
		test.change(&o)
		_, err := inbox.Lease(openLedger(t), o, nothing)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one of %q", test.name, err, test.want)
		}
	}

	o := options()
	o.StoreDown = inbox.FailOpen
	if _, err := inbox.Transaction(newDatabase(), o, effect); err == nil {
		t.Error("a transaction that fails open was accepted")
	}
	if _, err := inbox.AtMostOnce(openLedger(t), o, func(context.Context, *hapax.Message) error { return nil }); err == nil {
		t.Error("at most once that fails open was accepted")
	}
	db := newDatabase()
	db.ordered = true
	if _, err := inbox.Transaction(db, options(), effect); err == nil || !strings.Contains(err.Error(), "by number") {
		t.Errorf("marks by number of messages by id: %v", err)
	}
	for _, err := range []error{
		second(inbox.Transaction[*tx](nil, options(), effect)), second(inbox.Transaction(db, options(), nil)),
		second(inbox.Lease(nil, options(), nothing)), second(inbox.Lease(openLedger(t), options(), nil)),
		second(inbox.AtMostOnce(openLedger(t), options(), nil)), second(inbox.AtLeastOnce(options(), nil)),
	} {
		if err == nil {
			t.Error("nil was accepted")
		}
	}
}

func second[T any](_ T, err error) error { return err }

// What is promised is logged at the start, and a window that is too short warned of.
func TestS36TheGuaranteeIsLogged(t *testing.T) {
	for _, test := range []struct {
		window, redelivery time.Duration
		warn               bool
	}{
		{inbox.Forever, inbox.Forever, false}, {time.Hour, 0, false}, {time.Hour, time.Hour, false},
		{time.Hour, time.Hour + 1, true}, {time.Hour, inbox.Forever, true},
	} {
		log, o := &lines{}, options()
		o.Logger, o.Window, o.Redelivery = log.logger(), test.window, test.redelivery
		leased(t, openLedger(t), o, nothing)
		text := log.String()
		for _, want := range []string{"level=INFO", "name=billing", "guarantee=lease", "identity=header:id", "window=", "store=*ledger.Ledger"} {
			if !strings.Contains(text, want) {
				t.Errorf("logged without %q:\n%s", want, text)
			}
		}
		if got := strings.Contains(text, "level=WARN"); got != test.warn {
			t.Errorf("window %v, redelivery %v: warned %t, want %t", test.window, test.redelivery, got, test.warn)
		}
	}
}

// TestS53EachDeliveryHasOneOutcome brings about every outcome there is, and counts.
// Every other test compares the sum with the deliveries when it closes its inbox.
func TestS53EachDeliveryHasOneOutcome(t *testing.T) {
	var seen []hapax.Outcome
	l := &faulty{}
	open := func(change func(*inbox.Options)) *inbox.Inbox {
		l.Ledger = openLedger(t)
		o := options()
		o.Observer.End = func(_ context.Context, d inbox.Delivery) { seen = append(seen, d.Outcome) }
		change(&o)
		return leased(t, l, o, func(_ context.Context, _ hapax.Claim, m *hapax.Message) (hapax.Receipt, error) {
			switch string(m.Value) {
			case "fail":
				return nil, errDeclined
			case "panic":
				panic(errDeclined)
			}
			return nil, nil
		})
	}
	in := open(func(o *inbox.Options) { o.Missing = identity.PassOnMissing })
	handle := func(m *hapax.Message) {
		defer func() { _ = recover() }()
		_, _ = in.Handle(t.Context(), m)
	}
	handle(message("1", "x"))
	handle(message("1", "x"))
	handle(message("1", "y"))
	claimAs(t, l, in, message("2", "x"))
	handle(message("2", "x"))
	handle(message("3", "fail"))
	handle(message("3", "panic"))
	handle(&hapax.Message{})
	l.onCommit = always(hapax.ErrLeaseLost)
	handle(message("4", "x"))
	l.onCommit = always(hapax.ErrUnknown)
	handle(message("5", "x"))
	l.onClaim = always(errDown)
	handle(message("6", "x"))
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	handle(message("7", "x"))

	want := []hapax.Outcome{
		hapax.Executed, hapax.Replayed, hapax.Conflicted, hapax.Held, hapax.Failed, hapax.Failed, hapax.Passed,
		hapax.Lost, hapax.Doubtful, hapax.Unanswered, hapax.Unanswered,
	}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("seen %v\nwant %v", seen, want)
	}
	s := in.Stats()
	if s.Deliveries != uint64(len(want)) || s.Outcomes[hapax.Failed] != 2 || s.Outcomes[hapax.Unanswered] != 2 || len(s.Outcomes) != 9 {
		t.Errorf("counted %+v", s)
	}
}

// Begin's context goes to the handler and to End, also of batches.
func TestObserverSeesBeginAndEnd(t *testing.T) {
	type span struct{}
	o, n := options(), 0
	var ended []any
	o.Observer = inbox.Observer{
		Begin: func(ctx context.Context, in *inbox.Inbox, _ *hapax.Message) context.Context {
			if in.Name() != "billing" {
				t.Errorf("begins in %q", in.Name())
			}
			n++
			return context.WithValue(ctx, span{}, n)
		},
		End: func(ctx context.Context, d inbox.Delivery) {
			ended = append(ended, ctx.Value(span{}))
			if d.Inbox != "billing" || d.Guarantee != inbox.Transacted || d.Message == nil || d.Took < d.Worked ||
				len(d.Identity) == 0 || d.Key != identity.SharedKey("billing", d.Identity) {
				t.Errorf("ended as %+v", d)
			}
		},
	}
	in := transaction(t, newDatabase(), o, func(ctx context.Context, _ *tx, _ *hapax.Message) (hapax.Receipt, error) {
		if ctx.Value(span{}) != n {
			t.Errorf("the handler has %v, want %d", ctx.Value(span{}), n)
		}
		return nil, nil
	}).Inbox
	wantOutcome(t, in, message("1", "a"), hapax.Executed, nil)
	in.HandleBatch(t.Context(), []*hapax.Message{message("2", "a"), message("2", "a")})
	if fmt.Sprint(ended) != "[1 2 3]" {
		t.Errorf("ended %v", ended)
	}
}

// Of several observers the first to see a message begin is the last to see it end.
func TestObserversNest(t *testing.T) {
	type seen struct{}
	var told []string
	observer := func(name string) inbox.Observer {
		return inbox.Observer{
			Begin: func(ctx context.Context, _ *inbox.Inbox, _ *hapax.Message) context.Context {
				before, _ := ctx.Value(seen{}).(string)
				return context.WithValue(ctx, seen{}, before+name)
			},
			End: func(ctx context.Context, d inbox.Delivery) {
				told = append(told, fmt.Sprint(name, " of ", ctx.Value(seen{}), ": ", d.Outcome))
			},
		}
	}
	o := options()
	o.Observer = inbox.Observers(observer("a"), inbox.Observer{}, observer("b"))
	in := leased(t, openLedger(t), o, func(context.Context, hapax.Claim, *hapax.Message) (hapax.Receipt, error) { return nil, nil })
	wantOutcome(t, in, message("1", "a"), hapax.Executed, nil)
	if want := "[b of ab: executed a of ab: executed]"; fmt.Sprint(told) != want {
		t.Errorf("told %v, want %v", told, want)
	}
}

// The goroutines of all tests are looked for when they have ended: see TestMain.
func TestS54CloseLeavesRunningHandlersTheirClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := openLedger(t)
		in := leased(t, l, options(), func(ctx context.Context, _ hapax.Claim, _ *hapax.Message) (hapax.Receipt, error) {
			<-time.After(3 * lease)
			return nil, context.Cause(ctx)
		})
		first := make(chan hapax.Result, 1)
		go func() {
			r, _ := in.Handle(t.Context(), message("1", "a"))
			first <- r
		}()
		synctest.Wait()
		began := time.Now()
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 3*lease {
			t.Errorf("Close returned after %v, want when the handler has ended", took)
		}
		if r := <-first; r.Outcome != hapax.Executed {
			t.Errorf("the handler that ran is %v", r.Outcome)
		}
		r, err := wantOutcome(t, in, message("2", "a"), hapax.Unanswered, inbox.ErrClosed)
		if s := inbox.Settle(r, err); s.Action != inbox.Stop {
			t.Errorf("settled as %+v", s)
		}
		for _, h := range in.HandleBatch(t.Context(), []*hapax.Message{message("2", "a"), message("3", "a")}) {
			if !errors.Is(h.Err, inbox.ErrClosed) {
				t.Errorf("after Close: %+v", h)
			}
		}
	})
}

func TestSettle(t *testing.T) {
	held := &hapax.InFlightError{RetryAfter: time.Second}
	for _, test := range []struct {
		outcome hapax.Outcome
		err     error
		want    inbox.Settlement
	}{
		{hapax.Executed, nil, inbox.Settlement{Action: inbox.Ack}},
		{hapax.Executed, hapax.ErrReceiptSize, inbox.Settlement{Action: inbox.Ack}},
		{hapax.Passed, nil, inbox.Settlement{Action: inbox.Ack}},
		{hapax.Replayed, nil, inbox.Settlement{Action: inbox.Ack}},
		{hapax.Replayed, errDown, inbox.Settlement{Action: inbox.Retry}},
		{hapax.Held, held, inbox.Settlement{Action: inbox.Retry, After: time.Second}},
		{hapax.Held, nil, inbox.Settlement{Action: inbox.Retry}},
		{hapax.Conflicted, hapax.ErrConflict, inbox.Settlement{Action: inbox.DeadLetter}},
		{hapax.Nameless, hapax.ErrMissing, inbox.Settlement{Action: inbox.DeadLetter}},
		{hapax.Outdated, hapax.ErrStale, inbox.Settlement{Action: inbox.DeadLetter}},
		{hapax.Forfeited, errDeclined, inbox.Settlement{Action: inbox.DeadLetter, Failed: true}},
		{hapax.Failed, errDeclined, inbox.Settlement{Action: inbox.Retry, Failed: true}},
		{hapax.Failed, fmt.Errorf("pay: %w", inbox.Permanent(errDeclined)), inbox.Settlement{Action: inbox.DeadLetter, Failed: true}},
		{hapax.Failed, fmt.Errorf("pay: %w", inbox.Later(time.Minute, nil)), inbox.Settlement{Action: inbox.Retry, After: time.Minute}},
		{hapax.Lost, hapax.ErrLeaseLost, inbox.Settlement{Action: inbox.Retry, Failed: true}},
		{hapax.Doubtful, inbox.Later(time.Minute, hapax.ErrUnknown), inbox.Settlement{Action: inbox.Retry, After: time.Minute}},
		{hapax.Unanswered, inbox.Later(time.Minute, errDown), inbox.Settlement{Action: inbox.Stop, After: time.Minute}},
		{0, nil, inbox.Settlement{Action: inbox.Stop}},
		{255, nil, inbox.Settlement{Action: inbox.Stop}},
	} {
		if got := inbox.Settle(hapax.Result{Outcome: test.outcome}, test.err); got != test.want {
			t.Errorf("%v, %v: settled as %+v, want %+v", test.outcome, test.err, got, test.want)
		}
	}
	if inbox.Permanent(nil) != nil {
		t.Error("Permanent(nil) is an error")
	}
	if text := inbox.Later(time.Second, nil).Error(); text != "again in 1s" {
		t.Errorf("Later says %q", text)
	}
}

func TestWords(t *testing.T) {
	for _, test := range []struct {
		value fmt.Stringer
		want  string
	}{
		{inbox.AtMost, "at most once"}, {inbox.AtLeast, "at least once"}, {inbox.Leased, "lease"}, {inbox.Transacted, "transaction"},
		{inbox.Guarantee(0), "Guarantee(0)"}, {inbox.Ack, "ack"}, {inbox.Retry, "retry"}, {inbox.DeadLetter, "dead letter"},
		{inbox.Stop, "stop"}, {inbox.Action(9), "Action(9)"}, {inbox.FailClosed, "fail closed"}, {inbox.FailOpen, "fail open"},
		{inbox.StoreDown(9), "StoreDown(9)"}, {inbox.Drop(), "drop"}, {inbox.OnDuplicate{}, "drop"}, {inbox.Replay(), "replay"},
	} {
		if got := test.value.String(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

// A consumer that stops burns no attempt; one that runs out of its time does.
func TestACallerThatStopsIsNoFailedAttempt(t *testing.T) {
	for name, open := range guarded() {
		for _, test := range []struct {
			end    func(context.Context) (context.Context, context.CancelFunc)
			failed bool
		}{
			{context.WithCancel, false},
			{func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, time.Second)
			}, true},
		} {
			synctest.Test(t, func(t *testing.T) {
				in := open(t, options(), func(ctx context.Context, _ *hapax.Message) error {
					<-ctx.Done()
					return ctx.Err()
				})
				ctx, cancel := test.end(t.Context())
				time.AfterFunc(time.Minute, cancel)
				r, err := in.Handle(ctx, message("1", "a"))
				if s := inbox.Settle(r, err); s.Action != inbox.Retry || s.Failed != test.failed || !errors.Is(err, ctx.Err()) {
					t.Errorf("%s: %v, %v, settled as %+v; want failed %t", name, r.Outcome, err, s, test.failed)
				}
			})
		}
	}
}
