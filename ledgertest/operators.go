package ledgertest

import (
	"errors"

	"github.com/hapaxmq/hapax"
)

func operatorChecks() []check {
	operators := func(c Capabilities) bool { return c.Operator }
	return []check{
		{name: "an operator looks, and changes nothing by it", needs: operators, run: operatorLooks},
		{name: "an operator lets go what is committed or claimed", needs: operators, run: operatorExpires},
	}
}

// operator is the ledger as what its operators ask.
func (s *sitting) operator() hapax.Operator {
	s.Helper()
	o, ok := s.Ledger.(hapax.Operator)
	if !ok {
		s.Fatalf("%T is for no operators", s.Ledger)
	}
	return o
}

// look demands what is known of a message.
func (s *sitting) look(id string, want hapax.Verdict) hapax.Claim {
	s.Helper()
	c, err := s.operator().Look(s.ctx, "exam", hapax.Identity(id))
	if err != nil || c.Verdict != want {
		s.Fatalf("look at %q: %v, %v; want %v", id, c.Verdict, err, want)
	}
	return c
}

// expire lets a message go that was there, or was not.
func (s *sitting) expire(id string, want bool) {
	s.Helper()
	if was, err := s.operator().Expire(s.ctx, "exam", hapax.Identity(id)); was != want || err != nil {
		s.Fatalf("expire %q: was there: %t, %v; want %t", id, was, err, want)
	}
}

// operatorLooks: statement 55, its look.
func operatorLooks(s *sitting) {
	s.look("a", hapax.Fresh)
	s.look("a", hapax.Fresh)
	r := request("a", long)
	if s.promised.Digests {
		r.Digest = 7
	}
	held := s.askFor(hapax.Fresh, r)
	for range 2 {
		c := s.look("a", hapax.InFlight)
		if c.Digest != r.Digest || c.Token != held.Token || !c.Deadline.Equal(held.Deadline) {
			s.Errorf("look: digest %v, token %d, deadline %v; want those of %+v", c.Digest, c.Token, c.Deadline, held)
		}
	}
	if c := s.look("b", hapax.Fresh); c.Key == held.Key && c.Fingerprint == held.Fingerprint {
		s.Error("two messages have one fingerprint")
	}
	s.inFlight("a")
	s.commit(held, hapax.Receipt("done"))
	for range 2 {
		c := s.look("a", hapax.Duplicate)
		if s.promised.Receipts {
			s.sameReceipt(c, hapax.Receipt("done"))
		}
	}
	released := s.fresh("b")
	s.release(released)
	s.look("b", hapax.Fresh)
	if other, err := s.operator().Look(s.ctx, "another", hapax.Identity("a")); err != nil || other.Verdict != hapax.Fresh {
		s.Errorf("look at the id in another scope: %v, %v", other.Verdict, err)
	}
}

// operatorExpires: statement 55, its expire and run again.
func operatorExpires(s *sitting) {
	s.expire("a", false)
	held := s.fresh("a")
	s.expire("a", true)
	s.look("a", hapax.Fresh)
	if _, err := s.Ledger.Extend(s.ctx, held, long); !errors.Is(err, hapax.ErrLeaseLost) {
		s.Errorf("extend what was let go: %v, want ErrLeaseLost", err)
	}
	again := s.fresh("a")
	s.lost(held)
	s.commit(again, hapax.Receipt("done"))
	s.expire("a", true)
	s.expire("a", false)
	third := s.fresh("a")
	s.rises(held, again, third)
	s.commit(third, nil)
	s.sameReceipt(s.duplicate("a"), nil)
}
