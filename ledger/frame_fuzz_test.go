package ledger

import (
	"encoding/binary"
	"errors"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/segment"
	"github.com/hapaxmq/hapax/internal/textfile"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/internal/wal"
)

// fuzzOptions are those of the ledgers that the fuzz tests open.
func fuzzOptions(fsys vfs.FS) Options {
	return Options{
		Window: hapax.Window{Time: time.Hour}, Digests: true, FS: fsys, Clock: goldenClock,
		MaxMemory: minMemory, Sequences: SequenceOptions{Window: 64, MaxProducers: 100},
	}
}

// appendFuzzFrame adds a frame to an input of FuzzFrames: type, length, payload.
func appendFuzzFrame(b []byte, kind uint8, payload []byte) []byte {
	return appendString(append(b, kind), payload)
}

// FuzzFrames opens ledgers whose log is any frames under right checksums: it is
// opened or refused, and Verify refuses no less.
func FuzzFrames(f *testing.F) {
	disk := vfs.NewMem()
	playGolden(f, disk, "d")
	logs, err := listLogs(disk, "d")
	if err != nil {
		f.Fatal(err)
	}
	var all []byte
	for _, log := range logs {
		_, err := segment.Scan(disk, log.path, segment.ScanOptions{}, func(frame segment.Frame) error {
			all = appendFuzzFrame(all, frame.Type, frame.Payload)
			f.Add(appendFuzzFrame(nil, frame.Type, frame.Payload))
			return nil
		})
		if err != nil {
			f.Fatal(err)
		}
	}
	f.Add(all)
	backwards := appendFuzzFrame(nil, frameSource, binary.AppendUvarint(appendCheckpoint(nil, Checkpoint{Source: "s", Offset: -1000}), 0))
	admit := admitFrame{digests: true, source: "s", runs: []run{{first: -5, n: 1, fresh: []byte{1}}}}
	f.Add(appendFuzzFrame(backwards, frameAdmit, admit.payload()))
	for _, prints := range [][]byte{nil, {1, 2, 3, 4}, {1, 2, 3, 4, 5, 6, 7, 8}} {
		copies := admitFrame{digests: true, source: "s", runs: []run{{first: 5, n: 2, fresh: []byte{0}}, {first: 70, n: 1, fresh: []byte{0xfe}}}, prints: prints}
		f.Add(appendFuzzFrame(nil, frameAdmit, copies.payload()))
	}
	late := admitFrame{digests: true, now: math.MaxInt64 - 1}
	f.Add(appendFuzzFrame(nil, frameAdmit, late.payload()))
	empty := emptyLedger(f)
	f.Fuzz(func(t *testing.T, input []byte) {
		disk := empty.KillCopy()
		if err := writeFrames(disk, input); err != nil {
			t.Fatal(err)
		}
		_, told := Verify(disk, "d")
		l, err := Open("d", fuzzOptions(disk))
		if err != nil {
			if told == nil && errors.Is(err, hapax.ErrCorrupt) {
				t.Errorf("Open finds what Verify does not: %v", err)
			}
			return
		}
		if s := l.Stats(); s.Live > int64(len(input)) {
			t.Errorf("%d identities of %d bytes", s.Live, len(input))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// emptyLedger is a disk with a ledger that has no log yet.
func emptyLedger(t testing.TB) *vfs.Mem {
	t.Helper()
	disk := vfs.NewMem()
	l, err := Open("d", fuzzOptions(disk))
	if err == nil {
		err = l.Close()
	}
	if err == nil {
		err = errors.Join(disk.Remove(wal.Path("d", 1)), textfile.Write(disk, filepath.Join("d", cleanName), clean{}))
	}
	if err != nil {
		t.Fatal(err)
	}
	return disk
}

// writeFrames writes a log of a snapshot and the frames of an input.
func writeFrames(fsys vfs.FS, input []byte) error {
	w, err := segment.Create(fsys, wal.Path("d", 1), segment.Header{Kind: logKind, Sequence: 1}, segment.Options{})
	if err != nil {
		return err
	}
	_, err = w.Append(frameSnapshot, appendSnapshot(logSnapshot{}))
	b := reader{b: input}
	for err == nil && len(b.b) > 0 {
		kind, payload := b.byte("type"), b.string("payload")
		if b.err != nil || kind == 0 || kind > segment.MaxType {
			break
		}
		_, err = w.Append(kind, payload)
	}
	return errors.Join(err, w.Close())
}

// FuzzMeta reads files of text as they may be found.
func FuzzMeta(f *testing.F) {
	disk := vfs.NewMem()
	playGolden(f, disk, "d")
	for _, name := range []string{metaName, secretName, cleanName} {
		f.Add(readAll(f, disk, "d/"+name), true)
	}
	f.Add([]byte(`{"format":99,"kind":"first","time_ns":-1}`), true)
	f.Add([]byte("crc32c "), false)
	f.Fuzz(func(t *testing.T, text []byte, sum bool) {
		if sum { // most texts would not get past it
			text = withSum(text)
		}
		var c clean
		var secret string
		_ = textfile.Decode("clean", text, &c)
		_ = textfile.Decode("secret", text, &secret)
		var m meta
		if textfile.Decode("ledger", text, &m) != nil {
			return
		}
		info, err := m.info()
		o := Options{Window: info.Window, Identity: info.Identity, Scope: info.Scope, Digests: info.Digests}
		o.Sequences.Window = info.SequenceWindow
		if err == nil && m.Format <= format && info.Window.Validate() == nil {
			if err := m.agree(&o); err != nil {
				t.Errorf("it does not agree with itself: %v", err)
			}
		}
	})
}
