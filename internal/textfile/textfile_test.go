package textfile

import (
	"errors"
	"testing"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

type note struct {
	Name string `json:"name"`
	N    int64  `json:"n"`
}

// What was written is read, after power loss too; with any byte changed or missing
// it is not.
func TestReadWritten(t *testing.T) {
	m := vfs.NewMem()
	want := note{"a", 1 << 60}
	if err := Write(m, "x", want); err != nil {
		t.Fatal(err)
	}
	var got note
	if err := Read(m.PowerLoss(nil), "x", &got); err != nil || got != want {
		t.Errorf("got %v, %v", got, err)
	}
	text, err := Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	for i := range text {
		changed := append([]byte(nil), text...)
		changed[i] ^= 1
		for _, b := range [][]byte{changed, text[:i]} {
			if err := Decode("x", b, &got); !errors.Is(err, hapax.ErrCorrupt) {
				t.Errorf("byte %d: %v", i, err)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	text, err := Encode(note{"b", -1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("crc32c 00000000\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var n note
		if err := Decode("x", b, &n); err != nil {
			if !errors.Is(err, hapax.ErrCorrupt) {
				t.Error(err)
			}
			return
		}
		again, err := Encode(n)
		if err == nil {
			err = Decode("x", again, &n)
		}
		if err != nil {
			t.Error(err)
		}
	})
}
