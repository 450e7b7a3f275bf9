package ledger

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
)

// introduce sends the first number of new producers, 500 a batch, until one is
// refused, and returns how many were not.
func introduce(t *testing.T, l *Ledger, from int) (n int, err error) {
	t.Helper()
	for at := from; ; at += 500 {
		b := &SequenceBatch{}
		for i := range 500 {
			b.Entries = append(b.Entries, SequenceEntry{Producer: producer(at + i), Number: 1})
		}
		err := l.AdmitSequences(context.Background(), b)
		for _, e := range b.Entries {
			if e.Verdict == hapax.Fresh {
				n++
			}
		}
		if err != nil {
			return n, err
		}
	}
}

// Producers count for MaxMemory, with and without a directory, beside identities.
// When it is reached new ones are refused, and nobody is forgotten.
func TestSequencesMaxMemory(t *testing.T) {
	for _, dir := range []string{"", "d"} {
		t.Run(dir, func(t *testing.T) {
			q := newSequenced(t, SequenceOptions{Window: 1024})
			q.o.MaxMemory = 8 << 20
			l := open(t, dir, q.o)
			n, err := introduce(t, l, 0)
			var refused *RefusedError
			if !errors.Is(err, hapax.ErrFull) || !errors.As(err, &refused) || !strings.Contains(err.Error(), "MaxMemory") {
				t.Fatal(err)
			}
			if s := l.Stats(); s.Memory > q.o.MaxMemory || s.Memory < q.o.MaxMemory/3 || s.Producers != int64(n) {
				t.Errorf("%d bytes for %d producers", s.Memory, n)
			}
			for i := range n {
				if p, ok, err := l.Producer(producer(i)); !ok || p.Highest != 1 || err != nil {
					t.Fatal(i, p, ok, err)
				}
			}
			admitSequences(t, l, sequence(producer(0), 0, 2, 1), hapax.Fresh, hapax.Duplicate)
			fillMemory(t, l, q.o.MaxMemory)
			if dir == "" {
				return
			}
			q.mem = q.mem.KillCopy()
			l = q.open()
			if s := l.Stats(); s.Producers != int64(n) {
				t.Errorf("%d producers, want %d", s.Producers, n)
			}
		})
	}
}

// fillMemory admits identities until they are refused.
func fillMemory(t *testing.T, l *Ledger, most int64) {
	t.Helper()
	for id := -1; ; id -= 1000 {
		b := &Batch{}
		for i := range 1000 {
			b.Entries = append(b.Entries, Entry{Fingerprint: producer(id - i)})
		}
		err := l.Admit(context.Background(), b)
		if s := l.Stats(); s.Memory > most {
			t.Fatalf("%d bytes of %d", s.Memory, most)
		}
		if errors.Is(err, hapax.ErrFull) || l.dir != "" && id < -100_000 {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Producers and identities may come at the same time in memory, where the
// former take from what the latter may have.
func TestSequencesBesideIdentities(t *testing.T) {
	l := open(t, "", Options{Window: hapax.Window{Time: time.Hour}, Sequences: SequenceOptions{Window: 4096}, MaxMemory: 8 << 20})
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = introduce(t, l, 0) })
	for n := range 2 {
		wg.Go(func() {
			for i := range 20_000 {
				e := Entry{Fingerprint: producer(-(2*i + n) - 1)}
				if err := l.AdmitOne(context.Background(), &e); err != nil && !errors.Is(err, hapax.ErrFull) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if s := l.Stats(); s.Memory > 8<<20 {
		t.Errorf("%d bytes", s.Memory)
	}
}

// Producers count for MaxDisk. Those that are known go on as long as three laps
// fit it; a batch that does not is refused whole, and forgets nothing.
func TestSequencesMaxDisk(t *testing.T) {
	q := newLapped(t, 4096, 8000) // 4.4 MB a lap
	q.o.MaxDisk = 18 << 20
	q.check()
	for range 600 {
		q.admit(q.batch(100))
		if disk := q.l.Stats().Disk; disk > q.o.MaxDisk {
			t.Fatalf("%d bytes", disk)
		}
	}
	if q.written < 2*q.o.MaxDisk {
		t.Errorf("only %d bytes were written", q.written)
	}
	n, err := introduce(t, q.l, len(q.highest))
	var refused *RefusedError
	if !errors.Is(err, hapax.ErrFull) || errors.As(err, &refused) || !strings.Contains(err.Error(), "MaxDisk") {
		t.Fatal(err)
	}
	if disk := q.l.Stats().Disk; disk > q.o.MaxDisk {
		t.Errorf("%d bytes", disk)
	}
	for i := range n {
		q.highest = append(q.highest, 1)
		if p, ok, err := q.l.Producer(producer(8000 + i)); !ok || err != nil {
			t.Fatal(p, ok, err)
		}
	}
	q.check()
}

// With Idle, room comes back without anybody's help.
func TestSequencesIdleMakesDiskRoom(t *testing.T) {
	q := newSequenced(t, SequenceOptions{Window: 4096, Idle: time.Hour})
	q.o.MaxDisk = minDisk
	l := q.open()
	if _, err := introduce(t, l, 0); !errors.Is(err, hapax.ErrFull) {
		t.Fatal(err)
	}
	q.pass(2 * time.Hour)
	b := sequence(producer(-1), 0, 1)
	var err error
	for range 20_000 { // each looks at two rows
		if err = l.AdmitSequences(context.Background(), b); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	q.mem = q.mem.PowerLoss(nil)
	admitSequences(t, q.open(), b, hapax.Duplicate)
}

// Files that hold nothing but producers and what has left the window make room
// for identities.
func TestSequencesLetDiskGo(t *testing.T) {
	q := newSequenced(t, SequenceOptions{Window: 64})
	q.o.MaxDisk, q.o.MaxMemory = minDisk, 256<<20
	l := q.open()
	id := 0
	for range 2 {
		for n := 0; ; n++ {
			b := &Batch{}
			for range 1_000 {
				id--
				b.Entries = append(b.Entries, Entry{Fingerprint: producer(id)})
			}
			err := l.Admit(context.Background(), b)
			if errors.Is(err, hapax.ErrFull) && n > 100 {
				break
			}
			if err != nil {
				t.Fatal(n, err)
			}
			admitSequences(t, l, sequence(producer(-id), 0, 7), hapax.Fresh)
		}
		q.pass(2 * time.Hour)
	}
	if s := l.Stats(); s.Disk > q.o.MaxDisk {
		t.Errorf("%+v", s)
	}
}
