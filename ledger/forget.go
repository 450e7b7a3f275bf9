package ledger

import (
	"context"
	"encoding/binary"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/window"
)

// Forget makes an identity as if it had never been seen, and ends a claim on it.
// It tells whether there was anything to forget. It is durable on return, by
// [Options.Durability]. [hapax.ErrFull] says that 1,048,576 identities of cold files
// are forgotten already, which count until their file is merged or expires; nothing
// has changed then.
func (l *Ledger) Forget(ctx context.Context, f hapax.Fingerprint) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	end, ok, err := l.forget(f)
	if err != nil || !ok || l.journal == nil {
		return ok, err
	}
	return true, l.settled(l.journal.wait(end))
}

func (l *Ledger) forget(f hapax.Fingerprint) (end int64, ok bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { err = l.sound(err) }()
	if _, err := l.beginClaim(); err != nil {
		return 0, false, err
	}
	if err := l.cold.mayForget(f); err != nil {
		return 0, false, err
	}
	gen, ok := l.forgetInTable(f)
	hidden := uint64(0)
	switch {
	case !ok:
		if gen, err = l.cold.forget(f); gen != nil {
			hidden, ok = l.cold.number, true
			l.receipts.drop(f)
		}
	case gen != nil && l.cold.keeps(f, gen):
		hidden = l.cold.number
		l.cold.hidden.put(f, hidden)
	}
	if err != nil {
		return 0, false, err
	}
	if !ok || l.journal == nil {
		return 0, ok, nil
	}
	if gen != nil { // the file must live as long as the frame that it undoes
		if err := l.journal.use(gen); err != nil {
			return 0, true, l.fail(err)
		}
	}
	if err := l.journal.append(frameForget, binary.AppendUvarint(f[:], hidden)); err != nil {
		return 0, true, l.fail(err)
	}
	return l.journal.End(), true, nil
}

// forgetInTable takes an identity or a claim out of the table and returns the
// generation it was in. It must hold mu.
func (l *Ledger) forgetInTable(f hapax.Fingerprint) (*window.Generation, bool) {
	k := window.KeyOf(f)
	st := l.stripes.of(k)
	st.mu.Lock()
	defer st.mu.Unlock()
	p, was := l.hot.table.Find(k)
	if was == 0 || !st.live[was] {
		return nil, false
	}
	if l.hot.recency != nil && was != window.Claimed {
		l.hot.recency.Remove(l.hot.recencyAt(k, p))
	}
	l.hot.table.Mark(k, p, 0)
	l.claims.Drop(f)
	l.receipts.drop(f)
	gen := l.gens.ByNumber(was)
	if gen != nil {
		l.gens.Remove(gen, 1, 0)
		l.hot.live.Add(-1)
	}
	return gen, true
}
