package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// There is a bound on how many identities of cold files may be forgotten at once.
// A Forget beyond it changes nothing, and none that takes no more room is refused.
func TestForgetAtTheLimit(t *testing.T) {
	ctx := context.Background()
	l, next := hours(t, "d", Options{FS: vfs.NewMem(), MaxMemory: 16 << 20})
	old := batch(l, 0, 100)
	admit(t, l, old)
	next()
	young := batch(l, 100, 200)
	admit(t, l, young)
	l.mu.Lock()
	for l.wantChill(); l.cold.wanted; {
		l.cold.done.Wait()
	}
	number := l.cold.number
	for i := range uint64(maxHidden) {
		l.cold.hidden.put(strange(i), number)
	}
	l.mu.Unlock()
	if s := l.Stats(); s.LiveCold != 100 {
		t.Fatalf("%d identities are cold", s.LiveCold)
	}
	for range 2 {
		if ok, err := l.Forget(ctx, old.Entries[0].Fingerprint); ok || !errors.Is(err, hapax.ErrFull) {
			t.Errorf("forget one too many: %v %v", ok, err)
		}
	}
	for _, f := range []hapax.Fingerprint{young.Entries[0].Fingerprint, strange(7)} {
		if _, err := l.Forget(ctx, f); err != nil {
			t.Errorf("forget what takes no room: %v", err)
		}
	}
	if s := l.Stats(); s.Live != 199 || s.LiveCold != 100 {
		t.Errorf("%d live, %d of them cold", s.Live, s.LiveCold)
	}
	if got := admit(t, l, batch(l, 0, 200)); got[hapax.Duplicate] != 199 {
		t.Error(got)
	}
}

// What was forgotten is replayed however much it is and however often the log says
// it, without what only files hold that are gone.
func TestReplayForgetsAtTheLimit(t *testing.T) {
	l, next := hours(t, "d", Options{FS: vfs.NewMem(), MaxMemory: 16 << 20})
	for i := range 2 {
		admit(t, l, batch(l, 100*i, 100*i+100))
		next()
		admit(t, l, batch(l, 0, 1))
		l.Chill()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &replay{l: l}
	first := l.cold.first()
	for range 2 {
		for i := range uint64(maxHidden + 1) {
			if err := errors.Join(r.hide(strange(i), first, false), r.hide(strange(i+1<<32), first-1, false)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := len(l.cold.hidden.files); n != maxHidden+1 {
		t.Errorf("%d identities are hidden, want %d", n, maxHidden+1)
	}
}

// strange is an identity that no batch has.
func strange(n uint64) (f hapax.Fingerprint) {
	binary.BigEndian.PutUint64(f[8:], n)
	return f
}

// An identity that is forgotten takes its receipt with it, from a cold file too,
// and when the log is replayed.
func TestForgetColdReceipt(t *testing.T) {
	ctx := context.Background()
	disk := vfs.NewMem()
	l, next := hours(t, "d", Options{FS: disk, MaxMemory: 4 << 20})
	request := hapax.Request{Identity: []byte("paid"), Lease: time.Minute}
	c, err := l.Claim(ctx, request)
	if err == nil {
		err = l.Commit(ctx, c, hapax.Receipt("receipt"))
	}
	if err != nil {
		t.Fatal(err)
	}
	next()
	admit(t, l, batch(l, 0, 1))
	l.Chill()
	if ok, err := l.Forget(ctx, c.Fingerprint); !ok || err != nil {
		t.Fatal(ok, err)
	}
	again := open(t, "d", Options{FS: disk.KillCopy(), MaxMemory: 4 << 20, Window: l.o.Window, Clock: l.o.Clock})
	for _, l := range []*Ledger{l, again} {
		if got := admit(t, l, &Batch{Entries: []Entry{{Fingerprint: c.Fingerprint}}}); got[hapax.Fresh] != 1 {
			t.Error(got)
		}
		if c, err := l.Claim(ctx, request); err != nil || c.Verdict != hapax.Duplicate || c.Receipt != nil {
			t.Errorf("%v with receipt %q, %v", c.Verdict, c.Receipt, err)
		}
	}
}
