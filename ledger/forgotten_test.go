package ledger

import (
	"testing"

	"github.com/hapaxmq/hapax"
)

// The bytes of identities count until their window has passed, also when they are all
// forgotten on request and their neighbours have gone to a cold file: the oldest leave as
// soon after a restart as without one.
func TestForgottenBytesCountAfterRestart(t *testing.T) {
	const slice, slices = 100, 128
	b := newBudgeted(t, Options{Window: hapax.Window{Bytes: slice * slices}, MaxMemory: minMemory})
	next := 0
	more := func(n int) {
		t.Helper()
		batch := batch(b.l, next, next+n)
		for i := range batch.Entries {
			batch.Entries[i].Size = 1
		}
		admit(t, b.l, batch)
		next += n
	}
	for range slices / 2 {
		more(slice)
	}
	for _, e := range batch(b.l, 2*slice, 20*slice).Entries {
		if ok, err := b.l.Forget(t.Context(), e.Fingerprint); err != nil || !ok {
			t.Fatal(ok, err)
		}
	}
	b.l.Chill()
	if s := b.l.Stats(); s.LiveCold == 0 {
		t.Fatal("nothing is cold")
	}
	b.crash()
	for next < (slices+2)*slice {
		more(slice)
	}
	if _, found, err := b.l.Lookup(t.Context(), batch(b.l, 0, 1).Entries[0].Fingerprint); err != nil || found {
		t.Errorf("the first is remembered %d bytes after a window of %d: %v", next, slice*slices, err)
	}
}
