package httpkey_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/httpkey"
)

func TestS47ParseKey(t *testing.T) {
	long := strings.Repeat("k", httpkey.MaxKey)
	for value, want := range map[string]string{ // "": malformed
		`"k"`: "k", `k`: "k",
		`"8e03978e-40d5-43e8-bc93-6894a57f9324"`: "8e03978e-40d5-43e8-bc93-6894a57f9324",
		`8e03978e-40d5-43e8-bc93-6894a57f9324`:   "8e03978e-40d5-43e8-bc93-6894a57f9324",
		`  "k"  `:                                "k", `"a b"`: "a b", `" "`: " ",
		`"a\"b\\c"`: `a"b\c`, `"a,b;c"`: "a,b;c", `"é"`: "",
		`"k";a`: "k", `"k"; a=1;b=-1.5;c="x;\"y";d=tok/en;e=:aGk=:;f=?1;*g=@17;h=%"f%c3%bc"`: "k",
		`"k" ;a`: "", `"k";A`: "", `"k";a=`: "", `"k";`: "", `"k";a=1.2345`: "", `"k";a=1234567890123456`: "",
		``: "", `""`: "", `"`: "", `"k`: "", `k"`: "", `"k"k`: "", `"a\b"`: "", "\"a\tb\"": "", "a\x7f": "", `"k", "l"`: "",
		`a b`: "", `a,b`: "", `a;b`: "", `a\b`: "", "a\nb": "", "\x00": "", `é`: "",
		long: long, `"` + long + `"`: long, long + "k": "", `"` + long + `k"`: "",
		`"` + strings.Repeat(`\\`, httpkey.MaxKey) + `"`: strings.Repeat(`\`, httpkey.MaxKey),
		`"k";a="` + strings.Repeat("x", 2000) + `"`:      "",
	} {
		got, err := httpkey.ParseKey(value)
		if got != want || errors.Is(err, hapax.ErrMalformed) != (want == "") {
			t.Errorf("%q is %q, %v; want %q", value, got, err, want)
		}
	}
}

func TestSetKey(t *testing.T) {
	h := http.Header{}
	for _, key := range []string{"k", `a"b\c`, "a b", httpkey.NewKey()} {
		if err := httpkey.SetKey(h, key); err != nil {
			t.Fatal(err)
		}
		if got, err := httpkey.ParseKey(h.Get(httpkey.Header)); got != key || err != nil {
			t.Errorf("%q came back as %q, %v", key, got, err)
		}
	}
	for _, key := range []string{"", "é", "a\nb", strings.Repeat("k", httpkey.MaxKey+1)} {
		if err := httpkey.SetKey(h, key); !errors.Is(err, hapax.ErrMalformed) {
			t.Errorf("%q: %v", key, err)
		}
	}
	if one, other := httpkey.NewKey(), httpkey.NewKey(); one == other {
		t.Errorf("two keys are %q", one)
	}
}

// FuzzParseKey: what is read is a key, and reads the same when it is written again.
func FuzzParseKey(f *testing.F) {
	for _, value := range []string{`"k"`, `k`, `"a\"b\\";p=1;q="\\"`, `"`, `a;b`, `"k";a=%"%c3"`, "", "\xff"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		key, err := httpkey.ParseKey(value)
		if err != nil {
			if key != "" || !errors.Is(err, hapax.ErrMalformed) {
				t.Fatalf("%q: %q, %v", value, key, err)
			}
			return
		}
		if key == "" || len(key) > httpkey.MaxKey || strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Fatalf("%q is read as %q", value, key)
		}
		again, err := httpkey.FormatKey(key)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := httpkey.ParseKey(again); back != key || err != nil {
			t.Fatalf("%q, written as %q, is read as %q, %v", key, again, back, err)
		}
	})
}
