package ledgertest

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/ledger"
)

func faultChecks() []admitCheck {
	return []admitCheck{
		{name: "power lost before each operation forgets nothing acknowledged", on: onFaultyDisk, run: crashEverywhere},
		{name: "power lost while a file is begun forgets nothing acknowledged", on: onFaultyDisk, run: crashAtNewFile},
		{name: "power lost while opening forgets nothing acknowledged", on: onFaultyDisk, run: crashWhileOpening},
		{name: "an operation that fails stops the ledger and forgets nothing", on: onFaultyDisk, run: failEverywhere},
		{name: "a disk that stays broken stops the ledger and forgets nothing", on: onFaultyDisk, run: failForGood},
		{name: "a full disk is a clear error and forgets nothing", on: onFaultyDisk, run: noSpace},
		{name: "too many open files are a clear error and forget nothing", on: onFaultyDisk, run: noFiles},
	}
}

// ground is a script on a file system that fails on command.
type ground struct {
	reporter
	f     AdmitFactory
	o     ledger.Options
	mem   *vfs.Mem
	fault *vfs.Fault
	*script
}

const groundDir = "/ledger"

func newGround(r reporter, f AdmitFactory) *ground {
	return groundOn(r, f, vfs.NewMem(), newScript(newClock()))
}

func groundOn(r reporter, f AdmitFactory, m *vfs.Mem, s *script) *ground {
	g := &ground{reporter: r, f: f, mem: m, fault: vfs.NewFault(m, nil), script: s}
	g.o = ledger.Options{Window: hapax.Window{Time: scriptWindow}, FS: g.fault, Clock: s.clock.now}
	if f.Tune != nil {
		f.Tune(&g.o)
	}
	return g
}

func (g *ground) open() (Admitter, error) { return g.f.Open(groundDir, g.o) }

// check opens what is left on m and compares it with the history.
func (g *ground) check(m *vfs.Mem, h *history, what string) {
	g.Helper()
	c := newClock()
	c.nanos.Store(g.clock.nanos.Load())
	o := g.o
	o.FS, o.Clock = m, c.now
	l, err := g.f.Open(groundDir, o)
	if err != nil {
		g.Fatalf("%s: open: %v", what, err)
	}
	if err := h.verify(l, c, math.MaxInt); err != nil {
		g.Fatalf("%s: %v", what, err)
	}
	if err := l.Close(); err != nil {
		g.Fatalf("%s: close: %v", what, err)
	}
}

func rounds() int {
	if torture() {
		return 30
	}
	return 3
}

// image is a disk as a crash would leave it, and what had been acknowledged.
type image struct {
	left *vfs.Mem
	then *history
	what string
}

// photograph has images taken before every operation that changes the disk, as
// kill -9 and as power loss would leave it. Keep is told the operation, and says
// which of the images to hold on to.
func (g *ground) photograph(keep func(vfs.Op, []image) []image) (taken func() []image) {
	var mu sync.Mutex
	var images []image
	n := 0
	rng := seeded(1)
	g.fault.SetHook(func(op vfs.Op, name string) error {
		if !op.Changes() {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		n++
		then := g.shown.Load()
		what := fmt.Sprintf("before operation %d (%v %s) of step %d", n, op, filepath.Base(name), then.steps)
		images = keep(op, append(images,
			image{g.mem.PowerLoss(nil), then, "only what was synced is left " + what},
			image{g.mem.PowerLoss(rng), then, "power lost " + what},
			image{g.mem.KillCopy(), then, "killed " + what}))
		return nil
	})
	return func() []image {
		g.fault.SetHook(nil)
		mu.Lock()
		defer mu.Unlock()
		return images
	}
}

func crashEverywhere(tb testing.TB, f AdmitFactory) {
	g := newGround(tb, f)
	taken := g.photograph(func(_ vfs.Op, images []image) []image { return images })
	l, err := g.open()
	if err == nil {
		err = g.play(l, rounds())
	}
	if err == nil {
		err = l.Close()
	}
	if err != nil {
		tb.Fatalf("%v", err)
	}
	for _, i := range taken() {
		g.check(i.left, i.then, i.what)
	}
}

// crashAtNewFile works until the ledger begins another file, and checks the
// images about that moment.
func crashAtNewFile(tb testing.TB, f AdmitFactory) {
	const about = 3 * 6 // images before it, and after
	g := newGround(tb, f)
	g.bulk = 5000
	l, err := g.open()
	if err != nil {
		tb.Fatalf("open: %v", err)
	}
	var begun atomic.Bool
	taken := g.photograph(func(op vfs.Op, images []image) []image {
		if op == vfs.OpCreate {
			begun.Store(true)
		}
		if begun.Load() {
			return images[:min(len(images), 2*about)]
		}
		return images[max(0, len(images)-about):]
	})
	for round := 0; !begun.Load(); round++ {
		if round == 1000 {
			tb.Skip("the ledger keeps to one file")
		}
		if err := g.play(l, 1); err != nil {
			tb.Fatalf("%v", err)
		}
	}
	if err := g.play(l, 1); err != nil {
		tb.Fatalf("%v", err)
	}
	images := taken()
	if err := l.Close(); err != nil {
		tb.Fatalf("close: %v", err)
	}
	for _, i := range images {
		g.check(i.left, i.then, i.what)
	}
}

// crashWhileOpening cuts the power while a ledger recovers from a crash, and
// opens again.
func crashWhileOpening(tb testing.TB, f AdmitFactory) {
	g := newGround(tb, f)
	l, err := g.open()
	if err == nil {
		err = g.play(l, 2)
	}
	if err != nil {
		tb.Fatalf("%v", err)
	}
	rng := seeded(2)
	for range 5 {
		again := groundOn(tb, f, g.mem.PowerLoss(rng), g.script)
		var mu sync.Mutex
		var images []*vfs.Mem
		again.fault.SetHook(func(op vfs.Op, _ string) error {
			mu.Lock()
			defer mu.Unlock()
			if op.Changes() {
				images = append(images, again.mem.PowerLoss(rng), again.mem.KillCopy())
			}
			return nil
		})
		second, err := again.open()
		if err == nil {
			err = second.Close()
		}
		if err != nil {
			tb.Fatalf("open after power loss: %v", err)
		}
		for i, m := range images {
			g.check(m, g.history, fmt.Sprintf("power lost while opening, image %d", i))
		}
	}
	_ = l.Close()
}

var errBroken = errors.New("the disk is broken")

// failEverywhere lets each operation that changes the disk fail once. From then
// on the ledger refuses work; opened again it has all that it acknowledged.
func failEverywhere(tb testing.TB, f AdmitFactory) {
	for _, op := range []vfs.Op{vfs.OpCreate, vfs.OpWrite, vfs.OpTruncate, vfs.OpSync, vfs.OpSyncDir, vfs.OpRename, vfs.OpRemove} {
		failures(tb, f, op, errBroken, vfs.FailNth)
	}
	failures(tb, f, vfs.OpWrite, vfs.Short(5, errBroken), vfs.FailNth)
}

func failForGood(tb testing.TB, f AdmitFactory) {
	for _, op := range []vfs.Op{vfs.OpWrite, vfs.OpSync, vfs.OpCreate} {
		failures(tb, f, op, errBroken, vfs.FailFrom)
	}
}

// calls is how often the script, on a disk that works, does these operations.
func calls(tb testing.TB, f AdmitFactory, ops ...vfs.Op) int {
	tb.Helper()
	g := newGround(tb, f)
	l, err := g.open()
	if err == nil {
		err = g.play(l, rounds())
	}
	if err == nil {
		err = l.Close()
	}
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return g.fault.Count(ops...)
}

// failures plays the script once for each operation of a kind, which fails.
func failures(tb testing.TB, f AdmitFactory, op vfs.Op, broken error, when func(int, error, ...vfs.Op) vfs.Hook) {
	tb.Helper()
	for n := range calls(tb, f, op) {
		g := newGround(tb, f)
		g.fault.SetHook(when(n, broken, op))
		what := fmt.Sprintf("%v number %d failed", op, n)
		l, err := g.open()
		if err != nil {
			wantBroken(tb, err, broken, what)
			g.check(g.mem.KillCopy(), g.history, what)
			continue
		}
		if err = g.play(l, rounds()); err != nil {
			wantBroken(tb, err, broken, what)
			if op != vfs.OpRemove {
				stopped(tb, l, broken, what)
			}
		}
		then := g.history.clone()
		killed, lost := g.mem.KillCopy(), g.mem.PowerLoss(seeded(int64(n)))
		_ = l.Close()
		g.check(killed, then, what+", then killed")
		g.check(lost, then, what+", then power lost")
		g.check(g.mem.KillCopy(), then, what+", then closed")
	}
}

func wantBroken(tb testing.TB, err, broken error, what string) {
	tb.Helper()
	if !errors.Is(err, errors.Unwrap(broken)) && !errors.Is(err, broken) && !errors.Is(err, errBroken) {
		tb.Fatalf("%s: %v: does not tell the cause", what, err)
	}
}

// stopped demands that a ledger refuses work after a failure. What can be
// answered without a write may still be answered, but nothing new is taken.
func stopped(tb testing.TB, l Admitter, broken error, what string) {
	tb.Helper()
	ctx := tb.Context()
	err := l.Admit(ctx, &ledger.Batch{Entries: entries(9_000_000, 9_000_001)})
	wantBroken(tb, err, broken, what+", admit after it")
	err = l.Confirm(ctx, ledger.Checkpoint{Source: "s", Offset: math.MaxInt64})
	wantBroken(tb, err, broken, what+", confirm after it")
	_, err = l.Claim(ctx, request("after", long))
	wantBroken(tb, err, broken, what+", claim after it")
	_, err = l.Forget(ctx, key(0))
	wantBroken(tb, err, broken, what+", forget after it")
}

func noSpace(tb testing.TB, f AdmitFactory) {
	for _, capacity := range []int64{100, 2000, 64 << 10, 1_000_001, 3 << 20} {
		g := newGround(tb, f)
		g.alone, g.bulk = true, 300
		g.mem.SetCapacity(capacity)
		l, err := g.open()
		if err == nil {
			err = g.play(l, 20_000)
			_ = l.Close()
		}
		if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, hapax.ErrFull) {
			tb.Fatalf("on a disk of %d bytes: %v, want ENOSPC", capacity, err)
		}
		g.mem.SetCapacity(0)
		g.check(g.mem.KillCopy(), g.history, fmt.Sprintf("a disk of %d bytes ran full", capacity))
	}
}

func noFiles(tb testing.TB, f AdmitFactory) {
	opens := []vfs.Op{vfs.OpCreate, vfs.OpOpen, vfs.OpOpenRW}
	for n := range calls(tb, f, opens...) {
		g := newGround(tb, f)
		g.fault.SetHook(vfs.FailFrom(n, syscall.EMFILE, opens...))
		what := fmt.Sprintf("no file could be opened after %d", n)
		l, err := g.open()
		if err == nil {
			err = g.play(l, rounds())
			_ = l.Close()
		}
		if err != nil && !errors.Is(err, syscall.EMFILE) {
			tb.Fatalf("%s: %v: does not tell the cause", what, err)
		}
		g.check(g.mem.KillCopy(), g.history, what)
	}
}
