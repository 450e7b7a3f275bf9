package ledgertest

import (
	"time"

	"github.com/hapaxmq/hapax"
)

// changed is what became of the bounds of a window.
type changed struct {
	ever    bool // they are not those that there were first
	sets    bool // others were set, or not
	inexact bool // a count is not exact to the identity any more
}

// counted is what had come by some time.
type counted struct{ ids, sight, bytes int64 }

// exact tells whether a window counts to the identity.
func exact(w hapax.Window) bool { return w.Count != 0 && w.Count <= 1<<20 }

// Rebound notes that the ledger was opened with other bounds, of a window of the same
// kind: see [ledger.Continues]. It last remembered something at sure: what had left by
// then by the time, or a count, stays away, and of what else has left nobody knows. If
// sure is zero that may have been before all that the model knows. What stays may stay as
// much longer as it might have by the window that it came in; where a bound is new, or a
// count not exact any more, all that came before may have come now.
func (m *Model) Rebound(w hapax.Window, sure time.Time) {
	was := m.window
	timed, bytes := was.Time == 0 && w.Time != 0, was.Bytes == 0 && w.Bytes != 0
	ids := was.Count == 0 && w.Count != 0 || exact(was) && !exact(w)
	m.changed.inexact = m.changed.inexact || !exact(was) || !exact(w)
	for fp, k := range m.known {
		if leftBy(m, fp, sure) {
			delete(m.known, fp)
			continue
		}
		k.shaken = k.shaken || m.Recall(fp) != Kept
		if timed {
			k.late = m.now
		}
		if ids {
			k.counted.ids, k.counted.sight = m.ids, m.sight
		}
		if bytes {
			k.counted.bytes = m.bytes.fresh
		}
	}
	m.changed.ever = true
	m.changed.sets = m.changed.sets || timed || ids || bytes || bounds(was) != bounds(w)
	m.window = w
}

// leftBy tells whether an identity had left the window at a time, for good.
func leftBy(m *Model, fp hapax.Fingerprint, sure time.Time) bool {
	if sure.IsZero() || m.window.Bytes != 0 || bounds(m.window) != 1 {
		return false
	}
	now := m.now
	defer func() { m.now = now }()
	m.now = min(sure.UnixNano(), now)
	return m.Recall(fp) == Gone
}

// Rewind notes that time goes on from one that may be before the last that was set:
// the ledger was opened again, and remembers nothing from later.
func (m *Model) Rewind(now time.Time) { m.now = now.UnixNano() }
