package ledgertest

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
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

// flips yields what a file becomes by one flipped byte: each of them if they are
// few or all are asked for, else the ends and a sample of the middle. Of zeros
// written ahead a sample will do.
func flips(content []byte) iter.Seq2[string, []byte] {
	size := len(content)
	all := size
	switch {
	case torture():
		all = len(bytes.TrimRight(content, "\x00"))
	case size > sampled:
		all = sampled / 3
	}
	return func(yield func(string, []byte) bool) {
		for i := range size {
			if i >= all && i < size-sampled/3 && mix(uint64(i))%uint64(size) >= sampled/3 {
				continue
			}
			for _, mask := range []byte{0xff, 1 << (i % 8)} {
				flipped := bytes.Clone(content)
				flipped[i] ^= mask
				if !yield(fmt.Sprintf("byte %d of %d xor %#x", i, size, mask), flipped) {
					return
				}
			}
		}
	}
}

// cuts yields what a file becomes if it is cut short. Nil: it is gone.
func cuts(content []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		if !yield("gone", nil) {
			return
		}
		for _, size := range []int{0, len(content) / 2, len(content) - 1} {
			if size >= 0 && !yield(fmt.Sprintf("cut to %d of %d bytes", size, len(content)), content[:size:size]) {
				return
			}
		}
	}
}

// damaged yields copies of m in which one file has changed to what harm yields.
func damaged(r reporter, m *vfs.Mem, harm func(content []byte) iter.Seq2[string, []byte]) iter.Seq2[string, *vfs.Mem] {
	return func(yield func(string, *vfs.Mem) bool) {
		for name, content := range contents(r, m, groundDir) {
			for what, now := range harm(content) {
				left := m.KillCopy()
				path := filepath.Join(groundDir, name)
				if err := left.Remove(path); err != nil {
					r.Fatalf("remove: %v", err)
				}
				if now != nil {
					put(r, left, path, now)
				}
				if !yield(name+", "+what, left) {
					return
				}
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

// played is a ground whose ledger has done some work, and is still open.
func played(tb testing.TB, f AdmitFactory) (*ground, Admitter) {
	tb.Helper()
	g := newGround(tb, f)
	l, err := g.open()
	if err == nil {
		err = g.play(l, 2)
	}
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return g, l
}

func playedAndClosed(tb testing.TB, f AdmitFactory) *ground {
	tb.Helper()
	g, l := played(tb, f)
	if err := l.Close(); err != nil {
		tb.Fatalf("close: %v", err)
	}
	return g
}

func flipAfterClose(tb testing.TB, f AdmitFactory) {
	g := playedAndClosed(tb, f)
	var silent []string
	for what, left := range damaged(tb, g.mem, flips) {
		told, wrong := g.answer(left, math.MaxInt)
		if wrong != nil {
			tb.Fatalf("%s: %v", what, wrong)
		}
		if told == nil {
			silent = append(silent, what)
		}
	}
	if len(silent) > 0 && f.Verify != nil {
		tb.Errorf("%d flips are told by nobody, as %s", len(silent), silent[0])
	}
}

// flipAfterCrash: only what the last step wrote may be missing.
func flipAfterCrash(tb testing.TB, f AdmitFactory) {
	g, l := played(tb, f)
	crashed := g.mem.KillCopy()
	_ = l.Close()
	last := slices.Max(slices.Collect(maps.Values(g.kept)))
	for what, left := range damaged(tb, crashed, flips) {
		if _, wrong := g.answer(left, last); wrong != nil {
			tb.Fatalf("%s: %v", what, wrong)
		}
	}
}

// missingFiles: a file that is gone or cut short after a clean close.
func missingFiles(tb testing.TB, f AdmitFactory) {
	g := playedAndClosed(tb, f)
	for what, left := range damaged(tb, g.mem, cuts) {
		if _, wrong := g.answer(left, math.MaxInt); wrong != nil {
			tb.Fatalf("%s: %v", what, wrong)
		}
	}
}
