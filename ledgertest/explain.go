package ledgertest

import (
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
)

func explainChecks() []admitCheck {
	return []admitCheck{
		{name: "lookup tells what is remembered from what is not", run: lookups},
		{name: "a forgotten identity is fresh again", run: forgets},
		{name: "a forgotten identity stays forgotten", on: onDisk, run: forgetOutlives},
		{name: "All lists exactly the live ones", run: lists},
		{name: "All may be left early and does not block admits", run: listBesideAdmits},
		{name: "every entry increments exactly one counter", run: counters},
		{name: "duplicates are counted by age", run: ages},
		{name: "Details tell the copies and the first position", run: details},
	}
}

func lookups(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	t.all(hapax.Fresh, 0, 3000)
	again := func() {
		t.Helper()
		for n := 0; n < 3000; n += 17 {
			if s, found := t.lookup(key(n)); !found || s.Verdict != hapax.Duplicate {
				t.Fatalf("key %d: found is %t", n, found)
			}
			if _, found := t.lookup(key(1_000_000 + n)); found {
				t.Fatalf("a key never seen is found")
			}
		}
	}
	again()
	if f.Disk != nil {
		t.reopen()
		again()
	}
	t.is(hapax.Fresh, 1_000_000) // a lookup remembers nothing
	t.agree()
}

func forgets(tb testing.TB, f AdmitFactory) {
	for _, w := range []hapax.Window{{Time: time.Hour}, {Count: 5000}, {Unbounded: true}} {
		t := sit(tb, f, ledger.Options{Window: w})
		t.all(hapax.Fresh, 0, 1000)
		for n := 0; n < 1000; n += 10 {
			t.forget(key(n))
			t.forget(key(n)) // was not there any more
			t.forget(key(1_000_000 + n))
		}
		for n := range 1000 {
			want := hapax.Duplicate
			if n%10 == 0 {
				want = hapax.Fresh
			}
			t.is(want, n)
		}
		t.all(hapax.Duplicate, 0, 1000)
		t.agree()
	}
}

func forgetOutlives(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	t.all(hapax.Fresh, 0, 40)
	again := []func(){t.reopen, t.kill, func() { t.cutPower(seeded(3)) }, t.reopen}
	for i, open := range again {
		t.forget(key(i))
		t.forget(key(10 + i))
		t.is(hapax.Fresh, 10+i) // forgotten, and came again
		open()
		if _, found := t.lookup(key(i)); found {
			t.Fatalf("a forgotten identity is back after a reopen")
		}
		t.is(hapax.Duplicate, 10+i)
		t.agree()
	}
	t.all(hapax.Fresh, 0, len(again))
}

func lists(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	t.agree() // of an empty ledger
	t.all(hapax.Fresh, 0, 2000)
	t.agree()
	t.pass(40 * time.Minute)
	t.all(hapax.Fresh, 2000, 3000)
	t.agree()
	t.pass(30 * time.Minute)
	t.agree()
	for s, err := range t.ledger.All() {
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		if s.Expires.Before(t.clock.now()) {
			t.Fatalf("list: %v expired %v ago", s.Fingerprint, t.clock.now().Sub(s.Expires))
		}
	}
	t.pass(2 * time.Hour)
	t.agree()
}

func listBesideAdmits(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	t.all(hapax.Fresh, 0, 5000)
	for range t.ledger.All() {
		break
	}
	listed, next := 0, 5000
	for _, err := range t.ledger.All() {
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		if listed%50 == 0 && next < 6000 {
			t.is(hapax.Fresh, next)
			next++
		}
		listed++
	}
	if listed < 5000 || listed > next {
		t.Errorf("%d listed, want 5000 to %d", listed, next)
	}
	t.agree()
}

// counters: every path increments exactly one, and the sum is what was asked
// (statement 53). agree holds that for each of these steps.
func counters(tb testing.TB, f AdmitFactory) {
	o := byEvent(time.Hour, time.Minute)
	o.Digests = true
	t := sit(tb, f, o)
	t.pass(24 * time.Hour)
	var b []ledger.Entry
	for i := range 10 {
		b = append(b, ledger.Entry{Fingerprint: key(i), Digest: 1, Offset: int64(i), Time: t.clock.now().UnixNano()})
	}
	t.admitFrom("s", b...) // fresh
	t.agree()
	t.admitFrom("s", b...) // redelivered
	t.agree()
	t.admit(b...) // duplicates
	b[3].Digest = 2
	t.admit(b[3]) // conflict
	b[4].Time -= int64(2 * time.Hour)
	t.admit(b[4]) // late
	t.agree()
	c := t.claim("claimed", 1, long)
	t.claim("claimed", 1, long) // in flight
	t.claim("claimed", 2, long) // conflict
	t.end(c, true)
	t.claim("claimed", 1, long) // duplicate
	t.agree()
	want := ledger.Stats{Fresh: 11, Duplicates: 11, Redelivered: 10, InFlight: 1, Conflicts: 2, Late: 1}
	s := t.ledger.Stats()
	got := ledger.Stats{Fresh: s.Fresh, Duplicates: s.Duplicates, Redelivered: s.Redelivered,
		InFlight: s.InFlight, Conflicts: s.Conflicts, Late: s.Late, Stale: s.Stale}
	if got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

// ages are counted by the bounds that the ledger tells; one is known to the width of a
// generation.
func ages(tb testing.TB, f AdmitFactory) {
	const w = 1000 * time.Hour
	t := sit(tb, f, ledger.Options{Window: hapax.Window{Time: w}})
	t.all(hapax.Fresh, 0, 100)
	t.pass(w / 2)
	t.all(hapax.Duplicate, 0, 60)
	want := ledger.AgeBucket(w / 2)
	s := t.ledger.Stats()
	var sum int64
	for _, n := range s.Ages {
		sum += n
	}
	if sum != s.Duplicates {
		t.Errorf("%d duplicates by age, want %d", sum, s.Duplicates)
	}
	if s.Ages[want] != 60 { // w/2 is far from all bounds
		t.Errorf("ages %v, want 60 in bucket %d", s.Ages, want)
	}
}

func details(tb testing.TB, f AdmitFactory) {
	o := anHour()
	o.Details = true
	t := sit(tb, f, o)
	t.read("s", placed(40, 0, 1, 2), hapax.Fresh)
	t.read("s", placed(43, 1, 1), hapax.Duplicate)
	t.all(hapax.Duplicate, 1, 2)
	if f.Disk == nil {
		return // details are read from the log
	}
	again := func() {
		t.Helper()
		for n, copies := range []int64{0, 3, 0} {
			s, found := t.lookup(key(n))
			want := hapax.Position{Source: "s", Offset: int64(40 + n)}
			if !found || s.Copies != copies || s.Position != want {
				t.Errorf("key %d: found is %t, %d copies, first at %v, want %d, %v", n, found, s.Copies, s.Position, copies, want)
			}
		}
	}
	again()
	t.reopen()
	again()
}
