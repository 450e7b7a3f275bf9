package httpkey

import (
	"bytes"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/hapaxmq/hapax"
)

func whole() response {
	return response{
		payload: payload{1, 2, 31: 3}, status: 201, whole: true,
		header: http.Header{"Location": {"/charges/1"}, "X-List": {"a", ""}}, body: []byte(`{"charge":1}`),
	}
}

// TestGoldenResponse holds the bytes that programs share.
func TestGoldenResponse(t *testing.T) {
	sum := "0102" + strings.Repeat("00", 29) + "03"
	for _, test := range []struct {
		r    response
		want string
	}{
		{whole(), "0101" + sum + "c901" + "03" +
			"08" + hex.EncodeToString([]byte("Location")) + "0a" + hex.EncodeToString([]byte("/charges/1")) +
			"06" + hex.EncodeToString([]byte("X-List")) + "01" + "61" +
			"06" + hex.EncodeToString([]byte("X-List")) + "00" +
			hex.EncodeToString([]byte(`{"charge":1}`))},
		{response{payload: payload{1, 2, 31: 3}, status: 200}, "0100" + sum + "c801"},
	} {
		b := test.r.receipt()
		if got := hex.EncodeToString(b); got != test.want {
			t.Errorf("%+v is\n%s, want\n%s", test.r, got, test.want)
		}
		back, err := parseResponse(b)
		if err != nil || !reflect.DeepEqual(back, test.r) {
			t.Errorf("read as %+v, %v", back, err)
		}
	}
}

func TestGoldenPayload(t *testing.T) {
	ask := func(kind, body string) payload {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://example.com/a%2Fb?c=d", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", kind)
		r.Header["X-Version"] = []string{"1", "2"}
		return payloadOf(r, []string{"x-version"}, []byte(body))
	}
	p := ask("application/json; charset=utf-8", `{"b":1.0,"a":2}`)
	if got, want := hex.EncodeToString(p[:]), goldenPayload; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if p != ask("application/problem+json", `{"a":2,"b":1}`) {
		t.Error("the same JSON differs")
	}
	for _, other := range []payload{
		ask("text/plain", `{"b":1.0,"a":2}`), ask("", `{"a":2,"b":1}`), ask("application/json", `{"a":2,"b":1`),
	} {
		if p == other {
			t.Error("another payload is the same")
		}
	}
	if p.digest() == 0 || (payload{}).digest() == 0 {
		t.Error("a digest of zero, which is none")
	}
}

const goldenPayload = "e21cbfeab7720cfcb219c99610d736004c43713884acfa6595db349bbdadef95"

func TestParseResponseRefuses(t *testing.T) {
	r := whole()
	b := r.receipt()
	end := len(b) - len(`{"charge":1}`)
	for n := range end {
		if _, err := parseResponse(b[:n]); !errors.Is(err, hapax.ErrCorrupt) {
			t.Errorf("%d of %d bytes: %v", n, len(b), err)
		}
	}
	for what, change := range map[string]func([]byte) []byte{
		"another form":       func(b []byte) []byte { b[0] = 2; return b },
		"another choice":     func(b []byte) []byte { b[1] = 2; return b },
		"more than a status": func(b []byte) []byte { b[1] = 0; return b },
		"status 99":          func(b []byte) []byte { return append(b[:34:34], 99, 0) },
		"many fields":        func(b []byte) []byte { return append(b[:36:36], 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 'a') },
		"a field's length":   func(b []byte) []byte { return append(b[:36:36], 1, 200, 'a') },
		"no name":            func(b []byte) []byte { return append(b[:36:36], 1, 0, 0) },
	} {
		if _, err := parseResponse(change(bytes.Clone(b))); !errors.Is(err, hapax.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// FuzzParseResponse: what is read is written and read again as the same.
func FuzzParseResponse(f *testing.F) {
	r := whole()
	f.Add([]byte(r.receipt()))
	r.whole = false
	f.Add([]byte(r.receipt()))
	f.Add([]byte{1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseResponse(b)
		if err != nil {
			if !errors.Is(err, hapax.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		again, err := parseResponse(r.receipt())
		if err != nil {
			t.Fatal(err)
		}
		same := again.payload == r.payload && again.status == r.status && again.whole == r.whole && bytes.Equal(again.body, r.body) &&
			maps.EqualFunc(again.header, r.header, func(a, b []string) bool { return reflect.DeepEqual(a, b) })
		if !same {
			t.Fatalf("%+v came back as %+v", r, again)
		}
	})
}
