package ledger

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// A table grows in steps, and the last may end well below MaxMemory. What does
// not fit then is refused, goes early or becomes cold before the table is crowded.
func TestBudgetBetweenGrowths(t *testing.T) {
	if raced {
		t.Skip("one goroutine, and long")
	}
	for memory := int64(minMemory); memory < minMemory*8/5; memory += 890_001 {
		for _, o := range []Options{
			{MaxMemory: memory},
			{MaxMemory: memory, Window: hapax.Window{Time: time.Hour, Kind: hapax.Renewed}},
			{MaxMemory: memory, Evict: true},
			{MaxMemory: memory * 5},
			{MaxMemory: memory * 2, FS: vfs.NewMem()},
			{MaxMemory: memory * 2, FS: vfs.NewMem(), Window: hapax.Window{Count: exactCount}},
		} {
			t.Run(fmt.Sprintf("%d bytes, evict %t, directory %t, %v", o.MaxMemory, o.Evict, o.FS != nil, o.Window), func(t *testing.T) {
				fillUp(t, o)
			})
		}
	}
}

// fillUp admits until a ledger refuses, or has taken twice what its table holds.
func fillUp(t *testing.T, o Options) {
	dir := ""
	if o.FS != nil {
		dir = "d"
	}
	if o.Window == (hapax.Window{}) {
		o.Window = hapax.Window{Time: time.Hour}
	}
	l := open(t, dir, o)
	const n = 5000
	for i, most := 0, l.hot.mem.limit*4*2/n; i < most; i++ {
		switch err := l.Admit(context.Background(), batch(l, n*i, n*i+n)); {
		case errors.Is(err, hapax.ErrFull):
			most = 0
		case err != nil:
			t.Fatal(err)
		}
		l.mu.Lock()
		l.settle()
		if full := l.hot.grown().Lines() > l.hot.mem.limit; full && l.hot.live.Load() > l.hot.uncrowded() {
			t.Errorf("%d identities in a table that takes %d", l.hot.live.Load(), l.hot.uncrowded())
		}
		l.mu.Unlock()
	}
	if l.Stats().EvictedLive > 0 != o.Evict {
		t.Errorf("%+v", l.Stats())
	}
	if lines := l.hot.table.Lines(); lines*2 < l.hot.mem.limit {
		t.Errorf("a table of %d lines, %d allowed", lines, l.hot.mem.limit)
	}
	if got := admit(t, l, batch(l, 0, 1)); !o.Evict && got[hapax.Duplicate] != 1 {
		t.Errorf("the first identity is %v", got)
	}
}
