package identity

import (
	"errors"
	"reflect"
	"testing"

	"github.com/hapaxmq/hapax"
)

func TestReads(t *testing.T) {
	for spec, want := range map[string]struct {
		Reads
		byKey, byValue bool
	}{
		"key":                          {Reads{Key: true}, true, false},
		"header:a":                     {Reads{Headers: []string{"a"}}, false, false},
		"header:b+header:a|header:b":   {Reads{Headers: []string{"b", "a"}}, false, false},
		"json:id|key":                  {Reads{Key: true, Value: true}, true, false},
		"key+header:a":                 {Reads{Key: true, Headers: []string{"a"}}, false, false},
		"cloudevents+header:tenant":    {Reads{Value: true, Headers: []string{"tenant"}, AllHeaders: true}, false, false},
		"value":                        {Reads{Value: true}, false, true},
		"header:a+content|line":        {Reads{Value: true, Headers: []string{"a"}}, false, true},
		"header:a|content":             {Reads{Value: true, Headers: []string{"a"}}, false, false},
		"content:-at":                  {Reads{Value: true}, false, false},
		"sequence:producer,number":     {Reads{Value: true}, false, false},
		"key+key|header:a+content:+id": {Reads{Key: true, Value: true, Headers: []string{"a"}}, true, false},
	} {
		x := mustParse(t, spec)
		if got := x.Reads(); !reflect.DeepEqual(got, want.Reads) || x.NamesByKey() != want.byKey || x.NamesByValue() != want.byValue {
			t.Errorf("%s: %+v, by key %v, by value %v, want %+v", spec, got, x.NamesByKey(), x.NamesByValue(), want)
		}
	}
}

// "value" is another word for content, in every place.
func TestValueIsContent(t *testing.T) {
	for spec, want := range map[string]string{"value": "content", "header:a+value": "header:a+content", "json:id|value": "json:id|content"} {
		if got := mustParse(t, spec).String(); got != want {
			t.Errorf("%s is %s, want %s", spec, got, want)
		}
	}
}

// A nil value is missing, whatever is looked for in it: another alternative may
// have the message. An empty value is content.
func TestNilValue(t *testing.T) {
	m := &hapax.Message{Key: []byte("k"), Headers: []hapax.Header{{Name: "a", Value: []byte("1")}}}
	for _, spec := range []string{"line", "json:id", "json:id,at", "content", "content:-a", "content:+a", "cloudevents", "sequence:a,b", "key+content"} {
		if got, err := mustParse(t, spec).Append([]byte("kept"), m); !errors.Is(err, hapax.ErrMissing) || string(got) != "kept" {
			t.Errorf("%s: %q, %v", spec, got, err)
		}
	}
	for _, spec := range []string{"json:id|key", "key", "header:a", "cloudevents|header:a"} {
		if _, err := mustParse(t, spec).Append(nil, m); err != nil {
			t.Errorf("%s: %v", spec, err)
		}
	}
	for _, spec := range []string{"line", "content"} {
		if _, err := mustParse(t, spec).Append(nil, &hapax.Message{Value: []byte{}}); err != nil {
			t.Errorf("%s of an empty value: %v", spec, err)
		}
	}
}

// A header handed on by its name for all of its kind is the same attribute.
func TestEventHeader(t *testing.T) {
	for header, want := range map[string]string{
		"ce_id": "ce_id", "CE_ID": "ce_id", "ce-id": "ce-id", "Ce-Source": "ce-source", "cloudEvents:id": "ce_id",
		"cloudEvents_source": "ce_source", "CLOUDEVENTS:SOURCE": "ce_source",
		"": "", "ce_type": "", "id": "", "cloudEvents:source2": "", "cloudEvents-id": "",
	} {
		got := EventHeader([]byte(header))
		if got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
		which, encoded := attributeOf(header)
		if again, encodedAgain := attributeOf(got); again != which || encodedAgain != encoded {
			t.Errorf("%q is attribute %d, and %q is %d", header, which, got, again)
		}
	}
	if allocs := testing.AllocsPerRun(10, func() { EventHeader([]byte("cloudEvents:source")) }); allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// Digests of bytes are kept on disk: they never change.
func TestByteDigester(t *testing.T) {
	h := NewHasher([16]byte{1, 2, 3})
	d := h.Bytes()
	seen := map[hapax.Digest]string{}
	for _, text := range []string{"", "x", "order 7 paid", string(payload(t))} {
		seen[d.Digest([]byte(text))] = text
	}
	seen[d.Digest(nil)] = "nil"
	if len(seen) != 5 || seen[0] != "" {
		t.Errorf("digests: %v", seen)
	}
	for n, want := range map[int]hapax.Digest{
		3: 0xb94dd2f77e241e64, 12: 0xff53336363892af8, 100: 0x509c50642da08b86, 200: 0x4d2ede483285603a, 1000: 0xfddf747f7b703adb, 8000: 0x567cdf216cbd930e,
	} {
		if got := d.Digest(payload(t)[:n]); got != want {
			t.Errorf("digest of %d bytes: %#x, want %#x", n, uint64(got), uint64(want))
		}
	}
	if d == h.Scoped("orders").Bytes() || d == NewHasher([16]byte{1, 2, 4}).Bytes() {
		t.Error("another secret or scope makes the same digests")
	}
	if h.ScopedBytes([]byte("orders")) != h.Scoped("orders") {
		t.Error("a scope is not what its bytes are")
	}
}
