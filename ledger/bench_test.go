package ledger

import (
	"context"
	"encoding/binary"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// BenchmarkGrow admits new identities into a ledger that grows from small.
func BenchmarkGrow(b *testing.B) {
	l := open(b, "", Options{Window: hapax.Window{Time: time.Hour}, MaxMemory: 4 << 30})
	batch := &Batch{Entries: make([]Entry, 256)}
	h := l.Hasher("")
	var id [36]byte
	i := uint64(0)
	for b.Loop() {
		if i%256 == 0 && i > 0 {
			if err := l.Admit(context.Background(), batch); err != nil {
				b.Fatal(err)
			}
		}
		binary.LittleEndian.PutUint64(id[:], i)
		batch.Entries[i%256].Fingerprint = h.Fingerprint(id[:])
		i++
	}
}

// BenchmarkSynced admits one identity a call, by several callers, and tells how
// many calls one sync serves.
func BenchmarkSynced(b *testing.B) {
	for _, callers := range []int{1, 8} {
		b.Run(strconv.Itoa(callers), func(b *testing.B) {
			var syncs atomic.Int64
			fault := vfs.NewFault(vfs.OS(), func(op vfs.Op, _ string) error {
				if op == vfs.OpSync {
					syncs.Add(1)
				}
				return nil
			})
			l := open(b, b.TempDir(), Options{Window: hapax.Window{Time: time.Hour}, FS: fault})
			h := l.Hasher("")
			var n atomic.Uint64
			b.ResetTimer()
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for i := n.Add(1); i <= uint64(b.N); i = n.Add(1) {
						e := Entry{Fingerprint: h.Fingerprint(binary.LittleEndian.AppendUint64(nil, i))}
						if err := l.AdmitOne(context.Background(), &e); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/float64(syncs.Load()), "calls/sync")
		})
	}
}

// BenchmarkBatch admits batches of 1,000 into a log that goes on in another file
// every 65 batches, and tells the longest waits as well.
func BenchmarkBatch(b *testing.B) {
	b.Run("Synced", func(b *testing.B) { benchmarkBatch(b, Synced) })
	b.Run("Written", func(b *testing.B) { benchmarkBatch(b, Written) })
}

func benchmarkBatch(b *testing.B, d Durability) {
	l := open(b, b.TempDir(), Options{Window: hapax.Window{Time: time.Hour}, Expect: 5_000_000, Durability: d})
	batch := &Batch{Entries: make([]Entry, 1000)}
	h := l.Hasher("")
	var took []time.Duration
	i := uint64(0)
	for b.Loop() {
		for j := range batch.Entries {
			i++
			batch.Entries[j].Fingerprint = h.Fingerprint(binary.LittleEndian.AppendUint64(nil, i))
		}
		start := time.Now()
		if err := l.Admit(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	for name, part := range map[string]float64{"p50-µs": 0.5, "p99-µs": 0.99, "p99.9-µs": 0.999, "max-µs": 1} {
		at := int(part * float64(len(took)-1))
		b.ReportMetric(float64(took[at].Microseconds()), name)
	}
}
