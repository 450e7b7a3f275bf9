package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
)

// within tells whether a wait is what is said of the nth attempt: of d up to a half is left
// out by chance.
func within(after, d time.Duration) bool { return after >= d/2 && after <= d }

func TestBackoffGrowsWithTheAttempts(t *testing.T) {
	o := options()
	o.Backoff = inbox.Backoff{First: time.Second, Most: 6 * time.Second}
	fails := errDeclined
	in := leased(t, openLedger(t), o, func(context.Context, hapax.Claim, *hapax.Message) (hapax.Receipt, error) { return nil, fails })
	attempt := func(id string, want time.Duration) {
		t.Helper()
		r, err := wantOutcome(t, in, message(id, "a"), hapax.Failed, errDeclined)
		if s := inbox.Settle(r, err); s.Action != inbox.Retry || !s.Failed || !within(s.After, want) {
			t.Errorf("settled as %+v, want about %v", s, want)
		}
		if err.Error() != errDeclined.Error() {
			t.Errorf("the error is now %q", err)
		}
	}
	for _, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 6 * time.Second, 6 * time.Second} {
		attempt("1", want)
	}
	attempt("2", time.Second)
	fails = nil
	wantOutcome(t, in, message("2", "a"), hapax.Executed, nil)
	fails = inbox.Permanent(errDeclined)
	r, err := wantOutcome(t, in, message("1", "a"), hapax.Failed, errDeclined)
	if s := inbox.Settle(r, err); s.Action != inbox.DeadLetter {
		t.Errorf("settled as %+v", s)
	}
	fails = errDeclined
	attempt("1", time.Second) // it came back from the dead letters
	fails = inbox.Later(time.Hour, errDeclined)
	r, err = wantOutcome(t, in, message("1", "a"), hapax.Failed, errDeclined)
	if s := inbox.Settle(r, err); s != (inbox.Settlement{Action: inbox.Retry, After: time.Hour}) {
		t.Errorf("settled as %+v: the handler has said when", s)
	}
}

// Messages that failed together do not all come again together.
func TestBackoffHasJitter(t *testing.T) {
	in := leased(t, openLedger(t), options(), func(context.Context, hapax.Claim, *hapax.Message) (hapax.Receipt, error) {
		return nil, errDeclined
	})
	seen := make(map[time.Duration]bool)
	for i := range 100 {
		r, err := in.Handle(t.Context(), message(fmt.Sprint(i), "a"))
		seen[inbox.Settle(r, err).After] = true
	}
	if len(seen) < 50 {
		t.Errorf("%d waits for 100 messages", len(seen))
	}
}

// What is remembered of messages that fail is bounded: at last the count begins anew.
func TestBackoffForgets(t *testing.T) {
	o := options()
	o.Backoff = inbox.Backoff{First: time.Second}
	in := leased(t, openLedger(t), o, func(context.Context, hapax.Claim, *hapax.Message) (hapax.Receipt, error) {
		return nil, errDeclined
	})
	last := func(id string) time.Duration {
		r, err := in.Handle(t.Context(), message(id, "a"))
		return inbox.Settle(r, err).After
	}
	last("first")
	if d := last("first"); !within(d, 2*time.Second) {
		t.Errorf("the second attempt waits for %v", d)
	}
	for i := range 1 << 14 {
		last(fmt.Sprint(i))
	}
	if d := last("first"); !within(d, time.Second) {
		t.Errorf("after many others it waits for %v", d)
	}
}

func TestBackoffOptions(t *testing.T) {
	for _, b := range []inbox.Backoff{{First: -1}, {First: time.Minute, Most: time.Second}, {Most: time.Millisecond}} {
		o := options()
		o.Backoff = b
		if _, err := inbox.Lease(openLedger(t), o, nothing); err == nil {
			t.Errorf("%+v passed", b)
		}
	}
	in, err := inbox.AtLeastOnce(inbox.Options{Name: "addresses"}, func(context.Context, *hapax.Message) error { return errDeclined })
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, in)
	r, err := in.Handle(t.Context(), message("1", "a"))
	if s := inbox.Settle(r, err); !errors.Is(err, errDeclined) || !within(s.After, 100*time.Millisecond) {
		t.Errorf("settled as %+v, %v", s, err)
	}
}
