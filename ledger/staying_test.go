package ledger

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// Windows that need the order in which identities came have no cold files: they
// have all of MaxMemory for their table, and then refuse or evict.
func TestWindowsThatStayInMemory(t *testing.T) {
	if raced {
		t.Skip("one goroutine, and long")
	}
	const many, day = 1 << 40, 24 * time.Hour
	for _, w := range []hapax.Window{
		{Count: exactCount},
		{Count: exactCount, Time: day},
		{Count: many, Kind: hapax.Renewed},
		{Bytes: many, Kind: hapax.Renewed},
		{Count: many, Kind: hapax.Tumbling},
		{Bytes: many, Kind: hapax.Tumbling},
		{Count: many, Time: day, EventTime: true},
		{Bytes: many, Time: day, EventTime: true},
		{Time: day, EventTime: true, Kind: hapax.Renewed},
	} {
		for _, evict := range []bool{false, true} {
			t.Run(w.String(), func(t *testing.T) {
				o := Options{Window: w, Evict: evict, MaxMemory: minMemory, FS: vfs.NewMem(), Clock: goldenClock}
				stay(t, open(t, "d", o))
			})
		}
	}
}

func stay(t *testing.T, l *Ledger) {
	const n = 5000
	most := int(l.o.MaxMemory / 16 / n) // no table holds more
	var err error
	taken := 0
	for ; taken < most && err == nil; taken++ {
		b := batch(l, n*taken, n*taken+n)
		for i := range b.Entries {
			b.Entries[i].Time = goldenClock().UnixNano()
		}
		err = l.Admit(context.Background(), b)
	}
	s := l.Stats()
	if s.LiveCold != 0 || s.Memory > l.o.MaxMemory || s.Live < l.o.MaxMemory/48 {
		t.Errorf("%d live, %d of them cold, in %d bytes", s.Live, s.LiveCold, s.Memory)
	}
	tumbles := l.o.Window.Kind == hapax.Tumbling
	if refused := errors.Is(err, hapax.ErrFull); refused == (l.o.Evict && !tumbles) || refused == (s.EvictedLive > 0) {
		t.Errorf("%v; evicted %d", err, s.EvictedLive)
	}
	if s.EvictedLive+s.Live != s.Fresh {
		t.Errorf("%d live and %d evicted of %d", s.Live, s.EvictedLive, s.Fresh)
	}
}
