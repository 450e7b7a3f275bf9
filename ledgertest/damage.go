package ledgertest

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

func damageChecks() []admitCheck {
	return []admitCheck{
		{name: "after a clean close any flipped byte is an error, never a wrong verdict", on: onFaultyDisk, run: flipAfterClose},
		{name: "after a crash a flipped byte is an error or cuts the tail", on: onFaultyDisk, run: flipAfterCrash},
		{name: "a file that is missing or cut short is an error, never a wrong verdict", on: onFaultyDisk, run: missingFiles},
	}
}

// flips are the places to flip in a file: all of them if there are few, else
// the ends and a sample of the middle.
func flips(size int) (at []int) {
	most := 450
	if torture() || size <= most {
		most = size
	}
	for i := range size {
		if i < most/3 || i >= size-most/3 || mix(uint64(i))%uint64(size) < uint64(most)/3 {
			at = append(at, i)
		}
	}
	return at
}

// each calls visit for each flipped byte of each file on m, with a copy of m
// that is damaged there.
func each(r reporter, m *vfs.Mem, visit func(damaged *vfs.Mem, what string)) {
	r.Helper()
	files := contents(r, m, groundDir)
	for name, content := range files {
		for _, at := range flips(len(content)) {
			for _, mask := range []byte{0xff, 1 << (at % 8)} {
				damaged := m.KillCopy()
				path := filepath.Join(groundDir, name)
				f, err := damaged.OpenRW(path)
				if err == nil {
					_, err = f.WriteAt([]byte{content[at] ^ mask}, int64(at))
					err = errors.Join(err, f.Sync(), f.Close())
				}
				if err != nil {
					r.Fatalf("flip: %v", err)
				}
				visit(damaged, fmt.Sprintf("%s, byte %d of %d, xor %#x", name, at, len(content), mask))
			}
		}
	}
}

// answer opens a damaged ledger and compares what it answers with the history.
// Told is an error that tells of damage; wrong is any other disagreement.
func (g *ground) answer(m *vfs.Mem, tail int) (told, wrong error) {
	c := newClock()
	c.nanos.Store(g.clock.nanos.Load())
	o := g.o
	o.FS, o.Clock = m, c.now
	if g.f.Verify != nil {
		told = g.f.Verify(groundDir, o)
	}
	l, err := g.f.Open(groundDir, o)
	if err != nil {
		return err, nil
	}
	defer l.Close()
	err = g.history.verify(l, c, tail)
	if errors.Is(err, hapax.ErrCorrupt) {
		return err, nil
	}
	return told, err
}

func flipAfterClose(tb testing.TB, f AdmitFactory) {
	g := newGround(tb, f)
	l, err := g.open()
	if err == nil {
		err = g.play(l, 2)
	}
	if err == nil {
		err = l.Close()
	}
	if err != nil {
		tb.Fatalf("%v", err)
	}
	silent := map[string]int{}
	each(tb, g.mem, func(damaged *vfs.Mem, what string) {
		told, wrong := g.answer(damaged, math.MaxInt)
		if wrong != nil {
			tb.Fatalf("%s: %v", what, wrong)
		}
		if told == nil {
			silent[what]++
		}
	})
	if len(silent) == 0 || f.Verify == nil {
		return
	}
	for what := range silent {
		tb.Errorf("%d flips are told by nobody, as %s", len(silent), what)
		return
	}
}

// flipAfterCrash: only what the last step wrote may be missing.
func flipAfterCrash(tb testing.TB, f AdmitFactory) {
	g := newGround(tb, f)
	l, err := g.open()
	if err == nil {
		err = g.play(l, 2)
	}
	if err != nil {
		tb.Fatalf("%v", err)
	}
	left := g.mem.KillCopy()
	_ = l.Close()
	last := slices.Max(slices.Collect(maps.Values(g.kept)))
	each(tb, left, func(damaged *vfs.Mem, what string) {
		if _, wrong := g.answer(damaged, last); wrong != nil {
			tb.Fatalf("%s: %v", what, wrong)
		}
	})
}

// missingFiles: a file that is gone, empty or cut in half after a clean close.
func missingFiles(tb testing.TB, f AdmitFactory) {
	g := newGround(tb, f)
	l, err := g.open()
	if err == nil {
		err = g.play(l, 2)
	}
	if err == nil {
		err = l.Close()
	}
	if err != nil {
		tb.Fatalf("%v", err)
	}
	for name, content := range contents(tb, g.mem, groundDir) {
		path := filepath.Join(groundDir, name)
		for _, size := range []int{-1, 0, len(content) / 2, len(content) - 1} {
			damaged := g.mem.KillCopy()
			if err := damaged.Remove(path); err != nil {
				tb.Fatalf("remove: %v", err)
			}
			if size >= 0 && len(content) > 0 {
				put(tb, damaged, path, content[:size])
			}
			if _, wrong := g.answer(damaged, math.MaxInt); wrong != nil {
				tb.Fatalf("%s cut to %d of %d bytes (-1: gone): %v", name, size, len(content), wrong)
			}
		}
	}
}
