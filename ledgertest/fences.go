package ledgertest

import (
	"errors"
	"time"

	"github.com/hapaxmq/hapax"
)

func fenceChecks() []check {
	fenced := func(c Capabilities) bool { return c.FencedWrites }
	return []check{
		{name: "a lease that ran out is Fresh for the next, with a higher token", run: leaseRunsOut},
		{name: "an overtaken holder gets ErrLeaseLost and changes nothing", needs: fenced, run: overtakenHolder},
		{name: "a lease that ran out is not Fresh before its end", run: leaseHolds},
		{name: "a lease that ran out unclaimed commits wholly or not at all", run: lateCommit},
		{name: "Extend moves the end of the lease", run: extendProlongs},
		{name: "Extend never shortens a lease", run: extendNeverShortens},
		{name: "a commit ends the claim", run: commitEndsClaim},
		{name: "a release ends the claim", run: releaseEndsClaim},
		{name: "a claim that was never given is lost", needs: fenced, run: forgedClaim},
		{name: "a token opens no other identity", needs: fenced, run: foreignToken},
		{name: "tokens rise over expiry, release, reopen and crash", run: tokensRise,
			needs: func(c Capabilities) bool { return c.Durable || c.ServerClock }},
		{name: "leases are judged by one clock", run: oneClock, needs: func(c Capabilities) bool { return c.ServerClock }},
	}
}

// leaseRunsOut: a holder that died blocks the identity for its lease and no
// longer (statement 15).
func leaseRunsOut(s *sitting) {
	first := s.freshFor("a", brief)
	s.inFlight("a")
	s.pass(brief + 10*time.Millisecond)
	second := s.fresh("a")
	s.rises(first, second)
	s.commit(second, nil)
	s.duplicate("a")
}

func leaseHolds(s *sitting) {
	if s.Advance == nil {
		s.Skip("the ledger's clock cannot be moved")
	}
	s.freshFor("a", long)
	s.Advance(long - time.Millisecond)
	s.inFlight("a")
	s.Advance(2 * time.Millisecond)
	s.fresh("a")
}

// overtakenHolder: A paused past its lease, B claimed (statement 18).
func overtakenHolder(s *sitting) {
	a := s.freshFor("a", brief)
	s.pass(brief + 10*time.Millisecond)
	b := s.fresh("a")
	s.lost(a)
	s.inFlight("a")
	s.commit(b, nil)
	s.lost(a)
	s.duplicate("a")

	a = s.freshFor("b", brief)
	s.pass(brief + 10*time.Millisecond)
	b = s.fresh("b")
	s.release(b)
	s.lost(a) // B is gone, but the token has moved on
	s.fresh("b")
}

// lateCommit: if nobody else claimed, a late commit may be taken or refused. The
// answer and what is remembered agree.
func lateCommit(s *sitting) {
	c := s.freshFor("a", brief)
	s.pass(brief + 10*time.Millisecond)
	switch err := s.Ledger.Commit(s.ctx, c, nil); {
	case err == nil:
		s.duplicate("a")
	case errors.Is(err, hapax.ErrLeaseLost):
		s.fresh("a")
	default:
		s.Errorf("commit after the lease: %v, want nil or ErrLeaseLost", err)
	}
}

// extendProlongs: a handler longer than its lease runs once (statement 16).
func extendProlongs(s *sitting) {
	c := s.freshFor("a", brief)
	for range 4 {
		s.pass(brief / 2)
		next, err := s.Ledger.Extend(s.ctx, c, brief)
		if err != nil {
			s.Fatalf("extend a live claim: %v", err)
		}
		if next.Token != c.Token || next.Fingerprint != c.Fingerprint {
			s.Errorf("extend changed the claim: token %d, was %d", next.Token, c.Token)
		}
		if !next.Deadline.After(c.Deadline) {
			s.Errorf("extend: deadline %v, not after %v", next.Deadline, c.Deadline)
		}
		c = next
		s.inFlight("a")
	}
	s.commit(c, nil)
	s.duplicate("a")
}

// extendNeverShortens: "to at least d from now".
func extendNeverShortens(s *sitting) {
	c := s.freshFor("a", long)
	next, err := s.Ledger.Extend(s.ctx, c, brief)
	if err != nil {
		s.Fatalf("extend: %v", err)
	}
	if next.Deadline.Before(c.Deadline) {
		s.Errorf("extend by less moved the deadline back by %v", c.Deadline.Sub(next.Deadline))
	}
	s.pass(brief + 10*time.Millisecond)
	s.inFlight("a")
	s.commit(c, nil) // the claim as first given is as good as the extended one
}

func commitEndsClaim(s *sitting) {
	c := s.done("a", nil)
	if _, err := s.Ledger.Extend(s.ctx, c, long); !errors.Is(err, hapax.ErrLeaseLost) {
		s.Errorf("extend after commit: %v, want ErrLeaseLost", err)
	}
	if err := s.Ledger.Release(s.ctx, c); !errors.Is(err, hapax.ErrLeaseLost) {
		s.Errorf("release after commit: %v, want ErrLeaseLost", err)
	}
	s.duplicate("a")
}

func releaseEndsClaim(s *sitting) {
	c := s.fresh("a")
	s.release(c)
	if err := s.Ledger.Commit(s.ctx, c, nil); !errors.Is(err, hapax.ErrLeaseLost) {
		s.Errorf("commit after release: %v, want ErrLeaseLost", err)
	}
	if _, err := s.Ledger.Extend(s.ctx, c, long); !errors.Is(err, hapax.ErrLeaseLost) {
		s.Errorf("extend after release: %v, want ErrLeaseLost", err)
	}
	s.fresh("a")
	if err := s.Ledger.Release(s.ctx, c); !errors.Is(err, hapax.ErrLeaseLost) {
		s.Errorf("release another's claim: %v, want ErrLeaseLost", err)
	}
	s.inFlight("a")
}

func forgedClaim(s *sitting) {
	s.lost(hapax.Claim{Fingerprint: hapax.Fingerprint{1, 2, 3}, Verdict: hapax.Fresh, Token: 1})
	c := s.fresh("a")
	for _, token := range []uint64{0, c.Token - 1, c.Token + 1, ^uint64(0)} {
		forged := c
		forged.Token = token
		s.lost(forged)
	}
	s.lost(s.inFlight("a")) // what an InFlight answer holds is no claim
	s.inFlight("a")
	s.commit(c, nil)
	s.duplicate("a")
}

func foreignToken(s *sitting) {
	a, b := s.fresh("a"), s.fresh("b")
	if a.Token != b.Token {
		mixed := a
		mixed.Token = b.Token
		s.lost(mixed)
	}
	s.release(a)
	s.inFlight("b")
	s.fresh("a")
	s.commit(b, nil)
}

// tokensRise: whatever happens between two claims of an identity, the later one
// has the higher token (statement 19), so that a resource can fence by it. That takes a
// ledger that remembers the last token, or a clock that all its clients share.
func tokensRise(s *sitting) {
	steps := []func(c hapax.Claim){
		s.release,
		func(hapax.Claim) { s.pass(brief + 10*time.Millisecond) },
		func(c hapax.Claim) { s.release(c); s.reopen() },
		func(hapax.Claim) { s.pass(brief + 10*time.Millisecond); s.reopen() },
		func(c hapax.Claim) { s.release(c); s.reopen(); s.reopen() },
	}
	if s.Crash != nil {
		steps = append(steps,
			func(c hapax.Claim) { s.release(c); s.crash() },
			func(hapax.Claim) { s.crash(); s.pass(brief + 10*time.Millisecond) })
	}
	var claims []hapax.Claim
	if s.Skewed != nil {
		c, err := s.Skewed.Claim(s.ctx, request("a", brief))
		if err != nil || c.Verdict != hapax.Fresh {
			s.Fatalf("a client whose clock is off: %v, %v, want fresh", c.Verdict, err)
		}
		s.release(c)
		claims = append(claims, c)
	}
	claims = append(claims, s.freshFor("a", brief))
	for range 3 {
		for _, step := range steps {
			step(claims[len(claims)-1])
			claims = append(claims, s.freshFor("a", brief))
		}
	}
	s.rises(claims...)
}

// oneClock: a client whose clock is off breaks nothing (statement 20).
func oneClock(s *sitting) {
	if s.Skewed == nil {
		s.Skip("there is no second client")
	}
	s.freshFor("a", long/2)
	there, err := s.Skewed.Claim(s.ctx, request("a", long))
	if err != nil || there.Verdict != hapax.InFlight {
		s.Fatalf("a client whose clock is off: %v, %v, want in flight", there.Verdict, err)
	}
	there, err = s.Skewed.Claim(s.ctx, request("b", brief))
	if err != nil || there.Verdict != hapax.Fresh {
		s.Fatalf("a client whose clock is off: %v, %v, want fresh", there.Verdict, err)
	}
	s.inFlight("b")
	s.pass(brief / 2)
	there, err = s.Skewed.Extend(s.ctx, there, 4*brief)
	if err != nil {
		s.Fatalf("a client whose clock is off extends its claim: %v", err)
	}
	s.pass(brief/2 + 10*time.Millisecond)
	s.inFlight("b")
	s.pass(4 * brief)
	next := s.fresh("b")
	s.rises(there, next)
	s.lost(there)
}
