package ledgertest

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
)

func openChecks() []admitCheck {
	return []admitCheck{
		{name: "what was admitted outlives a reopen", on: onDisk, run: admitsOutliveReopen},
		{name: "what was admitted outlives kill -9", on: onDisk, run: admitsOutliveKill},
		{name: "what was admitted outlives power loss", on: onDisk, run: admitsOutlivePowerLoss},
		{name: "Written outlives kill -9, and after Sync power loss", on: onDisk, run: writtenAndSync},
		{name: "the window goes on over reopens", on: onDisk, run: windowOverReopens},
		{name: "two opens of one directory are an error", on: onDisk, run: twoOpens},
		{name: "another window kind, identity or scope is an error naming both", on: onDisk, run: otherOptions},
		{name: "another bound is taken over, or is an error naming both", on: onDisk, run: otherBounds},
		{name: "a ledger opened read-only answers and changes nothing", on: onDisk, run: readOnly},
	}
}

func admitsOutliveReopen(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	for round := range 8 {
		t.all(hapax.Fresh, 700*round, 700*(round+1))
		t.pass(time.Minute)
		t.reopen()
		t.all(hapax.Duplicate, 0, 700*(round+1))
		t.agree()
		t.reopen() // with nothing written in between
	}
	t.all(hapax.Duplicate, 0, 8*700)
}

func admitsOutliveKill(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	for round := range 8 {
		t.all(hapax.Fresh, 300*round, 300*(round+1))
		t.kill()
		t.all(hapax.Duplicate, 0, 300*(round+1))
		t.pass(time.Minute)
		t.agree()
		if round%3 == 0 {
			t.kill()
		}
	}
}

func admitsOutlivePowerLoss(tb testing.TB, f AdmitFactory) {
	rounds := 30
	if torture() {
		rounds = 1000
	}
	t := sit(tb, f, anHour())
	rng := seeded(4)
	for round := range rounds {
		n := 20 * round
		t.all(hapax.Fresh, n, n+20)
		t.cutPower(rng)
		t.all(hapax.Duplicate, 0, n+20)
		t.pass(time.Second)
		if round%5 == 0 {
			t.cutPower(rng) // right after opening
		}
	}
	t.agree()
}

func writtenAndSync(tb testing.TB, f AdmitFactory) {
	o := anHour()
	o.Durability = ledger.Written
	t := sit(tb, f, o)
	rng := seeded(5)
	for round := range 10 {
		n := 1000 * round
		t.all(hapax.Fresh, n, n+50)
		t.kill()
		t.all(hapax.Duplicate, n, n+50)
		t.all(hapax.Fresh, n+50, n+100)
		if err := t.ledger.Sync(t.ctx); err != nil {
			t.Fatalf("sync: %v", err)
		}
		lost := entries(n+100, n+150)
		if err := t.ledger.Admit(t.ctx, &ledger.Batch{Entries: lost}); err != nil {
			t.Fatalf("admit: %v", err)
		}
		t.model.Unanswered(&ledger.Batch{Entries: lost})
		t.cutPower(rng)
		t.all(hapax.Duplicate, n, n+100)
		t.admit(lost...) // what was not synced is remembered or not
	}
	t.reopen()
	t.agree()
}

func windowOverReopens(tb testing.TB, f AdmitFactory) {
	const w = time.Hour
	for _, kind := range []hapax.WindowKind{hapax.First, hapax.Renewed, hapax.Tumbling} {
		t := sit(tb, f, ledger.Options{Window: hapax.Window{Time: w, Kind: kind}})
		for i := range 300 {
			t.admit(entries(5*i, 5*i+5)...)
			for _, back := range []int{20, 96, 97, 98, 99} {
				if i >= back {
					t.admit(entries(5*(i-back), 5*(i-back)+2)...)
				}
			}
			t.pass(w / 97)
			switch i % 40 {
			case 13:
				t.reopen()
			case 39:
				t.kill()
			}
		}
		t.agree()
	}
	t := sit(tb, f, ledger.Options{Window: hapax.Window{Count: 500}})
	for i := range 60 {
		t.all(hapax.Fresh, 50*i, 50*i+50)
		if i >= 10 {
			t.is(hapax.Duplicate, 50*i-450)
		}
		t.reopen()
	}
	t.agree()
}

// refuses demands an error that holds these words: one "naming both".
func (t *trial) refuses(o ledger.Options, words ...string) {
	t.Helper()
	o.FS, o.Clock = t.disk.FS, t.clock.now
	l, err := t.f.Open(t.disk.Dir, o)
	if err == nil {
		_ = l.Close()
		t.Errorf("open with window %v, identity %q, scope %q: no error", o.Window, o.Identity, o.Scope)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("open: %v: does not name %q", err, word)
		}
	}
}

func twoOpens(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	t.all(hapax.Fresh, 0, 10)
	for range 3 {
		t.refuses(t.options)
	}
	t.all(hapax.Duplicate, 0, 10) // the first one is none the worse
	t.all(hapax.Fresh, 10, 20)
	t.reopen()
	t.all(hapax.Duplicate, 0, 20)
}

func otherOptions(tb testing.TB, f AdmitFactory) {
	o := anHour()
	o.Identity, o.Scope = "json:id", "orders"
	t := sit(tb, f, o)
	t.all(hapax.Fresh, 0, 10)
	t.close()

	other := t.options
	other.Identity = "json:key"
	t.refuses(other, "json:id", "json:key")
	other = t.options
	other.Scope = "payments"
	t.refuses(other, "orders", "payments")
	other = t.options
	other.Window.Kind = hapax.Renewed
	t.refuses(other, "first", "renewed")
	other = t.options
	other.Window.EventTime = true
	t.refuses(other)

	t.open() // and the ledger is none the worse
	t.all(hapax.Duplicate, 0, 10)
}

// otherBounds: a shorter window lets go at once; a longer one holds from then on.
func otherBounds(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	t.all(hapax.Fresh, 0, 100)
	t.pass(30 * time.Minute)
	t.all(hapax.Fresh, 100, 200)
	t.close()
	reopen := func(bound time.Duration) bool {
		o := t.options
		o.Window.Time, o.FS = bound, t.disk.FS
		l, err := t.f.Open(t.disk.Dir, o)
		if err != nil {
			t.refuses(o, t.options.Window.Time.String(), bound.String())
			return false
		}
		t.ledger, t.asked = l, 0
		t.options.Window.Time, t.model.window.Time = bound, bound
		return true
	}
	if !reopen(20 * time.Minute) {
		t.open()
		t.all(hapax.Duplicate, 0, 200)
		return
	}
	t.all(hapax.Duplicate, 100, 200)
	t.all(hapax.Fresh, 0, 100)
	t.close()
	if !reopen(10 * time.Hour) {
		return
	}
	t.all(hapax.Duplicate, 0, 200)
	t.pass(9 * time.Hour)
	t.reopen()
	t.all(hapax.Duplicate, 0, 200)
	t.agree()
}

func readOnly(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	t.all(hapax.Fresh, 0, 100)
	t.confirm("s", 5)
	t.close()
	before := contents(t, t.disk.FS, t.disk.Dir)
	t.options.ReadOnly = true
	t.open()
	for n := range 100 {
		if _, found := t.lookup(key(n)); !found {
			t.Fatalf("key %d is not found", n)
		}
	}
	if err := t.ledger.Admit(t.ctx, &ledger.Batch{Entries: entries(200, 201)}); err == nil {
		t.Errorf("admit to a ledger opened read-only: no error")
	}
	if _, err := t.ledger.Claim(t.ctx, request("a", long)); err == nil {
		t.Errorf("claim from a ledger opened read-only: no error")
	}
	if _, err := t.ledger.Forget(t.ctx, key(0)); err == nil {
		t.Errorf("forget in a ledger opened read-only: no error")
	}
	if err := t.ledger.Confirm(t.ctx, ledger.Checkpoint{Source: "s", Offset: 9}); err == nil {
		t.Errorf("confirm to a ledger opened read-only: no error")
	}
	t.asked = answered(t.ledger.Stats())
	t.agree()
	t.wantCheckpoint(ledger.Checkpoint{Source: "s", Offset: 5})
	t.close()
	after := contents(t, t.disk.FS, t.disk.Dir)
	for name, content := range before {
		if !bytes.Equal(after[name], content) {
			t.Errorf("%s changed under a ledger opened read-only", name)
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d files after a read-only open, were %d", len(after), len(before))
	}
}
