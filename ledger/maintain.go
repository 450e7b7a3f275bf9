package ledger

import "time"

// maintain is the ledger's goroutine; the log has its own, keepLog. It ends slices
// of time where no call does, gives memory to growths before they need it, fetches
// the rest of a table that has an image, scrubs while nobody calls, moves generations
// to cold files, deletes those of which all has expired, and tells of what left early. Files of the log go when
// another is next begun.
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
	if l.concurrent {
		countRecent(l)
	}
	if l.journal != nil && !l.o.ReadOnly {
		if err := l.cold.clean(); err != nil {
			_ = l.fail(err)
		}
	}
	l.evictions.tellIfDue(l.o.Logger, l.dir, l.now())
	chill := l.cold.wanted
	lines := l.hot.prefaulted
	l.mu.Unlock()
	l.back(lines)
	l.fetchRest()
	for !chill && l.scrubSome() {
		if l.rest() == 0 {
			l.nudge() // and goes on then
			break
		}
		time.Sleep(breath)
		chill = l.roomWanted()
	}
	if chill {
		l.chill()
	}
}

// roomWanted tells whether maintain is to make room, for which a caller may wait.
func (l *Ledger) roomWanted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cold.wanted
}

// breath is how long maintain lets callers go first between two steps: those who call
// often pay for the sweep before it gets to it.
const breath = 500 * time.Microsecond

// back has the system back the table's memory up to so many lines before they are
// used. It is maintain's.
func (l *Ledger) back(lines int) {
	l.mu.Lock()
	from := l.hot.backed
	l.mu.Unlock()
	if from >= lines {
		return
	}
	l.hot.mem.prepare(from, lines)
	l.mu.Lock()
	l.hot.backed = lines
	l.mu.Unlock()
}

// scrubSome takes a step of the sweep under way and tells whether there was one.
func (l *Ledger) scrubSome() bool {
	return l.unlessStopped(func() bool { return l.hot.step() > 0 })
}

// unlessStopped takes a step of maintain's under mu, and tells what it did, or
// false if the ledger is being closed or has failed.
func (l *Ledger) unlessStopped(step func() bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.stop:
		return false
	default:
	}
	return l.ready() == nil && step()
}
