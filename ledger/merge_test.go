package ledger

import (
	"errors"
	"runtime"
	"testing"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/ledger/cold"
	"github.com/hapaxmq/hapax/window"
)

// halves writes a cold file of two parts, each with some of n identities.
func halves(t *testing.T, l *Ledger, n byte) *cold.File {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	w, err := cold.NewWriter(l.o.FS, l.dir, cold.Plan{
		Number: l.cold.next(), Keys: 1 << 20, // so many have two parts
		Generations: []cold.Generation{{ID: l.gens.Newest()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := w.Add(cold.Entry{Key: window.KeyOf(hapax.Fingerprint{i * (255 / n), byte(l.cold.number)})}); err != nil {
			t.Fatal(err)
		}
	}
	f, err := w.Finish()
	if err == nil {
		err = f.Load()
	}
	if err != nil || f.Parts() != 2 {
		t.Fatal(f.Parts(), err)
	}
	l.cold.files = append(l.cold.files, f)
	return f
}

// All asks files while another takes over from them, part by part.
func TestAllWhileMerging(t *testing.T) {
	const n = 100
	disk := vfs.NewMem()
	l, _ := hours(t, "d", Options{FS: disk, MaxMemory: 4 << 20})
	admit(t, l, batch(l, 0, 1)) // begins their generation
	a, b := halves(t, l, n), halves(t, l, n)
	fault := vfs.NewFault(disk, nil)
	w, err := cold.NewWriter(fault, l.dir, cold.Plan{Number: 3, Keys: 1 << 20, Generations: a.Generations})
	if err == nil {
		err = cold.Merge(w, a, b, func(*cold.File, cold.Entry) (uint8, bool) { return 0, true })
	}
	if err != nil {
		t.Fatal(err)
	}
	heir, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	// It stands still before its second part. Of what it has done since the first is
	// its own nothing comes before All but what mu guards: the race detector sees
	// the rest.
	goOn, done := make(chan struct{}), make(chan error, 1)
	reads := 0
	fault.SetHook(func(vfs.Op, string) error {
		if reads++; reads == 2 {
			<-goOn
		}
		return nil
	})
	go func() { done <- (&merge{l: l, a: a, b: b}).handOver(heir) }()
	for parts := 0; parts == 0; runtime.Gosched() {
		if len(done) > 0 {
			t.Fatal(<-done)
		}
		l.mu.Lock()
		parts = l.cold.heir.parts
		l.mu.Unlock()
	}
	listed, err := 0, error(nil)
	for _, failed := range l.All() {
		listed, err = listed+1, errors.Join(err, failed)
	}
	close(goOn)
	if err := errors.Join(err, <-done); err != nil || listed != 2*n+1 {
		t.Errorf("%d identities are listed, want %d: %v", listed, 2*n+1, err)
	}
}
