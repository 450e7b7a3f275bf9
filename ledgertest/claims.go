package ledgertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hapaxmq/hapax"
)

func claimChecks() []check {
	receipts := func(c Capabilities) bool { return c.Receipts }
	digests := func(c Capabilities) bool { return c.Digests }
	return []check{
		{name: "one of many concurrent claims is Fresh, the others InFlight", run: oneOfMany},
		{name: "two holders never hold one identity at a time", run: mutualExclusion},
		{name: "a holder that claims again is InFlight", run: claimAgain},
		{name: "InFlight says when the holder's lease ends", run: inFlightDeadline},
		{name: "a committed identity is Duplicate", run: commitMakesDuplicate},
		{name: "a repeated commit changes nothing", run: repeatedCommit},
		{name: "a repeated commit is no error", run: retriedCommit,
			needs: func(c Capabilities) bool { return c.Retries }},
		{name: "a duplicate is given the identical receipt", needs: receipts, run: identicalReceipt},
		{name: "a receipt above the limit is refused and the claim stays", needs: receipts, run: largeReceipt},
		{name: "a released identity is Fresh with a higher token", run: releaseFrees},
		{name: "scope and identity never run into each other", run: scopesNeverCollide},
		{name: "one event runs once in each scope", run: oncePerScope},
		{name: "an identity may hold any bytes", run: anyBytes},
		{name: "a lease of zero or less is an error", run: leaseAboveZero},
		{name: "a cancelled context reserves and commits nothing", run: cancelled},
		{name: "another digest is a Conflict and changes nothing", needs: digests, run: conflictCommitted},
		{name: "Conflict comes before InFlight", needs: digests, run: conflictBeforeInFlight},
		{name: "a digest of zero compares nothing", run: zeroDigest},
		{name: "Close with calls in flight is safe, and then ErrClosed", run: closeInFlight},
	}
}

// oneOfMany: of N deliveries at once exactly one runs, and after its commit none
// (statements 8 and 9).
func oneOfMany(s *sitting) {
	const callers, ids = 32, 20
	for i := range ids {
		id := fmt.Sprintf("id-%d", i)
		claims := make([]hapax.Claim, callers)
		errs := make([]error, callers)
		var start, end sync.WaitGroup
		start.Add(1)
		for n := range callers {
			end.Go(func() {
				start.Wait()
				claims[n], errs[n] = s.Ledger.Claim(s.ctx, request(id, long))
			})
		}
		start.Done()
		end.Wait()

		var winners []hapax.Claim
		for n, c := range claims {
			switch {
			case errs[n] != nil:
				s.Fatalf("claim: %v", errs[n])
			case c.Verdict == hapax.Fresh:
				winners = append(winners, c)
			case c.Verdict != hapax.InFlight:
				s.Errorf("a claim beside the winner's is %v, want in flight", c.Verdict)
			}
		}
		if len(winners) != 1 {
			s.Fatalf("%d of %d claims are fresh, want one", len(winners), callers)
		}
		s.commit(winners[0], nil)
		s.duplicate(id)
	}
}

// mutualExclusion: goroutines claim a few identities over and over; releases and
// commits interleave at random. Nobody is Fresh while somebody holds, nobody is
// Fresh after the commit, and tokens rise from holder to holder.
func mutualExclusion(s *sitting) {
	const workers, ids, tries = 8, 6, 150
	var (
		holders   [ids]atomic.Int32
		committed [ids]atomic.Bool
		token     [ids]atomic.Uint64
		wg        sync.WaitGroup
	)
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 1))
			for range tries {
				i := rng.IntN(ids)
				doneBefore := committed[i].Load()
				c, err := s.Ledger.Claim(s.ctx, request(fmt.Sprint(i), long))
				if err != nil {
					s.Errorf("claim: %v", err)
					return
				}
				if doneBefore && c.Verdict != hapax.Duplicate {
					s.Errorf("identity %d is %v after its commit", i, c.Verdict)
				}
				if c.Verdict != hapax.Fresh {
					continue
				}
				if holders[i].Add(1) != 1 {
					s.Errorf("identity %d has two holders", i)
				}
				if before := token[i].Swap(c.Token); before >= c.Token {
					s.Errorf("identity %d: token %d after %d", i, c.Token, before)
				}
				holders[i].Add(-1)
				if rng.IntN(40) == 0 {
					err = s.Ledger.Commit(s.ctx, c, nil)
					committed[i].Store(true)
				} else {
					err = s.Ledger.Release(s.ctx, c)
				}
				if err != nil {
					s.Errorf("end a live claim: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

func claimAgain(s *sitting) {
	s.fresh("a")
	s.inFlight("a")
	s.fresh("b")
}

// inFlightDeadline: the others learn a delay of at most the lease (statement 8).
func inFlightDeadline(s *sitting) {
	before := s.Now()
	held := s.freshFor("a", long)
	after := s.Now()
	other := s.inFlight("a")
	const grain = 2 * time.Millisecond // a clock may be coarse
	for _, c := range []hapax.Claim{held, other} {
		if c.Deadline.Before(before.Add(long-grain)) || c.Deadline.After(after.Add(long+grain)) {
			s.Errorf("%v: deadline %v after the claim, want %v", c.Verdict, c.Deadline.Sub(before), long)
		}
	}
}

func commitMakesDuplicate(s *sitting) {
	s.done("a", nil)
	for range 3 {
		s.duplicate("a")
	}
	s.fresh("b")
}

func repeatedCommit(s *sitting) {
	c := s.done("a", nil)
	if err := s.Ledger.Commit(s.ctx, c, nil); err != nil && !errors.Is(err, hapax.ErrLeaseLost) {
		s.Errorf("repeat a commit: %v, want nil or ErrLeaseLost", err)
	}
	s.duplicate("a")
}

// retriedCommit: over a network a commit may pass and its answer be lost.
func retriedCommit(s *sitting) {
	c := s.done("a", nil)
	s.commit(c, nil)
	s.commit(c, nil)
	s.duplicate("a")
}

// identicalReceipt: a replay returns the identical bytes (statement 32). A
// receipt of no bytes is one, a nil one is none.
func identicalReceipt(s *sitting) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	receipts := map[string]hapax.Receipt{
		"none": nil, "empty": {}, "text": hapax.Receipt(`{"charge":"ch_1"}`), "zero": {0}, "every byte": every,
		"1 KiB": bytes.Repeat([]byte{0xA5}, 1024),
	}
	for id, r := range receipts {
		given := bytes.Clone(r)
		s.done(id, given)
		for i := range given {
			given[i]++ // the slice stays the caller's
		}
	}
	for id, r := range receipts {
		s.sameReceipt(s.duplicate(id), r)
		s.sameReceipt(s.duplicate(id), r)
	}
	c := s.done("repeated", hapax.Receipt("first"))
	_ = s.Ledger.Commit(s.ctx, c, hapax.Receipt("second"))
	s.sameReceipt(s.duplicate("repeated"), hapax.Receipt("first"))
}

// largeReceipt: results above a limit are refused with a declared error
// (statement 32); the work done is not lost by it.
func largeReceipt(s *sitting) {
	if s.MaxReceipt == 0 {
		s.Skip("the ledger declares no limit")
	}
	c := s.fresh("a")
	if err := s.Ledger.Commit(s.ctx, c, make(hapax.Receipt, s.MaxReceipt+1)); !errors.Is(err, s.TooLarge) {
		s.Fatalf("commit with a receipt of %d bytes: %v, want %v", s.MaxReceipt+1, err, s.TooLarge)
	}
	s.inFlight("a")
	largest := bytes.Repeat([]byte("r"), s.MaxReceipt)
	s.commit(c, largest)
	s.sameReceipt(s.duplicate("a"), largest)
}

// releaseFrees: after an error in the handler the next delivery runs at once
// (statement 10).
func releaseFrees(s *sitting) {
	first := s.fresh("a")
	s.release(first)
	second := s.fresh("a")
	s.release(second)
	third := s.fresh("a")
	s.rises(first, second, third)
	s.lost(first)
	s.commit(third, nil)
	s.duplicate("a")
}

// scopesNeverCollide: keys are joined with their lengths (statement 1).
func scopesNeverCollide(s *sitting) {
	pairs := [][2]string{
		{"a", "bc"}, {"ab", "c"}, {"abc", ""}, {"a", "b"}, {"", "ab"}, {"", "abc"},
		{"a:b", "c"}, {"a", "b:c"}, {"a/b", "c"}, {"a", "b/c"}, {"a\x00", "b"}, {"a", "\x00b"},
		{"a\x00b", "c"}, {"a", "b\x00c"}, {"\x01a", "b"}, {"\x01", "ab"}, {"a\n", "b"}, {"a", "\nb"},
		{"a\x01\x00", "b"}, {"a", "\x01\x00b"}, {"a b", "c"}, {"a", "b c"}, {"a|b", "c"}, {"a", "b|c"},
	}
	for _, p := range pairs {
		if p[1] == "" {
			continue // whether an empty identity is one is the store's to say
		}
		r := hapax.Request{Scope: hapax.Scope(p[0]), Identity: hapax.Identity(p[1]), Lease: long}
		s.commit(s.askFor(hapax.Fresh, r), nil)
		s.askFor(hapax.Duplicate, r)
	}
}

// oncePerScope: two handlers with one ledger both run (statement 2).
func oncePerScope(s *sitting) {
	billing := request("evt-1", long)
	billing.Scope = "billing"
	mail := request("evt-1", long)
	mail.Scope = "mail"

	b, m := s.askFor(hapax.Fresh, billing), s.askFor(hapax.Fresh, mail)
	s.commit(b, nil)
	s.askFor(hapax.Duplicate, billing)
	s.askFor(hapax.InFlight, mail)
	s.release(m)
	s.askFor(hapax.Fresh, mail)
	s.askFor(hapax.Duplicate, billing)
}

func anyBytes(s *sitting) {
	ids := []string{
		"\x00", "\x00\x00", "\xff", "\xff\xfe", "\xc3\x28", "a", "a ", " a", "A", "a\x00", "a\n", "a\r\n",
		"'; DROP TABLE ledger; --", "%s%n", "é", "e\u0301", "*", "{a}", "{b}", "a?b",
		strings.Repeat("x", 255), strings.Repeat("x", 256), strings.Repeat("x", 64<<10), strings.Repeat("x", 64<<10+1),
	}
	for _, id := range ids {
		s.done(id, nil)
	}
	for _, id := range ids {
		s.duplicate(id)
	}
}

// leaseAboveZero: what is left of a lease may be zero or less; that is "run
// out", never "unset" (statement 22).
func leaseAboveZero(s *sitting) {
	for _, d := range []time.Duration{0, -1, -time.Hour} {
		if c, err := s.Ledger.Claim(s.ctx, request("a", d)); err == nil {
			s.Errorf("claim with a lease of %v: %v, want an error", d, c.Verdict)
		}
	}
	c := s.fresh("a")
	for _, d := range []time.Duration{0, -1, -time.Hour} {
		if _, err := s.Ledger.Extend(s.ctx, c, d); err == nil {
			s.Errorf("extend by %v: no error", d)
		}
	}
	s.inFlight("a")
	s.commit(c, nil)
}

// cancelled: an error means that nothing is known and nothing was reserved.
func cancelled(s *sitting) {
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	if _, err := s.Ledger.Claim(ctx, request("a", long)); !errors.Is(err, context.Canceled) {
		s.Fatalf("claim with a cancelled context: %v", err)
	}
	c := s.fresh("a")
	if err := s.Ledger.Commit(ctx, c, nil); !errors.Is(err, context.Canceled) {
		s.Fatalf("commit with a cancelled context: %v", err)
	}
	s.inFlight("a")
	if _, err := s.Ledger.Extend(ctx, c, long); !errors.Is(err, context.Canceled) {
		s.Errorf("extend with a cancelled context: %v", err)
	}
	if err := s.Ledger.Release(ctx, c); !errors.Is(err, context.Canceled) {
		s.Errorf("release with a cancelled context: %v", err)
	}
	s.inFlight("a")
	s.commit(c, nil)
	s.duplicate("a")
}

func withDigest(id string, d hapax.Digest) hapax.Request {
	r := request(id, long)
	r.Digest = d
	return r
}

// conflictCommitted: the stored record stays as it was (statement 30).
func conflictCommitted(s *sitting) {
	s.commit(s.askFor(hapax.Fresh, withDigest("a", 1)), hapax.Receipt("kept"))
	for range 2 {
		if c := s.askFor(hapax.Conflict, withDigest("a", 2)); c.Receipt != nil {
			s.Errorf("a conflict is given the receipt of another payload")
		}
		s.askFor(hapax.Duplicate, withDigest("a", 1))
	}
	if s.Reopen != nil && s.promised.Durable {
		s.reopen()
		s.askFor(hapax.Conflict, withDigest("a", 2))
		s.askFor(hapax.Duplicate, withDigest("a", 1))
	}
}

func conflictBeforeInFlight(s *sitting) {
	c := s.askFor(hapax.Fresh, withDigest("a", 1))
	s.askFor(hapax.Conflict, withDigest("a", 2))
	s.askFor(hapax.InFlight, withDigest("a", 1))
	s.release(c)
	// Released is forgotten: the identity is free for any payload.
	s.commit(s.askFor(hapax.Fresh, withDigest("a", 2)), nil)
	s.askFor(hapax.Conflict, withDigest("a", 1))
}

func zeroDigest(s *sitting) {
	c := s.askFor(hapax.Fresh, withDigest("a", 7))
	s.askFor(hapax.InFlight, withDigest("a", 0))
	s.commit(c, nil)
	s.askFor(hapax.Duplicate, withDigest("a", 0))
	s.done("b", nil)
	s.duplicate("b")
}

// closeInFlight: calls in flight end as if before or after Close, and those
// after it get ErrClosed (statement 54).
func closeInFlight(s *sitting) {
	if s.Close == nil {
		s.Skip("the ledger cannot be closed")
	}
	const workers = 8
	var warm, ended sync.WaitGroup
	var closed atomic.Bool
	warm.Add(workers)
	for w := range workers {
		ended.Go(func() {
			warmed := sync.OnceFunc(warm.Done)
			defer warmed()
			if err := workUntilClosed(s, fmt.Sprint(w), &closed, warmed); !errors.Is(err, hapax.ErrClosed) {
				s.Errorf("a call beside Close: %v, want ErrClosed", err)
			}
		})
	}
	warm.Wait()
	for range 2 {
		if err := s.Close(); err != nil {
			s.Errorf("close: %v", err)
		}
	}
	closed.Store(true)
	ended.Wait()
	if _, err := s.Ledger.Claim(s.ctx, request("late", long)); !errors.Is(err, hapax.ErrClosed) {
		s.Errorf("claim after Close: %v, want ErrClosed", err)
	}
}

// workUntilClosed claims and commits until the ledger refuses, and calls warmed
// after the first few. No error is an answer given after Close returned.
func workUntilClosed(s *sitting, prefix string, closed *atomic.Bool, warmed func()) error {
	for n, late := 0, false; !late; n++ {
		late = closed.Load()
		c, err := s.Ledger.Claim(s.ctx, request(fmt.Sprintf("%s-%d", prefix, n), long))
		if err != nil {
			return err
		}
		if err := s.Ledger.Commit(s.ctx, c, nil); err != nil {
			return err
		}
		if n == 20 {
			warmed()
		}
		runtime.Gosched() // with one processor Close needs a turn, before the budget is used up
	}
	return nil
}
