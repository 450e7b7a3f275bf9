package identity

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/hapaxmq/hapax"
)

// value is a message of a value only.
func value(s string) *hapax.Message { return &hapax.Message{Value: []byte(s)} }

// headers is a message of name, value pairs.
func headers(pairs ...string) *hapax.Message {
	m := new(hapax.Message)
	for i := 0; i < len(pairs); i += 2 {
		m.Headers = append(m.Headers, hapax.Header{Name: pairs[i], Value: []byte(pairs[i+1])})
	}
	return m
}

// TestAppend fixes the bytes of identities: stores keep their hashes, so they
// never change.
func TestAppend(t *testing.T) {
	const n7 = "\x00\x00\x00\x00\x00\x00\x00"
	full := &hapax.Message{
		Key: []byte("k"), Value: []byte(`{"id":7,"a.b":{"c":["x"]}}`),
		Headers: []hapax.Header{{Name: "h", Value: []byte("v")}, {Name: "h", Value: []byte("w")}},
	}
	tests := []struct {
		spec string
		m    *hapax.Message
		want string
	}{
		{"line", value("a line\r"), "a line\r"},
		{"line", value(""), ""},
		{"key", full, "\x01k"},
		{"header:h", full, "\x02v"},
		{"json:id", full, "\x037"},
		{"json:id", value(`{"id":"7"}`), "\x03\"7\""},
		{"json:id", value(`{"id":7.0}`), "\x037"},
		{"json:id", value(`{"id":70e-1}`), "\x037"},
		{"json:id", value(`{"id":9007199254740993}`), "\x039007199254740993"},
		{"json:id", value(`{"id":true}`), "\x03true"},
		{"json:id", value(`{"id":""}`), "\x03\"\""},
		{"json:id", value(`{"i\u0064":"\u0041\/\n"}`), "\x03\"A/\\n\""},
		{"json:id", value(`{"id":{"b":1,"a":[2.0]}}`), "\x03" + `{"a":[2],"b":1}`},
		{"json:id", value(`{"x":{"id":1},"y":[{"id":2}],"id":3}`), "\x033"},
		{`json:a\.b.c.0`, full, "\x03\"x\""},
		{"json:0.1", value(`[[1,2]]`), "\x032"},
		{"json:0.1", value(`{"0":{"1":3}}`), "\x033"},
		{"json:a,a.b", value(`{"a":{"b":1}}`), "\x04" + `[{"b":1},1]`},
		{"json:b,a", value(`{"a":1,"b":"x"}`), "\x04" + `["x",1]`},
		{"cloudevents", value(`{"id":"i","source":"\u0073rc"}`), "\x05" + n7 + "\x03srci"},
		{"cloudevents", headers("ce_id", "i", "ce_source", "src"), "\x05" + n7 + "\x03srci"},
		{"cloudevents", headers("Ce-Source", "s%72c", "Ce-Id", "i"), "\x05" + n7 + "\x03srci"},
		{"cloudevents", headers("ce-id", "%", "ce-source", "%4x%41"), "\x05" + n7 + "\x04%4xA%"},
		{"cloudevents", headers("ce_id", "i", "ce_source", "s%72c"), "\x05" + n7 + "\x05s%72ci"},
		{"cloudevents", headers("cloudEvents:id", "i", "cloudEvents_source", "src", "ce_type", "t"), "\x05" + n7 + "\x03srci"},
		{"content", value(` {"b":1,"a":2}`), "\x06" + `{"a":2,"b":1}`},
		{"content", value("plain \xff bytes"), "\x07plain \xff bytes"},
		{"content", value(`{"a":1`), "\x07" + `{"a":1`},
		{"content", value(""), "\x07"},
		{"content:-a,b.c,d.1", value(`{"b":{"c":1,"d":2},"a":[],"d":[1,2,3],"c":1}`), "\x06" + `{"b":{"d":2},"c":1,"d":[1,3]}`},
		{"content:-a", value(`{"a":1}`), "\x06{}"},
		{"content:-0", value(`[5]`), "\x06[]"},
		{"content:-a", value(`"a"`), "\x06\"a\""},
		{"content:+b,a.c", value(`{"x":1,"a":{"c":[1.0],"d":2}}`), "\x08[,[1]]"},
		{"content:+b,a", value(`{"a":null,"b":"x"}`), "\x08[\"x\",null]"},
		{"sequence:p,n", value(`{"p":"x","n":258}`), "\x0e" + n7 + "\x04\x03\"x\"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x02"},
		{"sequence:p,n,e", value(`{"p":1,"n":"18446744073709551615","e":3}`), "\x0e" + n7 + "\x02\x031\x00\x00\x00\x03" + strings.Repeat("\xff", 8)},
		{"key+line", full, "\x0f" + n7 + "\x02\x01k" + n7 + "\x1a" + string(full.Value)},
		{"header:h+json:id", full, "\x0f" + n7 + "\x02\x02v" + n7 + "\x02\x037"},
		{"json:id|key", full, "\x037"},
		{"json:nope|key", full, "\x11\x01k"},
		{"header:nope|json:nope|content", value(`1.0`), "\x12\x061"},
		{"key+json:nope|key+json:id", full, "\x11\x0f" + n7 + "\x02\x01k" + n7 + "\x02\x037"},
	}
	for _, tt := range tests {
		got, err := mustParse(t, tt.spec).Append([]byte("before"), tt.m)
		if err != nil || string(got) != "before"+tt.want {
			t.Errorf("%s of %.60q:\n got %q, %v\nwant %q", tt.spec, tt.m.Value, got, err, "before"+tt.want)
		}
	}
}

func TestAppendErrors(t *testing.T) {
	missing, malformed := hapax.ErrMissing, hapax.ErrMalformed
	tests := []struct {
		spec string
		m    *hapax.Message
		kind error
		want string
	}{
		{"key", value("x"), missing, "it has no key"},
		{"header:h", headers("H", "x"), missing, `it has no header "h"`},
		{"header:h", headers("h", ""), missing, `it has no header "h"`},
		{"json:id", value(`{}`), missing, `nothing at "id"`},
		{"json:id", value(`{"id":null}`), missing, `nothing at "id"`},
		{"json:id", value(`5`), missing, `nothing at "id"`},
		{"json:a.b", value(`{"a":[1],"a.b":1}`), missing, `nothing at "a.b"`},
		{"json:1", value(`[1]`), missing, `nothing at "1"`},
		{"json:00", value(`[1]`), missing, `nothing at "00"`},
		{"json:id,x", value(`{"id":1}`), missing, `nothing at "x"`},
		{"json:id", value(`not json`), malformed, "JSON: want a value at byte 0"},
		{"json:id", value(`{"id":1,"x":tru}`), malformed, "want a value at byte 12"},
		{"json:id", value(`{"id":1} {}`), malformed, "unexpected data behind the value at byte 9"},
		{"json:id", value(`{"id":1,"id":1}`), malformed, "repeated name at byte 8"},
		{"json:a.b", value(`{"a":{"b":1},"a":{}}`), malformed, "repeated name at byte 13"},
		{"json:id", value(`{"id":"\ud800"}`), malformed, "half a surrogate pair at byte 7"},
		{"json:id", value(`{"id":{"a":1,"a":1}}`), malformed, "repeated name at byte 13"},
		{"json:id", value("{\"id\":1,\"x\":\"\xff\"}"), malformed, "invalid UTF-8 at byte 13"},
		{"cloudevents", value(`{"id":"i"}`), missing, "the CloudEvent has no source"},
		{"cloudevents", value(`{"id":"","source":"s"}`), missing, "the CloudEvent has no id"},
		{"cloudevents", value(`{"id":5,"source":"s"}`), malformed, "the CloudEvent's id is not a string at byte 6"},
		{"cloudevents", value(`{"id":"\ud800","source":"s"}`), malformed, "half a surrogate pair"},
		{"cloudevents", value(`{"id":"i","source":"s","id":"i"}`), malformed, "repeated name"},
		{"cloudevents", value(`text`), malformed, "want a value at byte 0"},
		{"cloudevents", headers("ce_id", "i"), missing, "the CloudEvent has no source"},
		{"cloudevents", headers("ce_source", "s", "ce_id", ""), missing, "the CloudEvent has no id"},
		{"content", value(`{"a":1,"a":1}`), malformed, "repeated name at byte 7"},
		{"content", value("[\"\xff\"]"), malformed, "invalid UTF-8 at byte 2"},
		{"content", value(`["\ud800"]`), malformed, "half a surrogate pair at byte 2"},
		{"content", value(`1e1000000000`), malformed, "number out of bounds"},
		{"content:-a", value(`text`), malformed, "want a value at byte 0"},
		{"content:-a", value(`{"a":1,"a":2}`), malformed, "repeated name at byte 7"},
		{"content:-a", value(`{"b":1,"b":2}`), malformed, "repeated name at byte 7"},
		{"content:+a", value(`text`), malformed, "want a value at byte 0"},
		{"content:+a,b", value(`{"c":1}`), missing, "nothing at any of a,b"},
		{"sequence:p,n", value(`{"p":"x"}`), missing, `nothing at "n"`},
		{"sequence:p,n,e", value(`{"p":"x","n":1}`), missing, `nothing at "e"`},
		{"sequence:p,n", value(`{"p":"x","n":-1}`), malformed, `"n" is not a whole number from 0 to 18446744073709551615 at byte 13`},
		{"key+json:id", value(`{"id":1}`), missing, "it has no key"},
		{"json:id|key", value(`{}`), missing, "it has no key"},
		{"json:id|content", value(`{"id":`), malformed, "want a value at byte 6"},
	}
	for _, tt := range tests {
		got, err := mustParse(t, tt.spec).Append([]byte("before"), tt.m)
		if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.want) || string(got) != "before" {
			t.Errorf("%s of %.60q = %q, %v, want %v: %s", tt.spec, tt.m.Value, got, err, tt.kind, tt.want)
		}
	}
}

// TestAppendID: an id typed is that of the message that has it.
func TestAppendID(t *testing.T) {
	for _, tt := range []struct {
		spec, id string
		m        *hapax.Message
	}{
		{"line", "a line", value("a line")},
		{"key", "k", &hapax.Message{Key: []byte("k")}},
		{"header:h|line", "v", headers("h", "v")},
		{"json:id", "7", value(`{"id":7}`)},
		{"json:id|content", `"7"`, value(`{"id":"7"}`)},
		{"json:id", "abc-7", value(`{"id":"abc-7"}`)},
		{"json:id", "say \"\n\u00e9", value(`{"id":"say \"\n\u00e9"}`)},
		{"json:id", `{"b":1, "a":2}`, value(`{"id":{"a":2,"b":1}}`)},
		{"json:a,b", `{"a":1,"b":2}`, value(`{"b":2,"a":1}`)},
		{"content", "text", value("text")},
	} {
		x := mustParse(t, tt.spec)
		want, err := x.Append(nil, tt.m)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := x.AppendID(nil, tt.id); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: AppendID(%q) = %q, %v, want %q", tt.spec, tt.id, got, err, want)
		}
	}
	x := mustParse(t, "json:id")
	for id, kind := range map[string]error{
		"null": hapax.ErrMissing, `{"a":1,"a":2}`: hapax.ErrMalformed, "x\xff": hapax.ErrMalformed,
	} {
		if got, err := x.AppendID([]byte("before"), id); !errors.Is(err, kind) || string(got) != "before" {
			t.Errorf("AppendID(%q) = %q, %v", id, got, err)
		}
	}
}

// TestConcurrent: one extractor serves many goroutines.
func TestConcurrent(t *testing.T) {
	x := mustParse(t, "content:-sender|line")
	m := &hapax.Message{Value: payload(t)}
	want, err := x.Append(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if got, err := x.Append(nil, m); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%v: %q", err, got)
				}
			}
		})
	}
	wg.Wait()
}

func TestSequence(t *testing.T) {
	whole := []struct {
		number string
		want   uint64
		ok     bool
	}{
		{"0", 0, true}, {"7", 7, true}, {"7.0", 7, true}, {"7e2", 700, true}, {`"7"`, 7, true},
		{"18446744073709551615", 1<<64 - 1, true}, {"18446744073709551616", 0, false},
		{`"18446744073709551615"`, 1<<64 - 1, true}, {`"18446744073709551616"`, 0, false},
		{"-0", 0, true}, {"-1", 0, false}, {"0.5", 0, false}, {"1e21", 0, false}, {"1e999999999", 0, false},
		{"1e9999999999", 0, false}, {`""`, 0, false}, {`"07"`, 0, false}, {`"7.0"`, 0, false}, {`"-7"`, 0, false},
		{`"\u0037"`, 0, false}, {"true", 0, false}, {"[7]", 0, false}, {"{}", 0, false},
	}
	x := mustParse(t, "sequence:p,n,e")
	for _, tt := range whole {
		m := value(`{"p":"x","n":` + tt.number + `,"e":2}`)
		q, out, err := x.Sequence([]byte("before"), m)
		if !tt.ok {
			if !errors.Is(err, hapax.ErrMalformed) || string(out) != "before" {
				t.Errorf("%s: %v, %q, %v", tt.number, q, out, err)
			}
			continue
		}
		if err != nil || q.Number != tt.want || q.Epoch != 2 || string(q.Producer) != "\x03\"x\"" || string(out) != "before\x03\"x\"" {
			t.Errorf("%s: %v, %q, %v", tt.number, q, out, err)
		}
	}
	if _, _, err := x.Sequence(nil, value(`{"p":"x","n":1,"e":4294967296}`)); !errors.Is(err, hapax.ErrMalformed) {
		t.Errorf("an epoch of 33 bits: %v", err)
	}
	if _, _, err := x.Sequence(nil, value(`{"p":{"a":1,"a":1},"n":1,"e":1}`)); !errors.Is(err, hapax.ErrMalformed) {
		t.Errorf("a producer without a canonical form: %v", err)
	}
	if _, _, err := mustParse(t, "key").Sequence(nil, value("")); err == nil {
		t.Error("a sequence of a key")
	}
}

// TestDistinct: what is not equal has another identity, whatever is joined.
func TestDistinct(t *testing.T) {
	seen := make(map[string]string)
	for _, group := range []struct {
		spec   string
		values []string
	}{
		{"json:a,b", []string{
			`{"a":"x","b":"yz"}`, `{"a":"xy","b":"z"}`, `{"a":"x\",\"y","b":"z"}`, `{"a":1,"b":23}`, `{"a":12,"b":3}`,
			`{"a":"1","b":"23"}`, `{"a":[1],"b":2}`, `{"a":1,"b":[2]}`, `{"a":true,"b":1}`, `{"a":"true","b":1}`,
		}},
		{"json:a+json:b|json:a|json:b|content", []string{
			`{"a":"x","b":"yz"}`, `{"a":"xy","b":"z"}`, `{"a":"x"}`, `{"b":"x"}`, `{"a":["x"]}`, `"x"`, `["x"]`, `{"c":"x"}`,
		}},
		{"content", []string{
			`x`, `"x"`, `1`, `"1"`, `[1]`, `1.`, `9007199254740992`, `9007199254740993`, `null`, ``, ` `, `{}`, `[]`, `{"a":null}`,
		}},
		{"content:+a,b", []string{
			`{"a":1}`, `{"b":1}`, `{"a":null}`, `{"a":1,"b":null}`, `{"a":[1]}`, `{"a":[],"b":1}`, `{"a":"","b":1}`,
		}},
	} {
		for _, v := range group.values {
			id, err := mustParse(t, group.spec).Append(nil, value(v))
			if err != nil {
				t.Errorf("%s of %s: %v", group.spec, v, err)
			}
			id = append([]byte(group.spec+"\x00"), id...)
			if other, ok := seen[string(id)]; ok {
				t.Errorf("%s: %s and %s are one", group.spec, v, other)
			}
			seen[string(id)] = v
		}
	}
}

// TestMillionPayloads: payloads that differ a little never share a fingerprint.
func TestMillionPayloads(t *testing.T) {
	n := 1_000_000
	if testing.Short() || racing {
		n = 50_000
	}
	x := mustParse(t, "content")
	h := NewHasher([16]byte{7}).Scoped("posts")
	seen := make(map[hapax.Fingerprint]struct{}, n)
	var text, id []byte
	for i := range n {
		a, b := strconv.Itoa(i/1000), strconv.Itoa(i%1000)
		text = fmt.Appendf(text[:0], `{"user":"%s","text":"%s","n":1%s.0%s1}`, a, b, b, a)
		var err error
		if id, err = x.Append(id[:0], &hapax.Message{Value: text}); err != nil {
			t.Fatal(err)
		}
		seen[h.Fingerprint(id)] = struct{}{}
	}
	if len(seen) != n {
		t.Errorf("%d fingerprints of %d payloads", len(seen), n)
	}
}

func TestAppendAllocs(t *testing.T) {
	if racing {
		t.Skip("a sync.Pool forgets under the race detector")
	}
	m := &hapax.Message{Key: []byte("k"), Value: payload(t), Headers: headers("ce_id", "i", "ce_source", "s").Headers}
	structured := &hapax.Message{Value: []byte(`{"id":"i","source":"s\u0041"}`)}
	text := &hapax.Message{Value: []byte("a line of text, not JSON")}
	for _, tt := range []struct {
		spec string
		m    *hapax.Message
	}{
		{"line", m}, {"key", m}, {"header:ce_id", m}, {"json:id", m}, {"json:repository.owner,commits.0", m},
		{"cloudevents", m}, {"cloudevents", structured}, {"content", m}, {"content", text},
		{"content:-head_commit.timestamp,commits.0.id", m}, {"content:+ref,after", m}, {"json:nope|header:nope|key+json:id", m},
		{"sequence:repository.name,repository.id", m},
	} {
		x := mustParse(t, tt.spec)
		var id []byte
		var err error
		if n := testing.AllocsPerRun(100, func() { id, err = x.Append(id[:0], tt.m) }); n != 0 || err != nil {
			t.Errorf("%s: %v allocations, %v; want none", tt.spec, n, err)
		}
	}
}

// FuzzAppend: whatever the value, an identity or an error of one of two kinds.
func FuzzAppend(f *testing.F) {
	for _, text := range []string{
		`{"a":{"b":1},"c":"x"}`, `{"source":"s","id":"i","p":"x","n":1}`, "text", `{"a":[1,{"b":null}]}`, `{"n":"12","p":{"b":1,"a":"\u0041"}}`,
	} {
		f.Add([]byte(text))
	}
	var specs []*Extractor
	for _, spec := range []string{
		"line", "key|content", "json:a.b,c|json:a.1.b+json:c", "content:-a.b,c,a.1", "content:+a.b,c,a", "cloudevents", "sequence:p,n",
	} {
		specs = append(specs, mustParse(f, spec))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m := &hapax.Message{Value: text}
		for _, x := range specs {
			id, err := x.Append([]byte("before"), m)
			switch {
			case !bytes.HasPrefix(id, []byte("before")):
				t.Fatalf("%s: dst is lost: %q", x, id)
			case err == nil:
			case len(id) != len("before"):
				t.Fatalf("%s: dst is longer: %q, %v", x, id, err)
			case !errors.Is(err, hapax.ErrMissing) && !errors.Is(err, hapax.ErrMalformed):
				t.Fatalf("%s: %v", x, err)
			}
		}
	})
}

func FuzzJSONPath(f *testing.F) {
	for _, seed := range []struct{ text, path string }{
		{`{"id":1}`, "id"}, {`{"a":[{"b":"x"}]}`, "a.0.b"}, {`{"a.b":1.0}`, `a\.b`}, {`{"i\u0064":null}`, "id"},
		{`{"id":1,"id":2}`, "id"}, {`[1,[2]]`, "1.0"}, {`{"id":"\ud800"}`, "id"}, {`{"id":1}x`, "id"},
	} {
		f.Add([]byte(seed.text), seed.path)
	}
	f.Fuzz(func(t *testing.T, text []byte, path string) {
		list, err := parsePaths(path)
		if err != nil || len(list.list) != 1 || strings.ContainsRune(path, utf8.RuneError) {
			return
		}
		x, err := Parse("json:" + list.String())
		if err != nil {
			return
		}
		got, err := x.Append(nil, &hapax.Message{Value: text})
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		var doc any
		switch valid := json.Valid(text) && d.Decode(&doc) == nil; {
		case errors.Is(err, hapax.ErrMalformed):
			if valid && !refused(err) {
				t.Fatalf("refused for %v", err)
			}
			return
		case !valid:
			t.Fatalf("%q, %v of what is not JSON", got, err)
		}
		found := walk(doc, list.list[0])
		if errors.Is(err, hapax.ErrMissing) {
			if found != nil {
				t.Fatalf("missing, but it is %v", found)
			}
			return
		}
		want, _ := json.Marshal(found)
		if want, err = AppendCanonical([]byte{tagJSON}, want); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got %q, want %q, %v", got, want, err)
		}
	})
}

// refused reports whether err is about what encoding/json accepts.
func refused(err error) bool {
	for _, r := range []string{
		"repeated name", "invalid UTF-8", "half a surrogate pair", "nested too deeply", "number out of bounds",
	} {
		if strings.Contains(err.Error(), r) {
			return true
		}
	}
	return false
}

// walk is what a decoded document has at the path, nil for nothing.
func walk(doc any, path []string) any {
	for _, name := range path {
		switch v := doc.(type) {
		case map[string]any:
			doc = v[name]
		case []any:
			n, err := strconv.Atoi(name)
			if err != nil || n < 0 || n >= len(v) || strconv.Itoa(n) != name {
				return nil
			}
			doc = v[n]
		default:
			return nil
		}
	}
	return doc
}
