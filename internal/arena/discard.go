package arena

// Discard gives the memory behind bytes from..to back to the system, as far as it
// can do so by whole units of a reservation. The bytes stay usable, and what they
// hold is lost.
func (a *Arena) Discard(from, to int) {
	from, to = (from+page-1)/page*page, to/page*page
	if from < to {
		discard(a.all[from:to])
	}
}
