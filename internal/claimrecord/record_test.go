package claimrecord

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/hapaxmq/hapax"
)

// golden are records and their bytes, which never change.
func golden() map[string]Record {
	nonce := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	return map[string]Record{
		"63 00060a24181e4000 00000000000000ff 0102030405060708 00060a2418563000": {State: Claimed, Token: 1_700_000_000_000_000,
			Digest: 255, Deadline: 1_700_000_003_665_920, Nonce: nonce},
		"72 0000000000000001 0000000000000000 0102030405060708 0000000000000000": {State: Released, Token: 1, Nonce: nonce},
		"64 0000000000000002 0000000000000007":                                   {State: Done, Token: 2, Digest: 7},
		"44 0000000000000002 0000000000000007":                                   {State: Done, Token: 2, Digest: 7, Receipt: hapax.Receipt{}},
		"44 0000000000000002 0000000000000007 6f6b":                              {State: Done, Token: 2, Digest: 7, Receipt: hapax.Receipt("ok")},
	}
}

func TestGolden(t *testing.T) {
	for text, r := range golden() {
		b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Append(nil); !bytes.Equal(got, b) {
			t.Errorf("%+v: bytes %x, want %x", r, got, b)
		}
		if got, err := Parse(b); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%x: %+v, %v, want %+v", b, got, err, r)
		}
	}
}

func TestKey(t *testing.T) {
	const want = "hapax:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
	var key [32]byte
	for i := range key {
		key[i] = byte(i)
	}
	if got := Key("hapax:", key); got != want {
		t.Errorf("key %q, want %q", got, want)
	}
}

// FuzzParse: any bytes are a record that reads back the same, or an error.
func FuzzParse(f *testing.F) {
	f.Add([]byte(nil))
	for _, r := range golden() {
		b := r.Append(nil)
		f.Add(b)
		f.Add(b[:len(b)-1])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Parse(b)
		if err != nil {
			if !errors.Is(err, hapax.ErrCorrupt) {
				t.Fatalf("%x: %v", b, err)
			}
			return
		}
		if got := r.Append(nil); !bytes.Equal(got, b) {
			t.Fatalf("%x reads back as %x", b, got)
		}
	})
}
