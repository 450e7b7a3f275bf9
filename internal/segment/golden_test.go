package segment_test

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hapaxmq/hapax/internal/segment"
	"github.com/hapaxmq/hapax/internal/vfs"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files under testdata")

// golden compares with a file under testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *rewrite {
		must(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if got != strings.ReplaceAll(string(want), "\r\n", "\n") {
		t.Errorf("%s is now\n%swant\n%s", name, got, want)
	}
}

// The bytes of version 1 stay what they are: files of users have them.
func TestGoldenBytes(t *testing.T) {
	m := newMem(t)
	w := create(t, m, segment.Options{Prewrite: 16})
	_, err := w.Append(1, []byte("first"))
	must(t, err)
	must(t, w.Sync())
	_, err = w.Append(2, []byte("second, in "), []byte("two parts"))
	must(t, err)
	_, err = w.Append(254)
	must(t, err)
	must(t, w.Sync())
	golden(t, "open.hex", hex.Dump(content(t, m)))
	must(t, w.Seal())
	must(t, w.Close())
	golden(t, "sealed.hex", hex.Dump(content(t, m)))
}

// What is asked of the file system, in which order, is what the crash argument
// rests on.
func TestTranscript(t *testing.T) {
	m := newMem(t)
	var out strings.Builder
	life := func(fault *vfs.Fault, steps ...step) {
		for _, s := range steps {
			fault.Record()
			must(t, s.do())
			out.WriteString("# " + s.name + "\n" + fault.Transcript() + "\n")
		}
	}
	var w *segment.Writer
	var r segment.Report
	bytesOf := func(n int) func() error {
		return func() error { _, err := w.Append(1, make([]byte, n)); return err }
	}
	scanning := func(fsys vfs.FS) func() error {
		return func() (err error) {
			r, err = segment.Scan(fsys, path, segment.ScanOptions{}, func(segment.Frame) error { return nil })
			return err
		}
	}

	fault := vfs.NewFault(m, nil)
	life(fault,
		step{"create", func() (err error) { w, err = segment.Create(fault, path, header, segment.Options{}); return err }},
		step{"append", bytesOf(1000)},
		step{"sync the first group: zeros are written ahead", func() error { return w.Sync() }},
		step{"append 1000, then another 1000", func() error { _ = bytesOf(1000)(); return bytesOf(1000)() }},
		step{"sync: one write, within the file", func() error { return w.Sync() }},
		step{"sync with nothing to do", func() error { return w.Sync() }},
		step{"append 2 MiB", bytesOf(2 << 20)},
		step{"sync a big group: nothing is written ahead", func() error { return w.Sync() }},
		step{"append 1000", bytesOf(1000)},
		step{"flush", func() error { return w.Flush() }},
	)
	m = m.KillCopy()
	fault = vfs.NewFault(m, nil)
	life(fault,
		step{"killed; scan", scanning(fault)},
		step{"open: what no frame proves durable is written again", func() (err error) {
			w, err = segment.OpenAppend(fault, path, r, segment.Options{})
			return err
		}},
		step{"append 1000", bytesOf(1000)},
		step{"seal", func() error { return w.Seal() }},
		step{"close", func() error { return w.Close() }},
		step{"scan", scanning(fault)},
	)
	if !r.Sealed || r.Frames != 6 {
		t.Errorf("report %+v", r)
	}
	golden(t, "transcript.txt", out.String())
}

type step struct {
	name string
	do   func() error
}
