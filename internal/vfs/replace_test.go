package vfs_test

import (
	"errors"
	"math/rand"
	"path/filepath"
	"testing"

	"github.com/hapaxmq/hapax/internal/vfs"
)

func TestReplace(t *testing.T) {
	forms(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "f")
		put(t, fsys, name+vfs.TempSuffix, "what a crash left, and longer")
		for _, content := range []string{"first", "the second one", ""} {
			must(t, vfs.Replace(fsys, name, []byte(content)))
			if got := get(t, fsys, name); got != content {
				t.Errorf("got %q, want %q", got, content)
			}
		}
		names, err := fsys.List(dir)
		must(t, err)
		if len(names) != 1 {
			t.Errorf("there are %q", names)
		}
	})
}

// Before each operation the power may go off, or the operation fail: there is the
// old content or the new, and the new one after a success.
func TestReplaceWholly(t *testing.T) {
	broken := errors.New("broken")
	for failing := range 8 {
		m := vfs.NewMem()
		must(t, m.MkdirAll("/data"))
		must(t, vfs.Replace(m, "/data/f", []byte("old")))
		rng := rand.New(rand.NewSource(int64(failing)))
		wholly := func(after *vfs.Mem, may ...string) {
			t.Helper()
			got := get(t, after, "/data/f")
			for _, want := range may {
				if got == want {
					return
				}
			}
			t.Errorf("operation %d: got %q, want one of %q", failing, got, may)
		}
		n := 0
		fault := vfs.NewFault(m, func(op vfs.Op, _ string) error {
			wholly(m.PowerLoss(rng), "old", "new")
			if n++; n > failing {
				return broken
			}
			return nil
		})
		err := vfs.Replace(fault, "/data/f", []byte("new"))
		if n > failing {
			wantErr(t, "replace", err, broken)
			wholly(m.KillCopy(), "old", "new")
		} else {
			must(t, err)
			wholly(m.PowerLoss(nil), "new")
		}
	}
}
