package ledger

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/window"
)

// Step is what a ledger that follows another log ([Options.Follows]) does at once
// with something that is appended to that log:
//
//	Begin ──▶ Look    verdicts, and nothing is remembered
//	   └────▶ Admit   verdicts, and what is fresh is remembered ──▶ append to the other log
//	                                                                   ├─▶ End
//	                                                                   └─▶ Fail, if that could not be done
//
// Nobody else is given a verdict between Begin and the end of the step, which has to
// come soon. The other log is the truth: what is admitted goes to the ledger's own
// log behind it. How far a source has been followed is its [Ledger.Checkpoint]: Through
// of its last batch. A step is for one goroutine.
type Step struct {
	l        *Ledger
	now      int64
	batches  []*Batch
	all      []Entry // of all batches
	admitted bool
	frames   []stepFrame // of all batches but the last, which is the ledger's frame
}

// stepFrame is a batch as it goes to the log.
type stepFrame struct {
	gens    []*window.Generation
	payload []byte
}

// Begin begins a step about batches that the other log is about to hold: each has a
// Source, and its entries' offsets are positions in it, above Through of the batch of
// that source before. Time never goes back: now is taken for the latest that was
// given, if that is later. On an error there is no step.
func (l *Ledger) Begin(now time.Time, batches ...*Batch) (*Step, error) {
	l.mu.Lock()
	s := &Step{l: l, now: now.UnixNano(), batches: batches}
	if err := l.sound(s.begin()); err != nil {
		l.mu.Unlock()
		return nil, fmt.Errorf("begin a step: %w", err)
	}
	return s, nil
}

var errFollows = errors.New("the ledger follows another log: see Begin")

func (s *Step) begin() error {
	l := s.l
	if err := l.ready(); err != nil {
		return err
	}
	if l.o.Follows == nil {
		return errors.New("the ledger follows no other log: set Options.Follows")
	}
	if s.all = s.batches[0].Entries; len(s.batches) > 1 {
		s.all = nil
		for _, b := range s.batches {
			s.all = append(s.all, b.Entries...)
		}
	}
	if n := len(s.all); n > maxBatch {
		return fmt.Errorf("%d entries, and a step may have %d", n, maxBatch)
	}
	countPast(l, s.now)
	if err := l.turnIfDue(s.now); err != nil {
		return err
	}
	a := admission{l: l, now: s.now}
	return a.makeRoomFor(s.all)
}

// Look gives the verdicts that Admit would give, but for copies of one another, and
// remembers nothing.
func (s *Step) Look() error {
	l := s.l
	l.stripes.lockAll()
	defer l.stripes.unlockAll()
	a := admission{l: l, now: s.now}
	for _, b := range s.batches {
		for i := range b.Entries {
			if err := a.look(&b.Entries[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// look gives the verdict on an entry that is not to be remembered.
func (a *admission) look(e *Entry) error {
	f, err := a.findEntry(e)
	switch {
	case err != nil:
		return err
	case f.gen == nil:
		e.Verdict = hapax.Fresh
	case differ(f.digest, e.Digest):
		e.Verdict = hapax.Conflict
	default:
		e.Verdict = hapax.Duplicate
	}
	return nil
}

// Admit gives the verdicts, as [Ledger.Admit] does, and remembers what is fresh. It
// is called once. After an error there is only Fail.
func (s *Step) Admit() error {
	l := s.l
	if err := l.hot.fit(len(s.all)); err != nil {
		return err
	}
	if err := l.roll(); err != nil {
		return err
	}
	s.admitted = true
	for i, b := range s.batches {
		if _, err := l.sources.get(b.Source); err != nil {
			return err
		}
		if err := b.check(); err != nil {
			return err
		}
		if i > 0 {
			s.frames = append(s.frames, l.frame.copy())
		}
		l.frame.begin(s.now, b.Source)
		l.frame.follows, l.frame.through = true, b.Through
		a := admission{l: l, now: s.now, follows: true}
		l.stripes.lockAll()
		l.deal()
		err := a.admit(b.Entries)
		l.deal()
		l.stripes.unlockAll()
		if err != nil {
			return err
		}
	}
	return nil
}

// Fail ends the step: the other log could not be appended to. If anything was
// admitted the ledger has failed: it remembers what that log does not hold.
func (s *Step) Fail(err error) {
	if s.admitted {
		_ = s.l.fail(err)
	}
	s.l.mu.Unlock()
}

// End ends the step, whose batches the other log holds now. On return the ledger's
// own log has them in memory: see [Ledger.Sync].
func (s *Step) End() error {
	l := s.l
	defer l.mu.Unlock()
	if !s.admitted {
		return nil
	}
	if err := s.log(); err != nil {
		return l.fail(err)
	}
	for _, b := range s.batches {
		l.sources.named[b.Source].confirm(b.Through, nil)
	}
	if err := l.hot.pay(len(s.all)); err != nil {
		return l.fail(err)
	}
	return nil
}

// log appends the step's frames.
func (s *Step) log() error {
	j := s.l.journal
	for _, f := range s.frames {
		for _, gen := range f.gens {
			if err := j.use(gen); err != nil {
				return err
			}
		}
		if err := j.append(frameAdmit, f.payload); err != nil {
			return err
		}
	}
	return s.l.frame.appendTo(j)
}

// copy is the frame as it is by now.
func (f *admitFrame) copy() (c stepFrame) {
	for _, b := range f.blocks {
		c.gens = append(c.gens, b.gen)
	}
	c.payload = slices.Clone(f.payload())
	return c
}
