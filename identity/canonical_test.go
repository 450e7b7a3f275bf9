package identity

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/gowebpki/jcs"
	"pgregory.net/rapid"

	"github.com/hapaxmq/hapax"
)

func TestAppendCanonical(t *testing.T) {
	tests := []struct{ text, want string }{
		{`{}`, `{}`},
		{" [ ] \r\n\t", `[]`},
		{`[null,true , false]`, `[null,true,false]`},
		{`{"b":1,"a":2}`, `{"a":2,"b":1}`},
		{`{"b":{"d":[{"f":1,"e":2}],"c":{}},"a":""}`, `{"a":"","b":{"c":{},"d":[{"e":2,"f":1}]}}`},
		{`{"a.b":1,"a":{"b":1}}`, `{"a":{"b":1},"a.b":1}`},
		{`{"":1," ":2}`, `{"":1," ":2}`},
		{`{"aaaaaaaab":1,"aaaaaaaaa":2,"aaaaaaaa":3}`, `{"aaaaaaaa":3,"aaaaaaaaa":2,"aaaaaaaab":1}`},
		// Strings: one way to write each character.
		{`"\u0041\/\u00e9\ud83d\ude00"`, `"A/é😀"`},
		{`"\u0022\u005c\u0008\u000C\u000a\u000D\u0009\u0000\u001F\u007f"`, `"\"\\\b\f\n\r\t\u0000\u001f` + "\x7f\""},
		{`"\u2028é😀"`, "\"\u2028é😀\""},
		// Names are sorted by UTF-16 units of what they stand for.
		{`{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",
		   "\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}`,
			"{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u0080\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\"," +
				"\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\ufb33\":\"Hebrew Letter Dalet With Dagesh\"}"},
		{`{"a\\":1,"a\"":2,"aA":3,"a\n":4,"a\u0001":5}`, `{"a\u0001":5,"a\n":4,"a\"":2,"aA":3,"a\\":1}`},
		// Numbers: the exact decimal value.
		{`[1,1.0,1e0,10e-1,0.1e1,1E+0]`, `[1,1,1,1,1,1]`},
		{`[0,-0,0.0,-0e5,0e99999999999999999999]`, `[0,0,0,0,0]`},
		{`[9007199254740992,9007199254740993,9007199254740993.0]`, `[9007199254740992,9007199254740993,9007199254740993]`},
		{`[-12.50,120,1200e-1,0.00120]`, `[-12.5,120,120,0.0012]`},
		{`[1e20,1e21,-1e21,123456789012345678901,1234567890123456789012]`,
			`[100000000000000000000,1e+21,-1e+21,123456789012345678901,1.234567890123456789012e+21]`},
		{`[0.000001,0.0000001,1e-6,1e-7,1.5e-7]`, `[0.000001,1e-7,0.000001,1e-7,1.5e-7]`},
		{`[1e999999999,1e-999999999,0.1e0000000000005]`, `[1e+999999999,1e-999999999,10000]`},
		{`[0.01e1000000001,100e-1000000001]`, `[1e+999999999,1e-999999999]`},
		{`[0.1234567890123456789012345,123456789012345678901.5]`, `[0.1234567890123456789012345,123456789012345678901.5]`},
	}
	for _, tt := range tests {
		got, err := AppendCanonical([]byte("before"), []byte(tt.text))
		if err != nil || string(got) != "before"+tt.want {
			t.Errorf("AppendCanonical(%s)\n got %s, %v\nwant %s", tt.text, got, err, tt.want)
		}
	}
}

func TestAppendCanonicalErrors(t *testing.T) {
	tests := []struct{ text, want string }{
		{``, "want a value at byte 0"},
		{` `, "want a value at byte 1"},
		{`{`, "want a name in quotes at byte 1"},
		{`{"a"}`, "want ':' behind a name at byte 4"},
		{`{"a":}`, "want a value at byte 5"},
		{`{"a":1,}`, "want a name in quotes at byte 7"},
		{`{"a":1 "b"`, "want ',' or the end of an object or array at byte 7"},
		{`[1`, "unexpected end at byte 2"},
		{`[1,]`, "want a value at byte 3"},
		{`[1}`, "want ',' or the end of an object or array at byte 2"},
		{`nul`, "want a value at byte 0"},
		{`True`, "want a value at byte 0"},
		{`1 2`, "unexpected data behind the value at byte 2"},
		{`01`, "number with a leading zero at byte 0"},
		{`-`, "want a digit at byte 1"},
		{`1.`, "want a digit at byte 2"},
		{`1e+`, "want a digit at byte 3"},
		{`+1`, "want a value at byte 0"},
		{`"a`, "unterminated string at byte 2"},
		{`"a\`, "unterminated string at byte 3"},
		{"\"a\nb\"", "control character in a string at byte 2"},
		{`"\x"`, "invalid escape sequence at byte 1"},
		{`"\u12G4"`, "invalid escape sequence at byte 1"},
		{"\"\xff\"", "invalid UTF-8 at byte 1"},
		{"\"12345678\xed\xa0\x80\"", "invalid UTF-8 at byte 9"},
		{"\xef\xbb\xbf{}", "take away the byte order mark at byte 0"},
		{`"\ud800"`, "half a surrogate pair at byte 1"},
		{`"\ud800\u0041"`, "half a surrogate pair at byte 1"},
		{`"\udc00\ud800"`, "half a surrogate pair at byte 1"},
		{`{"a":1,"a":2}`, "repeated name at byte 7"},
		{`{"a":1,"b":2,"\u0061":1}`, "repeated name at byte 13"},
		{`[{"b":{"z":1,"y":2,"z":1}}]`, "repeated name at byte 19"},
		{`1e9999999999`, "number out of bounds at byte 0"},
		{`10e999999999`, "number out of bounds at byte 0"},
		{`1e99999999999999999999999999`, "number out of bounds at byte 0"},
		{`-1e-9999999999`, "number out of bounds at byte 0"},
		{strings.Repeat("[", 513) + strings.Repeat("]", 513), "nested too deeply at byte 512"},
		{strings.Repeat(`{"a":`, 513), "nested too deeply at byte 2560"},
	}
	for _, tt := range tests {
		got, err := AppendCanonical([]byte("before"), []byte(tt.text))
		if !errors.Is(err, hapax.ErrMalformed) || !strings.HasSuffix(err.Error(), ": JSON: "+tt.want) || string(got) != "before" {
			t.Errorf("AppendCanonical(%.40q) = %q, %v, want %s", tt.text, got, err, tt.want)
		}
	}
	deep := strings.Repeat("[", 512) + strings.Repeat("]", 512)
	if got, err := AppendCanonical(nil, []byte(deep)); err != nil || string(got) != deep {
		t.Errorf("512 levels: %v", err)
	}
}

// TestCanonicalNumber compares with exact arithmetic: numbers have one
// canonical form if and only if they are equal.
func TestCanonicalNumber(t *testing.T) {
	number := rapid.OneOf(
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?`),
		rapid.StringMatching(`-?(0|[1-9]0{0,21})(\.0{0,8}[0-9]?0{0,2}1?)`),
	).Filter(func(s string) bool { return json.Valid([]byte(s)) })
	rapid.Check(t, func(t *rapid.T) {
		text := number.Draw(t, "number")
		got, ok := appendNumber(nil, []byte(text))
		if !ok || !json.Valid(got) {
			t.Fatalf("%s: %q, %v", text, got, ok)
		}
		if short, err := AppendCanonical(nil, []byte(text)); err != nil || !bytes.Equal(short, got) {
			t.Fatalf("%s: the short way is %s, the long way %s", text, short, got)
		}
		want, _ := new(big.Rat).SetString(text)
		value, _ := new(big.Rat).SetString(string(got))
		if want.Cmp(value) != 0 {
			t.Fatalf("%s: %s is another number", text, got)
		}
		// Another way to write the same number.
		shift := rapid.IntRange(0, 30).Draw(t, "shift")
		mantissa, exponent, _ := strings.Cut(strings.ToLower(text), "e")
		power, _ := strconv.Atoi(exponent)
		whole, fraction, _ := strings.Cut(mantissa, ".")
		sign := ""
		if strings.HasPrefix(whole, "-") {
			sign, whole = "-", whole[1:]
		}
		digits := strings.TrimLeft(whole+fraction, "0") + strings.Repeat("0", shift)
		if digits == strings.Repeat("0", shift) {
			digits = "0"
		}
		other := fmt.Sprintf("%s%se%d", sign, digits, power-len(fraction)-shift)
		again, _ := appendNumber(nil, []byte(other))
		if !bytes.Equal(again, got) {
			t.Fatalf("%s is %s, but %s is %s", text, got, other, again)
		}
	})
}

// TestCanonicalOracle compares with the JCS library, which rounds numbers to
// doubles: so all numbers here are doubles.
func TestCanonicalOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var text bytes.Buffer
		writeAny(t, &text, 4)
		want, err := jcs.Transform(text.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		got, err := AppendCanonical(nil, text.Bytes())
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%s\n got %s, %v\nwant %s", &text, got, err, want)
		}
	})
}

// writeAny writes an array or object of anything.
func writeAny(t *rapid.T, w *bytes.Buffer, depth int) {
	n := rapid.IntRange(0, 20/(5-depth)).Draw(t, "n")
	if rapid.Bool().Draw(t, "array") {
		w.WriteByte('[')
		for i := range n {
			if i > 0 {
				w.WriteByte(',')
			}
			writeValue(t, w, depth)
		}
		w.WriteByte(']')
		return
	}
	w.WriteByte('{')
	names := rapid.SliceOfNDistinct(rapid.String(), n, n, rapid.ID).Draw(t, "names")
	for i, name := range names {
		if i > 0 {
			w.WriteString(" , ")
		}
		fmt.Fprintf(w, "%s : ", encode(name))
		writeValue(t, w, depth)
	}
	w.WriteByte('}')
}

func writeValue(t *rapid.T, w *bytes.Buffer, depth int) {
	kind := rapid.IntRange(0, 5).Draw(t, "kind")
	if kind == 0 && depth > 1 {
		writeAny(t, w, depth-1)
		return
	}
	var v any
	switch kind {
	case 1:
		v = rapid.Bool().Draw(t, "bool")
	case 2:
		v = rapid.Int32().Draw(t, "int")
	case 3:
		v = rapid.Float64().Draw(t, "float")
	case 4:
		v = rapid.String().Draw(t, "string")
	}
	w.Write(encode(v))
}

// encode returns the JSON of a value that has one.
func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

func TestAppendCanonicalAllocs(t *testing.T) {
	if racing {
		t.Skip("a sync.Pool forgets under the race detector")
	}
	text := payload(t)
	out := make([]byte, 0, 2*len(text))
	if n := testing.AllocsPerRun(100, func() { out, _ = AppendCanonical(out[:0], text) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func FuzzAppendCanonical(f *testing.F) {
	for _, text := range []string{
		`{"b":1,"a":[1.0,-0,1e21,9007199254740993]}`, `{"a":1,"a":2}`, `"\ud83d\ude00\ud800"`, `[1e999999999]`,
		`{"\ufb33":1,"\ud83d\ude00":2,"a\\":3,"a\"":4,"aaaaaaaaa":5,"aaaaaaaab":6}`, "[[[[", "\"\xff\"", ` {} x`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s := scanner{text: text}
		valid := json.Valid(text)
		if got := s.valid(); got != valid && !s.fault.refused {
			t.Fatalf("valid = %v (%v), encoding/json says %v", got, s.fault, valid)
		}
		canonical, fault := canonicalise(nil, text, nil)
		if fault.what != "" {
			if valid && !fault.refused {
				t.Fatalf("refused for %v", fault)
			}
			return
		}
		if !valid || !json.Valid(canonical) {
			t.Fatalf("not JSON: %q", canonical)
		}
		again, err := AppendCanonical(nil, canonical)
		if err != nil || !bytes.Equal(again, canonical) {
			t.Fatalf("not idempotent:\n%s\n%s, %v", canonical, again, err)
		}
		scrambled := scramble(text)
		if got, err := AppendCanonical(nil, scrambled); err != nil || !bytes.Equal(got, canonical) {
			t.Fatalf("scrambled to %s:\n got %s, %v\nwant %s", scrambled, got, err, canonical)
		}
		var before, after any
		if json.Unmarshal(text, &before) == nil && (json.Unmarshal(canonical, &after) != nil || !reflect.DeepEqual(before, after)) {
			t.Fatalf("another value: %s", canonical)
		}
	})
}

// scramble writes the valid text with its members in the opposite order, white
// space, and escapes wherever they can be.
func scramble(text []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return scrambleValue(d)
}

func scrambleValue(d *json.Decoder) []byte {
	token, _ := d.Token()
	switch v := token.(type) {
	case json.Delim:
		var parts [][]byte
		for d.More() {
			part := scrambleValue(d)
			if v == '{' {
				part = slices.Concat(part, []byte("\t:\n"), scrambleValue(d))
			}
			parts = append(parts, part)
		}
		end, _ := d.Token()
		if v == '{' {
			slices.Reverse(parts)
		}
		return fmt.Appendf(nil, "%v %s\r\n%v ", v, bytes.Join(parts, []byte(" ,        \n")), end)
	case string:
		escaped := []byte{'"'}
		for _, unit := range utf16Units(v) {
			escaped = fmt.Appendf(escaped, `\u%04x`, unit)
		}
		return append(escaped, '"')
	case json.Number:
		if strings.ContainsAny(v.String(), "eE") {
			return []byte(v)
		}
		return []byte(v + "E-0")
	default:
		return encode(v)
	}
}

func utf16Units(s string) []uint16 { return utf16.Encode([]rune(s)) }
