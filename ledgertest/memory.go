package ledgertest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hapaxmq/hapax"
)

func memoryChecks() []check {
	durable := func(c Capabilities) bool { return c.Durable }
	receipts := func(c Capabilities) bool { return c.Durable && c.Receipts }
	keeps := func(c Capabilities) bool { return !c.Evicts }
	return []check{
		{name: "inside the window nothing is forgotten, after it everything", needs: keeps, run: windowEdges},
		{name: "the window runs from the commit", needs: keeps, run: windowFromCommit},
		{name: "copies do not prolong the window", run: copiesDoNotProlong},
		{name: "thousands are remembered as well as one", needs: keeps, run: thousands},
		{name: "a store whose memory is full forgets nothing", needs: keeps, run: fullMemory},
		{name: "a reopened ledger knows what was committed and claimed", needs: durable, run: afterReopen},
		{name: "a killed ledger knows what was committed and claimed", needs: durable, run: afterCrash},
		{name: "receipts outlive reopen and crash", needs: receipts, run: receiptsOutlive},
		{name: "the window goes on over a reopen", needs: durable, run: windowOverReopen},
	}
}

// slack is how much longer than its window an identity may be remembered.
func slack(w time.Duration) time.Duration { return w/128 + 1 }

// windowEdges: a copy one millisecond inside the window is a duplicate wherever
// a partition or generation ends (statement 37).
func windowEdges(s *sitting) {
	if s.Advance == nil {
		s.Skip("the ledger's clock cannot be moved")
	}
	type event struct {
		at time.Duration // since the start
		do func()
	}
	var events []event
	for i := range 150 {
		id, at := fmt.Sprint(i), time.Duration(i)*examWindow/97
		events = append(events,
			event{at, func() { s.done(id, nil) }},
			event{at + examWindow - time.Millisecond, func() { s.duplicate(id) }},
			event{at + examWindow + slack(examWindow) + time.Millisecond, func() { s.release(s.fresh(id)) }})
	}
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	now := time.Duration(0)
	for _, e := range events {
		s.Advance(e.at - now)
		now = e.at
		e.do()
	}
}

// windowFromCommit: a long run does not use up the window (statement 38).
func windowFromCommit(s *sitting) {
	if s.Advance == nil {
		s.Skip("the ledger's clock cannot be moved")
	}
	c := s.fresh("a")
	s.Advance(long - time.Second)
	s.commit(c, nil)
	s.Advance(examWindow - time.Millisecond)
	s.duplicate("a")
	s.Advance(slack(examWindow) + 2*time.Millisecond)
	s.fresh("a")
}

func copiesDoNotProlong(s *sitting) {
	if s.Advance == nil {
		s.Skip("the ledger's clock cannot be moved")
	}
	s.done("a", nil)
	for range 4 {
		s.Advance(examWindow/4 - time.Millisecond)
		s.duplicate("a")
	}
	s.Advance(slack(examWindow) + 5*time.Millisecond)
	s.fresh("a")
}

func thousands(s *sitting) {
	const n = 2000
	verdicts := func(want hapax.Verdict) { // by several callers, as stores sync for all at once
		var wg sync.WaitGroup
		const callers = 16
		for first := range callers {
			wg.Go(func() {
				for i := first; i < n; i += callers {
					c, err := s.Ledger.Claim(s.ctx, request(fmt.Sprint(i), long))
					if err == nil && c.Verdict == hapax.Fresh {
						err = s.Ledger.Commit(s.ctx, c, nil)
					}
					if err != nil || c.Verdict != want {
						s.Errorf("message %d: %v, %v, want %v", i, c.Verdict, err, want)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	verdicts(hapax.Fresh)
	if s.Pressure != nil {
		s.Pressure()
	}
	verdicts(hapax.Duplicate)
}

// fullMemory: new messages are refused rather than old ones forgotten, and what was
// begun can be ended (statement 40).
func fullMemory(s *sitting) {
	if s.Pressure == nil {
		s.Skip("the ledger's memory cannot be filled")
	}
	const n = 50
	for i := range n {
		s.done(fmt.Sprint(i), nil)
	}
	first, second, third := s.fresh("to commit"), s.fresh("to release"), s.fresh("to extend")
	s.Pressure()
	if c, err := s.Ledger.Claim(s.ctx, request("new", long)); err != nil && !errors.Is(err, hapax.ErrFull) {
		s.Errorf("claim when memory is full: %v, want ErrFull", err)
	} else if err == nil && c.Verdict != hapax.Fresh {
		s.Errorf("claim when memory is full: %v, want ErrFull or fresh", c.Verdict)
	}
	s.inFlight("to commit")
	s.commit(first, nil)
	s.duplicate("to commit")
	s.release(second)
	if _, err := s.Ledger.Extend(s.ctx, third, 2*long); err != nil {
		s.Errorf("extend when memory is full: %v", err)
	}
	s.inFlight("to extend")
	for i := range n {
		s.duplicate(fmt.Sprint(i))
	}
}

// leaveBehind commits, claims and releases, and returns what must hold of it
// after the ledger was opened again.
func leaveBehind(s *sitting) (holds func()) {
	s.done("committed", nil)
	held := s.fresh("held")
	released := s.fresh("released")
	s.release(released)
	s.freshFor("ran out", brief)
	return func() {
		s.Helper()
		s.duplicate("committed")
		s.inFlight("held")
		s.lost(released)
		s.commit(held, nil) // its holder may live on elsewhere
		s.duplicate("held")
		again := s.fresh("released")
		s.rises(released, again)
		s.release(again)
		s.pass(brief + 10*time.Millisecond)
		s.release(s.fresh("ran out"))
		s.duplicate("committed")
	}
}

func afterReopen(s *sitting) {
	holds := leaveBehind(s)
	s.reopen()
	holds()
	s.reopen()
	s.duplicate("held")
	s.duplicate("committed")
	s.fresh("released")
}

func afterCrash(s *sitting) {
	holds := leaveBehind(s)
	s.crash()
	holds()
	s.crash()
	s.duplicate("held")
	s.duplicate("committed")
	s.fresh("released")
}

func receiptsOutlive(s *sitting) {
	s.done("a", hapax.Receipt("kept"))
	s.done("empty", hapax.Receipt{})
	s.done("none", nil)
	again := []func(){func() {}, s.reopen}
	if s.Crash != nil {
		again = append(again, s.crash)
	}
	for _, open := range again {
		open()
		s.sameReceipt(s.duplicate("a"), hapax.Receipt("kept"))
		s.sameReceipt(s.duplicate("empty"), hapax.Receipt{})
		s.sameReceipt(s.duplicate("none"), nil)
	}
}

func windowOverReopen(s *sitting) {
	if s.Advance == nil {
		s.Skip("the ledger's clock cannot be moved")
	}
	s.done("a", nil)
	s.Advance(examWindow / 2)
	s.reopen()
	s.Advance(examWindow/2 - time.Millisecond)
	s.duplicate("a")
	s.reopen()
	s.duplicate("a")
	s.Advance(slack(examWindow) + 2*time.Millisecond)
	s.reopen()
	s.fresh("a")
}
