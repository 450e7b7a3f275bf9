package ledger

import "fmt"

// admitInOrder admits a batch under mu: verdicts, frame and positions are one
// step. What is given beside the batch receives the first verdict.
func (l *Ledger) admitInOrder(b *Batch, one ...*Entry) error {
	end, err := l.admitBatch(b)
	if err != nil {
		return err
	}
	if l.journal != nil && end > 0 {
		if err := l.settled(l.journal.wait(end)); err != nil {
			return err
		}
	}
	for _, e := range one {
		*e = b.Entries[0]
	}
	return nil
}

// admitBatch gives the verdicts and appends their frame. It returns the journal's
// end: what the verdicts depend on.
func (l *Ledger) admitBatch(b *Batch) (end int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { err = l.sound(err) }()
	if err := l.ready(); err != nil {
		return 0, err
	}
	if l.o.ReadOnly {
		return 0, errReadOnly
	}
	if n := len(b.Entries); n > maxBatch && l.journal != nil {
		return 0, fmt.Errorf("admit: a batch of %d entries, and at most %d go into one frame of the log: split it", n, maxBatch)
	}
	now := l.now()
	countPast(l, now)
	if err := l.turnIfDue(now); err != nil {
		return 0, err
	}
	if l.concurrent {
		l.settle()
	}
	a := admission{l: l, now: now, src: l.sources.named[b.Source]}
	if err := a.makeRoomFor(b.Entries); err != nil {
		return 0, err
	}
	if err := l.hot.fit(len(b.Entries)); err != nil {
		return 0, l.fail(err)
	}
	if err := l.roll(); err != nil {
		return 0, err
	}
	if a.src, err = l.sources.forBatch(b.Source, len(b.Entries)); err == nil {
		err = b.check()
	}
	if err != nil {
		return 0, err
	}
	l.frame.begin(now, b.Source)
	l.stripes.lockAll()
	l.deal()
	err = a.admit(b.Entries)
	l.deal()
	l.stripes.unlockAll()
	if err != nil {
		// The table remembers part of a batch that has no frame.
		return 0, l.fail(err)
	}
	if end, err = l.logBatch(); err != nil {
		return 0, err
	}
	if err := l.hot.pay(len(b.Entries)); err != nil {
		return end, l.fail(err)
	}
	return end, nil
}

// logBatch appends the batch's frame, if there is anything in it or the watermark
// has moved, and returns the journal's end.
func (l *Ledger) logBatch() (end int64, err error) {
	if l.journal == nil {
		return 0, nil
	}
	moved := false
	if mark := l.gens.Watermark(); l.o.Window.EventTime {
		moved, l.frame.now = mark > l.frame.marked, mark
		l.frame.marked = mark
	}
	if moved || !l.frame.empty() {
		if err := l.frame.appendTo(l.journal); err != nil {
			return 0, l.fail(err)
		}
	}
	return l.journal.End(), nil
}

// roll begins a new file of the log where it is time to. It comes before the
// batch changes anything: the file's snapshot must not know of what is not in
// the log yet.
func (l *Ledger) roll() error {
	if l.journal == nil {
		return nil
	}
	if err := l.journal.roll(); err != nil {
		return l.fail(err)
	}
	return nil
}
