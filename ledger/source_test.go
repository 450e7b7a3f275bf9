package ledger

import (
	"context"
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/internal/wal"
)

// apart are positions so far apart that each takes a chunk of its own.
const apart = chunkSize + 1

// spread is a ledger with a source of n positions apart from each other.
func spread(t *testing.T, o Options, n int) *Ledger {
	t.Helper()
	l := open(t, "d", o)
	b := batch(l, 0, n)
	b.Source = "s"
	for i := range b.Entries {
		b.Entries[i].Offset = int64(i) * apart
	}
	admit(t, l, b)
	return l
}

// A source may have more positions to be confirmed than a frame has room for.
func TestSourceLargerThanAFrame(t *testing.T) {
	if raced {
		t.Skip("one goroutine, and long")
	}
	const n = 1 << 24 // 69 MiB
	o := Options{Window: hapax.Window{Time: time.Hour}, FS: vfs.NewMem(), Clock: goldenClock}
	l := open(t, "d", o)
	s, err := l.sources.get("s")
	must(t, err)
	for at := range int64(n / chunkSize) {
		c := chunk{prints: [chunkSize]imprint{5: {byte(at), byte(at >> 8)}}}
		for i := range c.admitted {
			c.admitted[i], c.fresh[i] = math.MaxUint64, math.MaxUint64
		}
		s.put(2*at, &c)
	}
	rolled(t, l, (*journal).rollNow)
	must(t, l.Close())
	l = open(t, "d", o)
	if got := l.sources.named["s"].noted; got != n {
		t.Errorf("%d positions are to be confirmed, want %d", got, n)
	}
	for _, at := range []uint32{0, sourceChunks - 1, sourceChunks, n/chunkSize - 1} {
		e := Entry{Offset: int64(at)*2*chunkSize + 5}
		binary.LittleEndian.PutUint32(e.Fingerprint[12:], at)
		if v := l.sources.named["s"].met(&e); v != hapax.Redelivered {
			t.Errorf("position %d: %v, want redelivered", e.Offset, v)
		}
		e.Fingerprint[12]++
		if v := l.sources.named["s"].met(&e); v != 0 {
			t.Errorf("position %d: another message is taken for the first", e.Offset)
		}
	}
	if seen, _ := l.sources.named["s"].seen(chunkSize); seen {
		t.Error("a position that never came is seen")
	}
}

// Of a snapshot that was cut off within a source the rest is not forgotten.
func TestSourceCutOff(t *testing.T) {
	const n = 2*sourceChunks + 1
	mem := vfs.NewMem()
	o := Options{Window: hapax.Window{Time: time.Hour}, FS: mem, Clock: goldenClock}
	l := spread(t, o, n)
	ctx := context.Background()
	must(t, l.Confirm(ctx, Checkpoint{Source: "s", Offset: 0, Note: []byte("a")}))
	must(t, l.Confirm(ctx, Checkpoint{Source: "s", Offset: 0, Note: []byte("b")}))
	rolled(t, l, (*journal).rollNow)
	second := wal.Path("d", 2)
	ends := frameEnds(t, mem.KillCopy(), second)
	if len(ends) != 5 { // three of the source, the tokens, the snapshot
		t.Fatalf("%d frames", len(ends))
	}
	whole := readAll(t, mem, second)
	for i, end := range ends {
		left := mem.KillCopy()
		writeAll(t, left, second, whole[:end])
		o.FS = left
		l := open(t, "d", o)
		if c, _ := l.Checkpoint("s"); l.sources.named["s"].noted != n || c.Offset != 0 || string(c.Note) != "b" {
			t.Errorf("after %d frames: %d positions, confirmed %v, want %d", i+1, l.sources.named["s"].noted, c, n)
		}
	}
}
