package ledger

// Chill moves every generation to cold files, and returns when they are there: a
// ledger whose callers chill it before each call answers from cold files whenever
// it can.
func (l *Ledger) Chill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endCurrent()
	for l.ready() == nil && l.journal != nil && !l.o.ReadOnly {
		if l.wantChill(); !l.cold.wanted {
			return
		}
		for l.hot.step() > 0 { // maintain takes its time
		}
		for l.cold.wanted && l.ready() == nil {
			l.cold.done.Wait()
		}
	}
}

// endCurrent begins another generation, so that the current one is not the newest
// and may move. It must hold mu.
func (l *Ledger) endCurrent() {
	if l.ready() != nil || l.journal == nil || l.o.ReadOnly || !l.o.chills() || l.current == nil || l.current.Count == 0 {
		return
	}
	l.gens.Seal(l.current)
	l.stripes.lockAll()
	defer l.stripes.unlockAll()
	next, err := l.generation(0, 0)
	if err != nil {
		_ = l.fail(err)
		return
	}
	l.current = next
	l.publishLocked()
}
