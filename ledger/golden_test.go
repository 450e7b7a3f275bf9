package ledger

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/textfile"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/internal/wal"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files under testdata")

// goldenDir holds a ledger of format 1, as it was written then. Newer code must
// open it: once the format is released, a change to it gets another number and
// another directory.
var goldenDir = filepath.Join("testdata", "golden", "v1")

func goldenClock() time.Time { return time.Unix(1_700_000_000, 123_456_789) }

func goldenOptions(fsys vfs.FS) Options {
	return Options{
		Window: hapax.Window{Time: time.Hour}, Identity: "line", Scope: "queue", Digests: true,
		FS: fsys, Clock: goldenClock, Sequences: SequenceOptions{Window: 64},
	}
}

// goldenSecret is the key of the golden ledger's fingerprints.
var goldenSecret = strings.Repeat("0f1e2d3c", 4)

// playGolden makes the golden ledger in dir.
func playGolden(t testing.TB, fsys vfs.FS, dir string) {
	t.Helper()
	ctx := context.Background()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	o := goldenOptions(fsys)
	check(fsys.MkdirAll(dir))
	check(textfile.Write(fsys, filepath.Join(dir, secretName), goldenSecret))
	h, err := directory{fsys, dir}.secret()
	check(err)
	o.form = formOf(o.Window)
	m := metaOf(&o, goldenClock())
	m.Key = keyOf(h)
	check(textfile.Write(fsys, filepath.Join(dir, cleanName), clean{}))
	check(textfile.Write(fsys, filepath.Join(dir, metaName), m))
	l, err := Open(dir, o)
	check(err)
	defer func() { check(l.Close()) }()
	check(l.Admit(ctx, &Batch{Source: "topic/0", Entries: goldenEntries(l, 0, 20)}))
	check(l.Confirm(ctx, Checkpoint{Source: "topic/0", Offset: 9, Note: []byte("note")}))
	committed := goldenClaim(t, l, "committed")
	check(l.Commit(ctx, committed, hapax.Receipt("receipt")))
	check(l.Release(ctx, goldenClaim(t, l, "released")))
	held := goldenClaim(t, l, "held")
	_, err = l.Extend(ctx, held, 2*time.Hour)
	check(err)
	_, err = l.Forget(ctx, goldenEntries(l, 5, 6)[0].Fingerprint)
	check(err)
	check(l.AdmitSequences(ctx, &SequenceBatch{Entries: goldenSequence(l)}))
	l.mu.Lock()
	err = l.journal.rollNow() // a snapshot of all that
	if err == nil {
		err = l.sequences.goOn(l.journal, 1) // but the producer, which a lap repeats
	}
	l.mu.Unlock()
	check(err)
	check(l.Admit(ctx, &Batch{Entries: goldenEntries(l, 20, 25)}))
}

// goldenEntries are messages from to to, with positions that are their numbers.
func goldenEntries(l *Ledger, from, to int) []Entry {
	var all []Entry
	for i := from; i < to; i++ {
		all = append(all, Entry{
			Fingerprint: l.Hasher("").Fingerprint(fmt.Append(nil, "message ", i)),
			Digest:      hapax.Digest(1000 + i), Offset: int64(i), Size: int64(i),
		})
	}
	return all
}

func goldenClaim(t testing.TB, l *Ledger, id string) hapax.Claim {
	t.Helper()
	c, err := l.Claim(context.Background(), hapax.Request{Identity: []byte(id), Digest: 7, Lease: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func goldenSequence(l *Ledger) []SequenceEntry {
	p := l.Hasher("").Fingerprint([]byte("producer"))
	return []SequenceEntry{{Producer: p, Epoch: 2, Number: 100}, {Producer: p, Epoch: 2, Number: 103}}
}

// TestGolden opens a ledger of format 1 and asks it everything.
func TestGolden(t *testing.T) {
	if *rewrite {
		if err := os.RemoveAll(goldenDir); err != nil {
			t.Fatal(err)
		}
		playGolden(t, vfs.OS(), goldenDir)
	}
	disk := goldenCopy(t, "d")
	report, err := Verify(disk, "d")
	if err != nil || !report.Clean || report.Files != 2 || report.Torn != 0 || report.Identities != 26 {
		t.Fatalf("%+v, %v", report, err)
	}
	l := open(t, "d", goldenOptions(disk))
	askGolden(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(disk, "d"); err != nil {
		t.Fatal(err)
	}
}

func askGolden(t *testing.T, l *Ledger) {
	t.Helper()
	ctx := context.Background()
	if c, ok := l.Checkpoint("topic/0"); !ok || c.Offset != 9 || string(c.Note) != "note" {
		t.Errorf("checkpoint %+v %v", c, ok)
	}
	b := &Batch{Entries: goldenEntries(l, 0, 30)}
	b.Entries[3].Digest++
	if err := l.Admit(ctx, b); err != nil {
		t.Fatal(err)
	}
	for i, e := range b.Entries {
		want := hapax.Duplicate
		switch {
		case i == 3:
			want = hapax.Conflict
		case i == 5 || i >= 25: // forgotten; never seen
			want = hapax.Fresh
		}
		if e.Verdict != want {
			t.Errorf("message %d is %v, want %v", i, e.Verdict, want)
		}
	}
	again := &Batch{Source: "topic/0", Entries: goldenEntries(l, 8, 12)}
	if err := l.Admit(ctx, again); err != nil {
		t.Fatal(err)
	}
	for i, want := range []hapax.Verdict{hapax.Duplicate, hapax.Duplicate, hapax.Redelivered, hapax.Redelivered} {
		if got := again.Entries[i].Verdict; got != want {
			t.Errorf("position %d is %v, want %v", i+8, got, want)
		}
	}
	if c := goldenClaim(t, l, "committed"); c.Verdict != hapax.Duplicate || string(c.Receipt) != "receipt" {
		t.Errorf("committed: %+v", c)
	}
	if c := goldenClaim(t, l, "held"); c.Verdict != hapax.InFlight || !c.Deadline.Equal(goldenClock().Add(2*time.Hour)) {
		t.Errorf("held: %+v", c)
	}
	if c := goldenClaim(t, l, "released"); c.Verdict != hapax.Fresh || c.Token <= 3 {
		t.Errorf("released: %+v", c)
	}
	s := &SequenceBatch{Entries: append(goldenSequence(l), goldenSequence(l)[0])}
	s.Entries[2].Number = 101
	if err := l.AdmitSequences(ctx, s); err != nil {
		t.Fatal(err)
	}
	for i, want := range []hapax.Verdict{hapax.Duplicate, hapax.Duplicate, hapax.Fresh} {
		if got := s.Entries[i].Verdict; got != want {
			t.Errorf("number %d is %v, want %v", s.Entries[i].Number, got, want)
		}
	}
	p := l.Hasher("").Fingerprint([]byte("message 7"))
	if at, ok, err := l.Lookup(ctx, p); err != nil || !ok || at.Digest != 1007 || at.Position != (hapax.Position{Source: "topic/0", Offset: 7}) {
		t.Errorf("lookup: %+v %v %v", at, ok, err)
	}
}

// goldenCopy is a disk with a copy of the golden ledger.
func goldenCopy(t testing.TB, dir string) *vfs.Mem {
	t.Helper()
	disk := vfs.NewMem()
	if err := disk.MkdirAll(dir); err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadDir(goldenDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(goldenDir, name.Name()))
		if err != nil {
			t.Fatal(err)
		}
		writeAll(t, disk, filepath.Join(dir, name.Name()), b)
	}
	return disk
}

func readAll(t testing.TB, fsys vfs.FS, path string) []byte {
	t.Helper()
	f, err := fsys.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil && size > 0 {
		t.Fatal(err)
	}
	return b
}

// writeAll replaces a file.
func writeAll(t testing.TB, fsys vfs.FS, path string, b []byte) {
	t.Helper()
	_ = fsys.Remove(path) // it may not be there
	f, err := fsys.Create(path)
	if err == nil {
		_, err = f.WriteAt(b, 0)
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// withSum puts the checksum behind a text, as textfile.Write does.
func withSum(text []byte) []byte {
	body, _, _ := bytes.Cut(text, []byte("crc32c "))
	return fmt.Appendf(slices.Clip(body), "crc32c %s\n", textfile.Sum(body))
}

// A format that only a newer version reads is refused, and said to be newer: of
// the ledger, of its log and of its cold files.
func TestNewerFormat(t *testing.T) {
	header, err := hex.DecodeString("02000000") // version 2
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(t *testing.T, disk *vfs.Mem){
		"ledger": func(t *testing.T, disk *vfs.Mem) {
			text := strings.Replace(string(readAll(t, disk, "d/ledger")), `"format": 1`, `"format": 2`, 1)
			writeAll(t, disk, "d/ledger", withSum([]byte(text)))
		},
		"log": func(t *testing.T, disk *vfs.Mem) {
			path := wal.Path("d", 1)
			b := readAll(t, disk, path)
			copy(b[8:], header)
			sum := crc32.Checksum(b[:60], crc32.MakeTable(crc32.Castagnoli))
			b[60], b[61], b[62], b[63] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
			writeAll(t, disk, path, b)
		},
		"cold": func(t *testing.T, disk *vfs.Mem) {
			writeAll(t, disk, "d/0000000000000001.cold", append([]byte("hapaxcld\x02\x00\x00\x00"), make([]byte, 100)...))
		},
	} {
		t.Run(name, func(t *testing.T) {
			disk := goldenCopy(t, "d")
			change(t, disk)
			_, told := Verify(disk, "d")
			l, err := Open("d", goldenOptions(disk))
			if err == nil {
				_ = l.Close()
			}
			for _, err := range []error{told, err} {
				if err == nil || !strings.Contains(err.Error(), "newer version") || errors.Is(err, hapax.ErrCorrupt) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
}
