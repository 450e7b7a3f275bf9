package ledgertest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
)

func budgetChecks() []admitCheck {
	return []admitCheck{
		{name: "a memory-only ledger at its budget refuses and forgets nothing", on: inMemory, run: memoryFull},
		{name: "with Evict the oldest go early and are counted", on: inMemory, run: evicts},
		{name: "beyond its budget a ledger keeps every id on disk", on: onDisk, run: coldAnswers},
		{name: "sources are bounded", run: sourcesBounded},
		{name: "a disk budget refuses and forgets nothing", on: onDisk, run: diskFull},
		{name: "files of what left the window are removed", on: onDisk, run: filesRemoved},
	}
}

const (
	smallBudget = 4 << 20  // the least the ledger takes
	smallDisk   = 16 << 20 // likewise
)

// fill admits fresh keys until the ledger refuses, and returns how many were
// admitted. Keys of the refused batch are not among them.
func fill(t *trial, most int) (n int, err error) {
	t.Helper()
	for n < most {
		b := &ledger.Batch{Entries: entries(n, n+500)}
		if err := t.ledger.Admit(t.ctx, b); err != nil {
			return n, err
		}
		n += 500
	}
	return n, nil
}

// verdictsOf asks without a model.
func verdictsOf(t *trial, first, end int) map[hapax.Verdict]int {
	t.Helper()
	got := map[hapax.Verdict]int{}
	for at := first; at < end; at += 1000 {
		b := &ledger.Batch{Entries: entries(at, min(at+1000, end))}
		if err := t.ledger.Admit(t.ctx, b); err != nil {
			t.Fatalf("admit: %v", err)
		}
		for _, e := range b.Entries {
			got[e.Verdict]++
		}
	}
	return got
}

func memoryFull(tb testing.TB, f AdmitFactory) {
	o := anHour()
	t := sit(tb, f, o)
	t.close()
	t.options.MaxMemory = smallBudget
	t.open()
	n, err := fill(t, 3_000_000)
	t.fails(err, hapax.ErrFull)
	if n < smallBudget/64 {
		t.Errorf("full at %d keys in %d bytes", n, smallBudget)
	}
	for range 3 {
		t.fails(t.ledger.Admit(t.ctx, &ledger.Batch{Entries: entries(2_000_000, 2_500_000)}), hapax.ErrFull)
	}
	if got := verdictsOf(t, 0, n); got[hapax.Duplicate] != n {
		t.Errorf("%d of %d are duplicates after ErrFull", got[hapax.Duplicate], n)
	}
	s := t.ledger.Stats()
	if s.Memory > smallBudget {
		t.Errorf("%d bytes of memory, %d allowed", s.Memory, smallBudget)
	}
	if s.EvictedLive != 0 {
		t.Errorf("%d evicted without Evict", s.EvictedLive)
	}
	t.pass(2 * anHour().Window.Time) // room again
	if got := verdictsOf(t, 0, n/2); got[hapax.Fresh] != n/2 {
		t.Errorf("%d of %d are fresh after the window", got[hapax.Fresh], n/2)
	}
}

func evicts(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	t.close()
	t.options.MaxMemory, t.options.Evict = smallBudget, true
	t.open()
	const n = 500_000
	if _, err := fill(t, n); err != nil {
		t.Fatalf("admit with Evict: %v", err)
	}
	s := t.ledger.Stats()
	if s.EvictedLive == 0 || s.EvictedLive+s.Live != n {
		t.Errorf("%d evicted and %d live, want %d together", s.EvictedLive, s.Live, n)
	}
	if s.Memory > smallBudget {
		t.Errorf("%d bytes of memory, %d allowed", s.Memory, smallBudget)
	}
	if got := verdictsOf(t, n-10_000, n); got[hapax.Duplicate] != 10_000 {
		t.Errorf("%d of the newest 10000 are duplicates: the oldest go first", got[hapax.Duplicate])
	}
}

// coldAnswers: beyond the memory budget every identity is still answered exactly.
func coldAnswers(tb testing.TB, f AdmitFactory) {
	n, budget := 300_000, int64(smallBudget)
	if torture() {
		n, budget = 5_000_000, 8*smallBudget
	}
	pause := anHour().Window.Time / 2 * 10_000 / time.Duration(n) // half the window in all
	t := sit(tb, f, anHour())
	t.close()
	t.options.MaxMemory = budget
	t.open()
	for at := 0; at < n; at += 10_000 {
		t.all(hapax.Fresh, at, at+10_000)
		t.pass(pause)
		if over := t.ledger.Stats().Memory; over > budget {
			t.Fatalf("%d bytes of memory, %d allowed", over, budget)
		}
	}
	s := t.ledger.Stats()
	if s.LiveCold == 0 || s.Live != int64(n) {
		t.Errorf("%d live, %d of them cold, want %d, some of them cold", s.Live, s.LiveCold, n)
	}
	step := n / 50_000
	for at := 0; at < n; at += 1000 * step {
		t.all(hapax.Duplicate, at, at+1000)
	}
	t.reopen()
	for at := 500 * step; at < n; at += 1000 * step {
		t.all(hapax.Duplicate, at, at+100)
	}
	t.all(hapax.Fresh, n, n+1000)
	t.forget(key(0))
	t.kill()
	t.is(hapax.Fresh, 0)
	t.is(hapax.Duplicate, 1)
	t.agree()
	t.pass(2 * anHour().Window.Time)
	t.all(hapax.Fresh, 0, 1000)
	t.agree()
}

func sourcesBounded(tb testing.TB, f AdmitFactory) {
	o := anHour()
	o.MaxSources = 5
	t := sit(tb, f, o)
	for i := range 5 {
		t.read(fmt.Sprint(i), placed(0, i), hapax.Fresh)
		t.confirm(fmt.Sprint(i), 0)
	}
	b := &ledger.Batch{Source: "one more", Entries: placed(0, 100)}
	t.fails(t.ledger.Admit(t.ctx, b), hapax.ErrFull)
	t.fails(t.ledger.Confirm(t.ctx, ledger.Checkpoint{Source: "one more"}), hapax.ErrFull)
	t.read("0", placed(1, 50), hapax.Fresh)
	t.is(hapax.Fresh, 100)
}

func diskFull(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	t.close()
	t.options.MaxDisk = smallDisk
	t.open()
	n, err := fill(t, 3_000_000)
	t.fails(err, hapax.ErrFull)
	if n < smallDisk/64 {
		t.Errorf("full at %d keys in %d bytes", n, smallDisk)
	}
	if used := t.ledger.Stats().Disk; used > smallDisk {
		t.Errorf("%d bytes on disk, %d allowed", used, smallDisk)
	}
	if got := verdictsOf(t, 0, n); got[hapax.Duplicate] != n {
		t.Errorf("%d of %d are duplicates after ErrFull", got[hapax.Duplicate], n)
	}
	t.reopen()
	if got := verdictsOf(t, 0, n); got[hapax.Duplicate] != n {
		t.Errorf("%d of %d are duplicates after ErrFull and a reopen", got[hapax.Duplicate], n)
	}
	t.pass(2 * anHour().Window.Time)
	if err := t.ledger.Admit(t.ctx, &ledger.Batch{Entries: entries(0, 500)}); errors.Is(err, hapax.ErrFull) {
		t.Errorf("admit after the window: %v, want room again", err)
	}
}

// filesRemoved: what the disk holds is bounded by what the window holds.
func filesRemoved(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	var early int64
	for round := range 600 {
		t.all(hapax.Fresh, 1000*round, 1000*round+1000)
		t.pass(anHour().Window.Time / 50)
		if round == 100 {
			early = t.ledger.Stats().Disk
		}
		if round%20 == 0 {
			t.prune()
		}
	}
	if late := t.ledger.Stats().Disk; late > 3*early {
		t.Errorf("%d bytes on disk, were %d with as many live keys", late, early)
	}
	t.reopen()
	t.agree()
}
