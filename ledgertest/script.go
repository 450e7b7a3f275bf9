package ledgertest

import (
	"context"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
)

// history is what a ledger acknowledged, and what it was last asked and did not
// answer. Whatever breaks, a ledger opened on the remains must agree with it.
type history struct {
	kept       map[hapax.Fingerprint]int  // admitted or committed: number of the step
	loose      map[hapax.Fingerprint]bool // in the step without an answer
	freed      map[hapax.Fingerprint]bool // forgotten, and not seen since
	released   map[string]uint64          // identity → highest token
	checkpoint int64                      // offset confirmed in source "s", or -1
	unsure     int64                      // offset of a confirmation without an answer
	steps      int
}

func newHistory() *history {
	return &history{kept: map[hapax.Fingerprint]int{}, loose: map[hapax.Fingerprint]bool{},
		freed: map[hapax.Fingerprint]bool{}, released: map[string]uint64{}, checkpoint: -1, unsure: -1}
}

func (h *history) clone() *history {
	c := *h
	c.kept, c.loose, c.freed, c.released = maps.Clone(h.kept), maps.Clone(h.loose), maps.Clone(h.freed), maps.Clone(h.released)
	return &c
}

// script is a fixed course of work that meets every kind of frame and crosses
// generations. After each call the history is brought up to date.
type script struct {
	clock *clock
	ctx   context.Context
	*history
	next int // key to admit next
	bulk int // keys to admit beside, each round

	// shown is the history as another goroutine may read it: the ledger's
	// background work meets the hooks of a failing file system.
	shown atomic.Pointer[history]
	alone bool // nobody reads it
}

const scriptWindow = time.Hour

func newScript(c *clock) *script {
	s := &script{clock: c, ctx: context.Background(), history: newHistory()}
	s.show()
	return s
}

// show is called before each call of the ledger and after its answer.
func (s *script) show() {
	if !s.alone {
		s.shown.Store(s.history.clone())
	}
}

// play goes through the steps up to the first error.
func (s *script) play(l Admitter, rounds int) error {
	steps := []func(Admitter) error{s.admit, s.admitPlaced, s.confirm, s.commit, s.release, s.forget, s.hold, s.admitBulk}
	for round := range rounds {
		for i, step := range steps {
			if err := step(l); err != nil {
				return fmt.Errorf("step %d of round %d: %w", i, round, err)
			}
			clear(s.loose)
			s.unsure = -1
			s.steps++
			s.show()
		}
		if s.steps < 100*len(steps) { // nothing leaves the window
			s.clock.advance(scriptWindow / 200)
		}
	}
	return nil
}

func (s *script) batch(source string, n int) *ledger.Batch {
	b := &ledger.Batch{Source: source, Entries: entries(s.next, s.next+n)}
	for i := range b.Entries {
		b.Entries[i].Offset = int64(s.next + i)
		s.loose[b.Entries[i].Fingerprint] = true
	}
	s.show()
	return b
}

func (s *script) admit(l Admitter) error       { return s.take(l, s.batch("", 7)) }
func (s *script) admitBulk(l Admitter) error   { return s.take(l, s.batch("", 7+s.bulk)) }
func (s *script) admitPlaced(l Admitter) error { return s.take(l, s.batch("s", 3)) }

func (s *script) take(l Admitter, b *ledger.Batch) error {
	if err := l.Admit(s.ctx, b); err != nil {
		return err
	}
	for _, e := range b.Entries {
		if e.Verdict != hapax.Fresh {
			return fmt.Errorf("%v is %v at first sight", e.Fingerprint, e.Verdict)
		}
		s.kept[e.Fingerprint] = s.steps
	}
	s.next += len(b.Entries)
	return nil
}

func (s *script) confirm(l Admitter) error {
	s.unsure = int64(s.next - 1)
	s.show()
	if err := l.Confirm(s.ctx, ledger.Checkpoint{Source: "s", Offset: s.unsure, Note: []byte("note")}); err != nil {
		return err
	}
	s.checkpoint = s.unsure
	return nil
}

func (s *script) claim(l Admitter, id string, lease time.Duration) (hapax.Claim, error) {
	c, err := l.Claim(s.ctx, request(id, lease))
	if err != nil {
		return c, err
	}
	if c.Verdict != hapax.Fresh {
		return c, fmt.Errorf("%s is %v at first sight", id, c.Verdict)
	}
	return c, nil
}

func (s *script) commit(l Admitter) error {
	c, err := s.claim(l, fmt.Sprintf("committed %d", s.steps), long)
	if err != nil {
		return err
	}
	s.loose[c.Fingerprint] = true
	s.show()
	if err := l.Commit(s.ctx, c, hapax.Receipt("receipt")); err != nil {
		return err
	}
	s.kept[c.Fingerprint] = s.steps
	return nil
}

func (s *script) release(l Admitter) error {
	c, err := s.claim(l, "released", brief)
	if err != nil {
		return err
	}
	s.released["released"] = c.Token
	s.show()
	return l.Release(s.ctx, c)
}

func (s *script) hold(l Admitter) error {
	id := fmt.Sprintf("held %d", s.steps)
	c, err := s.claim(l, id, brief)
	if err != nil {
		return err
	}
	s.released[id] = c.Token // its lease will have run out
	return nil
}

func (s *script) forget(l Admitter) error {
	fp := key(s.next - 2)
	step := s.kept[fp]
	delete(s.kept, fp)
	s.loose[fp] = true
	s.show()
	existed, err := l.Forget(s.ctx, fp)
	if err != nil {
		return err
	}
	if !existed {
		return fmt.Errorf("forget: %v of step %d was not there", fp, step)
	}
	s.freed[fp] = true
	return nil
}

// verify compares a ledger with the history. Of keys admitted at step tail or
// later it does not mind if they are missing.
func (h *history) verify(l Admitter, c *clock, tail int) error {
	ctx := context.Background()
	asked := 0
	for fp, step := range h.kept { // a few, as a lookup may read files; all are admitted below
		if asked++; asked > 20 {
			break
		}
		s, found, err := l.Lookup(ctx, fp)
		if err != nil {
			return fmt.Errorf("lookup: %w", err)
		}
		if step < tail && (!found || s.Verdict != hapax.Duplicate) {
			return fmt.Errorf("%v of step %d of %d is lost", fp, step, h.steps)
		}
	}
	absent := []hapax.Fingerprint{{}, {0xff}}
	for n := range 50 {
		absent = append(absent, key(5_000_000+n))
	}
	for fp := range h.freed {
		absent = append(absent, fp)
	}
	for _, fp := range absent {
		if _, found, err := l.Lookup(ctx, fp); err != nil {
			return fmt.Errorf("lookup: %w", err)
		} else if found {
			return fmt.Errorf("%v is remembered: it was never seen, or was forgotten", fp)
		}
	}
	for s, err := range l.All() {
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
		if _, kept := h.kept[s.Fingerprint]; !kept && !h.loose[s.Fingerprint] && s.Verdict != hapax.InFlight {
			return fmt.Errorf("%v is listed: it was never seen, or was released or forgotten", s.Fingerprint)
		}
	}
	if tail > h.steps {
		if at, ok := l.Checkpoint("s"); h.checkpoint >= 0 && (!ok || at.Offset < h.checkpoint) || ok && at.Offset > max(h.checkpoint, h.unsure) {
			return fmt.Errorf("checkpoint %d, want %d", at.Offset, h.checkpoint)
		}
	}
	return h.verifyWrites(ctx, l, c, tail)
}

// verifyWrites goes on working with the ledger.
func (h *history) verifyWrites(ctx context.Context, l Admitter, c *clock, tail int) error {
	b := &ledger.Batch{Entries: entries(6_000_000, 6_000_010)}
	for fp, step := range h.kept {
		if step < tail {
			b.Entries = append(b.Entries, ledger.Entry{Fingerprint: fp})
		}
	}
	if err := l.Admit(ctx, b); err != nil {
		return fmt.Errorf("admit: %w", err)
	}
	for i, e := range b.Entries {
		switch fresh := e.Verdict == hapax.Fresh; {
		case i < 10 && !fresh:
			return fmt.Errorf("%v is %v at first sight", e.Fingerprint, e.Verdict)
		case i >= 10 && fresh:
			return fmt.Errorf("%v of step %d of %d is lost", e.Fingerprint, h.kept[e.Fingerprint], h.steps)
		}
	}
	c.advance(brief + time.Millisecond)
	for id, token := range h.released {
		claim, err := l.Claim(ctx, request(id, long))
		if err != nil {
			return fmt.Errorf("claim: %w", err)
		}
		if claim.Verdict != hapax.Fresh || claim.Token <= token && tail > h.steps {
			return fmt.Errorf("%s: %v with token %d, want fresh and above %d", id, claim.Verdict, claim.Token, token)
		}
	}
	return nil
}
