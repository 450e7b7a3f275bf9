package outbox

import (
	"bytes"
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/hapaxmq/hapax"
)

func TestNewID(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	before := NewID()[:13]
	for range 1000 {
		id := NewID()
		if seen[id] || !form.MatchString(id) || id[:13] < before {
			t.Fatalf("id %s after %s", id, before)
		}
		seen[id], before = true, id[:13]
	}
}

func TestValidate(t *testing.T) {
	long := strings.Repeat("a", 256)
	for _, r := range []Record{
		{}, {Topic: long}, {Topic: "a\n"}, {Topic: "\xff"}, {Topic: "a", ID: long}, {Topic: "a", ID: "\x00"},
		{Topic: "a", OrderKey: strings.Repeat("k", 1025)}, {Topic: "a", Headers: []hapax.Header{{Value: make([]byte, 65537)}}},
	} {
		if r.Validate() == nil {
			t.Errorf("%.80v is taken", r)
		}
	}
	r := Record{ID: `it's "ä"\`, Topic: "a.b", OrderKey: "\x00\xff", Headers: []hapax.Header{{Name: "h"}}}
	if err := r.Validate(); err != nil {
		t.Error(err)
	}
}

func TestConflict(t *testing.T) {
	if err := error(&ConflictError{"t", "a"}); !errors.Is(err, hapax.ErrConflict) || !strings.Contains(err.Error(), `"a" of topic "t"`) {
		t.Error(err)
	}
}

func FuzzParseHeaders(f *testing.F) {
	f.Add(AppendHeaders(nil, []hapax.Header{{Name: "a", Value: []byte("b")}, {Name: "", Value: []byte{}}, {Name: "nil"}}))
	f.Add([]byte{200, 200})
	f.Fuzz(func(t *testing.T, stored []byte) {
		headers, err := ParseHeaders(stored)
		if err != nil {
			if !errors.Is(err, hapax.ErrCorrupt) {
				t.Error(err)
			}
			return
		}
		again := AppendHeaders(nil, headers)
		if len(again) > len(stored) { // lengths may be written longer than they need be
			t.Errorf("%x became %x", stored, again)
		}
		if parsed, err := ParseHeaders(again); err != nil || !reflect.DeepEqual(parsed, headers) {
			t.Errorf("%v became %v, %v", headers, parsed, err)
		}
		if len(again) == len(stored) && !bytes.Equal(again, stored) {
			t.Errorf("%x became %x", stored, again)
		}
	})
}
