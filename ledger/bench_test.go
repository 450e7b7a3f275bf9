package ledger

import (
	"context"
	"encoding/binary"
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
