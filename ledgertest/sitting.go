package ledgertest

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
)

const (
	examWindow = time.Hour
	// long is a lease that never runs out while a check is sat.
	long = 10 * time.Minute
	// brief is a lease that a check lets run out: slept through if the ledger's
	// clock cannot be moved, so it is longer than what a busy machine makes wait.
	brief = 400 * time.Millisecond
)

// sitting is one ledger sitting one check. Its methods fail the test unless
// what they say is true.
type sitting struct {
	testing.TB
	*Instance
	ctx      context.Context
	promised Capabilities
}

func newSitting(tb testing.TB, f Factory) *sitting {
	in := f.New(tb, examWindow)
	if in.Now == nil {
		in.Now = time.Now
	}
	return &sitting{TB: tb, Instance: in, ctx: context.Background(), promised: f.Capabilities}
}

func request(id string, lease time.Duration) hapax.Request {
	return hapax.Request{Scope: "exam", Identity: hapax.Identity(id), Lease: lease}
}

// ask claims and demands an answer.
func (s *sitting) ask(r hapax.Request) hapax.Claim {
	s.Helper()
	c, err := s.Ledger.Claim(s.ctx, r)
	if err != nil {
		s.Fatalf("claim %q: %v", r.Identity, err)
	}
	return c
}

// askFor demands a certain verdict.
func (s *sitting) askFor(want hapax.Verdict, r hapax.Request) hapax.Claim {
	s.Helper()
	c := s.ask(r)
	if c.Verdict != want {
		s.Fatalf("claim %.40q in scope %q: %v, want %v", r.Identity, r.Scope, c.Verdict, want)
	}
	return c
}

func (s *sitting) fresh(id string) hapax.Claim {
	s.Helper()
	return s.askFor(hapax.Fresh, request(id, long))
}

func (s *sitting) freshFor(id string, lease time.Duration) hapax.Claim {
	s.Helper()
	return s.askFor(hapax.Fresh, request(id, lease))
}

func (s *sitting) duplicate(id string) hapax.Claim {
	s.Helper()
	return s.askFor(hapax.Duplicate, request(id, long))
}

func (s *sitting) inFlight(id string) hapax.Claim {
	s.Helper()
	return s.askFor(hapax.InFlight, request(id, long))
}

func (s *sitting) commit(c hapax.Claim, r hapax.Receipt) {
	s.Helper()
	if err := s.Ledger.Commit(s.ctx, c, r); err != nil {
		s.Fatalf("commit: %v", err)
	}
}

func (s *sitting) release(c hapax.Claim) {
	s.Helper()
	if err := s.Ledger.Release(s.ctx, c); err != nil {
		s.Fatalf("release: %v", err)
	}
}

// done claims and commits in one breath.
func (s *sitting) done(id string, r hapax.Receipt) hapax.Claim {
	s.Helper()
	c := s.fresh(id)
	s.commit(c, r)
	return c
}

// lost demands that every write with c meets ErrLeaseLost.
func (s *sitting) lost(c hapax.Claim) {
	s.Helper()
	if _, err := s.Ledger.Extend(s.ctx, c, long); !errors.Is(err, hapax.ErrLeaseLost) {
		s.Errorf("extend a lost claim: %v, want ErrLeaseLost", err)
	}
	if err := s.Ledger.Commit(s.ctx, c, hapax.Receipt("lost")); !errors.Is(err, hapax.ErrLeaseLost) {
		s.Errorf("commit a lost claim: %v, want ErrLeaseLost", err)
	}
	if err := s.Ledger.Release(s.ctx, c); !errors.Is(err, hapax.ErrLeaseLost) {
		s.Errorf("release a lost claim: %v, want ErrLeaseLost", err)
	}
}

// rises demands that fencing tokens rise in the order given.
func (s *sitting) rises(claims ...hapax.Claim) {
	s.Helper()
	for i := 1; i < len(claims); i++ {
		if claims[i].Token <= claims[i-1].Token {
			s.Errorf("claim %d has token %d, not above the one before (%d)", i, claims[i].Token, claims[i-1].Token)
		}
	}
}

func (s *sitting) sameReceipt(c hapax.Claim, want hapax.Receipt) {
	s.Helper()
	if !bytes.Equal(c.Receipt, want) || (c.Receipt == nil) != (want == nil) {
		s.Errorf("receipt %.40q (nil: %t), want %.40q (nil: %t)", c.Receipt, c.Receipt == nil, want, want == nil)
	}
}

// pass lets d go by on the ledger's clock.
func (s *sitting) pass(d time.Duration) {
	s.Helper()
	switch {
	case s.Advance != nil:
		s.Advance(d)
	case d <= 5*brief:
		time.Sleep(d)
	default:
		s.Skip("the ledger's clock cannot be moved")
	}
}

func (s *sitting) reopen() {
	s.Helper()
	if s.Reopen == nil {
		s.Skip("the ledger cannot be reopened")
	}
	s.replace(s.Reopen())
}

func (s *sitting) crash() {
	s.Helper()
	if s.Crash == nil {
		s.Skip("the ledger cannot be crashed")
	}
	s.replace(s.Crash())
}

func (s *sitting) replace(l hapax.Ledger, err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("open again: %v", err)
	}
	s.Ledger = l
}
