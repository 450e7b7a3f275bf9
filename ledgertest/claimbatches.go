package ledgertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/hapaxmq/hapax"
)

func claimBatchChecks() []check {
	batches := func(c Capabilities) bool { return c.Batches }
	digests := func(c Capabilities) bool { return c.Batches && c.Digests }
	receipts := func(c Capabilities) bool { return c.Batches && c.Receipts }
	return []check{
		{name: "a batch is answered as one by one", needs: batches, run: batchVerdicts},
		{name: "a batch with a message twice claims it once", needs: batches, run: batchCopies},
		{name: "a batch compares digests", needs: digests, run: batchConflicts},
		{name: "a batch keeps each receipt", needs: receipts, run: batchReceipts},
		{name: "one of a batch that fails takes no other along", needs: batches, run: batchPartly},
		{name: "a batch of commits of which some passed is finished by another", needs: batches, run: batchAgain},
		{name: "of a batch whose answer is lost nobody else is fresh", needs: batches, run: batchUnanswered},
		{name: "a batch with a cancelled context reserves and commits nothing", needs: batches, run: batchCancelled},
		{name: "concurrent batches in any order claim each message once", needs: batches, run: batchesAtOnce},
		{name: "a batch may be large, or empty", needs: batches, run: batchSizes},
	}
}

// together is the ledger as one of batches.
func (s *sitting) together() hapax.BatchLedger {
	s.Helper()
	l, ok := s.Ledger.(hapax.BatchLedger)
	if !ok {
		s.Fatalf("%T takes no batches", s.Ledger)
	}
	return l
}

// askTogether claims a batch, and demands these verdicts.
func (s *sitting) askTogether(rs []hapax.Request, want ...hapax.Verdict) []hapax.Claim {
	s.Helper()
	claims, errs := s.together().ClaimBatch(s.ctx, rs)
	if len(claims) != len(rs) || len(errs) != len(rs) {
		s.Fatalf("%d requests are answered by %d claims and %d errors", len(rs), len(claims), len(errs))
	}
	for i, c := range claims {
		switch {
		case errs[i] != nil:
			s.Fatalf("claim %d of a batch: %v", i, errs[i])
		case c.Verdict != want[i]:
			s.Fatalf("claim %d of a batch, %.40q: %v, want %v", i, rs[i].Identity, c.Verdict, want[i])
		}
	}
	return claims
}

// commitTogether commits a batch, and demands of each nil or an error.
func (s *sitting) commitTogether(claims []hapax.Claim, receipts []hapax.Receipt, want ...error) {
	s.Helper()
	errs := s.together().CommitBatch(s.ctx, claims, receipts)
	if len(errs) != len(claims) {
		s.Fatalf("%d commits are answered by %d errors", len(claims), len(errs))
	}
	for i, err := range errs {
		if len(want) == 0 && err != nil || len(want) > 0 && !errors.Is(err, want[i]) {
			s.Errorf("commit %d of a batch: %v, want %v", i, err, want)
		}
	}
}

func requests(ids ...string) []hapax.Request {
	rs := make([]hapax.Request, len(ids))
	for i, id := range ids {
		rs[i] = request(id, long)
	}
	return rs
}

// batchVerdicts: fresh ones, held ones and copies stand in one batch, among scopes.
func batchVerdicts(s *sitting) {
	s.done("done", nil)
	held := s.fresh("held")
	rs := requests("a", "done", "held", "a", "b")
	rs[3].Scope = "another"
	claims := s.askTogether(rs, hapax.Fresh, hapax.Duplicate, hapax.InFlight, hapax.Fresh, hapax.Fresh)
	if at := claims[2].Deadline; at.Sub(held.Deadline).Abs() > brief {
		s.Errorf("the held one is so until %v, want until %v", at, held.Deadline)
	}
	for i, c := range claims {
		if (c.Token != 0) != (c.Verdict == hapax.Fresh) && c.Verdict != hapax.InFlight {
			s.Errorf("claim %d is %v with token %d", i, c.Verdict, c.Token)
		}
	}
	s.inFlight("a")
	s.lost(claims[2]) // what an InFlight answer holds is no claim
	s.release(claims[0])
	s.rises(claims[0], s.fresh("a"))
	s.commitTogether(claims[3:], nil)
	s.askTogether(rs, hapax.InFlight, hapax.Duplicate, hapax.InFlight, hapax.Duplicate, hapax.Duplicate)
	s.commit(held, nil)
	s.duplicate("held")
}

// batchCopies: a batch with the same id twice runs it once (statement 14).
func batchCopies(s *sitting) {
	claims := s.askTogether(requests("a", "b", "a", "a"), hapax.Fresh, hapax.Fresh, hapax.InFlight, hapax.InFlight)
	s.lost(claims[2])
	s.commitTogether(claims[:2], nil)
	s.askTogether(requests("a", "b", "a"), hapax.Duplicate, hapax.Duplicate, hapax.Duplicate)
}

func batchConflicts(s *sitting) {
	rs := []hapax.Request{withDigest("a", 1), withDigest("a", 2), withDigest("b", 1), withDigest("b", 1), withDigest("b", 0)}
	claims := s.askTogether(rs, hapax.Fresh, hapax.Conflict, hapax.Fresh, hapax.InFlight, hapax.InFlight)
	s.commitTogether([]hapax.Claim{claims[0], claims[2]}, nil)
	s.askTogether(rs, hapax.Duplicate, hapax.Conflict, hapax.Duplicate, hapax.Duplicate, hapax.Duplicate)
}

func batchReceipts(s *sitting) {
	rs := requests("none", "empty", "text", "none too")
	receipts := []hapax.Receipt{nil, {}, hapax.Receipt("charged"), nil}
	claims := s.askTogether(rs, hapax.Fresh, hapax.Fresh, hapax.Fresh, hapax.Fresh)
	s.commitTogether(claims, receipts)
	receipts[2] = hapax.Receipt("charged")
	for i, c := range s.askTogether(rs, hapax.Duplicate, hapax.Duplicate, hapax.Duplicate, hapax.Duplicate) {
		s.sameReceipt(c, receipts[i])
	}
	if s.MaxReceipt == 0 {
		return
	}
	claims = s.askTogether(requests("large", "small"), hapax.Fresh, hapax.Fresh)
	s.commitTogether(claims, []hapax.Receipt{make(hapax.Receipt, s.MaxReceipt+1), hapax.Receipt("small")}, s.TooLarge, nil)
	s.inFlight("large")
	s.sameReceipt(s.duplicate("small"), hapax.Receipt("small"))
	s.commit(claims[0], nil)
}

// batchPartly: one failing item does not mark the others, nor keep them from it
// (statement 14).
func batchPartly(s *sitting) {
	rs := requests("a", "no lease", "b")
	rs[1].Lease = 0
	claims, errs := s.together().ClaimBatch(s.ctx, rs)
	if errs[0] != nil || errs[1] == nil || errs[2] != nil {
		s.Fatalf("a batch with a lease of zero in its middle: %v, want an error there", errs)
	}
	if claims[0].Verdict != hapax.Fresh || claims[2].Verdict != hapax.Fresh {
		s.Fatalf("beside one that failed: %v and %v, want fresh", claims[0].Verdict, claims[2].Verdict)
	}
	released := s.fresh("released")
	s.release(released)
	forged := claims[0]
	forged.Token++
	all := []hapax.Claim{released, claims[0], forged, claims[2]}
	s.commitTogether(all, nil, hapax.ErrLeaseLost, nil, hapax.ErrLeaseLost, nil)
	s.askTogether(requests("a", "no lease", "b", "released"), hapax.Duplicate, hapax.Fresh, hapax.Duplicate, hapax.Fresh)
}

// batchAgain: when the answer of a batch is lost, some of it may have passed. It is
// answered then as a repeated commit is (statement 27).
func batchAgain(s *sitting) {
	claims := s.askTogether(requests("a", "b", "c"), hapax.Fresh, hapax.Fresh, hapax.Fresh)
	s.commitTogether(claims[1:2], nil)
	passed := hapax.ErrLeaseLost
	if s.promised.Retries {
		passed = nil
	}
	s.commitTogether(claims, nil, nil, passed, nil)
	s.commitTogether(claims, nil, passed, passed, passed)
	s.askTogether(requests("a", "b", "c"), hapax.Duplicate, hapax.Duplicate, hapax.Duplicate)
}

// batchUnanswered: who lost the answer of a batch of claims is one copy among others,
// which are held until the leases end.
func batchUnanswered(s *sitting) {
	s.askTogether(requests("a", "b"), hapax.Fresh, hapax.Fresh)
	s.askTogether(requests("b", "a", "c"), hapax.InFlight, hapax.InFlight, hapax.Fresh)
	rs := requests("d", "e")
	for i := range rs {
		rs[i].Lease = brief
	}
	lost := s.askTogether(rs, hapax.Fresh, hapax.Fresh)
	s.pass(2 * brief)
	claims := s.askTogether(requests("e", "d", "a"), hapax.Fresh, hapax.Fresh, hapax.InFlight)
	s.rises(lost[1], claims[0])
	s.rises(lost[0], claims[1])
	s.commitTogether(lost, nil, hapax.ErrLeaseLost, hapax.ErrLeaseLost)
	s.commitTogether(claims[:2], nil)
}

func batchCancelled(s *sitting) {
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	_, errs := s.together().ClaimBatch(ctx, requests("a", "b"))
	for _, err := range errs {
		if !errors.Is(err, context.Canceled) {
			s.Errorf("claim with a cancelled context: %v", err)
		}
	}
	claims := s.askTogether(requests("a", "b"), hapax.Fresh, hapax.Fresh)
	for _, err := range s.together().CommitBatch(ctx, claims, nil) {
		if !errors.Is(err, context.Canceled) {
			s.Errorf("commit with a cancelled context: %v", err)
		}
	}
	s.askTogether(requests("a", "b"), hapax.InFlight, hapax.InFlight)
	s.commitTogether(claims, nil)
}

// batchesAtOnce: each message has one holder, whatever the order in which batches name
// it, and no batch fails by another.
func batchesAtOnce(s *sitting) {
	const callers, ids, rounds = 8, 12, 5
	for round := range rounds {
		var holders [ids]atomic.Int32
		var wg sync.WaitGroup
		for n := range callers {
			wg.Go(func() {
				order := rand.New(rand.NewPCG(uint64(round), uint64(n))).Perm(ids)
				rs := make([]hapax.Request, ids)
				for i, id := range order {
					rs[i] = request(fmt.Sprint(round, id), long)
				}
				l := s.together()
				claims, errs := l.ClaimBatch(s.ctx, rs)
				var mine []hapax.Claim
				for i, c := range claims {
					if c.Verdict == hapax.Fresh {
						mine = append(mine, c)
						holders[order[i]].Add(1)
					}
				}
				if err := errors.Join(append(errs, l.CommitBatch(s.ctx, mine, nil)...)...); err != nil {
					s.Errorf("a batch beside others: %v", err)
				}
			})
		}
		wg.Wait()
		for id := range holders {
			if n := holders[id].Load(); n != 1 {
				s.Errorf("identity %d was fresh in %d batches, want one", id, n)
			}
		}
	}
}

func batchSizes(s *sitting) {
	s.askTogether(nil)
	s.commitTogether(nil, nil)
	const many = 1001
	var rs []hapax.Request
	var first, second []hapax.Verdict
	for i := range many {
		rs = append(rs, request(fmt.Sprint(i), long))
		first, second = append(first, hapax.Fresh), append(second, hapax.Duplicate)
	}
	s.commitTogether(s.askTogether(rs, first...), make([]hapax.Receipt, many))
	s.askTogether(rs, second...)
}
