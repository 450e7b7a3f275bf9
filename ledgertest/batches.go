package ledgertest

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
)

// anHour is the window of checks that are not about windows.
func anHour() ledger.Options { return ledger.Options{Window: hapax.Window{Time: time.Hour}} }

func batchChecks() []admitCheck {
	return []admitCheck{
		{name: "the first is fresh and its copies are duplicates", run: freshOnce},
		{name: "an id twice in one batch is fresh once", run: twiceInOneBatch},
		{name: "a batch is its entries one by one", run: oneByOne},
		{name: "an empty batch changes nothing", run: emptyBatch},
		{name: "a batch of 100000", run: largeBatch},
		{name: "of concurrent batches each id is fresh in one", run: concurrentBatches},
		{name: "a cancelled context admits nothing", run: cancelledAdmit},
		{name: "another digest is a Conflict and changes nothing (batches)", run: conflictInBatch},
		{name: "without Digests payloads are not compared", run: noDigests},
		{name: "Close beside admits is safe, and then ErrClosed", run: closeBesideAdmits},
	}
}

func freshOnce(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	t.all(hapax.Fresh, 0, 3000)
	t.all(hapax.Duplicate, 0, 3000)
	t.all(hapax.Fresh, 3000, 3001)
	t.agree()
}

// twiceInOneBatch: statement 14, and the first bug of every batched deduplicator.
func twiceInOneBatch(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	a, b, c := entries(0, 1)[0], entries(1, 2)[0], entries(2, 3)[0]
	t.admit(b)
	want := []hapax.Verdict{hapax.Fresh, hapax.Fresh, hapax.Duplicate, hapax.Duplicate, hapax.Duplicate, hapax.Duplicate}
	for i, e := range t.admit(a, c, a, b, c, a) {
		if e.Verdict != want[i] {
			t.Errorf("entry %d: %v, want %v", i, e.Verdict, want[i])
		}
	}
	many := make([]ledger.Entry, 5000)
	for i := range many {
		many[i].Fingerprint = key(100 + i%7)
	}
	t.admit(many...)
	t.agree()
}

// oneByOne: a stream gets the same verdicts however it is cut into batches.
func oneByOne(tb testing.TB, f AdmitFactory) {
	rng := rand.New(rand.NewPCG(3, 1))
	stream := make([]ledger.Entry, 3000)
	for i := range stream {
		stream[i] = ledger.Entry{Fingerprint: key(rng.IntN(1500)), Size: int64(rng.IntN(100))}
	}
	windows := []hapax.Window{{Time: time.Hour}, {Count: 300}, {Bytes: 20_000}, {Count: 300, Kind: hapax.Renewed},
		{Count: 300, Kind: hapax.Tumbling}}
	for _, w := range windows {
		whole := sit(tb, f, ledger.Options{Window: w})
		single := sit(tb, f, ledger.Options{Window: w})
		for _, e := range stream {
			if err := single.ledger.AdmitOne(single.ctx, &e); err != nil {
				tb.Fatalf("admit one: %v", err)
			}
			one := &ledger.Batch{Entries: []ledger.Entry{e}}
			if err := single.model.Admitted(one); err != nil {
				tb.Fatalf("one by one, window %v: %v", w, err)
			}
		}
		for at := 0; at < len(stream); {
			end := min(len(stream), at+1+rng.IntN(400))
			whole.admit(stream[at:end]...)
			at = end
		}
	}
}

func emptyBatch(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	t.admit()
	t.admitFrom("source")
	t.admit(entries(0, 1)...)
	t.admit()
	t.agree()
}

func largeBatch(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	es := append(entries(0, 60_000), entries(20_000, 60_000)...)
	fresh := 0
	for _, e := range t.admit(es...) {
		if e.Verdict == hapax.Fresh {
			fresh++
		}
	}
	if fresh != 60_000 {
		t.Errorf("%d fresh in a batch of 100000, want 60000", fresh)
	}
	if f.Disk != nil {
		t.reopen()
	}
	t.agree()
}

// concurrentBatches: the batches overlap in all their ids.
func concurrentBatches(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	const callers, rounds, n = 6, 12, 150
	for round := range rounds {
		fresh := make([]atomic.Int32, n)
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(c), uint64(round)))
				es := entries(round*n, (round+1)*n)
				rng.Shuffle(n, func(i, j int) { es[i], es[j] = es[j], es[i] })
				which := make(map[hapax.Fingerprint]int, n)
				for i := range n {
					which[key(round*n+i)] = i
				}
				if err := t.ledger.Admit(t.ctx, &ledger.Batch{Entries: es}); err != nil {
					t.Errorf("admit: %v", err)
				}
				for _, e := range es {
					if e.Verdict == hapax.Fresh {
						fresh[which[e.Fingerprint]].Add(1)
					} else if e.Verdict != hapax.Duplicate {
						t.Errorf("%v beside others", e.Verdict)
					}
				}
			})
		}
		wg.Wait()
		for i := range fresh {
			if got := fresh[i].Load(); got != 1 {
				t.Fatalf("round %d: id %d is fresh in %d batches", round, i, got)
			}
		}
	}
	if live := t.ledger.Stats().Live; live != rounds*n {
		t.Errorf("%d live, want %d", live, rounds*n)
	}
}

func cancelledAdmit(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	ctx, cancel := context.WithCancel(t.ctx)
	cancel()
	b := &ledger.Batch{Entries: entries(0, 10)}
	t.fails(t.ledger.Admit(ctx, b), context.Canceled)
	t.all(hapax.Fresh, 0, 10)
}

func conflictInBatch(tb testing.TB, f AdmitFactory) {
	o := anHour()
	o.Digests = true
	t := sit(tb, f, o)
	with := func(n int, d hapax.Digest) ledger.Entry {
		return ledger.Entry{Fingerprint: key(n), Digest: d}
	}
	want := []hapax.Verdict{
		hapax.Fresh, hapax.Duplicate, hapax.Conflict, hapax.Duplicate, hapax.Duplicate, // key 0
		hapax.Fresh, hapax.Conflict, hapax.Duplicate, // key 1
	}
	check := func(es []ledger.Entry, want []hapax.Verdict) {
		t.Helper()
		for i, e := range t.admit(es...) {
			if e.Verdict != want[i] {
				t.Fatalf("entry %d: %v, want %v", i, e.Verdict, want[i])
			}
		}
	}
	check([]ledger.Entry{with(0, 7), with(0, 7), with(0, 8), with(0, 7), with(0, 0), with(1, 1), with(1, 1<<63), with(1, 1)}, want)
	again := func() {
		t.Helper()
		check([]ledger.Entry{with(0, 8), with(0, 7), with(1, 2), with(1, 1), with(0, 0)},
			[]hapax.Verdict{hapax.Conflict, hapax.Duplicate, hapax.Conflict, hapax.Duplicate, hapax.Duplicate})
	}
	again()
	if s, found := t.lookup(key(0)); !found || s.Digest != 7 {
		t.Errorf("lookup: found is %t, digest %d, want 7", found, s.Digest)
	}
	if f.Disk != nil {
		t.reopen()
		again()
	}
	t.agree()
}

func noDigests(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	e := ledger.Entry{Fingerprint: key(0), Digest: 1}
	t.admit(e)
	e.Digest = 2
	if got := t.admit(e)[0].Verdict; got != hapax.Duplicate {
		t.Errorf("%v, want duplicate", got)
	}
}

// closeBesideAdmits: what was answered before Close holds after it.
func closeBesideAdmits(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	const callers, size = 4, 50
	acked := make([]int, callers)
	var warm, ended sync.WaitGroup
	warm.Add(callers)
	for c := range callers {
		ended.Go(func() {
			for n := 0; ; n++ {
				from := c*1_000_000 + n*size
				err := t.ledger.Admit(t.ctx, &ledger.Batch{Entries: entries(from, from+size)})
				if n == 5 || err != nil && n < 5 {
					warm.Done()
				}
				if err != nil {
					if !errors.Is(err, hapax.ErrClosed) {
						t.Errorf("admit beside Close: %v, want ErrClosed", err)
					}
					return
				}
				acked[c] = n + 1
				runtime.Gosched() // with one processor Close needs a turn
				if n == 10_000 {
					t.Errorf("admits go on after Close")
					return
				}
			}
		})
	}
	warm.Wait()
	for range 2 {
		if err := t.ledger.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	ended.Wait()
	refusesAll(t, hapax.ErrClosed)
	if f.Disk == nil {
		return
	}
	t.open()
	for c, n := range acked {
		b := &ledger.Batch{Entries: entries(c*1_000_000, c*1_000_000+n*size)}
		if err := t.ledger.Admit(t.ctx, b); err != nil {
			t.Fatalf("admit: %v", err)
		}
		for _, e := range b.Entries {
			if e.Verdict != hapax.Duplicate {
				t.Fatalf("admitted before Close: %v after it", e.Verdict)
			}
		}
	}
}

// refusesAll demands that every call that can fail does, with one of the errors.
func refusesAll(t *trial, want ...error) {
	t.Helper()
	t.fails(t.ledger.Admit(t.ctx, &ledger.Batch{Entries: entries(9_000_000, 9_000_001)}), want...)
	t.fails(t.ledger.AdmitOne(t.ctx, &ledger.Entry{Fingerprint: key(9_000_001)}), want...)
	t.fails(t.ledger.Confirm(t.ctx, ledger.Checkpoint{Source: "s", Offset: 1}), want...)
	_, err := t.ledger.Claim(t.ctx, request("refused", long))
	t.fails(err, want...)
	_, err = t.ledger.Forget(t.ctx, key(0))
	t.fails(err, want...)
	_, _, err = t.ledger.Lookup(t.ctx, key(0))
	t.fails(err, want...)
	t.fails(t.ledger.Sync(t.ctx), want...)
	for _, err := range t.ledger.All() {
		t.fails(err, want...)
	}
}
