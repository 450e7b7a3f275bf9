package ledger

// Chill moves every generation to cold files but the current one, and returns
// when they are there: a ledger whose callers chill it before each call answers
// from cold files whenever it can.
func (l *Ledger) Chill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.ready() == nil && l.journal != nil && !l.o.ReadOnly {
		if l.wantChill(); !l.cold.wanted {
			return
		}
		for l.step() > 0 { // maintain takes its time
		}
		for l.cold.wanted && l.ready() == nil {
			l.cold.done.Wait()
		}
	}
}
