package ledger

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/window"
)

func open(t testing.TB, dir string, o Options) *Ledger {
	t.Helper()
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func batch(l *Ledger, from, to int) *Batch {
	h := l.Hasher("")
	b := new(Batch)
	for i := from; i < to; i++ {
		b.Entries = append(b.Entries, Entry{Fingerprint: h.Fingerprint(fmt.Append(nil, i))})
	}
	return b
}

func admit(t testing.TB, l *Ledger, b *Batch) map[hapax.Verdict]int {
	t.Helper()
	if err := l.Admit(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	got := make(map[hapax.Verdict]int)
	for _, e := range b.Entries {
		got[e.Verdict]++
	}
	return got
}

// A ledger that Open did not make refuses all work, as one that was closed.
func TestZeroLedgerIsClosed(t *testing.T) {
	ctx, made := t.Context(), open(t, "", Options{Window: hapax.Window{Time: time.Hour}})
	b, f := batch(made, 0, 1), made.Hasher("").Fingerprint([]byte("a"))
	r := hapax.Request{Identity: hapax.Identity("a"), Lease: time.Minute}
	closed := open(t, "", Options{Window: hapax.Window{Time: time.Hour}})
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for name, l := range map[string]*Ledger{"zero": new(Ledger), "closed": closed} {
		for call, err := range map[string]error{
			"Admit":          l.Admit(ctx, b),
			"AdmitOne":       l.AdmitOne(ctx, &b.Entries[0]),
			"AdmitSequences": l.AdmitSequences(ctx, new(SequenceBatch)),
			"Confirm":        l.Confirm(ctx, Checkpoint{Source: "s"}),
			"Commit":         l.Commit(ctx, hapax.Claim{}, nil),
			"Release":        l.Release(ctx, hapax.Claim{}),
		} {
			if !errors.Is(err, hapax.ErrClosed) {
				t.Errorf("%s: %s: %v", name, call, err)
			}
		}
		if _, err := l.Forget(ctx, f); !errors.Is(err, hapax.ErrClosed) {
			t.Errorf("%s: Forget: %v", name, err)
		}
		if _, _, err := l.Lookup(ctx, f); !errors.Is(err, hapax.ErrClosed) {
			t.Errorf("%s: Lookup: %v", name, err)
		}
		if _, err := l.Claim(ctx, r); err == nil {
			t.Errorf("%s: Claim goes well", name)
		}
		if _, err := l.Extend(ctx, hapax.Claim{}, time.Minute); err == nil {
			t.Errorf("%s: Extend goes well", name)
		}
		for _, err := range l.All() {
			if !errors.Is(err, hapax.ErrClosed) {
				t.Errorf("%s: All: %v", name, err)
			}
		}
		l.Stats()
		l.Checkpoints()
		if err := errors.Join(l.Sync(ctx), l.Close()); err != nil && !errors.Is(err, hapax.ErrClosed) {
			t.Errorf("%s: Sync, Close: %v", name, err)
		}
	}
}

// A size below zero would give a window that is bounded by bytes room that it has
// not.
func TestNegativeSizes(t *testing.T) {
	for _, dir := range []string{"", "d"} {
		l := open(t, dir, Options{Window: hapax.Window{Bytes: 1 << 20}, FS: vfs.NewMem()})
		b := batch(l, 0, 2)
		b.Entries[1].Size = -1
		if err := l.Admit(t.Context(), b); err == nil || !strings.Contains(err.Error(), "entry 1: size -1 is negative") {
			t.Errorf("%q: %v", dir, err)
		}
		b.Entries[1].Size = 0
		if got := admit(t, l, b); got[hapax.Fresh] != 2 {
			t.Errorf("%q: after that: %v", dir, got)
		}
	}
}

// A call may be between its frame and its waiting while the ledger is closed: all
// it can wait for is durable by then.
func TestWaitBesideClose(t *testing.T) {
	for _, d := range []Durability{Written, Synced} {
		l := open(t, "d", Options{Window: hapax.Window{Time: time.Hour}, FS: vfs.NewMem(), Durability: d})
		admit(t, l, batch(l, 0, 10))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := l.journal.wait(l.journal.End()); err != nil {
			t.Errorf("durability %v: %v", d, err)
		}
	}
}

func TestAdmitRemembersOverReopen(t *testing.T) {
	mem := vfs.NewMem()
	o := Options{Window: hapax.Window{Time: time.Hour}, FS: mem}
	l := open(t, "d", o)
	for i := range 50 {
		if got := admit(t, l, batch(l, i*1000, (i+1)*1000)); got[hapax.Fresh] != 1000 {
			t.Fatal(got)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, "d", o)
	if got := admit(t, l, batch(l, 0, 51_000)); got[hapax.Fresh] != 1000 || got[hapax.Duplicate] != 50_000 {
		t.Fatal(got)
	}
	if s := l.Stats(); s.Live != 51_000 {
		t.Errorf("%+v", s)
	}
}

func BenchmarkAdmit(b *testing.B) {
	for _, size := range []int{1, 256} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			l := open(b, "", Options{Window: hapax.Window{Time: time.Hour}, Expect: 10_000_000, MaxMemory: 4 << 30})
			h := l.Hasher("")
			batch := &Batch{Entries: make([]Entry, size)}
			id := []byte("0123abcd-0123-4567-89ab-0123456789ab")
			i := 0
			for b.Loop() {
				if i%size == 0 && i > 0 {
					if size == 1 {
						_ = l.AdmitOne(context.Background(), &batch.Entries[0])
					} else if err := l.Admit(context.Background(), batch); err != nil {
						b.Fatal(err)
					}
				}
				for j := range 8 {
					id[j] = byte(i >> (8 * j))
				}
				batch.Entries[i%size].Fingerprint = h.Fingerprint(id)
				i++
			}
		})
	}
}

// A batch that is large beside the table grows it first: no identity is left
// without a place, which would make each one after it search in vain.
func TestLargeBatches(t *testing.T) {
	for _, n := range []int{100, 10_000, 50_000} {
		l := open(t, "", Options{Window: hapax.Window{Time: time.Hour}})
		for from := 0; from < 100_000; from += n {
			admit(t, l, batch(l, from, from+n))
		}
		spilled := 0
		l.mu.Lock()
		l.hot.table.Spilled(func(window.Key, uint8, uint64) { spilled++ })
		l.mu.Unlock()
		if spilled > 0 {
			t.Errorf("batches of %d: %d identities have no place", n, spilled)
		}
	}
}

// A directory that somebody else uses is not made a ledger, and keeps what it
// holds; what a ledger left that was cut off while it was made is no hindrance.
func TestForeignDirectory(t *testing.T) {
	for name, own := range map[string]bool{
		"notes.txt": false, secretName: false, "0000000000000007.cold": false,
		secretName + vfs.TempSuffix: true, metaName + vfs.TempSuffix: true, cleanName: true,
	} {
		disk := vfs.NewMem()
		must(t, disk.MkdirAll("d"))
		writeAll(t, disk, filepath.Join("d", name), []byte("mine"))
		l, err := Open("d", Options{Window: hapax.Window{Time: time.Hour}, FS: disk})
		if own != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			must(t, l.Close())
		} else if got := string(readAll(t, disk, filepath.Join("d", name))); got != "mine" {
			t.Errorf("%s holds %q now", name, got)
		}
	}
}

// Nobody can claim a message that has no identity.
func TestClaimWithoutIdentity(t *testing.T) {
	l := open(t, "", Options{Window: hapax.Window{Time: time.Hour}})
	if _, err := l.Claim(context.Background(), hapax.Request{Lease: time.Second}); !errors.Is(err, hapax.ErrMissing) {
		t.Error(err)
	}
}
