package ledgertest

import (
	"time"

	"github.com/hapaxmq/hapax"
)

// Rebound notes that the ledger was opened with other bounds, of the same kind: see
// [ledger.Continues]. It last remembered something at sure: what had left by then by
// the time, or an exact count, stays away, and of what else has left nobody knows. What
// stays may stay as much longer as it might have by the window that it came in.
func (m *Model) Rebound(w hapax.Window, sure time.Time) {
	now := m.now
	for fp, k := range m.known {
		m.now = min(sure.UnixNano(), now)
		gone := m.Recall(fp) == Gone && m.window.Bytes == 0 && bounds(m.window) == 1
		if m.now = now; gone {
			delete(m.known, fp)
			continue
		}
		k.shaken = k.shaken || m.Recall(fp) != Kept
	}
	m.window = w
}

// Rewind notes that time goes on from one that may be before the last that was set:
// the ledger was opened again, and remembers nothing from later.
func (m *Model) Rewind(now time.Time) { m.now = now.UnixNano() }
