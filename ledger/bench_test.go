package ledger

import (
	"context"
	"encoding/binary"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
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

// BenchmarkSynced admits one identity a sync, by several callers.
func BenchmarkSynced(b *testing.B) {
	for _, callers := range []int{1, 8} {
		b.Run(strconv.Itoa(callers), func(b *testing.B) {
			l := open(b, b.TempDir(), Options{Window: hapax.Window{Time: time.Hour}})
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
		})
	}
}

// BenchmarkSyncedBatch admits batches of 1,000, a sync each.
func BenchmarkSyncedBatch(b *testing.B) {
	l := open(b, b.TempDir(), Options{Window: hapax.Window{Time: time.Hour}, Expect: 5_000_000})
	batch := &Batch{Entries: make([]Entry, 1000)}
	h := l.Hasher("")
	i := uint64(0)
	for b.Loop() {
		for j := range batch.Entries {
			i++
			batch.Entries[j].Fingerprint = h.Fingerprint(binary.LittleEndian.AppendUint64(nil, i))
		}
		if err := l.Admit(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
}
