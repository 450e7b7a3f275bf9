package ledger

import "time"

// maintain is the ledger's one goroutine. It ends slices of time where no call
// does, gives memory to growths before they need it, scrubs while nobody calls,
// and deletes what has expired.
func (l *Ledger) maintain() {
	timer := time.NewTimer(l.rest())
	defer timer.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-l.wake:
		case <-timer.C:
		}
		l.tend()
		timer.Reset(l.rest())
	}
}

// nudge wakes maintain.
func (l *Ledger) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// rest is how long maintain may sleep.
func (l *Ledger) rest() time.Duration {
	const longest = time.Second
	if !l.timed {
		return longest
	}
	return min(max(time.Duration(l.deadline.Load()-l.now()), 0), longest)
}

func (l *Ledger) tend() {
	l.mu.Lock()
	if l.ready() != nil {
		l.mu.Unlock()
		return
	}
	if now := l.now(); l.timed && now >= l.deadline.Load() {
		if err := l.turnIfDue(now); err != nil {
			_ = l.fail(err) // the next call reports it
		}
	}
	if l.journal != nil {
		if err := l.cold.clean(l.gens); err != nil {
			_ = l.fail(err)
		}
	}
	chill := l.cold.wanted
	from, to := l.backed, max(l.backed, l.prefaulted)
	l.mu.Unlock()
	if from < to {
		l.mem.prepare(from, to)
		l.mu.Lock()
		l.backed = to
		l.mu.Unlock()
	}
	for l.fetchSome() {
		time.Sleep(breath)
	}
	for l.scrubSome() {
		time.Sleep(breath)
	}
	if chill {
		l.chill()
	}
}

// breath is how long maintain lets callers go first between two steps.
const breath = 20 * time.Microsecond

// fetchSome fetches some of what is not there yet of a table that had an image,
// and tells whether more is left.
func (l *Ledger) fetchSome() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.stop:
		return false
	default:
	}
	return l.ready() == nil && l.table.FetchNext()
}

// scrubSome takes a step of the sweep under way and tells whether there was one.
func (l *Ledger) scrubSome() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.stop:
		return false
	default:
	}
	return l.ready() == nil && l.step() > 0
}
