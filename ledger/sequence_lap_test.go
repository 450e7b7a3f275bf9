package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/window"
)

// lapped is a ledger that so many producers send numbers to, and what it must
// remember.
type lapped struct {
	*sequenced
	l       *Ledger
	r       *rand.Rand
	highest []uint64
	written int64
}

func newLapped(t *testing.T, window, producers int) *lapped {
	q := &lapped{sequenced: newSequenced(t, SequenceOptions{Window: window}), r: rand.New(rand.NewSource(3)), highest: make([]uint64, producers)}
	q.l = q.open()
	b := &SequenceBatch{}
	for i := range producers {
		b.Entries = append(b.Entries, SequenceEntry{Producer: producer(i)})
	}
	q.admit(b)
	return q
}

func (q *lapped) admit(b *SequenceBatch) {
	q.t.Helper()
	before := q.l.journal.End()
	admitSequences(q.t, q.l, b, hapax.Fresh)
	q.written += q.l.journal.End() - before
}

// batch has the next numbers of n producers.
func (q *lapped) batch(n int) *SequenceBatch {
	b := &SequenceBatch{}
	for range n {
		p := q.r.Intn(len(q.highest))
		q.highest[p]++
		b.Entries = append(b.Entries, SequenceEntry{Producer: producer(p), Number: q.highest[p]})
	}
	return b
}

// check compares what is remembered after a kill with what must be.
func (q *lapped) check() {
	q.t.Helper()
	q.mem = q.mem.KillCopy()
	q.l = q.open()
	for i, want := range q.highest {
		if p, ok, err := q.l.Producer(producer(i)); !ok || p.Highest != want || err != nil {
			q.t.Fatalf("producer %d: %+v %v %v, want %d", i, p, ok, err, want)
		}
	}
}

// The log does not grow with messages, and no batch has to write much more than
// what it brings: a lap is spread over many.
func TestLapsBoundTheLog(t *testing.T) {
	for _, c := range []struct{ window, producers, batches int }{
		{64, 4000, 2500},
		{4096, 8000, 1000}, // a lap is as large as several files
	} {
		t.Run(fmt.Sprint(c.window), func(t *testing.T) {
			q := newLapped(t, c.window, c.producers)
			lap := q.l.sequences.lapBytes()
			part := 2 * shardProducersOf(c.producers, q.l) * q.l.sequences.producerBytes()
			var most, largest int64
			for range c.batches {
				b := q.batch(100)
				before := q.written
				q.admit(b)
				largest = max(largest, q.written-before)
				most = max(most, q.l.Stats().Disk)
			}
			if q.written < 3*most {
				t.Errorf("only %d bytes were written: the files may take %d", q.written, most)
			}
			if bound := 4*lap + 2*max(minRoll, lap/2) + minRoll; most > bound {
				t.Errorf("the files took %d bytes, a lap is %d", most, lap)
			}
			if bound := 200*q.l.sequences.producerBytes() + lapStep + part; largest > bound {
				t.Errorf("a batch wrote %d bytes, want at most %d", largest, bound)
			}
			q.check()
		})
	}
}

// shardProducersOf is how many producers a part of a lap has, on average.
func shardProducersOf(producers int, l *Ledger) int64 {
	parts := 1
	for next := l.sequences.rows.Part(0, func(window.Producer) {}); next != 0; parts++ {
		next = l.sequences.rows.Part(next, func(window.Producer) {})
	}
	return int64(producers/parts + 1)
}

// A lap goes on where it was, so that the log of a ledger that is opened for a
// few messages each time, however it ends, does not grow.
func TestLapsGoOnOverOpens(t *testing.T) {
	q := newLapped(t, 4096, 1200)
	lap := q.l.sequences.lapBytes()
	bound := 4*lap + 2*minRoll
	for range 100 {
		q.admit(q.batch(100))
		switch q.r.Intn(3) {
		case 0:
			if err := q.l.Close(); err != nil {
				t.Fatal(err)
			}
		case 1:
			q.mem = q.mem.KillCopy()
		case 2:
			q.mem = q.mem.PowerLoss(q.r)
		}
		q.l = q.open()
		if disk := q.l.Stats().Disk; disk > bound {
			t.Fatalf("the files took %d bytes, a lap is %d", disk, lap)
		}
	}
	if q.written < 2*bound {
		t.Errorf("%d bytes were written, the files may take %d", q.written, bound)
	}
	q.check()
}

// Producers that send nothing do not keep files whose identities have left.
func TestLapsLetFilesGo(t *testing.T) {
	q := newLapped(t, 64, 1000)
	id := 0
	for range 100 {
		b := &Batch{}
		for range 5000 {
			b.Entries = append(b.Entries, Entry{Fingerprint: producer(-id)})
			id++
		}
		if err := q.l.Admit(context.Background(), b); err != nil {
			t.Fatal(err)
		}
		q.pass(10 * time.Minute)
		if q.r.Intn(2) == 0 {
			q.mem = q.mem.KillCopy()
			q.l = q.open()
		}
		if disk := q.l.Stats().Disk; disk > 5*minRoll {
			t.Fatalf("the files take %d bytes", disk)
		}
	}
	q.check()
}

// A file goes only when the lap that makes it superfluous is durable: power loss
// at any operation around that forgets nothing.
func TestLapsOverPowerLoss(t *testing.T) {
	const producers = 1500
	for n := 0; ; n += 5 {
		q := newSequenced(t, SequenceOptions{Window: 4096}) // 0.8 MB a lap
		fault := vfs.NewFault(q.mem, vfs.FailFrom(n, errPower, vfs.OpCreate, vfs.OpSync, vfs.OpRename, vfs.OpRemove, vfs.OpSyncDir))
		o := q.o
		o.FS, o.Durability = fault, Written
		synced, sent, err := feedLaps(o, producers)
		q.mem = q.mem.PowerLoss(rand.New(rand.NewSource(int64(n))))
		l := q.open()
		for i := range producers {
			p, ok, _ := l.Producer(producer(i))
			if at := int(p.Highest); ok && (at < synced[i] || at > sent[i]) || !ok && synced[i] >= 0 {
				t.Fatalf("after %d operations: producer %d is at %d %v, want %d to %d", n, i, at, ok, synced[i], sent[i])
			}
		}
		_ = l.Close()
		if err == nil {
			return
		}
	}
}

var errPower = errors.New("power is off")

// feedLaps admits numbers of producers, syncs now and then, and returns the last
// numbers that were synced and those that were sent.
func feedLaps(o Options, producers int) (synced, sent []int, err error) {
	synced, sent = make([]int, producers), make([]int, producers)
	for i := range synced {
		synced[i], sent[i] = -1, -1
	}
	l, err := Open("d", o)
	if err != nil {
		return synced, sent, err
	}
	defer func() { _ = l.Close() }()
	for round := range 40 {
		b := &SequenceBatch{}
		for i := range 300 {
			p := (300*round + i) % producers
			sent[p]++
			b.Entries = append(b.Entries, SequenceEntry{Producer: producer(p), Number: uint64(sent[p])})
		}
		if err := l.AdmitSequences(context.Background(), b); err != nil {
			return synced, sent, err
		}
		if round%3 == 0 {
			if err := l.Sync(context.Background()); err != nil {
				return synced, sent, err
			}
			copy(synced, sent)
		}
	}
	return synced, sent, nil
}
