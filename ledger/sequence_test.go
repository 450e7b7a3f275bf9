package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// sequenced makes ledgers over one file system and clock.
type sequenced struct {
	t   testing.TB
	o   Options
	mem *vfs.Mem
	now atomic.Int64
}

func (q *sequenced) time() time.Time { return time.Unix(0, q.now.Load()) }

func (q *sequenced) pass(d time.Duration) { q.now.Add(int64(d)) }

func newSequenced(t testing.TB, s SequenceOptions) *sequenced {
	q := &sequenced{t: t, mem: vfs.NewMem()}
	q.now.Store(1_700_000_000 * int64(time.Second))
	q.o = Options{
		Window: hapax.Window{Time: time.Hour}, Sequences: s, FS: q.mem, MaxMemory: 32 << 20,
		Clock: q.time,
	}
	return q
}

func (q *sequenced) open() *Ledger {
	q.t.Helper()
	q.o.FS = q.mem
	l, err := Open("d", q.o)
	if err != nil {
		q.t.Fatal(err)
	}
	q.t.Cleanup(func() { _ = l.Close() })
	return l
}

// producer is the n-th producer's fingerprint, spread like a hash.
func producer(n int) hapax.Fingerprint {
	sum := sha256.Sum256(binary.AppendUvarint(nil, uint64(n)))
	return hapax.Fingerprint(sum[:16])
}

func sequence(producer hapax.Fingerprint, epoch uint32, numbers ...uint64) *SequenceBatch {
	b := new(SequenceBatch)
	for _, n := range numbers {
		b.Entries = append(b.Entries, SequenceEntry{Producer: producer, Epoch: epoch, Number: n})
	}
	return b
}

func admitSequences(t testing.TB, l *Ledger, b *SequenceBatch, want ...hapax.Verdict) {
	t.Helper()
	if err := l.AdmitSequences(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	for i, e := range b.Entries {
		if e.Verdict != want[min(i, len(want)-1)] {
			t.Fatalf("entry %d: %v, want %v", i, e.Verdict, want[min(i, len(want)-1)])
		}
	}
}

// numbers is what a ledger must remember of each producer, in the plainest way.
type numbers struct {
	window uint64
	idle   time.Duration
	rows   map[hapax.Fingerprint]*numbersRow
}

type numbersRow struct {
	last       time.Time
	epoch      uint32
	first, top uint64
	came       map[uint64]bool
}

// verdict is 0 for a gap, which does not count as a message.
func (m *numbers) verdict(e SequenceEntry, now time.Time) hapax.Verdict {
	v := m.judge(e, now)
	if v != 0 {
		m.rows[e.Producer].last = now
	}
	return v
}

func (m *numbers) judge(e SequenceEntry, now time.Time) hapax.Verdict {
	r := m.rows[e.Producer]
	switch {
	case r == nil || e.Epoch > r.epoch || m.idle > 0 && now.Sub(r.last) > m.idle:
		m.rows[e.Producer] = &numbersRow{now, e.Epoch, e.Number, e.Number, map[uint64]bool{e.Number: true}}
		return hapax.Fresh
	case e.Epoch < r.epoch:
		return hapax.Stale
	case m.window == 0 && e.Number > r.top+1:
		return 0
	case m.window == 0 && e.Number < r.first, m.window > 0 && e.Number+m.window <= r.top:
		return hapax.Stale
	case r.came[e.Number]:
		return hapax.Duplicate
	}
	r.came[e.Number], r.top = true, max(r.top, e.Number)
	return hapax.Fresh
}

func (m *numbers) entry(r *rand.Rand, producers int) SequenceEntry {
	e := SequenceEntry{Producer: producer(r.Intn(producers)), Epoch: 1, Number: 1000}
	if row := m.rows[e.Producer]; row != nil {
		e.Epoch = row.epoch + uint32(r.Intn(200)/199) - uint32(r.Intn(100)/99)
		e.Number = row.top + 1
		if r.Intn(2) == 0 {
			e.Number = row.top + 40 - min(row.top, uint64(r.Intn(150)))
		}
	}
	return e
}

// What a ledger answers over clean closes, kills and power loss is what it would
// have answered without them.
func TestSequencesAgreeWithModel(t *testing.T) {
	for _, c := range []struct {
		window, producers int
		idle              time.Duration
	}{
		{0, 25, 0}, {64, 25, 0}, {128, 25, 0},
		{0, 100, time.Hour}, {64, 100, time.Hour},
		{4096, 300, 0}, {4096, 300, time.Hour}, // these fill files
	} {
		t.Run(fmt.Sprint(c.window, c.idle), func(t *testing.T) {
			r := rand.New(rand.NewSource(int64(c.window)))
			q := newSequenced(t, SequenceOptions{Window: c.window, Idle: c.idle})
			m := &numbers{uint64(c.window), c.idle, map[hapax.Fingerprint]*numbersRow{}}
			l := q.open()
			for range 400 {
				b := new(SequenceBatch)
				for range 1 + r.Intn(30) {
					b.Entries = append(b.Entries, m.entry(r, c.producers))
				}
				agree(t, l, m, b, q.time())
				switch r.Intn(60) {
				case 0:
					if err := l.Close(); err != nil {
						t.Fatal(err)
					}
					l = q.open()
				case 1:
					q.mem = q.mem.KillCopy()
					l = q.open()
				case 2:
					q.mem = q.mem.PowerLoss(r)
					l = q.open()
				case 3: // both edges of Idle are met, and no age between them
					q.pass(time.Duration(r.Intn(4)) * 20 * time.Minute)
				}
			}
			if s := l.Stats(); s.Producers != int64(len(m.rows)) && c.idle == 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func agree(t *testing.T, l *Ledger, m *numbers, b *SequenceBatch, now time.Time) {
	t.Helper()
	err := l.AdmitSequences(context.Background(), b)
	refused := 0
	for i, e := range b.Entries {
		want := m.verdict(e, now)
		if e.Verdict != want {
			t.Fatalf("entry %d, %+v: want %v", i, e, want)
		}
		if want == 0 {
			refused++
		}
	}
	var r *RefusedError
	if errors.As(err, &r) != (refused > 0) || (err != nil) != (refused > 0) || r != nil && r.Refused != refused {
		t.Fatalf("%d refused: %v", refused, err)
	}
}

func TestSequencesInMemory(t *testing.T) {
	l := open(t, "", Options{Window: hapax.Window{Time: time.Hour}, Sequences: SequenceOptions{Window: 64}})
	admitSequences(t, l, sequence(producer(1), 0, 1, 2, 2), hapax.Fresh, hapax.Fresh, hapax.Duplicate)
	admitSequences(t, l, sequence(producer(1), 0, 100, 1, 50), hapax.Fresh, hapax.Stale, hapax.Fresh)
	p, ok, err := l.Producer(producer(1))
	if err != nil || !ok || p.Highest != 100 || time.Since(p.Last) > time.Hour {
		t.Fatal(p, ok, err)
	}
	if _, ok, err := l.Producer(producer(2)); ok || err != nil {
		t.Fatal(ok, err)
	}
	s := l.Stats()
	if s.Fresh != 4 || s.Duplicates != 1 || s.Stale != 1 || s.Producers != 1 {
		t.Errorf("%+v", s)
	}
}

func TestSequencesStrict(t *testing.T) {
	q := newSequenced(t, SequenceOptions{})
	l := q.open()
	b := sequence(producer(1), 3, 7, 9, 8, 10, 9, 6)
	err := l.AdmitSequences(context.Background(), b)
	var refused *RefusedError
	var gap *GapError
	if !errors.As(err, &refused) || refused.Entry != 1 || refused.Refused != 2 {
		t.Fatal(err)
	}
	if !errors.As(err, &gap) || *gap != (GapError{producer(1), 3, 8, 9}) {
		t.Fatal(err)
	}
	for i, want := range []hapax.Verdict{hapax.Fresh, 0, hapax.Fresh, 0, hapax.Fresh, hapax.Stale} {
		if b.Entries[i].Verdict != want {
			t.Errorf("entry %d: %v, want %v", i, b.Entries[i].Verdict, want)
		}
	}
	q.mem = q.mem.PowerLoss(nil)
	admitSequences(t, q.open(), sequence(producer(1), 3, 6, 7, 8, 9, 10), hapax.Stale, hapax.Duplicate, hapax.Duplicate, hapax.Duplicate, hapax.Fresh)
}

func TestSequencesMaxProducers(t *testing.T) {
	q := newSequenced(t, SequenceOptions{Window: 64, MaxProducers: 2})
	l := q.open()
	b := &SequenceBatch{}
	for n := range 4 {
		b.Entries = append(b.Entries, SequenceEntry{Producer: producer(n % 3), Number: 5})
	}
	err := l.AdmitSequences(context.Background(), b)
	var refused *RefusedError
	if !errors.Is(err, hapax.ErrFull) || !errors.As(err, &refused) || refused.Entry != 2 || refused.Refused != 1 {
		t.Fatal(err)
	}
	if b.Entries[2].Verdict != 0 || b.Entries[3].Verdict != hapax.Duplicate {
		t.Fatal(b.Entries)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	q.o.Sequences.MaxProducers = 1
	if _, err := Open("d", q.o); !errors.Is(err, hapax.ErrFull) || !strings.Contains(err.Error(), "MaxProducers") {
		t.Fatal(err)
	}
}

func TestSequencesWindowIsFixed(t *testing.T) {
	q := newSequenced(t, SequenceOptions{Window: 64})
	l := q.open()
	admitSequences(t, l, sequence(producer(1), 0, 1), hapax.Fresh)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, other := range []int{0, 128} {
		q.o.Sequences.Window = other
		_, err := Open("d", q.o)
		if err == nil || errors.Is(err, hapax.ErrCorrupt) || !strings.Contains(err.Error(), fmt.Sprintf("is 64, not %d", other)) {
			t.Errorf("window %d: %v", other, err)
		}
	}
	q.o.Sequences.Window = 96
	if _, err := Open("d", q.o); err == nil {
		t.Error("a window of 96 was accepted")
	}
}

func TestSequencesForgetIdle(t *testing.T) {
	q := newSequenced(t, SequenceOptions{Window: 64, Idle: time.Hour})
	l := q.open()
	admitSequences(t, l, sequence(producer(1), 0, 5), hapax.Fresh)
	admitSequences(t, l, sequence(producer(2), 0, 5), hapax.Fresh)
	q.pass(50 * time.Minute)
	admitSequences(t, l, sequence(producer(2), 0, 5), hapax.Duplicate)
	q.mem = q.mem.PowerLoss(nil)
	l = q.open()
	q.pass(10 * time.Minute) // the edge: not longer than Idle
	admitSequences(t, l, sequence(producer(1), 0, 5), hapax.Duplicate)
	q.pass(50 * time.Minute) // a copy kept the second one, over power loss too
	admitSequences(t, l, sequence(producer(2), 0, 5), hapax.Duplicate)
	q.pass(30*time.Second + 2*time.Second + 10*time.Minute)
	if _, ok, _ := l.Producer(producer(1)); ok {
		t.Error("the first is still remembered")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = q.open()
	admitSequences(t, l, sequence(producer(1), 0, 5), hapax.Fresh)
	admitSequences(t, l, sequence(producer(2), 0, 5), hapax.Duplicate)
	q.pass(2 * time.Hour)
	admitSequences(t, l, sequence(producer(3), 0, 1, 2), hapax.Fresh)
	if s := l.Stats(); s.Producers != 1 {
		t.Errorf("%d producers", s.Producers)
	}
}

// A position that was admitted and not confirmed is run again, over power loss
// too; one that was confirmed is done.
func TestSequencesPositions(t *testing.T) {
	q := newSequenced(t, SequenceOptions{Window: 64})
	l := q.open()
	batch := func() *SequenceBatch {
		b := sequence(producer(1), 0, 1, 2, 2, 3)
		b.Source = "file"
		for i := range b.Entries {
			b.Entries[i].Offset = int64(10 * i)
		}
		return b
	}
	admitSequences(t, l, batch(), hapax.Fresh, hapax.Fresh, hapax.Duplicate, hapax.Fresh)
	q.mem = q.mem.PowerLoss(nil)
	l = q.open()
	admitSequences(t, l, batch(), hapax.Redelivered, hapax.Redelivered, hapax.Duplicate, hapax.Redelivered)
	if err := l.Confirm(context.Background(), Checkpoint{Source: "file", Offset: 10}); err != nil {
		t.Fatal(err)
	}
	q.mem = q.mem.PowerLoss(nil)
	l = q.open()
	admitSequences(t, l, batch(), hapax.Duplicate, hapax.Duplicate, hapax.Duplicate, hapax.Redelivered)
	b := sequence(producer(1), 0, 9)
	b.Source, b.Entries[0].Offset = "file", -1
	if err := l.AdmitSequences(context.Background(), b); err == nil {
		t.Error("a negative offset was accepted")
	}
}

// Whatever operation of the file system fails first, and power with it: what was
// acknowledged is remembered, and a batch that was not is so as a whole or not
// at all.
func TestSequencesFailingDisk(t *testing.T) {
	const producers = 1200
	broken := errors.New("disk is broken")
	for n := 0; ; n += 5 {
		q := newSequenced(t, SequenceOptions{Window: 4096}) // 0.7 MB a batch: the second rolls
		fault := vfs.NewFault(q.mem, vfs.FailFrom(n, broken, vfs.OpCreate, vfs.OpWrite, vfs.OpSync, vfs.OpRename, vfs.OpRemove, vfs.OpSyncDir))
		o := q.o
		o.FS = fault
		acked, err := feed(o, producers)
		q.mem = q.mem.PowerLoss(rand.New(rand.NewSource(int64(n))))
		l := q.open()
		for i := range producers {
			p, ok, _ := l.Producer(producer(i))
			got := -1
			if ok {
				got = int(p.Highest)
			}
			if i == 0 && got == acked+1 && err != nil {
				acked++ // it was written, and nobody was told
			}
			if got != acked {
				t.Fatalf("after %d operations: producer %d is at %d, want %d", n, i, got, acked)
			}
		}
		_ = l.Close()
		if err == nil {
			return
		}
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
	}
}

// feed admits numbers 0 to 5 of each producer and returns the last that was
// acknowledged.
func feed(o Options, producers int) (acked int, err error) {
	l, err := Open("d", o)
	if err != nil {
		return -1, err
	}
	defer func() { _ = l.Close() }()
	b := &SequenceBatch{Entries: make([]SequenceEntry, producers)}
	for round := range 6 {
		for i := range b.Entries {
			b.Entries[i] = SequenceEntry{Producer: producer(i), Number: uint64(round)}
		}
		if err := l.AdmitSequences(context.Background(), b); err != nil {
			return round - 1, err
		}
	}
	return 5, nil
}

func TestSequencesConcurrent(t *testing.T) {
	for _, dir := range []string{"", "d"} {
		l := open(t, dir, Options{Window: hapax.Window{Time: time.Hour}, Sequences: SequenceOptions{Window: 4096}, FS: vfs.NewMem()})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for n := range uint64(300) {
					b := sequence(producer(1), 0, 3*n, 3*n+1, 3*n+2)
					if err := l.AdmitSequences(context.Background(), b); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if s := l.Stats(); s.Fresh != 900 || s.Duplicates != 2700 || s.Stale != 0 {
			t.Errorf("%+v", s)
		}
	}
}

func TestSequencesRefusedAltogether(t *testing.T) {
	q := newSequenced(t, SequenceOptions{Window: 64})
	l := q.open()
	admitSequences(t, l, sequence(producer(1), 0, 1), hapax.Fresh)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.AdmitSequences(ctx, sequence(producer(1), 0, 2)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.AdmitSequences(context.Background(), sequence(producer(1), 0, 2)); !errors.Is(err, hapax.ErrClosed) {
		t.Error(err)
	}
	if _, _, err := l.Producer(producer(1)); !errors.Is(err, hapax.ErrClosed) {
		t.Error(err)
	}
	q.o.ReadOnly = true
	l = q.open()
	if p, ok, err := l.Producer(producer(1)); !ok || p.Highest != 1 || err != nil {
		t.Error(p, ok, err)
	}
	if err := l.AdmitSequences(context.Background(), sequence(producer(1), 0, 2)); !errors.Is(err, errReadOnly) {
		t.Error(err)
	}
}
