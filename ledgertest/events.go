package ledgertest

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
)

func eventChecks() []admitCheck {
	return []admitCheck{
		{name: "by event time both edges follow the watermark", run: eventEdges},
		{name: "an event older than the window is Late and is not remembered", run: lateEvents},
		{name: "disorder inside the window keeps every id", run: disorder},
		{name: "an event from the future does not empty the window", run: fromTheFuture},
		{name: "arrival does not move an event-time window", run: arrivalIsNoEvent},
		{name: "a commit is never late", run: commitIsNotLate},
	}
}

func byEvent(w, skew time.Duration) ledger.Options {
	return ledger.Options{Window: hapax.Window{Time: w, EventTime: true, Skew: skew}}
}

// at is the nth key with an event time, counted from the start of the clock.
func (t *trial) at(n int, offset time.Duration) ledger.Entry {
	return ledger.Entry{Fingerprint: key(n), Time: t.began + int64(offset)}
}

// event demands the verdict of one event.
func (t *trial) event(want hapax.Verdict, n int, offset time.Duration) {
	t.Helper()
	if got := t.admit(t.at(n, offset))[0].Verdict; got != want {
		t.Fatalf("window %v: event of %v: %v, want %v", t.options.Window, offset, got, want)
	}
}

// eventEdges: a copy carries the first one's time, and finds it as long as the
// watermark is within the window of it.
func eventEdges(tb testing.TB, f AdmitFactory) {
	const w = time.Hour
	t := sit(tb, f, byEvent(w, 0))
	t.pass(1000 * w) // a replay of old events
	for i := range 300 {
		offset := time.Duration(i) * w / 53
		t.event(hapax.Fresh, 3*i, offset)
		t.event(hapax.Duplicate, 3*i, offset)
		if i >= 60 {
			t.event(hapax.Duplicate, 3*(i-50), offset-50*w/53)
			t.event(hapax.Duplicate, 3*(i-52), offset-52*w/53)
			t.event(hapax.Late, 3*(i-54), offset-54*w/53)
		}
	}
	t.agree()
}

func lateEvents(tb testing.TB, f AdmitFactory) {
	const w = time.Hour
	t := sit(tb, f, byEvent(w, 0))
	t.pass(10 * w)
	t.event(hapax.Fresh, 0, 5*w)
	for range 3 {
		t.event(hapax.Late, 1, 4*w-w/64)
		t.event(hapax.Late, 0, 0) // a copy too, if it says so
	}
	t.event(hapax.Fresh, 2, 4*w+time.Millisecond)
	t.event(hapax.Duplicate, 2, 4*w+time.Millisecond)
	t.event(hapax.Fresh, 1, 5*w)
	if s := t.ledger.Stats(); s.Late != 6 {
		t.Errorf("%d late counted, want 6", s.Late)
	}
	t.agree()
}

// disorder: events come up to the window late, in any order, in batches.
func disorder(tb testing.TB, f AdmitFactory) {
	const w = time.Hour
	t := sit(tb, f, byEvent(w, time.Minute))
	rng := rand.New(rand.NewPCG(5, 5))
	var past []ledger.Entry
	for round := range 200 {
		t.pass(w / 40)
		elapsed := time.Duration(round) * w / 40
		var b []ledger.Entry
		for i := range 10 {
			b = append(b, t.at(10*round+i, elapsed-time.Duration(rng.Int64N(int64(w*9/10)))))
		}
		for range min(10, len(past)) {
			b = append(b, past[rng.IntN(len(past))])
		}
		rng.Shuffle(len(b), func(i, j int) { b[i], b[j] = b[j], b[i] })
		t.admit(b...)
		past = append(past, b...)
		if f.Disk != nil && round%50 == 49 {
			t.reopen()
		}
	}
	t.agree()
}

// fromTheFuture: the watermark moves at most to the arrival time plus Skew.
func fromTheFuture(tb testing.TB, f AdmitFactory) {
	const w = time.Hour
	t := sit(tb, f, byEvent(w, time.Minute))
	for i := range 100 {
		t.event(hapax.Fresh, i, 0)
	}
	t.event(hapax.Fresh, 1000, 100*365*24*time.Hour)
	t.event(hapax.Duplicate, 1000, 100*365*24*time.Hour)
	for i := range 100 {
		t.event(hapax.Duplicate, i, 0)
	}
	t.pass(w / 2)
	t.event(hapax.Fresh, 2000, 100*365*24*time.Hour)
	t.event(hapax.Duplicate, 50, 0)
	t.event(hapax.Duplicate, 1000, 100*365*24*time.Hour)
	if f.Disk != nil {
		t.reopen()
		t.event(hapax.Duplicate, 50, 0)
		t.event(hapax.Duplicate, 1000, 100*365*24*time.Hour)
	}
	t.agree()
}

func arrivalIsNoEvent(tb testing.TB, f AdmitFactory) {
	const w = time.Hour
	t := sit(tb, f, byEvent(w, 0))
	for i := range 10 {
		t.event(hapax.Fresh, i, -time.Duration(i)*time.Minute)
	}
	t.pass(1000 * w)
	if f.Disk != nil {
		t.reopen()
	}
	for i := range 10 {
		t.event(hapax.Duplicate, i, -time.Duration(i)*time.Minute)
	}
	t.agree()
}

// commitIsNotLate: events ran ahead of the clock as far as Skew lets them. A
// claim has no event time, and what was done must be remembered.
func commitIsNotLate(tb testing.TB, f AdmitFactory) {
	const w = time.Hour
	for _, kind := range []hapax.WindowKind{hapax.First, hapax.Renewed, hapax.Tumbling} {
		o := byEvent(w, 3*w)
		o.Window.Kind = kind
		t := sit(tb, f, o)
		t.event(hapax.Fresh, 0, 3*w)
		c, err := t.ledger.Claim(t.ctx, request("a", long))
		if err != nil || c.Verdict != hapax.Fresh {
			t.Fatalf("claim: %v, %v", c.Verdict, err)
		}
		if err := t.ledger.Commit(t.ctx, c, nil); err != nil {
			t.Fatalf("%v: commit: %v", kind, err)
		}
		if c, err = t.ledger.Claim(t.ctx, request("a", long)); err != nil || c.Verdict != hapax.Duplicate {
			t.Fatalf("%v: claim after the commit: %v, %v", kind, c.Verdict, err)
		}
	}
}
