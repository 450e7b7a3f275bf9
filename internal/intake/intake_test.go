package intake_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/internal/intake"
)

// answers are those of an inbox, one after the other; the last one is of all to come.
type answers []func(ctx context.Context) (hapax.Result, error)

func (a *answers) Handle(ctx context.Context, _ *hapax.Message) (hapax.Result, error) {
	next := (*a)[0]
	if len(*a) > 1 {
		*a = (*a)[1:]
	}
	return next(ctx)
}

func ends(o hapax.Outcome, err error) func(context.Context) (hapax.Result, error) {
	return func(context.Context) (hapax.Result, error) { return hapax.Result{Outcome: o}, err }
}

// delivery notes what its broker is told, and when.
type delivery struct {
	began time.Time
	told  string
	after time.Duration
	at    time.Duration
}

func (d *delivery) Message() *hapax.Message { return &hapax.Message{} }
func (d *delivery) Ack() error              { return d.tell("ack", 0) }
func (d *delivery) Dead(error) error        { return d.tell("dead", 0) }
func (d *delivery) Back(_ context.Context, s inbox.Settlement, _ error) error {
	return d.tell("back", s.After)
}

func (d *delivery) tell(what string, after time.Duration) error {
	d.told, d.after, d.at = what, after, time.Since(d.began)
	return nil
}

func begin(ctx context.Context, t *testing.T, in intake.Inbox, o intake.Options) *intake.Intake {
	t.Helper()
	o, err := o.WithDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return intake.Begin(ctx, in, o)
}

func take(t *testing.T, k *intake.Intake) *delivery {
	t.Helper()
	if _, err := k.Reserve(1); err != nil {
		t.Fatal(err)
	}
	d := &delivery{began: time.Now()}
	k.Take(t.Context(), d)
	return d
}

func TestSettle(t *testing.T) {
	failure := errors.New("no")
	executed := ends(hapax.Executed, nil)
	for name, c := range map[string]struct {
		inbox answers
		told  string
		after time.Duration
		at    time.Duration
	}{
		"executed":                {answers{executed}, "ack", 0, 0},
		"copy":                    {answers{ends(hapax.Replayed, nil)}, "ack", 0, 0},
		"failed":                  {answers{ends(hapax.Failed, failure)}, "back", 100 * time.Millisecond, 0},
		"failed for good":         {answers{ends(hapax.Failed, inbox.Permanent(failure))}, "dead", 0, 0},
		"held elsewhere":          {answers{ends(hapax.Held, &hapax.InFlightError{RetryAfter: time.Second}), executed}, "ack", 0, time.Second},
		"held, and not for long":  {answers{ends(hapax.Held, &hapax.InFlightError{}), executed}, "ack", 0, 100 * time.Millisecond},
		"again later, twice":      {answers{ends(hapax.Failed, inbox.Later(time.Minute, nil)), ends(hapax.Failed, inbox.Later(time.Minute, nil)), executed}, "ack", 0, 2 * time.Minute},
		"again later than a hold": {answers{ends(hapax.Failed, inbox.Later(time.Hour, nil))}, "back", time.Hour, 0},
		"store down":              {answers{ends(hapax.Unanswered, inbox.Later(time.Second, failure)), executed}, "ack", 0, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := begin(t.Context(), t, &c.inbox, intake.Options{})
				d := take(t, k)
				<-time.After(10 * time.Minute) // of the bubble
				k.End()
				if d.told != c.told || d.after != c.after || d.at != c.at {
					t.Errorf("told %s after %v, at %v; want %s after %v, at %v", d.told, d.after, d.at, c.told, c.after, c.at)
				}
			})
		})
	}
}

// TestKeep: what a broker takes not back is held, less and less often, until it is
// done, has failed too often, or is lost to its broker.
func TestKeep(t *testing.T) {
	failed, executed := ends(hapax.Failed, errors.New("no")), ends(hapax.Executed, nil)
	for name, c := range map[string]struct {
		inbox    answers
		attempts int
		told     string
		at       time.Duration
	}{
		"failed twice":              {answers{failed, failed, executed}, 0, "ack", 300 * time.Millisecond},
		"failed too often":          {answers{failed}, 3, "dead", 300 * time.Millisecond},
		"again later than any hold": {answers{ends(hapax.Failed, inbox.Later(time.Hour, nil)), executed}, 1, "ack", time.Hour},
		"lost":                      {answers{failed}, 0, "back", 2 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := begin(t.Context(), t, &c.inbox, intake.Options{Keep: true, Attempts: c.attempts})
				defer k.End()
				live, lose := context.WithTimeout(t.Context(), 2*time.Hour)
				defer lose()
				if _, err := k.Reserve(1); err != nil {
					t.Fatal(err)
				}
				d := &delivery{began: time.Now()}
				k.Take(live, d)
				<-live.Done()
				synctest.Wait()
				if d.told != c.told || d.at != c.at {
					t.Errorf("told %s at %v, want %s at %v", d.told, d.at, c.told, c.at)
				}
			})
		})
	}
}

// TestStop: while the store can't be asked no message is taken.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := begin(t.Context(), t, &answers{ends(hapax.Unanswered, inbox.Later(time.Minute, nil)), ends(hapax.Executed, nil)}, intake.Options{})
		defer k.End()
		first := take(t, k)
		synctest.Wait()
		if second := take(t, k); second.began.Sub(first.began) < time.Minute {
			t.Errorf("a message was taken after %v", second.began.Sub(first.began))
		}
	})
}

// TestHeldBlocksNobody: a message that is held takes a place, and no handler.
func TestHeldBlocksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &answers{ends(hapax.Failed, inbox.Later(time.Minute, nil)), ends(hapax.Executed, nil)}
		k := begin(t.Context(), t, in, intake.Options{Prefetch: 2, Handlers: 1})
		held := take(t, k)
		synctest.Wait()
		quick := take(t, k)
		synctest.Wait()
		if quick.told != "ack" || held.told != "" {
			t.Errorf("told %q and %q of the held one; want an ack, and nothing yet", quick.told, held.told)
		}
		if n, _ := k.Reserve(5); n != 1 {
			t.Errorf("%d places are free, want 1", n)
		}
		k.Release(1)
		k.End()
		if held.told != "back" {
			t.Errorf("told %q at the end, want it back", held.told)
		}
	})
}

// TestEnd: handlers finish after the end, but not for ever; what waits is given back.
func TestEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		hangs := func(ctx context.Context) (hapax.Result, error) {
			<-ctx.Done()
			return hapax.Result{Outcome: hapax.Failed}, ctx.Err()
		}
		k := begin(ctx, t, &answers{hangs}, intake.Options{Handlers: 1, Drain: 5 * time.Second})
		first := take(t, k)
		synctest.Wait()
		second := take(t, k)
		cancel()
		k.End()
		if first.told != "back" || first.at != 5*time.Second {
			t.Errorf("told %q at %v of the one that hangs, want back at 5s", first.told, first.at)
		}
		if second.told != "back" || second.at != 0 {
			t.Errorf("told %q at %v of the one that waits, want back at once", second.told, second.at)
		}
		if _, err := k.Reserve(1); !errors.Is(err, context.Canceled) {
			t.Errorf("reserve after the end: %v, want %v", err, context.Canceled)
		}
	})
}

func TestOptions(t *testing.T) {
	for _, bad := range []intake.Options{{Prefetch: -1}, {Handlers: -1}, {Hold: -1}, {Drain: -1}, {Prefetch: 1 << 16}, {Attempts: -1}} {
		if _, err := bad.WithDefaults(); err == nil {
			t.Errorf("%+v is good, want an error", bad)
		}
	}
	if o, err := (intake.Options{Prefetch: 3}).WithDefaults(); err != nil || o.Handlers != 3 {
		t.Errorf("handlers %d, %v; want 3", o.Handlers, err)
	}
}
