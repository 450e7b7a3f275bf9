package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// FuzzSequenceFrame replays frames as they may be found: none does harm, and
// what a good one says is what the ledger says after it.
func FuzzSequenceFrame(f *testing.F) {
	for _, window := range []int{0, 64, 256} {
		l := open(f, "d", Options{Window: hapax.Window{Time: time.Hour}, Sequences: SequenceOptions{Window: window}, FS: vfs.NewMem()})
		b := sequence(producer(1), 7, 3, 4, 5)
		b.Source = "s"
		for i := range b.Entries {
			b.Entries[i].Offset = int64(i)
		}
		a := sequenceAdmission{}
		l.mu.Lock()
		s, err := l.useSequences()
		if err != nil {
			f.Fatal(err)
		}
		a.s, a.src = s, newSource()
		s.positions.begin(0, b.Source)
		a.admit(b.Entries)
		f.Add(uint16(window), bytes.Clone(s.payload()))
		s.lap.file = 1
		f.Add(uint16(window), bytes.Clone(s.part(1)))
		l.mu.Unlock()
	}
	f.Add(uint16(64), []byte{0, 64})
	f.Fuzz(func(t *testing.T, window uint16, payload []byte) {
		o := Options{Window: hapax.Window{Time: time.Hour}, Sequences: SequenceOptions{Window: int(window), MaxProducers: 100}}
		o.setDefaults()
		if o.validate() != nil {
			return
		}
		first := &Ledger{o: o, dir: "d", sources: sources{named: map[string]*source{}}}
		defer func() { _ = first.sequences.release() }()
		if err := applySequences(first, payload); err != nil {
			return
		}
		if first.sequences.rows.Len() > 100 {
			t.Fatal("more producers than may be")
		}
		again := &Ledger{o: o, dir: "d", sources: sources{named: map[string]*source{}}}
		defer func() { _ = again.sequences.release() }()
		want := allSequences(first)
		if err := applySequences(again, want); err != nil {
			t.Fatal(err)
		}
		if got := allSequences(again); !bytes.Equal(got, want) {
			t.Fatalf("got %x, want %x", got, want)
		}
	})
}

func applySequences(l *Ledger, payload []byte) error {
	b := &reader{b: payload}
	r := replay{l: l, j: &journal{}, f: newLogFile("d", 9)}
	return errors.Join(r.sequences(b), b.end())
}

// allSequences is a frame of all that is remembered.
func allSequences(l *Ledger) []byte {
	b := binary.AppendUvarint([]byte{0}, uint64(l.sequences.window))
	for p := range l.sequences.rows.All {
		b = appendProducer(b, p)
	}
	return b
}

func BenchmarkAdmitSequences(b *testing.B) {
	for _, dir := range []string{"", "d"} {
		for _, producers := range []int{1000, 1_000_000} {
			b.Run(fmt.Sprintf("dir=%q/%d", dir, producers), func(b *testing.B) {
				benchmarkSequences(b, dir, producers)
			})
		}
	}
}

func benchmarkSequences(b *testing.B, dir string, producers int) {
	if dir != "" {
		dir = b.TempDir()
	}
	l := open(b, dir, Options{
		Window: hapax.Window{Time: time.Hour}, Durability: Written,
		Sequences: SequenceOptions{Window: 64, MaxProducers: producers},
	})
	r := rand.New(rand.NewSource(1))
	names, next := make([]hapax.Fingerprint, producers), make([]uint64, producers)
	h := l.Hasher("")
	for i := range names {
		names[i] = h.Fingerprint(fmt.Append(nil, i))
	}
	batches := make([]SequenceBatch, 1024)
	for i := range batches {
		batches[i].Entries = make([]SequenceEntry, 256)
	}
	for from := range producers { // all are known
		e := &batches[0].Entries[from%256]
		*e = SequenceEntry{Producer: names[from]}
		if from%256 == 255 || from == producers-1 {
			piece := SequenceBatch{Entries: batches[0].Entries[:from%256+1]}
			if err := l.AdmitSequences(context.Background(), &piece); err != nil {
				b.Fatal(err)
			}
		}
	}
	at, longest := len(batches), time.Duration(0)
	for b.Loop() { // a batch each
		if at == len(batches) {
			b.StopTimer()
			for i := range batches {
				for j := range batches[i].Entries {
					n := r.Intn(producers)
					next[n]++
					batches[i].Entries[j] = SequenceEntry{Producer: names[n], Number: next[n]}
				}
			}
			at = 0
			b.StartTimer()
		}
		began := time.Now()
		if err := l.AdmitSequences(context.Background(), &batches[at]); err != nil {
			b.Fatal(err)
		}
		longest = max(longest, time.Since(began))
		at++
	}
	s := l.Stats()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/256, "ns/msg")
	b.ReportMetric(float64(l.sequences.rows.Bytes())/float64(producers), "B/producer")
	b.ReportMetric(float64(s.Disk)/float64(producers), "disk-B/producer")
	b.ReportMetric(float64(longest.Microseconds()), "longest-µs")
}
