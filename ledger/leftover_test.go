package ledger

import (
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
)

// What leaves a window while the log is read leaves the log as well: its files go as they
// would have gone without a restart, and nothing is refused for their sake.
func TestRestartsLeaveNoFiles(t *testing.T) {
	if raced {
		t.Skip("one goroutine, and long")
	}
	const (
		n       = 10_000 // identities a batch
		restart = 15     // batches
		year    = 24 * 365 * time.Hour
	)
	for name, o := range map[string]Options{
		"bytes":            {Window: hapax.Window{Bytes: 20 * n}},
		"tumbling":         {Window: hapax.Window{Bytes: 20 * n, Kind: hapax.Tumbling}},
		"event time":       {Window: hapax.Window{Time: 5 * 24 * time.Hour, EventTime: true, Skew: time.Hour}},
		"evicted":          {Window: hapax.Window{Time: year}, MaxDisk: minDisk, Evict: true},
		"evicted, renewed": {Window: hapax.Window{Time: year, Kind: hapax.Renewed}, MaxDisk: minDisk, Evict: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBudgeted(t, o)
			for i := range 10 * restart {
				next := batch(b.l, i*n, i*n+n)
				for k := range next.Entries {
					next.Entries[k].Time, next.Entries[k].Size = b.now.UnixNano(), 1
				}
				admit(t, b.l, next)
				if b.now = b.now.Add(6 * time.Hour); i%restart == restart-1 {
					b.crash()
				}
			}
			for _, f := range b.l.journal.files {
				left := 0
				for id := range f.gens {
					if b.l.gens.ByID(id) == nil {
						left++
					}
				}
				if left > 0 {
					t.Errorf("%s is kept for %d generations that have left", f.path, left)
				}
			}
			if s := b.l.Stats(); s.Live == s.Fresh || s.EvictedLive > 0 != b.o.Evict {
				t.Errorf("%d live of %d, %d left early", s.Live, s.Fresh, s.EvictedLive)
			}
		})
	}
}
