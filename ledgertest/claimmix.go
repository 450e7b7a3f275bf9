package ledgertest

import (
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
)

func claimMixChecks() []admitCheck {
	return []admitCheck{
		{name: "an admit meets a live claim as InFlight", run: admitMeetsClaim},
		{name: "a claim meets an admitted identity as Duplicate", run: claimMeetsAdmitted},
		{name: "live claims are bounded", run: claimsBounded},
		{name: "leases are bounded", run: leasesBounded},
		{name: "receipts kept are bounded and the oldest go first", run: receiptsBounded},
		{name: "after power loss commits hold, and claims or their end", on: onDisk, run: claimsAfterPowerLoss},
	}
}

func admitMeetsClaim(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	c := t.claim("a", 0, long)
	e := ledger.Entry{Fingerprint: c.Fingerprint}
	want := func(v hapax.Verdict) {
		t.Helper()
		if got := t.admit(e)[0].Verdict; got != v {
			t.Fatalf("%v, want %v", got, v)
		}
	}
	want(hapax.InFlight)
	if s, found := t.lookup(c.Fingerprint); !found || s.Verdict != hapax.InFlight || s.Token != c.Token {
		t.Errorf("lookup of a claimed identity: %t, %v, token %d, want %d", found, s.Verdict, s.Token, c.Token)
	}
	t.end(c, false)
	want(hapax.Fresh)
	want(hapax.Duplicate)

	c = t.claim("b", 0, long)
	e.Fingerprint = c.Fingerprint
	t.end(c, true)
	want(hapax.Duplicate)

	c = t.claim("c", 0, brief)
	e.Fingerprint = c.Fingerprint
	t.pass(brief + time.Millisecond)
	want(hapax.Fresh)
	want(hapax.Duplicate)
	t.agree()
}

func claimMeetsAdmitted(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	c := t.claim("a", 0, long) // how the ledger fingerprints it
	t.end(c, false)
	t.admit(ledger.Entry{Fingerprint: c.Fingerprint})
	if got := t.claim("a", 0, long); got.Verdict != hapax.Duplicate {
		t.Errorf("%v, want duplicate", got.Verdict)
	}
	t.forget(c.Fingerprint)
	t.end(t.claim("a", 0, long), true)
	t.agree()
}

func claimsBounded(tb testing.TB, f AdmitFactory) {
	o := anHour()
	o.MaxClaims = 10
	t := sit(tb, f, o)
	var held []hapax.Claim
	for i := range 10 {
		held = append(held, t.claim(string(rune('a'+i)), 0, brief))
	}
	_, err := t.ledger.Claim(t.ctx, request("one more", long))
	t.fails(err, hapax.ErrFull)
	t.end(held[0], true)
	t.claim("in its place", 0, brief)
	_, err = t.ledger.Claim(t.ctx, request("one more", long))
	t.fails(err, hapax.ErrFull)
	t.pass(brief + time.Millisecond) // all ran out
	for i := range 10 {
		t.claim(string(rune('A'+i)), 0, long)
	}
	if claims := t.ledger.Stats().Claims; claims != 10 {
		t.Errorf("%d claims counted, want 10", claims)
	}
}

func leasesBounded(tb testing.TB, f AdmitFactory) {
	o := anHour()
	o.MaxLease = time.Minute
	t := sit(tb, f, o)
	if _, err := t.ledger.Claim(t.ctx, request("a", time.Minute+1)); err == nil {
		t.Errorf("claim with a lease above MaxLease: no error")
	}
	c := t.claim("a", 0, time.Minute)
	if _, err := t.ledger.Extend(t.ctx, c, time.Minute+1); err == nil {
		t.Errorf("extend above MaxLease: no error")
	}
	t.end(c, true)
}

func receiptsBounded(tb testing.TB, f AdmitFactory) {
	const n, size = 100, 1024
	o := anHour()
	o.MaxReceipt, o.MaxReceipts = size, n/4*size
	t := sit(tb, f, o)
	for i := range n {
		c := t.claim(string(rune('a'+i)), 0, long)
		if err := t.ledger.Commit(t.ctx, c, make(hapax.Receipt, size)); err != nil {
			t.Fatalf("commit: %v", err)
		}
		if err := t.model.Ended(c, true, nil); err != nil {
			t.Fatalf("%v", err)
		}
	}
	kept := 0
	for i := range n {
		c := t.claim(string(rune('a'+i)), 0, long) // a duplicate, with its receipt or without
		if len(c.Receipt) == size {
			kept++
		}
		if i == n-1 && c.Receipt == nil || i == 0 && c.Receipt != nil {
			t.Errorf("receipt %d of %d: kept is %t", i, n, c.Receipt != nil)
		}
	}
	if kept > n/4 || kept < n/8 {
		t.Errorf("%d receipts kept, want at most %d", kept, n/4)
	}
}

func claimsAfterPowerLoss(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	rng := seeded(9)
	var committed, released []string
	for round := range 12 {
		id := string(rune('a' + round))
		t.end(t.claim("committed "+id, 0, long), true)
		t.end(t.claim("released "+id, 0, brief), false)
		held := t.claim("held "+id, 0, brief)
		committed, released = append(committed, "committed "+id), append(released, "released "+id)
		t.cutPower(rng)
		t.end(held, round%2 == 0) // its holder may live on elsewhere
		for _, id := range committed {
			if c := t.claim(id, 0, brief); c.Verdict != hapax.Duplicate {
				t.Fatalf("%s: %v after power loss", id, c.Verdict)
			}
		}
		t.pass(brief + time.Millisecond)
		for _, id := range released {
			if c := t.claim(id, 0, brief); c.Verdict != hapax.Fresh {
				t.Fatalf("%s: %v after power loss and its lease", id, c.Verdict)
			}
		}
		t.pass(brief + time.Millisecond)
	}
	t.agree()
}
